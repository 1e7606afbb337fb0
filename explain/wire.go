package explain

import (
	"bytes"
	"errors"
	"fmt"

	"endogate/explain/onnxpb"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Field numbers of onnx.proto on the way to a weight's bytes.
const (
	modelGraph       protowire.Number = 7
	graphInitializer protowire.Number = 5
	tensorRawData    protowire.Number = 9
)

// mistaken is what files that are no models begin with, and what they are.
var mistaken = map[string]string{
	"version https://git-lfs": "it is a pointer of Git LFS; fetch the file itself (git lfs pull)",
	"PK\x03\x04":              "it is a ZIP archive, as PyTorch's and Keras' own files are; export the network as ONNX",
	"<":                       "it is a page of the web; fetch the file itself",
	"\x89HDF":                 "it is an HDF5 file, as of Keras; export the network as ONNX",
}

// unmarshal reads a model without copying its weights: their bytes are those of the argument.
func unmarshal(model []byte) (*onnxpb.ModelProto, error) {
	for start, what := range mistaken {
		if bytes.HasPrefix(model, []byte(start)) {
			return nil, errors.New(what)
		}
	}
	var weights [][]byte // one for each initialiser
	lean, err := edit(model, modelGraph, func(graph []byte) ([]byte, error) {
		return edit(graph, graphInitializer, func(tensor []byte) ([]byte, error) {
			var raw []byte
			rest, err := edit(tensor, tensorRawData, func(data []byte) ([]byte, error) {
				raw = data
				return nil, nil
			})
			weights = append(weights, raw)
			return rest, err
		})
	})
	if err != nil {
		return nil, err
	}
	m := &onnxpb.ModelProto{}
	if err := (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(lean, m); err != nil {
		return nil, err
	}
	named := map[string]bool{}
	for i, t := range m.GetGraph().GetInitializer() {
		if named[t.GetName()] {
			return nil, fmt.Errorf("two of its weights have the name %q, of which runtimes take the one or the other; export it again", t.GetName())
		}
		named[t.GetName()] = true
		if i < len(weights) && len(weights[i]) > 0 {
			t.RawData = weights[i]
		}
	}
	return m, nil
}

// edit copies a message with every field of the given number, which is of bytes, replaced.
func edit(message []byte, field protowire.Number, replace func([]byte) ([]byte, error)) ([]byte, error) {
	var out []byte
	for len(message) > 0 {
		number, typ, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		length := protowire.ConsumeFieldValue(number, typ, message[n:])
		if length < 0 {
			return nil, protowire.ParseError(length)
		}
		whole := n + length
		if number != field || typ != protowire.BytesType {
			out = append(out, message[:whole]...)
		} else {
			value, _ := protowire.ConsumeBytes(message[n:])
			value, err := replace(value)
			if err != nil {
				return nil, err
			}
			out = protowire.AppendTag(out, field, protowire.BytesType)
			out = protowire.AppendBytes(out, value)
		}
		message = message[whole:]
	}
	return out, nil
}
