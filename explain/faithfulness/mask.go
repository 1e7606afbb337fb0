package faithfulness

import (
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // masks may be JPEG files
	_ "image/png"  // or PNG
	"os"

	"endogate/explain"
)

// Mask is what a person marked in a frame.
type Mask struct {
	Width, Height int
	Inside        []bool // row by row
}

// ErrUnmarked says that nothing in a mask is marked.
var ErrUnmarked = errors.New("nothing in it is marked")

// ReadMask reads a PNG or JPEG picture: what is at least half bright is inside. A mask without a pixel inside is an error, and one that
// holds numbers of classes in place of white another.
func ReadMask(path string) (Mask, error) {
	f, err := os.Open(path)
	if err != nil {
		return Mask{}, err
	}
	defer f.Close()
	picture, format, err := image.Decode(f)
	if err != nil {
		return Mask{}, fmt.Errorf("faithfulness: mask %s: neither PNG nor JPEG: %w", path, err)
	}
	b := picture.Bounds()
	m := Mask{Width: b.Dx(), Height: b.Dy(), Inside: make([]bool, b.Dx()*b.Dy())}
	any, brightest := false, uint32(0)
	for i := range m.Inside {
		r, g, blue, _ := picture.At(b.Min.X+i%m.Width, b.Min.Y+i/m.Width).RGBA()
		level := (r + g + blue) / 3
		m.Inside[i], brightest = level >= 1<<15, max(brightest, level)
		any = any || m.Inside[i]
	}
	noise := uint32(0)
	if format == "jpeg" {
		noise = 1 << 13 // about an edge that was cut off
	}
	if !any && brightest > noise {
		return Mask{}, fmt.Errorf("faithfulness: mask %s: its brightest pixel has the level %d of 255, so that it seems to hold numbers of classes; what is marked must be white", path, brightest>>8)
	}
	if !any {
		return Mask{}, fmt.Errorf("faithfulness: mask %s: %w", path, ErrUnmarked)
	}
	return m, nil
}

// Share is the part of the frame that is inside: what a map that knows nothing reaches.
func (m Mask) Share() float64 {
	n := 0
	for _, in := range m.Inside {
		if in {
			n++
		}
	}
	return float64(n) / float64(len(m.Inside))
}

// at is the mask at a pixel of a frame of another size.
func (m Mask) at(x, y, width, height int) bool {
	return m.Inside[(2*y+1)*m.Height/(2*height)*m.Width+(2*x+1)*m.Width/(2*width)]
}

// Pointing reports whether the greatest value of the map, which is as large as the frame or of any size of its proportions, lies
// inside the mask or within a tolerance of it: a share of the map's width (Zhang et al. allow 15 pixels in about 224).
func Pointing(m explain.Map, mask Mask, tolerance float64) bool {
	best := 0
	for i, v := range m.Values {
		if v > m.Values[best] {
			best = i
		}
	}
	px, py := best%m.Width, best/m.Width
	r := tolerance * float64(m.Width)
	for y := max(py-int(r), 0); y <= min(py+int(r), m.Height-1); y++ {
		for x := max(px-int(r), 0); x <= min(px+int(r), m.Width-1); x++ {
			if dx, dy := float64(x-px), float64(y-py); dx*dx+dy*dy <= r*r && mask.at(x, y, m.Width, m.Height) {
				return true
			}
		}
	}
	return false
}

// EnergyInside is the share of the map's positive values that lies inside the mask, 0 to 1; 0 where there are none.
func EnergyInside(m explain.Map, mask Mask) float64 {
	inside, all := 0.0, 0.0
	for i, v := range m.Values {
		if v <= 0 {
			continue
		}
		all += float64(v)
		if mask.at(i%m.Width, i/m.Width, m.Width, m.Height) {
			inside += float64(v)
		}
	}
	if all == 0 {
		return 0
	}
	return inside / all
}
