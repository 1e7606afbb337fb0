package explain_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"endogate/explain"
	"endogate/explain/onnxpb"
	"endogate/inference/onnx"
)

// edited is a network of two convolutions, mean and dense layer, changed into another form of the same.
func edited(t *testing.T, change func(s *small, m *onnxpb.ModelProto)) []byte {
	s := &small{shape: []int64{1, 3, 16, 16}, logits: true, opset: 18}
	weight := func(dims ...int64) string { return s.weight(dims, arange(int(product(dims)))...) }
	s.node("Conv", []string{"x", weight(8, 3, 3, 3)}, []string{"a"}, attrInts("strides", 2, 2), attrInts("pads", 1, 1, 1, 1))
	s.node("Relu", []string{"a"}, []string{"b"})
	s.node("Conv", []string{"b", weight(6, 8, 3, 3)}, []string{"c"}, attrInts("strides", 2, 2), attrInts("pads", 1, 1, 1, 1))
	s.node("Relu", []string{"c"}, []string{"d"})
	s.node("GlobalAveragePool", []string{"d"}, []string{"e"})
	s.node("Flatten", []string{"e"}, []string{"f"})
	s.node("MatMul", []string{"f", weight(6, 3)}, []string{"logits"})
	m := &onnxpb.ModelProto{}
	require.NoError(t, proto.Unmarshal(s.bytes(t), m))
	if change != nil {
		change(s, m)
	}
	model, err := proto.Marshal(m)
	require.NoError(t, err)
	return model
}

func insert(m *onnxpb.ModelProto, at int, nodes ...*onnxpb.NodeProto) {
	m.Graph.Node = append(m.Graph.Node[:at:at], append(nodes, m.Graph.Node[at:]...)...)
}

func made(typ string, inputs, outputs []string, attrs ...*onnxpb.AttributeProto) *onnxpb.NodeProto {
	return &onnxpb.NodeProto{OpType: &typ, Name: proto.String("/" + outputs[0]), Input: inputs, Output: outputs, Attribute: attrs}
}

func number(name string, dims []int64, v ...int64) *onnxpb.TensorProto {
	return &onnxpb.TensorProto{Name: &name, Dims: dims, DataType: proto.Int32(7), Int64Data: v}
}

// What a network says and what counted for it is the same in whatever form it was written: with functions of its own, in and out of
// sequences, with sparse weights.
func TestFlatten_sameNetwork(t *testing.T) {
	r := openRuntime(t)
	in := onnx.Input{Shape: []int64{1, 3, 16, 16}, Values: picture([]int64{1, 3, 16, 16})}
	run := func(t *testing.T, model []byte) ([]float32, []float32, []float32) {
		logits, maps := explained(t, r, model, in, oneHot(1, 3), explain.Target{Method: explain.GradCAM}, explain.Target{Method: explain.Gradient})
		e := r.NewExplainer(func() ([]byte, error) { return model, nil }, onnx.ExplainerOptions{})
		defer func() { require.NoError(t, e.Close()) }()
		own, err := e.Output(t.Context(), in, 1)
		require.NoError(t, err)
		require.InDeltaSlice(t, own, logits, 1e-5) // of the network as it is
		return logits, maps[0].Values, maps[1].Values
	}
	logits, cam, gradient := run(t, edited(t, nil))
	require.NotZero(t, cam)
	cases := map[string]func(s *small, m *onnxpb.ModelProto){
		"function": func(_ *small, m *onnxpb.ModelProto) { // that calls another, with attributes of the call and by default
			strides, pads := attrInts("strides"), attrInts("pads")
			strides.RefAttrName, pads.RefAttrName = proto.String("by"), proto.String("around")
			inner := &onnxpb.FunctionProto{
				Name: proto.String("Inner"), Domain: proto.String("ours"), Input: []string{"X", "W"}, Output: []string{"Y"}, Attribute: []string{"by"},
				OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(18)}},
				Node:        []*onnxpb.NodeProto{made("Conv", []string{"X", "W"}, []string{"c"}, strides, pads), made("Relu", []string{"c"}, []string{"Y"})},
			}
			around, err := proto.Marshal(attrInts("around", 1, 1, 1, 1))
			require.NoError(t, err)
			inner.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 11, protowire.BytesType), around))
			by := attrInts("by")
			by.RefAttrName = proto.String("s")
			call := made("Inner", []string{"X", "W"}, []string{"c"}, by)
			call.Domain = proto.String("ours")
			outer := &onnxpb.FunctionProto{
				Name: proto.String("Outer"), Domain: proto.String("ours"), Input: []string{"X", "W"}, Output: []string{"c"}, Attribute: []string{"s"},
				OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(18)}, {Domain: proto.String("ours"), Version: proto.Int64(1)}},
				Node:        []*onnxpb.NodeProto{call},
			}
			m.Functions = []*onnxpb.FunctionProto{inner, outer}
			m.OpsetImport = append(m.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: proto.String("ours"), Version: proto.Int64(1)})
			first, second := made("Outer", m.Graph.Node[0].Input, []string{"b"}, attrInts("s", 2, 2)), made("Outer", []string{"b", m.Graph.Node[2].Input[1]}, []string{"d"}, attrInts("s", 2, 2))
			first.Domain, second.Domain = proto.String("ours"), proto.String("ours")
			m.Graph.Node = append([]*onnxpb.NodeProto{first, second}, m.Graph.Node[4:]...)
		},
		"split and joined": func(_ *small, m *onnxpb.ModelProto) {
			m.Graph.Initializer = append(m.Graph.Initializer, number("three", nil, 3), number("first", nil, 0), number("second", nil, 1))
			m.Graph.Node[4].Input[0] = "whole"
			insert(m, 4, made("SplitToSequence", []string{"d", "three"}, []string{"parts"}, attrInt("axis", 1)), made("SequenceAt", []string{"parts", "first"}, []string{"p0"}),
				made("SequenceAt", []string{"parts", "second"}, []string{"p1"}), made("SequenceEmpty", nil, []string{"none"}), made("SequenceInsert", []string{"none", "p1"}, []string{"one"}),
				made("SequenceInsert", []string{"one", "p0", "first"}, []string{"both"}), made("ConcatFromSequence", []string{"both"}, []string{"whole"}, attrInt("axis", 1)))
		},
		"split by sizes": func(_ *small, m *onnxpb.ModelProto) {
			m.Graph.Initializer = append(m.Graph.Initializer, number("sizes", []int64{2}, 4, 2), number("first", nil, 0), number("last", nil, -1))
			m.Graph.Node[4].Input[0] = "whole"
			insert(m, 4, made("SplitToSequence", []string{"d", "sizes"}, []string{"parts"}, attrInt("axis", 1)), made("SequenceAt", []string{"parts", "first"}, []string{"p0"}),
				made("SequenceAt", []string{"parts", "last"}, []string{"p1"}), made("SequenceConstruct", []string{"p0", "p1", "p1"}, []string{"three"}), made("SequenceErase", []string{"three", "last"}, []string{"both"}),
				made("ConcatFromSequence", []string{"both"}, []string{"whole"}, attrInt("axis", 1)))
		},
		"rows one by one": func(_ *small, m *onnxpb.ModelProto) {
			m.Graph.Initializer = append(m.Graph.Initializer, number("n0", nil, 0), number("n1", nil, 1), number("n2", nil, 2), number("n3", nil, -1))
			m.Graph.Node[4].Input[0] = "whole"
			nodes := []*onnxpb.NodeProto{made("SplitToSequence", []string{"d"}, []string{"rows"}, attrInt("axis", 2), attrInt("keepdims", 0))}
			for _, i := range []string{"0", "1", "2", "3"} {
				nodes = append(nodes, made("SequenceAt", []string{"rows", "n" + i}, []string{"row" + i}))
			}
			nodes = append(nodes, made("SequenceConstruct", []string{"row0", "row1", "row2", "row3"}, []string{"list"}), made("ConcatFromSequence", []string{"list"}, []string{"whole"}, attrInt("axis", 2), attrInt("new_axis", 1)))
			insert(m, 4, nodes...)
		},
		"cut and whole again": func(_ *small, m *onnxpb.ModelProto) {
			m.Graph.Node[4].Input[0] = "whole"
			insert(m, 4, made("SplitToSequence", []string{"d"}, []string{"parts"}, attrInt("axis", 3)), made("ConcatFromSequence", []string{"parts"}, []string{"whole"}, attrInt("axis", 3)))
		},
		"optional": func(_ *small, m *onnxpb.ModelProto) {
			m.Graph.Node[4].Input[0] = "there"
			insert(m, 4, made("Optional", []string{"d"}, []string{"perhaps"}), made("OptionalGetElement", []string{"perhaps"}, []string{"there"}))
		},
		"sparse weights": func(_ *small, m *onnxpb.ModelProto) {
			last := len(m.Graph.Initializer) - 1
			w := m.Graph.Initializer[last]
			sparse := &onnxpb.SparseTensorProto{Values: &onnxpb.TensorProto{Name: w.Name, DataType: proto.Int32(1)}, Indices: number("", nil), Dims: w.Dims}
			for i, v := range w.FloatData {
				if v != 0 {
					sparse.Values.FloatData = append(sparse.Values.FloatData, v)
					sparse.Indices.Int64Data = append(sparse.Indices.Int64Data, int64(i))
				}
			}
			sparse.Values.Dims = []int64{int64(len(sparse.Values.FloatData))}
			sparse.Indices.Dims = sparse.Values.Dims
			m.Graph.Initializer, m.Graph.SparseInitializer = m.Graph.Initializer[:last], []*onnxpb.SparseTensorProto{sparse}
		},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			l, c, g := run(t, edited(t, change))
			require.InDeltaSlice(t, logits, l, 1e-5)
			require.InDeltaSlice(t, cam, c, 1e-5)
			require.InDeltaSlice(t, gradient, g, 1e-5)
		})
	}
}

// A network that ends in half precision is run, its values as they are.
func TestOutputs_halfPrecision(t *testing.T) {
	r := openRuntime(t)
	in := onnx.Input{Shape: []int64{1, 3, 16, 16}, Values: picture([]int64{1, 3, 16, 16})}
	build := func(typ int32) []byte {
		return edited(t, func(_ *small, m *onnxpb.ModelProto) {
			m.Graph.Node[6].Output[0], m.Graph.Node[6].Name = "product", proto.String("product")
			insert(m, 7, made("Abs", []string{"product"}, []string{"size"}), made("Log", []string{"size"}, []string{"little"}), made("Cast", []string{"little"}, []string{"logits"}, attrInt("to", int64(typ))))
			m.Graph.Output[0].Type = &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: &onnxpb.TypeProto_Tensor{ElemType: &typ}}}
		})
	}
	single, half := build(1), build(10)
	wide := r.NewExplainer(func() ([]byte, error) { return single, nil }, onnx.ExplainerOptions{})
	defer func() { require.NoError(t, wide.Close()) }()
	narrow := r.NewExplainer(func() ([]byte, error) { return half, nil }, onnx.ExplainerOptions{})
	defer func() { require.NoError(t, narrow.Close()) }()
	want, err := wide.Output(t.Context(), in, 1)
	require.NoError(t, err)
	got, err := narrow.Output(t.Context(), in, 1)
	require.NoError(t, err)
	require.NotEqual(t, want, got)
	for i, v := range want {
		require.InEpsilon(t, v, got[i], 1.0/1024)
	}
}
