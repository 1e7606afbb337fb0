// Package ask puts questions to a model: what in a frame speaks for a class, by which method, at which layer.
package ask

import (
	"endogate/explain"
	"endogate/explain/picture"
	"endogate/inference"
	"endogate/inference/onnx"
)

// OnFrame lays an attribution over the source frame: a map of the frame's size, 0 to 1, of what speaks for the class. Of a
// clip it is the first map. shape is that of the network's input. The error is explain.ErrZeroMap or explain.ErrNotFinite
// where there is nothing to show.
func OnFrame(a onnx.Attribution, g inference.Geometry, shape []int64) (explain.Map, error) {
	maps, err := a.Maps(shape)
	if err != nil {
		return explain.Map{}, err
	}
	m := maps[0]
	if _, err := m.Max(); err != nil {
		return explain.Map{}, err
	}
	if a.AtInput {
		m = picture.Clip(m)
	}
	return g.ToSource(m).Normalised()
}
