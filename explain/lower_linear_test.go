package explain_test

import (
	"testing"

	"endogate/explain"
	"endogate/explain/onnxpb"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

// classical adds an operator of the domain for classical models.
func (s *small) classical(typ string, inputs, outputs []string, attrs ...*onnxpb.AttributeProto) {
	s.node(typ, inputs, outputs, attrs...)
	s.graph.Node[len(s.graph.Node)-1].Domain = proto.String("ai.onnx.ml")
}

// What scikit-learn's converter writes behind features has the gradient of what it stands for.
func TestLower_linear(t *testing.T) {
	r := openRuntime(t)
	for after, plain := range map[string]string{"SOFTMAX": "Softmax", "LOGISTIC": "Sigmoid", "NONE": "Identity"} {
		build := func(classical bool) []byte {
			s := &small{shape: []int64{1, 3}, logits: true}
			weights, bias := []float32{0.5, -1, 2, 1, 0.25, -0.5}, []float32{0.1, -0.2}
			if classical {
				s.classical("Scaler", []string{"x"}, []string{"scaled"}, attrFloats("offset", 0.5, 1, -1), attrFloats("scale", 2, 1, 0.5))
				s.classical("Normalizer", []string{"scaled"}, []string{"unit"}, attrString("norm", "L2"))
				s.classical("LinearClassifier", []string{"unit"}, []string{"label", "logits"}, attrFloats("coefficients", weights...), attrFloats("intercepts", bias...),
					attrInts("classlabels_ints", 0, 1), attrString("post_transform", after))
				return withClassical(t, s.bytes(t))
			}
			s.node("Sub", []string{"x", s.weight([]int64{3}, 0.5, 1, -1)}, []string{"less"})
			s.node("Mul", []string{"less", s.weight([]int64{3}, 2, 1, 0.5)}, []string{"scaled"})
			s.node("LpNormalization", []string{"scaled"}, []string{"unit"}, attrInt("axis", 1))
			s.node("Gemm", []string{"unit", s.weight([]int64{2, 3}, weights...), s.weight([]int64{2}, bias...)}, []string{"z"}, attrInt("transB", 1))
			s.node(plain, []string{"z"}, []string{"logits"})
			return s.bytes(t)
		}
		in, target := onnx.Input{Shape: []int64{1, 3}, Values: []float32{1, 3, -2}}, explain.Target{Method: explain.Gradient}
		_, want := explained(t, r, build(false), in, []float32{1, 0}, target)
		_, maps := explained(t, r, build(true), in, []float32{1, 0}, target)
		requireWithin(t, 1e-5, wide(want[0].Values), maps[0].Values)
	}
}

func withClassical(t *testing.T, model []byte) []byte {
	var m onnxpb.ModelProto
	require.NoError(t, proto.Unmarshal(model, &m))
	m.Graph.Output = append(m.Graph.Output, &onnxpb.ValueInfoProto{Name: proto.String("label"), Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(7)}}}})
	m.OpsetImport = append(m.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: proto.String("ai.onnx.ml"), Version: proto.Int64(1)})
	out, err := proto.Marshal(&m)
	require.NoError(t, err)
	return out
}
