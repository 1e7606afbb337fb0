package reports

import (
	"image"
	"image/color"
	"image/draw"

	"golang.org/x/image/font"
	"golang.org/x/image/font/inconsolata"
	"golang.org/x/image/math/fixed"
)

const (
	labelDark   = 24  // a pixel outside the field of view: no channel above it
	labelWidth  = 640 // columns for which a letter is drawn at its own size
	labelMargin = 4   // pixels between letters and the edge, times the scale
)

// labels are what is drawn, the fullest first; the first that fits is taken.
func labels(h Heatmap) [][]string {
	p, class, by := "p="+decimal(h.Probability, 2), h.Class, h.Algorithm.Name+" "+h.Algorithm.Version
	if methodOf(h.Algorithm.Explain).NoClass {
		return [][]string{{"AI, not verified", by}, {"AI, not verified"}, {"AI"}}
	}
	if h.Against != "" {
		class += " rather than " + h.Against
	}
	return [][]string{
		{"AI, not verified", class, p, by},
		{"AI, not verified", class + " " + p},
		{"AI", class, p},
		{"AI", p},
		{"AI"},
	}
}

// drawLabel writes the label into the first corner of the frame that lies outside the field of view and holds it, and
// reports whether there was one. Mucosa is never covered: every pixel below the label is black in the frame.
func drawLabel(overlay canvas, frame *image.RGBA, texts [][]string) bool {
	for _, lines := range texts {
		for scale := max(1, frame.Rect.Dx()/labelWidth); scale >= 1; scale-- {
			size := labelSize(lines, scale)
			for _, r := range corners(frame.Rect, size) {
				if dark(frame, r) {
					drawLines(overlay, r, lines, scale)
					return true
				}
			}
		}
	}
	return false
}

func labelSize(lines []string, scale int) image.Point {
	columns := 0
	for _, line := range lines {
		columns = max(columns, len([]rune(line)))
	}
	face := inconsolata.Bold8x16
	return image.Pt(columns*face.Advance+2*labelMargin, len(lines)*face.Height+2*labelMargin).Mul(scale)
}

// corners are the places for a label: right before left, since scopes write their own text on the left.
func corners(b image.Rectangle, size image.Point) []image.Rectangle {
	if size.X > b.Dx() || size.Y > b.Dy() {
		return nil
	}
	at := func(x, y int) image.Rectangle { return image.Rectangle{Max: size}.Add(image.Pt(x, y)) }
	left, top, right, bottom := b.Min.X, b.Min.Y, b.Max.X-size.X, b.Max.Y-size.Y
	return []image.Rectangle{at(right, top), at(right, bottom), at(left, bottom), at(left, top)}
}

func dark(frame *image.RGBA, r image.Rectangle) bool {
	for y := r.Min.Y; y < r.Max.Y; y++ {
		row := frame.Pix[frame.PixOffset(r.Min.X, y) : frame.PixOffset(r.Max.X-1, y)+4]
		for i := 0; i < len(row); i += 4 {
			if max(row[i], row[i+1], row[i+2]) > labelDark {
				return false
			}
		}
	}
	return true
}

// canvas is what a label is drawn on; its top-left corner is (0,0).
type canvas interface{ SetRGBA(x, y int, c color.RGBA) }

// drawLines draws at the size of the bitmap font and enlarges by whole factors: the same pixels on every machine.
func drawLines(dst canvas, r image.Rectangle, lines []string, scale int) {
	face := inconsolata.Bold8x16
	small := image.NewRGBA(image.Rect(0, 0, r.Dx()/scale, r.Dy()/scale))
	draw.Draw(small, small.Rect, image.Black, image.Point{}, draw.Src)
	d := font.Drawer{Dst: small, Src: image.NewUniform(color.White), Face: face}
	for i, line := range lines {
		d.Dot = fixed.P(labelMargin, labelMargin+i*face.Height+face.Ascent-1)
		d.DrawString(line)
	}
	for y := range r.Dy() {
		for x := range r.Dx() {
			dst.SetRGBA(r.Min.X+x, r.Min.Y+y, small.RGBAAt(x/scale, y/scale))
		}
	}
}
