package onnx_test

import (
	"testing"

	"endogate/explain/onnxpb"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

// A convolution of float64, which the library has not, is refused with what to do.
func TestOpenPlain_float64(t *testing.T) {
	dims := []int64{1, 1, 1, 1}
	double := onnxpb.TensorProto_DOUBLE
	value := func(name string, typ onnxpb.TensorProto_DataType) *onnxpb.ValueInfoProto {
		shape := &onnxpb.TensorShapeProto{}
		for _, d := range dims {
			shape.Dim = append(shape.Dim, &onnxpb.TensorShapeProto_Dimension{Value: &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: d}})
		}
		return &onnxpb.ValueInfoProto{Name: &name, Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{
			TensorType: &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(typ)), Shape: shape},
		}}}
	}
	model, err := proto.Marshal(&onnxpb.ModelProto{
		IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(17)}},
		Graph: &onnxpb.GraphProto{
			Name: proto.String("double"), Input: []*onnxpb.ValueInfoProto{value("x", double)}, Output: []*onnxpb.ValueInfoProto{value("y", double)},
			Initializer: []*onnxpb.TensorProto{{Name: proto.String("w"), Dims: dims, DataType: proto.Int32(int32(double)), DoubleData: []float64{1}}},
			Node:        []*onnxpb.NodeProto{{OpType: proto.String("Conv"), Input: []string{"x", "w"}, Output: []string{"y"}}},
		},
	})
	require.NoError(t, err)
	_, err = openRuntime(t).OpenPlain(model, onnx.NetworkOptions{})
	require.ErrorContains(t, err, "export the network in float32")
}
