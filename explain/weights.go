package explain

import (
	"fmt"
	"io"
	"strconv"

	"endogate/explain/onnxpb"

	"google.golang.org/protobuf/proto"
)

// Weight is a constant that a compiled model refers to as external data, so that no second copy of it is made.
type Weight struct {
	Name   string
	Data   []byte // memory of the model's that was compiled; little-endian
	Offset int64  // in the file of weights; a multiple of a page
}

// WeightsFile is the name of the file in which a model with its weights apart expects them.
const WeightsFile = "weights.bin"

const (
	externalWeight = 4096 // bytes from which a weight is external
	weightPage     = 4096 // alignment in the file: a runtime can map it
)

// WriteWeights writes the file WeightsFile.
func WriteWeights(to io.WriterAt, weights []Weight) error {
	for _, v := range weights {
		if _, err := to.WriteAt(v.Data, v.Offset); err != nil {
			return fmt.Errorf("explain: writing weight %s: %w", v.Name, err)
		}
	}
	return nil
}

// external replaces the large constants of a graph by references into a file and returns them; none if they are not to be apart.
func external(gp *onnxpb.GraphProto, apart bool) []Weight {
	var weights []Weight
	end := int64(0)
	for i, t := range gp.Initializer {
		if !apart || len(t.RawData) < externalWeight || t.GetDataLocation() != onnxpb.TensorProto_DEFAULT {
			continue
		}
		v := Weight{Name: t.GetName(), Data: t.RawData, Offset: end}
		end = (end + int64(len(v.Data)) + weightPage - 1) / weightPage * weightPage
		weights = append(weights, v)
		gp.Initializer[i] = &onnxpb.TensorProto{
			Name: t.Name, Dims: t.Dims, DataType: t.DataType, DataLocation: onnxpb.TensorProto_EXTERNAL.Enum(),
			ExternalData: []*onnxpb.StringStringEntryProto{
				entry("location", WeightsFile),
				entry("offset", strconv.FormatInt(v.Offset, 10)),
				entry("length", strconv.Itoa(len(v.Data))),
			},
		}
	}
	return weights
}

func entry(key, value string) *onnxpb.StringStringEntryProto {
	return &onnxpb.StringStringEntryProto{Key: proto.String(key), Value: proto.String(value)}
}
