package explain_test

import (
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
					s.node(c.typ, []string{"q", s.integers("w", onnxpb.TensorProto_UINT8, c.weight, coded...), "at", none}, []string{"sum"}, c.attrs...)
					s.node("Cast", []string{"sum"}, []string{"wide"}, attrInt("to", 1))
					s.node("Mul", []string{"scale", unit}, []string{"scales"})
					s.node("Mul", []string{"wide", "scales"}, []string{"made"})
				default:
					s.node("QuantizeLinear", []string{"x", per, zero}, []string{"q"})
					inputs := []string{"q", per, zero}
					if c.weight != nil {
						inputs = append(inputs, s.integers("w", onnxpb.TensorProto_UINT8, c.weight, coded...), unit, none)
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
			if c.typ == "ConvInteger" || c.typ == "MatMulInteger" {
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
