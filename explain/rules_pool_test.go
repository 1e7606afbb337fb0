package explain_test

import (
	"slices"
	"testing"

	"endogate/explain"
	"endogate/explain/onnxpb"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
)

// Poolings whose shape the runtime infers otherwise than it pools load, and compute with an explanation what they do without.
func TestPooling_inferredOtherwise(t *testing.T) {
	ceil, counts := attrInt("ceil_mode", 1), attrInt("count_include_pad", 1)
	kernel := func(v ...int64) *onnxpb.AttributeProto { return attrInts("kernel_shape", v...) }
	strides := func(v ...int64) *onnxpb.AttributeProto { return attrInts("strides", v...) }
	dilations := func(v ...int64) *onnxpb.AttributeProto { return attrInts("dilations", v...) }
	for _, c := range []struct {
		name, typ string
		opset     int64
		shape     []int64
		attrs     []*onnxpb.AttributeProto
	}{
		{"a window that would begin beyond the input", "AveragePool", 17, []int64{1, 1, 4, 3, 3}, []*onnxpb.AttributeProto{
			kernel(1, 2, 1), strides(2, 2, 1), ceil, counts,
		}},
		{"one that would begin in the pads", "AveragePool", 17, []int64{1, 2, 4, 5}, []*onnxpb.AttributeProto{
			kernel(2, 3), strides(3, 2), attrInts("pads", 1, 0, 1, 2), ceil, counts,
		}},
		{"one after the last that is valid", "AveragePool", 17, []int64{1, 1, 6}, []*onnxpb.AttributeProto{
			kernel(2), strides(4), attrString("auto_pad", "VALID"), ceil,
		}},
		{"greatest values of such windows", "MaxPool", 17, []int64{1, 1, 3, 7}, []*onnxpb.AttributeProto{
			kernel(1, 2), strides(3, 3), attrString("auto_pad", "VALID"), ceil,
		}},
		{"pads that forget the dilations", "MaxPool", 17, []int64{1, 1, 7, 4}, []*onnxpb.AttributeProto{
			kernel(3, 2), strides(2, 1), dilations(2, 2), attrString("auto_pad", "SAME_LOWER"),
		}},
		{"pads beyond the kernel", "MaxPool", 17, []int64{1, 1, 3}, []*onnxpb.AttributeProto{
			kernel(2), strides(2), dilations(3), attrInts("pads", 1, 1), ceil,
		}},
		{"a mean with pads beyond the kernel", "AveragePool", 19, []int64{1, 1, 3}, []*onnxpb.AttributeProto{
			kernel(2), strides(2), dilations(3), attrInts("pads", 1, 1), ceil, counts,
		}},
		{"lengths", "LpPool", 18, []int64{1, 1, 4, 7}, []*onnxpb.AttributeProto{kernel(1, 2), strides(2, 3), ceil}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := openRuntime(t)
			s := &small{opset: c.opset, shape: c.shape}
			weights := onnx.Tensor{Shape: append([]int64{2, c.shape[1]}, slices.Repeat([]int64{1}, len(c.shape)-2)...)}
			for i := range product(weights.Shape) {
				weights.Values = append(weights.Values, float32(i)-0.5)
			}
			s.node(c.typ, []string{"x"}, []string{"pooled"}, c.attrs...)
			s.node("Conv", []string{"pooled", s.weight(weights.Shape, weights.Values...)}, []string{"conv"})
			s.node("Mul", []string{"conv", "conv"}, []string{"y"})
			model, in := s.bytes(t), onnx.Input{Shape: c.shape, Values: picture(c.shape)}
			plain, err := r.NewSession(model, onnx.SessionOptions{Inputs: []string{"x"}, Outputs: []string{"logits"}})
			require.NoError(t, err)
			defer func() { require.NoError(t, plain.Close()) }()
			want, err := plain.Run(t.Context(), []onnx.Tensor{{Shape: in.Shape, Values: in.Values}})
			require.NoError(t, err)
			seed := constants(len(want[0].Values), 1)

			above, _ := explained(t, r, model, in, seed, explain.Target{Method: explain.ActivationGradient, Layer: "conv"})
			requireClose(t, wide(want[0].Values), above, nil, 1e-5)
			if c.typ == "LpPool" {
				return // it has no rule
			}
			logits, maps := explained(t, r, model, in, seed, explain.Target{Method: explain.LRPEpsilon}, explain.Target{Method: explain.DeepLIFT})
			requireClose(t, wide(want[0].Values), logits, nil, 1e-5)
			require.InDelta(t, total(logits), total(maps[0].Values), 1e-3)
			require.InDelta(t, total(logits), total(maps[1].Values), 1e-3) // the baseline is zero
			checkGradient(t, r, model, c.shape, in.Values, seed, 0.005)
		})
	}
}

// One window over all of the input is a mean of all only where it has no gaps.
func TestPooling_dilatedOverAll(t *testing.T) {
	s := &small{opset: 19, shape: []int64{1, 1, 5}}
	s.node("AveragePool", []string{"x"}, []string{"y"}, attrInts("kernel_shape", 3), attrInts("dilations", 2))
	checkGradient(t, openRuntime(t), s.bytes(t), s.shape, picture(s.shape), []float32{1}, 0.005)
}
