package pdf

import (
	"fmt"
	"strconv"

	"codeberg.org/go-pdf/fpdf"

	"endogate/reports/draft"
)

// The page is A4, measured in millimetres; letters in points.
const (
	left, top, right, bottom = 15.0, 14.0, 195.0, 276.0
	width                    = right - left

	large, medium, body, small = 16.0, 10.5, 9.0, 7.5

	point   = 25.4 / 72
	leading = 1.32 // of a line, times the size of its letters
)

type colour [3]int

var (
	ink    = colour{24, 28, 32}
	faint  = colour{96, 104, 112}
	accent = colour{16, 78, 120}
	rule   = colour{200, 208, 214}
	pale   = colour{243, 246, 248}
	amber  = colour{180, 95, 6}
	cream  = colour{255, 247, 230}
	green  = colour{20, 108, 60}
	red    = colour{170, 30, 30}
	ghost  = colour{232, 234, 238} // of the watermark
)

// style is how letters look.
type style struct {
	size   float64
	colour colour
	bold   bool
}

func (s style) line() float64 { return s.size * point * leading }

// pages are a document being set: y is where the next thing begins.
type pages struct {
	*fpdf.Fpdf
	Options
	doc        draft.Document
	y          float64
	drawnCount int          // key images
	widths     map[int]bool // of pictures
	glyphs     map[glyphKey]glyph
	added      map[*face]bool // fonts of the document
	lacks      bool           // some letters are not set as they should be
}

var errTooLong = new(int) // what newPage panics with; Render recovers it

func (p *pages) newPage() {
	if p.PageNo() == maxPages {
		panic(errTooLong)
	}
	p.AddPage()
	p.y = top
	p.watermark()
}

// room begins a new page where h does not fit on this one.
func (p *pages) room(h float64) {
	if p.y+h > bottom && p.y > top {
		p.newPage()
	}
}

// lines breaks text for a column.
func (p *pages) lines(w float64, s style, text string) []string {
	return wrap(clean(text), w, p.measure(s))
}

// block writes text into a column from y on and returns where it ends; it never leaves the page.
func (p *pages) block(x, y, w float64, s style, text string) float64 {
	for _, line := range p.lines(w, s, text) {
		p.at(x, y, s, line)
		y += s.line()
	}
	return y
}

// paragraph writes text at y, over as many pages as it needs.
func (p *pages) paragraph(x, w float64, s style, text string) {
	for _, line := range p.lines(w, s, text) {
		p.room(s.line())
		p.at(x, p.y, s, line)
		p.y += s.line()
	}
}

// heading writes the head of a section, with room for something below it.
func (p *pages) heading(text string, below float64) {
	s := style{medium, accent, true}
	lines := p.lines(width, s, text)
	p.room(2 + float64(len(lines))*s.line() + below)
	p.y += 2
	p.y = p.block(left, p.y, width, s, text)
}

func (p *pages) fill(c colour) { p.SetFillColor(c[0], c[1], c[2]) }

func (p *pages) box(x, y, w, h float64, c colour) {
	p.fill(c)
	p.Rect(x, y, w, h, "F")
}

func (p *pages) hline(y float64) {
	p.SetDrawColor(rule[0], rule[1], rule[2])
	p.SetLineWidth(0.2)
	p.Line(left, y, right, y)
}

// fitted cuts text to one line of width w.
func (p *pages) fitted(w float64, s style, text string) string {
	lines := wrap(clean(text), w, p.measure(s))
	switch len(lines) {
	case 0:
		return ""
	case 1:
		return lines[0]
	}
	return wrap(lines[0], w-p.measure(s)("…"), p.measure(s))[0] + "…"
}

// mark is what stands on every page until somebody verified the document.
func (p *pages) mark() string {
	switch {
	case p.doc.Standing == draft.Withdrawn:
		return p.say("withdrawn-mark")
	case p.verified():
		return ""
	}
	return p.say("watermark")
}

// watermark lies below everything on a page, and stands once more above it: pictures may cover the large one.
func (p *pages) watermark() {
	mark := p.mark()
	if mark == "" {
		return
	}
	s := style{small, red, true}
	p.at(right-p.measure(s)(mark), 7, s, mark)
	s = style{size: 50, colour: ghost, bold: true}
	s.size = min(s.size*250/p.measure(s)(mark), 60)
	w := p.measure(s)(mark)
	p.TransformBegin()
	p.TransformRotate(52, 105, 148)
	p.at(105-w/2, 148-s.size*point/2, s, mark)
	p.TransformEnd()
}

// footers says on every page whose report it is, how it stands and which page it is: the last page is known at the end.
func (p *pages) footers() {
	n := p.PageNo()
	s := style{small, faint, false}
	whose := p.fitted(width/2, s, p.patientName())
	if p.doc.Patient.ID != "" {
		whose += "  ·  " + p.say("id") + " " + clip(p.doc.Patient.ID, 40) // fitted would leave out all of a long one
	}
	if p.doc.Order != nil && p.doc.Order.Accession != "" {
		whose += "  ·  " + p.say("accession") + " " + p.doc.Order.Accession
	}
	for i := 1; i <= n; i++ {
		p.SetPage(i)
		p.hline(281)
		count := p.say("page", "page", strconv.Itoa(i), "pages", strconv.Itoa(n))
		w := p.measure(s)(count)
		p.at(left, 282.5, s, p.fitted(width-w-6, s, whose))
		p.at(right-w, 282.5, s, count)
		p.at(left, 282.5+s.line(), s, p.fitted(width, s, p.standing()+"  ·  "+fmt.Sprintf("%d.%d", p.doc.Number, p.doc.Version)))
		if p.lacks {
			p.at(left, 282.5+2*s.line(), style{small, red, false}, p.fitted(width, s, p.say("letters")))
		}
	}
}
