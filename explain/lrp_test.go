package explain_test

import (
	"slices"
	"testing"

	"endogate/explain"
	"endogate/explain/onnxpb"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

// unbiased is a model in which every constant that is added is zero.
func unbiased(t *testing.T, model []byte) []byte {
	var m onnxpb.ModelProto
	require.NoError(t, proto.Unmarshal(model, &m))
	added := map[string]bool{}
	for _, n := range slices.Backward(m.Graph.Node) {
		var at []int
		switch n.GetOpType() {
		case "Conv", "ConvTranspose", "Gemm", "LayerNormalization":
			at = []int{2}
		case "BatchNormalization":
			at = []int{2, 3}
		case "Add", "Concat": // a class token is concatenated
			at = []int{0, 1}
		case "Cast", "Expand", "Identity":
			if added[n.Output[0]] {
				at = []int{0}
			}
		}
		for _, i := range at {
			if i < len(n.Input) {
				added[n.Input[i]] = true
			}
		}
	}
	for _, w := range m.Graph.Initializer {
		if typ := onnxpb.TensorProto_DataType(w.GetDataType()); added[w.GetName()] && len(w.Dims) > 0 &&
			(typ == onnxpb.TensorProto_FLOAT || typ == onnxpb.TensorProto_FLOAT16) {
			clear(w.FloatData)
			clear(w.RawData)
		}
	}
	out, err := proto.Marshal(&m)
	require.NoError(t, err)
	return out
}

// Relevance is conserved where no bias takes any of it.
func TestLRPEpsilon_complete(t *testing.T) {
	r := openRuntime(t)
	for _, n := range networks(t) {
		t.Run(n.file, func(t *testing.T) {
			model := unbiased(t, readFile(t, n.file))
			logits, maps := explained(t, r, model, n.input(), oneHot(2, n.classes), explain.Target{Method: explain.LRPEpsilon})
			require.InEpsilon(t, logits[2], total(maps[0].Values), 0.01)
		})
	}
}
