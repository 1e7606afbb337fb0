package inference

import (
	"errors"
	"slices"

	"endogate/explain"
	"endogate/inference/analysis"
)

// Raw is a map of an analysis as maps are computed with.
func Raw(m analysis.Map) explain.Map {
	return explain.Map{Width: m.Width, Height: m.Height, Values: m.Values, Extent: explain.Extent(m.Extent)}
}

// ToSource lays a map of any size over the part of the frame that the network saw, as the input was laid
// over it. The map returned is as large as the source frame and zero wherever the network saw nothing:
// outside the crop, where the input was cut out of it, and in masked boxes.
func ToSource(g analysis.Geometry, m explain.Map) explain.Map { return toSource(nil, g, m) }

func toSource(room []float32, g analysis.Geometry, m explain.Map) explain.Map {
	source := explain.Map{Width: g.Columns, Height: g.Rows}
	if cap(room) < g.Columns*g.Rows {
		source.Values = make([]float32, g.Columns*g.Rows)
	} else if source.Values = room[:g.Columns*g.Rows]; g.Crop.Dx() < g.Columns || g.Crop.Dy() < g.Rows {
		clear(source.Values)
	}
	at := func(x, y int) int { return (g.Crop.Min.Y+y)*g.Columns + g.Crop.Min.X + x }
	if !g.Orientation.Turns() {
		lay(g.In(), m, source.Values[at(0, 0):], g.Columns, g.Crop.Dx(), g.Crop.Dy())
	} else {
		stored := g.Crop.Size()
		upright := explain.Map{Width: stored.X, Height: stored.Y}
		if g.Orientation.Swaps() {
			upright.Width, upright.Height = stored.Y, stored.X
		}
		upright.Values = make([]float32, upright.Width*upright.Height)
		lay(g.In(), m, upright.Values, upright.Width, upright.Width, upright.Height)
		for i, v := range upright.Values {
			source.Values[at(g.Orientation.Stored(i%upright.Width, i/upright.Width, stored))] = v
		}
	}
	for _, box := range g.Masked {
		for y := box.Min.Y; y < box.Max.Y; y++ {
			clear(source.Values[y*g.Columns+box.Min.X : y*g.Columns+box.Max.X])
		}
	}
	return source
}

// lay lays a map of the input over the picture, width by height, that lies at w of the input.
func lay(w analysis.Window, m explain.Map, out []float32, stride, width, height int) {
	if w != (analysis.Window{Right: 1, Bottom: 1}) { // what the map covers of the input, as what it covers of the picture
		of := m.Extent
		if of.Whole() {
			of = explain.Extent{Right: 1, Bottom: 1}
		}
		across, down := w.Right-w.Left, w.Bottom-w.Top
		m.Extent = explain.Extent{
			Left: (of.Left - w.Left) / across, Right: (of.Right - w.Left) / across, Top: (of.Top - w.Top) / down, Bottom: (of.Bottom - w.Top) / down,
		}
	}
	m.ResizeInto(out, stride, width, height)
	unseen := func(i, of int, low, high float64) bool {
		at := low + (float64(i)+0.5)/float64(of)*(high-low)
		return at < 0 || at > 1
	}
	for y := range height {
		row := out[y*stride:][:width]
		if unseen(y, height, w.Top, w.Bottom) {
			clear(row)
			continue
		}
		if w.Left >= 0 && w.Right <= 1 {
			continue
		}
		for x := range row {
			if unseen(x, width, w.Left, w.Right) {
				row[x] = 0
			}
		}
	}
}

// ErrUnseen says of a map that there is nothing of it where the network saw something of the picture.
var ErrUnseen = errors.New("inference: the map lies only where the picture was masked")

// Shown returns a map as it lies over the source frame, from 0 to 1. Where there is nothing to show, the error is
// explain.ErrZeroMap, explain.ErrNotFinite or ErrUnseen.
func Shown(g analysis.Geometry, m explain.Map) (explain.Map, error) { return ShownIn(nil, g, m) }

// ShownIn does as Shown in values that nobody needs any more, where they are enough; nil: none.
func ShownIn(room []float32, g analysis.Geometry, m explain.Map) (explain.Map, error) {
	if _, err := m.Max(); err != nil {
		return explain.Map{}, err
	}
	if greatest, ok := greatestShown(g, m); ok { // the few values of the map are divided, not the many of the picture
		m.Values = slices.Clone(m.Values)
		for i := range m.Values {
			m.Values[i] /= greatest
		}
		return toSource(room, g, m), nil
	}
	shown := toSource(room, g, m)
	err := shown.Normalise()
	switch {
	case errors.Is(err, explain.ErrZeroMap):
		return explain.Map{}, ErrUnseen
	case err != nil:
		return explain.Map{}, err
	}
	return shown, nil
}

// greatestShown is the greatest value of a map over the source frame; false where some of it is negative, masked or beyond the frame.
func greatestShown(g analysis.Geometry, m explain.Map) (float32, bool) {
	if len(g.Masked) > 0 || g.In() != (analysis.Window{Right: 1, Bottom: 1}) || !m.Extent.Whole() || slices.Min(m.Values) < 0 {
		return 0, false
	}
	size := g.Crop.Size()
	if g.Orientation.Swaps() {
		size.X, size.Y = size.Y, size.X
	}
	greatest := m.ResizedMax(size.X, size.Y)
	return greatest, greatest > 0
}
