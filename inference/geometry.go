package inference

import (
	"errors"

	"endogate/explain"
	"endogate/inference/analysis"
)

// Raw is a map of an analysis as maps are computed with.
func Raw(m analysis.Map) explain.Map {
	return explain.Map{Width: m.Width, Height: m.Height, Values: m.Values, Extent: explain.Extent(m.Extent)}
}

// ToSource lays a map of any size over the part of the frame that the network saw, as the input was laid
// over it. The map returned is as large as the source frame and zero wherever the network saw nothing:
// outside the crop and in masked boxes.
func ToSource(g analysis.Geometry, m explain.Map) explain.Map {
	source := explain.Map{Width: g.Columns, Height: g.Rows, Values: make([]float32, g.Columns*g.Rows)}
	m.ResizeInto(source.Values[g.Crop.Min.Y*g.Columns+g.Crop.Min.X:], g.Columns, g.Crop.Dx(), g.Crop.Dy())
	for _, box := range g.Masked {
		for y := box.Min.Y; y < box.Max.Y; y++ {
			clear(source.Values[y*g.Columns+box.Min.X : y*g.Columns+box.Max.X])
		}
	}
	return source
}

// ErrUnseen says of a map that there is nothing of it where the network saw something of the picture.
var ErrUnseen = errors.New("inference: the map lies only where the picture was masked")

// Shown returns a map as it lies over the source frame, from 0 to 1. Where there is nothing to show, the error is
// explain.ErrZeroMap, explain.ErrNotFinite or ErrUnseen.
func Shown(g analysis.Geometry, m explain.Map) (explain.Map, error) {
	if _, err := m.Max(); err != nil {
		return explain.Map{}, err
	}
	shown := ToSource(g, m)
	err := shown.Normalise()
	switch {
	case errors.Is(err, explain.ErrZeroMap):
		return explain.Map{}, ErrUnseen
	case err != nil:
		return explain.Map{}, err
	}
	return shown, nil
}
