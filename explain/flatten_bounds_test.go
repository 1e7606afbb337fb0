package explain

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"endogate/explain/onnxpb"
)

func nodeOf(typ string, in, out []string) *onnxpb.NodeProto {
	return &onnxpb.NodeProto{OpType: &typ, Name: proto.String(out[0]), Input: in, Output: out}
}

func modelOf(nodes ...*onnxpb.NodeProto) *onnxpb.ModelProto {
	return &onnxpb.ModelProto{
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(18)}},
		Graph:       &onnxpb.GraphProto{Node: nodes, Output: []*onnxpb.ValueInfoProto{{Name: proto.String("y")}}},
	}
}

// Places of sequences that the network computes stay as they are.
func TestFlatten_computedPlaces(t *testing.T) {
	at := []string{"parts", "i"}
	m := modelOf(
		nodeOf("SplitToSequence", []string{"x"}, []string{"parts"}), nodeOf("SequenceAt", at, []string{"p"}),
		nodeOf("SplitToSequence", []string{"x", "i"}, []string{"cut"}), nodeOf("SequenceAt", []string{"cut", "i"}, []string{"q"}),
		nodeOf("SequenceConstruct", []string{"x", "x"}, []string{"two"}), nodeOf("SequenceAt", []string{"two", "i"}, []string{"r"}),
		nodeOf("SequenceInsert", []string{"two", "x", "i"}, []string{"three"}), nodeOf("SequenceErase", []string{"three", "i"}, []string{"less"}),
		nodeOf("ConcatFromSequence", []string{"less"}, []string{"s"}), nodeOf("Sum", []string{"p", "q", "r", "s"}, []string{"y"}),
	)
	m.Graph.SparseInitializer = []*onnxpb.SparseTensorProto{{Dims: []int64{2}}}
	want := proto.CloneOf(m)
	flatten(m)
	require.True(t, proto.Equal(want, m))
}

// What nothing reads goes, with what it alone has read.
func TestFlatten_unread(t *testing.T) {
	nodes := []*onnxpb.NodeProto{nodeOf("SequenceEmpty", nil, []string{"l0"}), nodeOf("Relu", []string{"x"}, []string{"y"})}
	for i := range 50 {
		nodes = append(nodes, nodeOf("SequenceInsert", []string{fmt.Sprint("l", i), "x"}, []string{fmt.Sprint("l", i+1)}))
	}
	m := modelOf(nodes...)
	flatten(m)
	require.Len(t, m.Graph.Node, 1)
	require.Equal(t, "y", m.Graph.Node[0].GetOutput()[0])
}

// A small file does not become a large one.
func TestFlatten_bounds(t *testing.T) {
	sparse := func(name string) *onnxpb.SparseTensorProto {
		return &onnxpb.SparseTensorProto{
			Values:  &onnxpb.TensorProto{Name: &name, DataType: proto.Int32(single), Dims: []int64{1}, FloatData: []float32{1}},
			Indices: intTensor("", []int64{1}, 0), Dims: []int64{60},
		}
	}
	g := &onnxpb.GraphProto{SparseInitializer: []*onnxpb.SparseTensorProto{sparse("a"), sparse("b"), sparse("c")}}
	dense(g, 150)
	require.Len(t, g.Initializer, 2)
	require.Len(t, g.SparseInitializer, 1)

	nodes := []*onnxpb.NodeProto{nodeOf("SequenceEmpty", nil, []string{"l0"})}
	const length = 2000 // with all lists on the way: two million parts
	for i := range length {
		nodes = append(nodes, nodeOf("SequenceInsert", []string{fmt.Sprint("l", i), "x"}, []string{fmt.Sprint("l", i+1)}))
	}
	m := modelOf(append(nodes, nodeOf("ConcatFromSequence", []string{fmt.Sprint("l", length)}, []string{"y"}))...)
	flatten(m)
	require.Len(t, m.Graph.Node, length+2)

	call := nodeOf("F", []string{"x"}, []string{"y"})
	call.Domain = proto.String("ours")
	calls := make([]*onnxpb.NodeProto, 100)
	for i := range calls {
		calls[i] = call
	}
	m = modelOf(calls...)
	constant := nodeOf("Constant", nil, []string{"c"})
	constant.Attribute = []*onnxpb.AttributeProto{{Name: proto.String("value"), T: &onnxpb.TensorProto{Name: proto.String("c"), DataType: proto.Int32(single), Dims: []int64{1 << 20}, RawData: make([]byte, 4<<20)}}}
	m.Functions = []*onnxpb.FunctionProto{{
		Name: proto.String("F"), Domain: proto.String("ours"), Input: []string{"X"}, Output: []string{"Y"},
		Node: []*onnxpb.NodeProto{constant, nodeOf("Mul", []string{"X", "c"}, []string{"Y"})},
	}}
	flatten(m)
	require.Len(t, m.Functions, 1, "it is called still")
	require.Less(t, proto.Size(m), mostWritten+8<<20)
}
