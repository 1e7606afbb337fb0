package explain

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"endogate/explain/onnxpb"

	"google.golang.org/protobuf/proto"
)

// External lists the files that a model keeps weights in, each once, as it names them; of the model's own file only the
// graph is needed for that.
func External(model []byte) ([]string, error) {
	m, err := unmarshal(model)
	if err != nil {
		return nil, fmt.Errorf("explain: not an ONNX model: %w", err)
	}
	var files []string
	err = eachTensor(m.GetGraph(), func(t *onnxpb.TensorProto) error {
		if t.GetDataLocation() != onnxpb.TensorProto_EXTERNAL {
			return nil
		}
		file, _, _, err := placeOf(t)
		if err == nil && !slices.Contains(files, file) {
			files = append(files, file)
		}
		return err
	})
	return files, err
}

// Inline returns a model with the weights that lie in other files inside of it. read returns the bytes of a file from an
// offset on; a length of -1 is all that is left.
func Inline(model []byte, read func(file string, offset, length int64) ([]byte, error)) ([]byte, error) {
	m, err := unmarshal(model)
	if err != nil {
		return nil, fmt.Errorf("explain: not an ONNX model: %w", err)
	}
	err = eachTensor(m.GetGraph(), func(t *onnxpb.TensorProto) error {
		if t.GetDataLocation() != onnxpb.TensorProto_EXTERNAL {
			return nil
		}
		file, offset, length, err := placeOf(t)
		if err != nil {
			return err
		}
		if t.RawData, err = read(file, offset, length); err != nil {
			return fmt.Errorf("explain: weight %q: %w", t.GetName(), err)
		}
		if bits := bitsOf(t.GetDataType()); bits > 0 && int64(len(t.RawData)) != (elements(t.Dims)*bits+7)/8 {
			return fmt.Errorf("explain: weight %q: %s has %d bytes for it, its shape %v takes %d", t.GetName(), file, len(t.RawData), t.Dims, (elements(t.Dims)*bits+7)/8)
		}
		t.DataLocation, t.ExternalData = nil, nil
		return nil
	})
	if err != nil {
		return nil, err
	}
	return proto.MarshalOptions{AllowPartial: true}.Marshal(m)
}

// Apart returns a model without its large weights, which it then refers to as Options.WeightsApart has it. Nothing else
// is changed.
func Apart(model []byte) (lean []byte, weights []Weight, err error) {
	m, err := unmarshal(model)
	if err != nil || m.Graph == nil {
		return nil, nil, errors.Join(errors.New("explain: not an ONNX model"), err)
	}
	weights = external(m.Graph, true)
	lean, err = proto.MarshalOptions{AllowPartial: true}.Marshal(m)
	return lean, weights, err
}

// OutputsInFloat32 returns a model whose outputs of the given names are of float32 where they were of half precision, and their names
// then: that of a cast behind each. A model without such is returned as it is.
func OutputsInFloat32(model []byte, names []string) (in32 []byte, as []string, err error) {
	m, err := unmarshal(model)
	if err != nil || m.Graph == nil {
		return nil, nil, errors.Join(errors.New("explain: not an ONNX model"), err)
	}
	as = slices.Clone(names)
	for i, name := range names {
		for _, v := range m.Graph.Output {
			if v.GetName() != name || !isHalf(v.GetType().GetTensorType().GetElemType()) {
				continue
			}
			as[i] = "explain/float32 of " + name
			m.Graph.Node = append(m.Graph.Node, &onnxpb.NodeProto{OpType: proto.String("Cast"), Name: &as[i], Input: []string{name}, Output: []string{as[i]}, Attribute: []*onnxpb.AttributeProto{intAttr("to", int64(single))}})
			m.Graph.Output = append(m.Graph.Output, &onnxpb.ValueInfoProto{Name: &as[i], Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(single)}}}})
			break
		}
	}
	if slices.Equal(as, names) {
		return model, as, nil
	}
	in32, err = proto.MarshalOptions{AllowPartial: true}.Marshal(m)
	return in32, as, err
}

// placeOf reads where the bytes of an external tensor are.
func placeOf(t *onnxpb.TensorProto) (file string, offset, length int64, err error) {
	length = -1
	for _, e := range t.ExternalData {
		var numberErr error
		switch e.GetKey() {
		case "location":
			file = e.GetValue()
		case "offset":
			offset, numberErr = strconv.ParseInt(e.GetValue(), 10, 64)
		case "length":
			length, numberErr = strconv.ParseInt(e.GetValue(), 10, 64)
		}
		if numberErr != nil || offset < 0 || length < -1 {
			return "", 0, 0, fmt.Errorf("explain: weight %q: external data with %s %q", t.GetName(), e.GetKey(), e.GetValue())
		}
	}
	if file == "" {
		return "", 0, 0, fmt.Errorf("explain: weight %q: external data that names no file", t.GetName())
	}
	if length < 0 && bitsOf(t.GetDataType()) > 0 {
		length = (elements(t.Dims)*bitsOf(t.GetDataType()) + 7) / 8
	}
	return file, offset, length, nil
}

// elements multiplies dimensions; where it would not fit, no file is so long.
func elements(dims []int64) int64 {
	n := int64(1)
	for _, d := range dims {
		if d < 0 || d > 0 && n > (1<<48)/d {
			return 1 << 48
		}
		n *= d
	}
	return n
}

// bitsOf an element; 0 for those that are not of one size.
func bitsOf(dataType int32) int64 {
	switch onnxpb.TensorProto_DataType(dataType) {
	case onnxpb.TensorProto_FLOAT, onnxpb.TensorProto_INT32, onnxpb.TensorProto_UINT32:
		return 32
	case onnxpb.TensorProto_DOUBLE, onnxpb.TensorProto_INT64, onnxpb.TensorProto_UINT64, onnxpb.TensorProto_COMPLEX64:
		return 64
	case onnxpb.TensorProto_FLOAT16, onnxpb.TensorProto_BFLOAT16, onnxpb.TensorProto_INT16, onnxpb.TensorProto_UINT16:
		return 16
	case onnxpb.TensorProto_INT8, onnxpb.TensorProto_UINT8, onnxpb.TensorProto_BOOL:
		return 8
	}
	return 0
}

// eachTensor goes over the constants of a graph and its subgraphs.
func eachTensor(g *onnxpb.GraphProto, do func(t *onnxpb.TensorProto) error) error {
	for _, t := range g.GetInitializer() {
		if err := do(t); err != nil {
			return err
		}
	}
	for _, n := range g.GetNode() {
		for _, a := range n.Attribute {
			for _, t := range append(a.Tensors[:len(a.Tensors):len(a.Tensors)], a.T) {
				if t == nil {
					continue
				}
				if err := do(t); err != nil {
					return err
				}
			}
			for _, sub := range append(a.Graphs[:len(a.Graphs):len(a.Graphs)], a.G) {
				if err := eachTensor(sub, do); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
