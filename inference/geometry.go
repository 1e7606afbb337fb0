package inference

import (
	"image"

	"endogate/explain"
)

// Geometry says which part of a source frame the network saw.
type Geometry struct {
	Rows, Columns int // of the source frame

	crop   image.Rectangle
	masked []image.Rectangle
}

// Crop is the part of the source frame that was stretched to the network's input.
func (g Geometry) Crop() image.Rectangle { return g.crop }

// ToSource lays a map of any size over the part of the frame that the network saw, as the input was laid
// over it. The map returned is as large as the source frame and zero wherever the network saw nothing:
// outside the crop and in masked boxes.
func (g Geometry) ToSource(m explain.Map) explain.Map {
	source := explain.Map{Width: g.Columns, Height: g.Rows, Values: make([]float32, g.Columns*g.Rows)}
	resized := m.Resize(g.crop.Dx(), g.crop.Dy())
	for y := range g.crop.Dy() {
		at := (g.crop.Min.Y+y)*g.Columns + g.crop.Min.X
		copy(source.Values[at:at+g.crop.Dx()], resized.Values[y*g.crop.Dx():])
	}
	for _, box := range g.masked {
		for y := box.Min.Y; y < box.Max.Y; y++ {
			clear(source.Values[y*g.Columns+box.Min.X : y*g.Columns+box.Max.X])
		}
	}
	return source
}
