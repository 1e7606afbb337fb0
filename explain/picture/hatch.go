package picture

import (
	"image"
	"image/color"
	"image/draw"
)

// Hatch draws over what the network did not see, so that it is seen to be left out on purpose: lines through it, its border,
// and in it the word, where there is room. What lies between the lines stays as it is.
func Hatch(on *image.RGBA, regions []image.Rectangle) {
	apart := max(on.Rect.Dx()/40, 6)
	for _, r := range regions {
		r = r.Intersect(on.Rect)
		if r.Empty() {
			continue
		}
		for y := r.Min.Y; y < r.Max.Y; y++ {
			border := y == r.Min.Y || y == r.Max.Y-1
			step := apart
			if border {
				step = 1
			}
			first := r.Min.X
			if !border { // from the lower left to the upper right, all regions alike
				first += ((-r.Min.X-y)%apart + apart) % apart
				lighten(on, r.Min.X, y)
				lighten(on, r.Max.X-1, y)
			}
			for x := first; x < r.Max.X; x += step {
				lighten(on, x, y)
			}
		}
		mark(on, r)
	}
}

// Crossed is a copy of a frame that does not count, with a line through it both ways.
func Crossed(m *image.RGBA) *image.RGBA {
	out := image.NewRGBA(image.Rectangle{Max: m.Rect.Size()})
	draw.Draw(out, out.Rect, m, m.Rect.Min, draw.Src)
	wide := max(out.Rect.Dx()/160, 2)
	for x := range out.Rect.Dx() {
		y := x * (out.Rect.Dy() - 1) / max(out.Rect.Dx()-1, 1)
		for d := range wide {
			for _, at := range []image.Point{{x, y + d}, {x, out.Rect.Dy() - 1 - y - d}} {
				if at.In(out.Rect) {
					lighten(out, at.X, at.Y)
				}
			}
		}
	}
	return out
}

// lighten brings a pixel half way to light grey.
func lighten(on *image.RGBA, x, y int) {
	p := on.Pix[on.PixOffset(x, y):][:3]
	for c := range p {
		p[c] = uint8((int(p[c]) + 215) / 2)
	}
}

// mark writes the word into the corner of a region that is farthest from the edges of the picture, where legends stand: the letters with a
// dark edge, nothing behind them.
func mark(on *image.RGBA, r image.Rectangle) {
	for size := max(float64(on.Rect.Dy())/32, 11); size >= 7; size *= 0.8 {
		l := lettersOf(size)
		w := l.width(Masked)
		if w+6 > r.Dx() || l.line()+4 > r.Dy() {
			continue
		}
		at, centre := r.Min.Add(image.Pt(3, 2)), r.Min.Add(r.Max).Div(2)
		if centre.X < on.Rect.Min.X+on.Rect.Dx()/2 {
			at.X = r.Max.X - w - 3
		}
		if centre.Y < on.Rect.Min.Y+on.Rect.Dy()/2 {
			at.Y = r.Max.Y - l.line() - 2
		}
		for _, by := range []image.Point{{-1, 0}, {1, 0}, {0, -1}, {0, 1}} {
			l.write(on, at.Add(by), color.Black, Masked)
		}
		l.write(on, at, color.White, Masked)
		return
	}
}
