package analysis

import (
	"fmt"
	"image"
)

// Geometry says which part of a source frame the network saw.
type Geometry struct {
	Rows    int               `json:"rows"` // of the source frame
	Columns int               `json:"columns"`
	Crop    image.Rectangle   `json:"crop"` // what was stretched to the network's input
	Masked  []image.Rectangle `json:"masked"`
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
