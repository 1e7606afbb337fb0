package pdf

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"strconv"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/draw"

	"endogate/reports/draft"
)

const (
	maxPictures  = 60 // pairs in a document: more are in the archive
	perMM        = 11 // pixels of a picture: about 280 to the inch
	maxRatio     = 1.4
	jpegQuality  = 85
	legendHeight = 2.2
	mark         = 1.8 // of what is hatched
)

// smallest is what is said of pictures.
var smallest = style{6.5, faint, false}

// drawing is a key image ready to be placed: a frame with its heatmap beside it, and what is said below them.
type drawing struct {
	frame, heatmap string // names of images, empty where there is none
	w, h           float64
	caption, why   []string
	method         []string // of the heatmap, below its legend
	hatched        []string // what that means; empty where nothing is
	height         float64
}

// drawn prepares a key image whose two pictures are w wide each.
func (p *pages) drawn(k draft.KeyImage, w float64, why bool) drawing {
	d := drawing{w: w, h: w * 0.75}
	if p.drawnCount++; p.Picture != nil {
		picture, err := p.Picture(k)
		if err != nil && !errors.Is(err, ErrNoPicture) {
			panic(failed{err})
		}
		if err == nil && picture.Frame != nil && !picture.Frame.Bounds().Empty() {
			size := picture.Frame.Bounds().Size()
			d.h = w * min(max(float64(size.Y)/float64(size.X), 0.3), maxRatio)
			d.frame = p.embed(picture.Frame, w)
			if picture.Heatmap != nil && !picture.Heatmap.Bounds().Empty() {
				d.heatmap = p.embed(picture.Heatmap, w)
			}
		}
	}
	s := style{small, faint, false}
	caption := cmpOr(k.Caption, p.whichFrame(k.Frame))
	if k.Caption != "" && k.Frame.Position != "" {
		caption += ": " + k.Frame.Position
	}
	d.caption = p.lines(w, s, caption)
	beside := legendHeight + s.line() + 1
	if d.heatmap != "" {
		d.method = p.lines(w, smallest, clip(k.Frame.Explained, 160))
		if k.Frame.Hatched {
			d.hatched = p.lines(w-mark-0.8, smallest, p.say("hatched"))
		}
		beside += float64(len(d.method)+len(d.hatched)) * smallest.line()
	}
	below := max(float64(len(d.caption))*s.line(), beside)
	if why {
		d.why = p.lines(2*w+pairGap, smallest, clip(k.Why, 600))
		below += float64(len(d.why)) * smallest.line()
	}
	d.height = d.h + 1 + below
	return d
}

func (p *pages) whichFrame(f draft.Frame) string {
	s := p.say("instance", "number", strconv.Itoa(f.Number))
	if n := f.Span.Frame(); n > 1 {
		s += ", " + p.say("frame", "number", strconv.Itoa(n))
	}
	if f.Position != "" {
		s += ": " + f.Position
	}
	return s
}

// embed scales a picture to what is worth printing and returns its name. No two pictures of a document are of the same
// width: the library writes them in that order, and in any order where it is the same.
func (p *pages) embed(m image.Image, w float64) string {
	size := m.Bounds().Size()
	columns := min(size.X, int(w*perMM))
	for p.widths[columns] {
		columns++
	}
	p.widths[columns] = true
	rows := max(columns*size.Y/size.X, 1)
	scaled := image.NewRGBA(image.Rect(0, 0, columns, rows))
	draw.CatmullRom.Scale(scaled, scaled.Rect, m, m.Bounds(), draw.Src, nil)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, scaled, &jpeg.Options{Quality: jpegQuality}); err != nil {
		p.SetError(err)
	}
	name := fmt.Sprintf("picture-%d", columns)
	p.RegisterImageOptionsReader(name, fpdf.ImageOptions{ImageType: "JPEG"}, &b)
	return name
}

// draw places d with its top left corner at x, y.
func (p *pages) draw(d drawing, x, y float64) {
	p.one(d.frame, x, y, d, p.say("no-picture"))
	p.one(d.heatmap, x+d.w+pairGap, y, d, p.say("no-heatmap"))
	below := y + d.h + 1
	s := style{small, faint, false}
	for i, line := range d.caption {
		p.at(x, below+float64(i)*s.line(), s, line)
	}
	if d.heatmap != "" {
		p.legend(x+d.w+pairGap, below, d.w)
		p.explained(x+d.w+pairGap, below+legendHeight+s.line(), d)
	}
	at := y + d.height - float64(len(d.why))*smallest.line()
	for i, line := range d.why {
		p.at(x, at+float64(i)*smallest.line(), smallest, line)
	}
}

func (p *pages) one(name string, x, y float64, d drawing, missing string) {
	if name == "" {
		p.box(x, y, d.w, d.h, pale)
		p.block(x+2, y+2, d.w-4, style{small, faint, false}, missing)
		return
	}
	p.ImageOptions(name, x, y, d.w, d.h, false, fpdf.ImageOptions{ImageType: "JPEG"}, 0, "")
}

// legend is the colour bar of a heatmap, and what its colours mean.
func (p *pages) legend(x, y, w float64) {
	if p.Colours != nil {
		const steps = 48
		for i := range steps {
			c := p.Colours[255*i/(steps-1)]
			p.box(x+w*float64(i)/steps, y+0.2, w/steps+0.05, legendHeight-0.4, colour{int(c.R), int(c.G), int(c.B)})
		}
	}
	s := smallest
	high, measure := p.say("high"), p.measure(s)
	if measure(p.say("low")+"  "+high) > w {
		high = p.say("much")
	}
	p.at(x, y+legendHeight, s, p.say("low"))
	p.at(x+w-measure(high), y+legendHeight, s, high)
}

// explained says how a heatmap was made, and what is hatched of it, with the mark.
func (p *pages) explained(x, y float64, d drawing) {
	for _, line := range d.method {
		p.at(x, y, smallest, line)
		y += smallest.line()
	}
	if len(d.hatched) > 0 {
		p.SetDrawColor(faint[0], faint[1], faint[2])
		p.SetLineWidth(0.15)
		top := y + (smallest.line()-mark)/2
		p.Rect(x, top, mark, mark, "D")
		for i := 1.0; i < 4; i++ {
			p.Line(x, top+mark*i/4, x+mark*i/4, top)
			p.Line(x+mark*i/4, top+mark, x+mark, top+mark*i/4)
		}
	}
	for _, line := range d.hatched {
		p.at(x+mark+0.8, y, smallest, line)
		y += smallest.line()
	}
}

// strip places key images beside each other, smaller, over as many rows as they need. why: with the whole of the reason, which
// a finding has said with its first.
func (p *pages) strip(images []draft.KeyImage, why bool) {
	const each, gap, perRow = 27.3, 4.0, 3
	for len(images) > 0 && p.drawnCount < maxPictures {
		n := min(perRow, len(images), maxPictures-p.drawnCount)
		var row []drawing
		height := 0.0
		for _, k := range images[:n] {
			d := p.drawn(k, each, why)
			row, height = append(row, d), max(height, d.height)
		}
		images = images[n:]
		p.room(height + 1)
		p.y += 1
		for i, d := range row {
			p.draw(d, left+float64(i)*(2*each+pairGap+gap), p.y)
		}
		p.y += height
	}
	if len(images) > 0 {
		p.paragraph(left, width, style{small, faint, false}, p.say("more", "number", strconv.Itoa(len(images))))
	}
}
