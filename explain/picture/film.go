package picture

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"

	"endogate/explain"

	scale "golang.org/x/image/draw"
)

// Moment is one frame of a [Film].
type Moment struct {
	Caption string
	Frame   *image.RGBA
	Value   float32     // how much it counts
	Share   float64     // of the greatest value, 0 to 1
	Over    *image.RGBA // with its map; nil where it does not count
}

// Film is a clip as four rows, frame beside frame: how much each counts as bars, the frames, the same as light over them, and their maps.
type Film struct {
	Title   string
	Rows    [4]string // what they are
	Moments []Moment
	Remark  string
	Colours *explain.ColourMap
}

// Sizes of a film in pixels.
const (
	MomentWidth = 112 // of a frame
	momentGap   = 6
	barHeight   = 72
)

// dimmed is how bright a frame is that does not count at all.
const dimmed = 0.25

// Draw makes the picture.
func (f Film) Draw() *image.RGBA {
	text, head := lettersOf(textSize), lettersOf(titleSize)
	width := max(len(f.Moments)*(MomentWidth+momentGap)-momentGap, 6*MomentWidth) + 2*margin
	height := 1
	for _, m := range f.Moments {
		height = max(height, MomentWidth*m.Frame.Rect.Dy()/max(m.Frame.Rect.Dx(), 1))
	}
	titles := head.wrap(f.Title, width-2*margin)
	notes := text.wrap(joinedWords(NotVerified+"; not for primary diagnosis", f.Remark), width-2*margin)
	row := text.line() + margin
	top := 2*margin + len(titles)*head.line() + (len(notes)+1)*text.line()
	out := image.NewRGBA(image.Rect(0, 0, width, top+4*row+barHeight+2*text.line()+3*height+margin))
	draw.Draw(out, out.Rect, image.NewUniform(paper), image.Point{}, draw.Src)
	at := lines(out, image.Pt(margin, margin), head, ink, titles)
	at = lines(out, at, text, faint, notes)
	Words{Colours: f.Colours, Class: f.Title}.scale(out, at, width-2*margin, text)
	at.Y += text.line() + margin
	for i, title := range f.Rows {
		text.write(out, at, ink, title)
		at.Y += text.line() + 2
		for k, m := range f.Moments {
			to := image.Rect(0, 0, MomentWidth, height).Add(image.Pt(margin+k*(MomentWidth+momentGap), at.Y))
			switch i {
			case 0:
				f.bar(out, to.Min, m, text)
			case 1:
				put(out, to, m.Frame)
				text.write(out, image.Pt(to.Min.X, to.Max.Y), faint, m.Caption)
			case 2:
				put(out, to, lit(m.Frame, m.Share))
				border(out, to, f.Colours[uint8(255*min(max(m.Share, 0), 1))])
			case 3:
				f.over(out, to, m)
			}
		}
		switch i {
		case 0:
			at.Y += barHeight + text.line()
		case 1:
			at.Y += height + text.line()
		default:
			at.Y += height
		}
		at.Y += margin - 2
	}
	return out
}

func joinedWords(a, b string) string {
	if b == "" {
		return a
	}
	return a + "; " + b
}

// bar is how much a frame counts, with the number under it.
func (f Film) bar(on *image.RGBA, at image.Point, m Moment, l *letters) {
	whole := image.Rect(0, 0, MomentWidth, barHeight).Add(at)
	draw.Draw(on, image.Rect(whole.Min.X, whole.Max.Y-1, whole.Max.X, whole.Max.Y), image.NewUniform(faint), image.Point{}, draw.Src)
	high := int(float64(barHeight) * min(max(m.Share, 0), 1))
	bar := image.Rect(whole.Min.X+MomentWidth/4, whole.Max.Y-high, whole.Max.X-MomentWidth/4, whole.Max.Y)
	draw.Draw(on, bar, image.NewUniform(f.Colours[uint8(255*min(max(m.Share, 0), 1))]), image.Point{}, draw.Src)
	l.write(on, image.Pt(whole.Min.X+MomentWidth/4, whole.Max.Y), faint, fmt.Sprintf("%.3f", m.Value))
}

// over is a frame with its map; one that does not count is a dark frame without.
func (f Film) over(on *image.RGBA, to image.Rectangle, m Moment) {
	if m.Over != nil {
		put(on, to, m.Over)
		return
	}
	put(on, to, lit(m.Frame, 0))
}

// Fitted is a picture in another size; itself where it has that. It is made in out where that has the size.
func Fitted(out, p *image.RGBA, size image.Point) *image.RGBA {
	if p.Rect.Size() == size {
		return p
	}
	if whole := (image.Rectangle{Max: size}); out == nil || out.Rect != whole {
		out = image.NewRGBA(whole)
	}
	scale.ApproxBiLinear.Scale(out, out.Rect, p, p.Rect, draw.Src, nil) // better ones take four floating-point numbers for each pixel meanwhile
	return out
}

// Small is a picture, which is of a shape, as wide as a frame of a film.
func Small(p *image.RGBA, shape image.Point) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, MomentWidth, max(1, MomentWidth*shape.Y/max(shape.X, 1))))
	scale.CatmullRom.Scale(out, out.Rect, p, p.Rect, draw.Src, nil)
	return out
}

// put scales a picture into a rectangle's width.
func put(on *image.RGBA, to image.Rectangle, p *image.RGBA) {
	to.Max.Y = to.Min.Y + to.Dx()*p.Rect.Dy()/max(p.Rect.Dx(), 1)
	scale.CatmullRom.Scale(on, to, p, p.Rect, draw.Src, nil)
}

// lit is a frame as bright as it counts.
func lit(p *image.RGBA, share float64) *image.RGBA {
	out := image.NewRGBA(p.Rect)
	bright := dimmed + (1-dimmed)*min(max(share, 0), 1)
	for i := range p.Pix {
		if out.Pix[i] = p.Pix[i]; i%4 != 3 {
			out.Pix[i] = uint8(float64(p.Pix[i]) * bright)
		}
	}
	return out
}

// border draws the edge of a rectangle, three pixels wide.
func border(on *image.RGBA, r image.Rectangle, c color.RGBA) {
	for _, edge := range []image.Rectangle{
		image.Rect(r.Min.X, r.Min.Y, r.Max.X, r.Min.Y+3), image.Rect(r.Min.X, r.Max.Y-3, r.Max.X, r.Max.Y),
		image.Rect(r.Min.X, r.Min.Y, r.Min.X+3, r.Max.Y), image.Rect(r.Max.X-3, r.Min.Y, r.Max.X, r.Max.Y),
	} {
		draw.Draw(on, edge, image.NewUniform(c), image.Point{}, draw.Src)
	}
}
