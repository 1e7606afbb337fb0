package picture

import (
	"image"
	"image/color"
	"math"
)

// OutlineWords say what the line of Outline is.
const OutlineWords = "white line"

// Outline draws closed polygons of (column, row) in pixel corners over a picture: a white line with a dark one on both sides, as thin as
// can be seen, so that it is told from the colours of a map on any ground.
func Outline(on *image.RGBA, contours [][][2]float64) {
	wide := max(on.Rect.Dx()/500, 1)
	for _, pen := range []struct {
		reach  int
		colour color.RGBA
	}{{wide, color.RGBA{0, 0, 0, 255}}, {wide / 2, color.RGBA{255, 255, 255, 255}}} {
		for _, c := range contours {
			for i := 1; i < len(c); i++ {
				line(on, c[i-1], c[i], pen.reach, pen.colour)
			}
		}
	}
}

// line draws from one point to another, with squares that reach so many pixels to each side.
func line(on *image.RGBA, from, to [2]float64, reach int, c color.RGBA) {
	dx, dy := to[0]-from[0], to[1]-from[1]
	size := on.Rect.Size()
	steps := int(math.Ceil(max(math.Abs(dx), math.Abs(dy))))
	for i := range steps + 1 {
		part := float64(i) / float64(max(steps, 1))
		x := min(int(from[0]+part*dx), size.X-1) // a line along the lower border lies in the last row
		y := min(int(from[1]+part*dy), size.Y-1)
		for v := max(y-reach, 0); v <= min(y+reach, size.Y-1); v++ {
			for u := max(x-reach, 0); u <= min(x+reach, size.X-1); u++ {
				on.SetRGBA(on.Rect.Min.X+u, on.Rect.Min.Y+v, c)
			}
		}
	}
}
