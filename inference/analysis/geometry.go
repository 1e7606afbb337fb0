package analysis

import (
	"errors"
	"fmt"
	"image"

	"endogate/explain"
)

// Geometry says which part of a source frame the network saw.
type Geometry struct {
	Rows    int               `json:"rows"` // of the source frame
	Columns int               `json:"columns"`
	Crop    image.Rectangle   `json:"crop"` // what was stretched to the network's input
	Masked  []image.Rectangle `json:"masked"`
}

// ToSource lays a map of any size over the part of the frame that the network saw, as the input was laid
// over it. The map returned is as large as the source frame and zero wherever the network saw nothing:
// outside the crop and in masked boxes.
func (g Geometry) ToSource(m explain.Map) explain.Map {
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
var ErrUnseen = errors.New("analysis: the map lies only where the picture was masked")

// Shown returns a map as it lies over the source frame, from 0 to 1. Where there is nothing to show, the error is
// explain.ErrZeroMap, explain.ErrNotFinite or ErrUnseen.
func (g Geometry) Shown(m explain.Map) (explain.Map, error) {
	if _, err := m.Max(); err != nil {
		return explain.Map{}, err
	}
	shown := g.ToSource(m)
	err := shown.Normalise()
	switch {
	case errors.Is(err, explain.ErrZeroMap):
		return explain.Map{}, ErrUnseen
	case err != nil:
		return explain.Map{}, err
	}
	return shown, nil
}

func (g Geometry) validate() error {
	frame := image.Rect(0, 0, g.Columns, g.Rows)
	if g.Rows < 1 || g.Columns < 1 || g.Rows > maxSide || g.Columns > maxSide || g.Rows*g.Columns > maxPixels {
		return fmt.Errorf("a frame of %d x %d pixels", g.Columns, g.Rows)
	}
	if g.Crop.Empty() || !g.Crop.In(frame) {
		return fmt.Errorf("crop %v is not within %v", g.Crop, frame)
	}
	for _, box := range g.Masked {
		if box.Min.X > box.Max.X || box.Min.Y > box.Max.Y || !(box.Empty() || box.In(frame)) {
			return fmt.Errorf("box %v is not within %v", box, frame)
		}
	}
	return nil
}
