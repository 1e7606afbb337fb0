package ask

import (
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/onnx"
)

// Inspect looks at a bundle's network, of which content is the file. The error says where the manifest and the network do
// not fit together.
func Inspect(r *onnx.Runtime, b *inference.Bundle, content []byte) (*explain.Inspection, error) {
	found, err := explain.Inspect(content, explain.Options{InputShape: b.Input.Shape(), Output: b.Output.Name, Probe: r.Probe})
	if err != nil {
		return nil, err
	}
	return found, b.Fits(found)
}
