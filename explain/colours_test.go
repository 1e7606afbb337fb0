package explain_test

import (
	"testing"

	"endogate/explain"
	"endogate/explain/onnxpb"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

// typed is a model whose picture is of another type, and whose constants named so are.
func typed(t *testing.T, model []byte, typ onnxpb.TensorProto_DataType, constants ...string) []byte {
	var m onnxpb.ModelProto
	require.NoError(t, proto.Unmarshal(model, &m))
	m.Graph.Input[0].Type.GetTensorType().ElemType = proto.Int32(int32(typ))
	for _, w := range m.Graph.Initializer {
		for _, name := range constants {
			if w.GetName() == name {
				w.DataType, w.Int32Data = proto.Int32(int32(typ)), nil
				for _, v := range w.FloatData {
					w.Int32Data = append(w.Int32Data, int32(v))
				}
				w.FloatData = nil
			}
		}
	}
	out, err := proto.Marshal(&m)
	require.NoError(t, err)
	return out
}

// The gradient of a picture of bytes is that of the same numbers in float32, whatever moves them about before they are cast.
func TestColours(t *testing.T) {
	r := openRuntime(t)
	move := func(typ, in, out string, attrs ...*onnxpb.AttributeProto) func(s *small) string {
		return func(s *small) string { s.node(typ, []string{in}, []string{out}, attrs...); return out }
	}
	for name, first := range map[string]func(s *small) string{
		"alone":     func(*small) string { return "x" },
		"Transpose": move("Transpose", "x", "t", attrInts("perm", 0, 1, 3, 2)),
		"Gather": func(s *small) string { // BGR
			s.node("Gather", []string{"x", s.ints(2, 1, 0)}, []string{"t"}, attrInt("axis", 1))
			return "t"
		},
		"Split and Concat": func(s *small) string {
			s.node("Split", []string{"x", s.ints(1, 1, 1)}, []string{"red", "green", "blue"}, attrInt("axis", 1))
			s.node("Concat", []string{"blue", "green", "red"}, []string{"t"}, attrInt("axis", 1))
			return "t"
		},
		"Slice": func(s *small) string {
			s.node("Slice", []string{"x", s.ints(1, 0), s.ints(7, 6), s.ints(2, 3)}, []string{"t"})
			return "t"
		},
		"Pad": func(s *small) string {
			s.node("Pad", []string{"x", s.ints(0, 0, 1, 1, 0, 0, 1, 1), s.weight(nil, 7)}, []string{"t"})
			return "t"
		},
		"Resize": func(s *small) string {
			s.node("Resize", []string{"x", "", s.weight([]int64{4}, 1, 1, 0.5, 0.5)}, []string{"t"}, attrString("mode", "nearest"))
			return "t"
		},
		"Resize, linear": func(s *small) string {
			s.node("Resize", []string{"x", "", s.weight([]int64{4}, 1, 1, 0.5, 0.5)}, []string{"t"}, attrString("mode", "linear"))
			return "t"
		},
		"Max, as it was": func(s *small) string {
			s.node("Max", []string{"x", s.weight(nil, 90)}, []string{"t"})
			return "t"
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &small{shape: []int64{1, 3, 8, 8}, opset: 18, logits: true}
			s.node("Cast", []string{first(s)}, []string{"f"}, attrInt("to", 1))
			constant := "wb"
			if name == "Pad" {
				constant = "wc"
			}
			s.node("Conv", []string{"f", s.weight([]int64{2, 3, 3, 3}, arange(54)...)}, []string{"c"})
			s.node("Relu", []string{"c"}, []string{"r"})
			s.node("GlobalAveragePool", []string{"r"}, []string{"p"})
			s.node("Flatten", []string{"p"}, []string{"logits"})
			float, in := s.bytes(t), onnx.Input{Shape: s.shape, Values: make([]float32, 192)}
			for i := range in.Values {
				in.Values[i] = float32(i * 37 % 64 * 4) // means of four are whole numbers
			}
			bytes := typed(t, float, onnxpb.TensorProto_UINT8)
			if name == "Pad" || name == "Max, as it was" {
				bytes = typed(t, float, onnxpb.TensorProto_UINT8, constant)
			}
			targets := []explain.Target{{Method: explain.GradCAM}, {Method: explain.Gradient}}
			if name != "Max, as it was" {
				targets = append(targets, explain.Target{Method: explain.LRPEpsilon}, explain.Target{Method: explain.DeepLIFT}, explain.Target{Method: explain.GradientInput})
			}
			said, want := explained(t, r, float, in, []float32{1, 0}, targets...)
			again, maps := explained(t, r, bytes, in, []float32{1, 0}, targets...)
			requireWithin(t, 1e-5, wide(said), again)
			for i := range want {
				require.NotZero(t, greatest(want[i].Values))
				requireWithin(t, 1e-5, wide(want[i].Values), maps[i].Values)
			}
		})
	}
}

// Colours that are counted in whole numbers have a gradient, and what is cut off to whole numbers behind weights has none.
func TestColours_counted(t *testing.T) {
	r := openRuntime(t)
	s := &small{shape: []int64{1, 1, 4, 4}}
	s.node("Cast", []string{"x"}, []string{"i"}, attrInt("to", int64(onnxpb.TensorProto_INT32)))
	s.node("Sub", []string{"i", s.weight([]int64{1}, 100)}, []string{"centred"})
	s.node("Cast", []string{"centred"}, []string{"f"}, attrInt("to", 1))
	s.node("Conv", []string{"f", s.weight([]int64{1, 1, 4, 4}, arange(16)...)}, []string{"c"})
	s.node("Cast", []string{"c"}, []string{"whole"}, attrInt("to", int64(onnxpb.TensorProto_INT64)))
	s.node("Cast", []string{"whole"}, []string{"back"}, attrInt("to", 1))
	s.node("Mul", []string{"back", s.weight([]int64{1}, 1000)}, []string{"large"})
	s.node("Add", []string{"c", "large"}, []string{"y"})
	var m onnxpb.ModelProto
	require.NoError(t, proto.Unmarshal(typed(t, s.bytes(t), onnxpb.TensorProto_UINT8), &m))
	m.Graph.Initializer[0].DataType, m.Graph.Initializer[0].Int32Data, m.Graph.Initializer[0].FloatData = proto.Int32(int32(onnxpb.TensorProto_INT32)), []int32{100}, nil
	model, err := proto.Marshal(&m)
	require.NoError(t, err)
	_, maps := explained(t, r, model, onnx.Input{Shape: s.shape, Values: constants(16, 128)}, []float32{1}, explain.Target{Method: explain.Gradient})
	requireWithin(t, 1e-6, wide(arange(16)), maps[0].Values)
}

// Layers in float64, as a head of another tool's has them, are explained in float32.
func TestWiden_double(t *testing.T) {
	r := openRuntime(t)
	s := &small{shape: []int64{1, 1, 4, 4}, logits: true}
	s.node("Conv", []string{"x", s.weight([]int64{2, 1, 3, 3}, arange(18)...)}, []string{"c"})
	s.node("Relu", []string{"c"}, []string{"a"})
	s.node("Flatten", []string{"a"}, []string{"flat"})
	s.node("Cast", []string{"flat"}, []string{"d"}, attrInt("to", int64(onnxpb.TensorProto_DOUBLE)))
	s.node("MatMul", []string{"d", s.weight([]int64{8, 2}, arange(16)...)}, []string{"logits"})
	float := s.bytes(t)
	var m onnxpb.ModelProto
	require.NoError(t, proto.Unmarshal(float, &m))
	head := m.Graph.Initializer[1]
	for _, v := range head.FloatData {
		head.DoubleData = append(head.DoubleData, float64(v))
	}
	head.DataType, head.FloatData = proto.Int32(int32(onnxpb.TensorProto_DOUBLE)), nil
	double, err := proto.Marshal(&m)
	require.NoError(t, err)
	m.Graph.Node[3].Attribute[0].I = proto.Int64(1)
	require.NoError(t, proto.Unmarshal(float, &m))
	m.Graph.Node[3].Attribute[0].I = proto.Int64(1)
	float, err = proto.Marshal(&m)
	require.NoError(t, err)
	in, targets := onnx.Input{Shape: s.shape, Values: picture(s.shape)}, []explain.Target{{Method: explain.GradCAM}, {Method: explain.LRPEpsilon}}
	said, want := explained(t, r, float, in, []float32{0, 1}, targets...)
	again, maps := explained(t, r, double, in, []float32{0, 1}, targets...)
	requireWithin(t, 1e-5, wide(said), again)
	for i := range want {
		requireWithin(t, 1e-5, wide(want[i].Values), maps[i].Values)
	}
}
