package explain_test

import (
	"strings"
	"testing"

	"endogate/explain"
	"endogate/explain/onnxpb"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

// integers are a constant of eight bits or, of a bias, of 32.
func (s *small) integers(name string, typ onnxpb.TensorProto_DataType, dims []int64, v ...int32) string {
	s.graph.Initializer = append(s.graph.Initializer, &onnxpb.TensorProto{Name: &name, Dims: dims, DataType: proto.Int32(int32(typ)), Int32Data: v})
	return name
}

// An operator that computes in integers says what it says itself, to a step, and has the gradient of what it was made of.
func TestLower_integers(t *testing.T) {
	const step, fine = 1. / 32, 1. / 256 // of what comes in and out, and of weights
	r := openRuntime(t)
	weights := make([]int32, 36)
	for i := range weights {
		weights[i] = int32((i*37+5)%61) - 30
	}
	for _, c := range []struct {
		typ, float string
		shape      []int64
		weight     []int64 // of the second operand, nil: none
		bias       bool
		attrs      []*onnxpb.AttributeProto
		slack      float64 // of the gradient, over its greatest: where it depends on what was rounded
	}{
		{typ: "QLinearConv", float: "Conv", shape: []int64{1, 2, 4, 4}, weight: []int64{2, 2, 3, 3}, bias: true, attrs: []*onnxpb.AttributeProto{attrInts("pads", 1, 1, 1, 1)}},
		{typ: "QLinearMatMul", float: "MatMul", shape: []int64{1, 3, 4}, weight: []int64{4, 9}},
		{typ: "QGemm", float: "Gemm", shape: []int64{1, 6}, weight: []int64{6, 6}, bias: true},
		{typ: "QGemm", float: "Gemm", shape: []int64{1, 6}, weight: []int64{6, 6}, attrs: []*onnxpb.AttributeProto{attrInt("transB", 1)}},
		{typ: "QLinearAdd", float: "Add", shape: []int64{1, 6, 6}, weight: []int64{6, 6}},
		{typ: "QLinearMul", float: "Mul", shape: []int64{1, 6, 6}, weight: []int64{6, 6}},
		{typ: "QLinearSigmoid", float: "Sigmoid", shape: []int64{1, 8}, slack: 0.02},
		{typ: "QLinearLeakyRelu", float: "LeakyRelu", shape: []int64{1, 8}, attrs: []*onnxpb.AttributeProto{attrFloat("alpha", 0.5)}},
		{typ: "QLinearSoftmax", float: "Softmax", shape: []int64{1, 8}, attrs: []*onnxpb.AttributeProto{attrInt("axis", -1)}, slack: 0.05},
		{typ: "QLinearAveragePool", float: "AveragePool", shape: []int64{1, 2, 4, 4}, attrs: []*onnxpb.AttributeProto{attrInts("kernel_shape", 2, 2)}},
		{typ: "QLinearGlobalAveragePool", float: "GlobalAveragePool", shape: []int64{1, 2, 4, 4}},
		{typ: "QLinearConcat", float: "Concat", shape: []int64{1, 3, 4}, attrs: []*onnxpb.AttributeProto{attrInt("axis", 1)}},
		{typ: "ConvInteger", float: "Conv", shape: []int64{1, 2, 4, 4}, weight: []int64{2, 2, 3, 3}, attrs: []*onnxpb.AttributeProto{attrInts("pads", 1, 1, 1, 1)}},
		{typ: "MatMulInteger", float: "MatMul", shape: []int64{1, 3, 4}, weight: []int64{4, 9}},
		{typ: "MatMulIntegerToFloat", float: "MatMul", shape: []int64{1, 3, 4}, weight: []int64{4, 9}},
		{typ: "DynamicQuantizeMatMul", float: "MatMul", shape: []int64{1, 3, 4}, weight: []int64{4, 9}},
	} {
		t.Run(c.typ, func(t *testing.T) {
			build := func(quantised bool) []byte {
				s := &small{shape: c.shape}
				per, unit := s.weight(nil, step), s.weight(nil, fine)
				zero, none := s.integers("zero", onnxpb.TensorProto_UINT8, nil, 128), s.integers("none", onnxpb.TensorProto_UINT8, nil, 100)
				var coded []int32
				values := make([]float32, product(c.weight))
				if c.weight != nil {
					for i := range values {
						coded = append(coded, weights[i]+100)
						values[i] = float32(weights[i]) * fine
					}
				}
				dynamic := c.typ == "ConvInteger" || c.typ == "MatMulInteger"
				w := ""
				if c.weight != nil {
					w = s.integers("w", onnxpb.TensorProto_UINT8, c.weight, coded...)
				}
				switch {
				case !quantised:
					inputs := []string{"x"}
					if c.weight != nil {
						inputs = append(inputs, s.weight(c.weight, values...))
					}
					if c.bias {
						bias := make([]float32, c.weight[0])
						for i := range bias {
							bias[i] = float32(i*100-50) * step * fine
						}
						inputs = append(inputs, s.weight([]int64{c.weight[0]}, bias...))
					}
					if c.float == "Concat" {
						inputs = append(inputs, "x")
					}
					s.node(c.float, inputs, []string{"made"}, c.attrs...)
				case dynamic:
					s.node("DynamicQuantizeLinear", []string{"x"}, []string{"q", "scale", "at"})
					s.node(c.typ, []string{"q", w, "at", none}, []string{"sum"}, c.attrs...)
					s.node("Cast", []string{"sum"}, []string{"wide"}, attrInt("to", 1))
					s.node("Mul", []string{"scale", unit}, []string{"scales"})
					s.node("Mul", []string{"wide", "scales"}, []string{"made"})
				case c.typ == "MatMulIntegerToFloat":
					s.node("DynamicQuantizeLinear", []string{"x"}, []string{"q", "scale", "at"})
					s.own(c.typ, []string{"q", w, "scale", unit, "at", none, s.weight([]int64{9}, values[:9]...)}, []string{"biased"})
					s.node("Sub", []string{"biased", s.weight([]int64{9}, values[:9]...)}, []string{"made"})
				case c.typ == "DynamicQuantizeMatMul":
					s.own(c.typ, []string{"x", w, unit, none, s.weight([]int64{9}, values[:9]...)}, []string{"biased"})
					s.node("Sub", []string{"biased", s.weight([]int64{9}, values[:9]...)}, []string{"made"})
				default:
					s.node("QuantizeLinear", []string{"x", per, zero}, []string{"q"})
					inputs := []string{"q", per, zero}
					if c.weight != nil {
						inputs = append(inputs, w, unit, none)
					}
					bias := ""
					if c.bias {
						v := make([]int32, c.weight[0])
						for i := range v {
							v[i] = int32(i*100 - 50)
						}
						bias = s.integers("b", onnxpb.TensorProto_INT32, []int64{c.weight[0]}, v...)
					}
					switch c.typ {
					case "QGemm":
						inputs = append(inputs, bias, per, zero)
					case "QLinearConcat":
						inputs = append([]string{per, zero}, append(inputs, inputs...)...)
					default:
						if inputs = append(inputs, per, zero); bias != "" {
							inputs = append(inputs, bias)
						}
					}
					attrs := c.attrs
					if c.typ == "QLinearSoftmax" {
						attrs = append(attrs, attrInt("opset", 17))
					}
					if s.own(c.typ, inputs, []string{"sum"}, attrs...); c.typ == "QLinearConv" || c.typ == "QLinearMatMul" {
						s.graph.Node[len(s.graph.Node)-1].Domain = nil
					}
					s.node("DequantizeLinear", []string{"sum", per, zero}, []string{"made"})
				}
				s.node("Mul", []string{"made", s.weight(nil, 1)}, []string{"y"}) // so that the gradient does not start before a softmax
				return s.bytes(t)
			}
			in := onnx.Input{Shape: c.shape, Values: picture(c.shape)}
			plain := run(t, r, build(true), onnx.SessionOptions{Inputs: []string{"x"}, Outputs: []string{"logits"}}, onnx.Tensor{Shape: c.shape, Values: in.Values})
			target := explain.Target{Method: explain.Gradient}
			seed := testSeed()[:len(plain[0].Values)]
			said, q := explained(t, r, build(true), in, seed, target)
			_, f := explained(t, r, build(false), in, seed, target)
			rounding := step * 1.001 // where the integers and the floats fall on two sides of a half
			if strings.Contains(c.typ, "Integer") || strings.HasPrefix(c.typ, "Dynamic") {
				rounding = 1e-5 * greatest(said)
			}
			require.InDeltaSlice(t, plain[0].Values, said, rounding)
			require.NotZero(t, greatest(f[0].Values))
			require.InDeltaSlice(t, f[0].Values, q[0].Values, (1e-5+c.slack)*greatest(f[0].Values))
		})
	}
}

// What quantisation cuts off does not count: tools take rectifiers out where the zero point is the least integer.
func TestQuantised_cutOff(t *testing.T) {
	s := &small{shape: []int64{1, 6}}
	scale := s.weight(nil, 1./64)
	least := s.integers("least", onnxpb.TensorProto_UINT8, nil, 0)
	s.node("QuantizeLinear", []string{"x", scale, least}, []string{"q"})
	s.node("DequantizeLinear", []string{"q", scale, least}, []string{"r"})
	s.node("Mul", []string{"r", s.weight(nil, 3)}, []string{"y"})
	in := onnx.Input{Shape: s.shape, Values: []float32{-2, -0.1, 0, 0.1, 3.9, 5}}
	_, maps := explained(t, openRuntime(t), s.bytes(t), in, []float32{1, 1, 1, 1, 1, 1}, explain.Target{Method: explain.Gradient})
	require.Equal(t, []float32{0, 0, 3, 3, 3, 0}, maps[0].Values)
}

// Each number has the bounds of its own scale, zero point and type; where it is read by another scale than it was rounded by, it is
// that much larger.
func TestQuantised_bounds(t *testing.T) {
	const open = 1e9 // beyond what is cut off
	for name, c := range map[string]struct {
		typ      onnxpb.TensorProto_DataType
		dims     []int64
		scales   []float32
		zeros    []int32
		raw      []byte // of zeros of four bits
		attrs    []*onnxpb.AttributeProto
		from, to [4]float32 // of x, beyond which it is cut off
	}{
		"one":             {typ: onnxpb.TensorProto_INT8, scales: []float32{0.5}, zeros: []int32{8}, from: [4]float32{-68.25, -68.25, -68.25, -68.25}, to: [4]float32{59.75, 59.75, 59.75, 59.75}},
		"each channel":    {typ: onnxpb.TensorProto_UINT8, dims: []int64{2}, scales: []float32{0.5, 1}, zeros: []int32{0, 128}, from: [4]float32{-0.25, -0.25, -128.5, -128.5}, to: [4]float32{127.75, 127.75, 127.5, 127.5}},
		"along the last":  {typ: onnxpb.TensorProto_UINT8, dims: []int64{2}, scales: []float32{0.5, 1}, zeros: []int32{0, 0}, attrs: []*onnxpb.AttributeProto{attrInt("axis", -1)}, from: [4]float32{-0.25, -0.5, -0.25, -0.5}, to: [4]float32{127.75, 255.5, 127.75, 255.5}},
		"sixteen bits":    {typ: onnxpb.TensorProto_UINT16, scales: []float32{0.5}, zeros: []int32{4}, from: [4]float32{-2.25, -2.25, -2.25, -2.25}, to: [4]float32{32765.75, 32765.75, 32765.75, 32765.75}},
		"sixteen, signed": {typ: onnxpb.TensorProto_INT16, scales: []float32{1}, zeros: []int32{0}, from: [4]float32{-32768.5, -32768.5, -32768.5, -32768.5}, to: [4]float32{32767.5, 32767.5, 32767.5, 32767.5}},
		"four bits":       {typ: 21, scales: []float32{1}, raw: []byte{2}, from: [4]float32{-2.5, -2.5, -2.5, -2.5}, to: [4]float32{13.5, 13.5, 13.5, 13.5}},
		"in blocks":       {typ: onnxpb.TensorProto_INT8, dims: []int64{1, 2, 1}, scales: []float32{0.5, 1}, zeros: []int32{0, 8}, attrs: []*onnxpb.AttributeProto{attrInt("axis", 2), attrInt("block_size", 2)}, from: [4]float32{-64.25, -64.25, -136.5, -136.5}, to: [4]float32{63.75, 63.75, 119.5, 119.5}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &small{shape: []int64{1, 2, 2}, opset: 21}
			zero := "zero"
			s.graph.Initializer = append(s.graph.Initializer, &onnxpb.TensorProto{Name: &zero, Dims: c.dims, DataType: proto.Int32(int32(c.typ)), Int32Data: c.zeros, RawData: c.raw})
			scale := s.weight(c.dims, c.scales...)
			twice := s.weight(c.dims, mapped(c.scales, func(v float32) float32 { return 2 * v })...)
			s.node("QuantizeLinear", []string{"x", scale, zero}, []string{"q"}, c.attrs...)
			s.node("DequantizeLinear", []string{"q", twice, zero}, []string{"r"}, c.attrs...)
			s.node("Mul", []string{"r", s.weight(nil, 3)}, []string{"y"})
			model, r := s.bytes(t), openRuntime(t)
			for shift, want := range map[float32]float32{-0.01: 0, 0.01: 6} {
				for _, side := range [][4]float32{c.from, c.to} {
					x := make([]float32, 4)
					for i := range x {
						if x[i] = side[i] + shift; side == c.to {
							x[i] = side[i] - shift
						}
					}
					_, maps := explained(t, r, model, onnx.Input{Shape: s.shape, Values: x}, []float32{1, 1, 1, 1}, explain.Target{Method: explain.Gradient})
					require.Equal(t, []float32{want, want, want, want}, maps[0].Values, x)
				}
			}
			_, maps := explained(t, r, model, onnx.Input{Shape: s.shape, Values: []float32{open, -open, open, -open}}, []float32{1, 1, 1, 1}, explain.Target{Method: explain.Gradient})
			require.Equal(t, make([]float32, 4), maps[0].Values)
		})
	}
}

func mapped(v []float32, f func(float32) float32) []float32 {
	out := make([]float32, len(v))
	for i := range v {
		out[i] = f(v[i])
	}
	return out
}

// A sigmoid that is fused with what comes before it is looked behind, and known to give probabilities.
func TestCompile_fusedSigmoid(t *testing.T) {
	s := &small{shape: []int64{1, 2}, logits: true}
	s.own("FusedGemm", []string{"x", s.weight([]int64{2, 2}, 40, -30, 20, 10), s.weight([]int64{2}, 0, 1)}, []string{"logits"}, attrString("activation", "Sigmoid"))
	model := s.bytes(t)
	outline, err := explain.ReadOutline(model)
	require.NoError(t, err)
	require.Equal(t, explain.Probabilities, outline.Ends("logits"))
	in := onnx.Input{Shape: s.shape, Values: []float32{2, 1}}
	_, maps := explained(t, openRuntime(t), model, in, []float32{1, 0}, explain.Target{Method: explain.Gradient})
	require.Equal(t, []float32{40, 20}, maps[0].Values)
}

// What the optimizer wrote for one processor is refused with what to do.
func TestCompile_blockedForProcessor(t *testing.T) {
	s := &small{shape: []int64{1, 16, 4, 4}}
	s.node("Relu", []string{"x"}, []string{"a"})
	s.node("ReorderInput", []string{"a"}, []string{"b"})
	s.node("ReorderOutput", []string{"b"}, []string{"y"}, attrInt("channels", 16))
	for _, n := range s.graph.Node[1:] {
		n.Domain = proto.String("com.microsoft.nchwc")
	}
	_, err := explain.Compile(s.bytes(t), explain.Options{Targets: []explain.Target{{Method: explain.Gradient}}, Probe: openRuntime(t).Probe})
	require.ErrorContains(t, err, "one kind of processor")
}
