package inference

import "image"

// Geometry says which part of a source frame the network saw.
type Geometry struct {
	Rows, Columns int // of the source frame

	crop   image.Rectangle
	masked []image.Rectangle
}

// Crop is the part of the source frame that was stretched to the network's input.
func (g Geometry) Crop() image.Rectangle { return g.crop }
