// Package ask puts questions to a model: what in a frame speaks for a class, by which method, at which layer.
package ask

import (
	"endogate/explain"
	"endogate/explain/picture"
	"endogate/inference/analysis"
	"endogate/inference/onnx"
)

// OnFrame lays an attribution over the source frame: a map of the frame's size, 0 to 1, of what speaks for the class. Of a
// clip it is the first map. shape is that of the network's input. Errors as analysis.Geometry's Shown.
func OnFrame(a onnx.Attribution, g analysis.Geometry, shape []int64) (explain.Map, error) {
	m, err := raw(a, shape)
	if err != nil {
		return explain.Map{}, err
	}
	return g.Shown(m)
}

// raw is the first map of an attribution; one of pixels is clipped, so that a few do not darken all others.
func raw(a onnx.Attribution, shape []int64) (explain.Map, error) {
	maps, err := a.Maps(shape)
	if err != nil {
		return explain.Map{}, err
	}
	m := maps[0]
	if _, err := m.Max(); err == nil && a.AtInput {
		m = picture.Clip(m)
	}
	return m, nil
}
