package analysis

import (
	"fmt"
	"image"

	"endogate/dicomnode/dicom"
)

// Geometry says which part of a source frame the network saw, in pixels of the frame as it is stored.
type Geometry struct {
	Rows    int               `json:"rows"` // of the source frame
	Columns int               `json:"columns"`
	Crop    image.Rectangle   `json:"crop"`             // what was resized to Window
	Masked  []image.Rectangle `json:"masked"`           // was made black
	Window  *Window           `json:"window,omitempty"` // where in the network's input the crop lies; nil: it fills the input
	// Orientation is how the frame was turned before all else, so that the input is turned against the frame.
	Orientation Orientation `json:"orientation,omitempty"`
}

// Window is a rectangle in parts of the network's input: within 0 to 1 where there is a colour beside the picture, beyond
// where the input is cut out of it.
type Window struct {
	Left   float64 `json:"left"`
	Top    float64 `json:"top"`
	Right  float64 `json:"right"`
	Bottom float64 `json:"bottom"`
}

// maxWindow bounds how much of a picture may lie beside the input that is cut out of it.
const maxWindow = 1 << 16

// In returns where the crop lies in the input.
func (g Geometry) In() Window {
	if g.Window == nil {
		return Window{0, 0, 1, 1}
	}
	return *g.Window
}

// Point is where a place of the input, in parts of it, lies in the source frame: column and row from its top-left corner. A
// place beside the picture is beside the crop.
func (g Geometry) Point(x, y float64) (column, row float64) {
	w, size := g.In(), g.Crop.Size()
	if g.Orientation.Swaps() {
		size.X, size.Y = size.Y, size.X
	}
	x, y = (x-w.Left)/(w.Right-w.Left)*float64(size.X), (y-w.Top)/(w.Bottom-w.Top)*float64(size.Y)
	x, y = g.Orientation.stored(x, y, float64(g.Crop.Dx()), float64(g.Crop.Dy()))
	return x + float64(g.Crop.Min.X), y + float64(g.Crop.Min.Y)
}

// Pose is how a frame is stored, against how it is seen.
type Pose struct {
	Orientation Orientation  // where its file says one
	Aspect      dicom.Aspect // of its pixels
}

// Orientation is how a stored picture has to be turned to be upright, as EXIF 2.32, 4.6.5.1.3 numbers the ways: 0 and 1 not at all.
type Orientation int

// Swaps reports whether rows of the upright picture are columns of the stored one.
func (o Orientation) Swaps() bool { return o >= 5 }

// Turns reports whether there is anything to do.
func (o Orientation) Turns() bool { return o > 1 }

// Inverse turns an upright picture as the stored one is.
func (o Orientation) Inverse() Orientation {
	switch o {
	case 6:
		return 8
	case 8:
		return 6
	}
	return o
}

// Stored is the pixel of a stored picture, of a size, that is at x, y of the upright one.
func (o Orientation) Stored(x, y int, stored image.Point) (sx, sy int) {
	fx, fy := o.stored(float64(x)+0.5, float64(y)+0.5, float64(stored.X), float64(stored.Y))
	return int(fx), int(fy)
}

// stored is the point of a stored picture, w wide and h high, that is at x, y of the upright one.
func (o Orientation) stored(x, y, w, h float64) (sx, sy float64) {
	switch o {
	case 2:
		return w - x, y
	case 3:
		return w - x, h - y
	case 4:
		return x, h - y
	case 5:
		return y, x
	case 6:
		return y, h - x
	case 7:
		return w - y, h - x
	case 8:
		return w - y, x
	}
	return x, y
}

// StoredRect is the rectangle of a stored picture, of a size, that is r of the upright one.
func (o Orientation) StoredRect(r image.Rectangle, stored image.Point) image.Rectangle {
	x0, y0 := o.stored(float64(r.Min.X), float64(r.Min.Y), float64(stored.X), float64(stored.Y))
	x1, y1 := o.stored(float64(r.Max.X), float64(r.Max.Y), float64(stored.X), float64(stored.Y))
	return image.Rect(int(x0), int(y0), int(x1), int(y1))
}

func (g Geometry) validate() error {
	frame := image.Rect(0, 0, g.Columns, g.Rows)
	if g.Rows < 1 || g.Columns < 1 || g.Rows > maxSide || g.Columns > maxSide || g.Rows*g.Columns > maxPixels {
		return fmt.Errorf("a frame of %d x %d pixels", g.Columns, g.Rows)
	}
	if g.Crop.Empty() || !g.Crop.In(frame) {
		return fmt.Errorf("crop %v is not within %v", g.Crop, frame)
	}
	w := g.In()
	if !(w.Left < w.Right && w.Top < w.Bottom && w.Left >= -maxWindow && w.Top >= -maxWindow && w.Right <= maxWindow && w.Bottom <= maxWindow) ||
		w.Left >= 1 || w.Top >= 1 || w.Right <= 0 || w.Bottom <= 0 {
		return fmt.Errorf("the picture lies at %+v of the input", w)
	}
	if g.Orientation < 0 || g.Orientation > 8 {
		return fmt.Errorf("orientation %d", g.Orientation)
	}
	for _, box := range g.Masked {
		if box.Min.X > box.Max.X || box.Min.Y > box.Max.Y || !(box.Empty() || box.In(frame)) {
			return fmt.Errorf("box %v is not within %v", box, frame)
		}
	}
	return nil
}
