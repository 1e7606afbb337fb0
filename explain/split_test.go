package explain_test

import (
	"fmt"
	"testing"

	"endogate/explain"
	"endogate/explain/onnxpb"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

// The gradient of a strided convolution of each channel for itself passes the activation and the convolution before it in
// phases, and is what it is by the rules that do without, at even and odd extents, for one bound and for two, also where a channel
// has two outputs.
func TestSplit_strided(t *testing.T) {
	r := openRuntime(t)
	for _, method := range []explain.Method{explain.Gradient, explain.GuidedBackprop} {
		for _, activation := range []string{"Relu", "Clip"} {
			for _, kernel := range []int64{3, 5} {
				for i, extent := range [][2]int64{{12, 12}, {13, 10}, {9, 15}} {
					t.Run(fmt.Sprint(method, activation, kernel, extent), func(t *testing.T) {
						model := bottleneck(t, activation, kernel, extent, 1+int64(i)%2)
						var gradients [][]float32
						for _, single := range []bool{true, false} {
							c, err := explain.Compile(model, explain.Options{Targets: []explain.Target{{Method: method}}, Single: single, Probe: r.Probe})
							require.NoError(t, err)
							if single && method == explain.Gradient {
								require.NotContains(t, operatorsOf(t, c.ONNX), "Pad", "zeros between places")
							}
							in := onnx.Tensor{Shape: []int64{1, 16, extent[0], extent[1]}, Values: picture([]int64{1, 16, extent[0], extent[1]})}
							seed := onnx.Tensor{Shape: []int64{1, int64(c.Classes)}, Values: make([]float32, c.Classes)}
							seed.Values[1] = 1
							out := run(t, r, c.ONNX, onnx.SessionOptions{
								Inputs: []string{c.InputName, c.SeedName}, Outputs: []string{c.Maps[0].Name}, Provider: provider,
							}, in, seed)
							gradients = append(gradients, out[0].Values)
						}
						require.NotZero(t, greatest(gradients[1]))
						require.InDeltaSlice(t, gradients[1], gradients[0], 1e-5*greatest(gradients[1]))
					})
				}
			}
		}
	}
}

func greatest(v []float32) float64 {
	var most float64
	for _, f := range v {
		most = max(most, float64(f), -float64(f))
	}
	return most
}

func operatorsOf(t *testing.T, model []byte) []string {
	var m onnxpb.ModelProto
	require.NoError(t, proto.Unmarshal(model, &m))
	var types []string
	for _, n := range m.Graph.Node {
		types = append(types, n.GetOpType())
	}
	return types
}

// bottleneck is an inverted residual of stride two, as MobileNetV2 has them, with so many outputs of each channel, and a head.
func bottleneck(t *testing.T, activation string, kernel int64, extent [2]int64, each int64) []byte {
	s := &small{shape: []int64{1, 16, extent[0], extent[1]}, logits: true}
	act := func(x, y string) {
		if activation == "Relu" {
			s.node("Relu", []string{x}, []string{y})
			return
		}
		s.node("Clip", []string{x, s.weight(nil, 0), s.weight(nil, 1)}, []string{y})
	}
	conv := func(x, y string, dims []int64, attrs ...*onnxpb.AttributeProto) {
		v := make([]float32, dims[0]*dims[1]*dims[2]*dims[3])
		for i := range v {
			v[i] = float32((i*7919+len(s.graph.Node)*131)%101)/100 - 0.5
		}
		s.node("Conv", []string{x, s.weight(dims, v...)}, []string{y}, attrs...)
	}
	conv("x", "a", []int64{32, 16, 1, 1})
	act("a", "b")
	half := kernel / 2
	conv("b", "c", []int64{32 * each, 1, kernel, kernel}, attrInt("group", 32), attrInts("strides", 2, 2), attrInts("pads", half, half, half, half))
	act("c", "d")
	conv("d", "e", []int64{16, 32 * each, 1, 1})
	s.node("GlobalAveragePool", []string{"e"}, []string{"means"})
	s.node("Flatten", []string{"means"}, []string{"logits"})
	return s.bytes(t)
}
