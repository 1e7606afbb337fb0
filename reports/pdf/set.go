package pdf

import "unicode"

// glyph is how a character is set: in which font, and how wide.
type glyph struct {
	face    *face
	advance float64
}

type glyphKey struct {
	r    rune
	bold bool
}

// glyph looks r up. What no font has is a box of the first, and that a document has such is remembered, as is that it needs a font that is
// not there.
func (p *pages) glyph(r rune, bold bool) glyph {
	key := glyphKey{r, bold}
	if g, ok := p.glyphs[key]; ok {
		return g
	}
	f := p.Fonts.latin
	if bold {
		f = p.Fonts.bold
	}
	switch {
	case f.has(r):
	case p.Fonts.wide != nil && p.Fonts.wide.has(r):
		f = p.Fonts.wide
	case p.Fonts.wide == nil && ideograph(r):
		p.SetError(ErrNoWideFont)
	default:
		p.lacks = true
	}
	if unicode.In(r, composite...) || r == unicode.ReplacementChar {
		p.lacks = true
	}
	g := glyph{f, f.advance(r)}
	p.glyphs[key] = g
	return g
}

// measure is the width of text in millimetres.
func (p *pages) measure(s style) func(string) float64 {
	return func(text string) (w float64) {
		for _, r := range text {
			w += p.glyph(r, s.bold).advance
		}
		return w * s.size * point
	}
}

// at writes one line whose top is y: a run for each font in it.
func (p *pages) at(x, y float64, s style, text string) {
	p.SetTextColor(s.colour[0], s.colour[1], s.colour[2])
	if rightToLeft(text) {
		line := joined([]rune(text), p.Fonts.has)
		for _, r := range line {
			p.lacks = p.lacks || len(shapes()[r]) > 0
		}
		text = string(visual(line))
	}
	var run []rune
	var of *face
	flush := func() {
		if len(run) == 0 {
			return
		}
		p.use(of, s)
		p.Text(x, y+s.size*point*1.05, string(run))
		x += p.measure(s)(string(run))
		run = run[:0]
	}
	for _, r := range text {
		if f := p.glyph(r, s.bold).face; f != of {
			flush()
			of = f
		}
		run = append(run, r)
	}
	flush()
}

// use selects a font, which a document gets when it is first needed. The wide one has one weight: bold is its letters
// with an outline.
func (p *pages) use(f *face, s style) {
	if !p.added[f] {
		p.added[f] = true
		f.add(p.Fpdf)
	}
	p.SetFont(f.family, f.style, s.size)
	if s.bold && f == p.Fonts.wide {
		p.SetDrawColor(s.colour[0], s.colour[1], s.colour[2])
		p.SetLineWidth(s.size * point * 0.035)
		p.SetTextRenderingMode(2)
		return
	}
	p.SetTextRenderingMode(0)
}
