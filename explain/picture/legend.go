package picture

import (
	"image"
	"image/color"
	"image/draw"

	"endogate/explain"
)

// NotVerified stands on everything that is shown.
const NotVerified = "AI, not verified"

// Masked is the word in a region that the network did not see.
const Masked = "masked"

// Scale is what the colours of a map mean.
type Scale int

// The scales.
const (
	Weight     Scale = iota // from nothing to the map's maximum, in the colours of a colour map
	ForAgainst              // red for, blue against: Signed
	Channels                // grey is nothing, each colour channel for itself: Guided
)

// Words say what a picture of a map shows.
type Words struct {
	Class       string // what is asked about; empty: of a method that asks about no class
	Plain       string // what stands for Class where no font has its letters
	Probability string // such as "p = 0.88"; empty for none
	Method      string // with its layer
	Model       string // with its version
	Remark      string // what a reader of the map has to know, such as that it is of another method than was wished
	Note        string // in place of a map: why there is none
	Masked      bool   // a part of the frame is hatched

	Scale   Scale
	Colours *explain.ColourMap // of Weight
}

// class is what is asked about in letters that can be written.
func (w Words) class() string {
	if Writable(w.Class) {
		return w.Class
	}
	return w.Plain
}

// ends name the ends of the scale.
func (w Words) ends() (low, high string) {
	if w.Scale == ForAgainst {
		return "against", "for"
	}
	if w.Scale == Channels {
		return "less", "more"
	}
	return "0", "max"
}

// Meaning says what the colours mean.
func (w Words) Meaning() string {
	switch {
	case w.Note != "":
		return ""
	case w.Scale == ForAgainst:
		return "red: speaks for the class, blue: against it"
	case w.Scale == Channels && w.Class == "":
		return "grey: no effect; each colour for itself"
	case w.Scale == Channels:
		return "grey: no effect on the class; each colour for itself"
	case w.Class == "":
		return "how much the network looks there, of the map's maximum"
	}
	return "weight for the class, of the map's maximum"
}

// at is the colour of the scale at v, from 0 to 1.
func (w Words) at(v float64) color.RGBA {
	switch {
	case w.Scale == ForAgainst:
		c := forAgainst(float32(2*v-1), 0.4, 1)
		return color.RGBA{c[0], c[1], c[2], 255}
	case w.Scale == Channels || w.Colours == nil:
		grey := uint8(255*v + 0.5)
		return color.RGBA{grey, grey, grey, 255}
	}
	return w.Colours[uint8(255*v+0.5)]
}

// bar draws the scale.
func (w Words) bar(on *image.RGBA, r image.Rectangle) {
	for x := range r.Dx() {
		c := w.at(float64(x) / float64(max(r.Dx()-1, 1)))
		draw.Draw(on, image.Rect(r.Min.X+x, r.Min.Y, r.Min.X+x+1, r.Max.Y), image.NewUniform(c), image.Point{}, draw.Src)
	}
}

// said is all of it, line by line, but for the scale.
func (w Words) said() (first, more []string) {
	first = []string{NotVerified}
	if w.Class != "" {
		first = append(first, joined(", ", w.class(), w.Probability))
	}
	return first, nonEmpty(w.Note, joined("; ", w.Method, w.Model), w.Remark)
}

func joined(between string, parts ...string) string {
	out := ""
	for _, p := range parts {
		if out != "" && p != "" {
			out += between
		}
		out += p
	}
	return out
}

func nonEmpty(texts ...string) (all []string) {
	for _, t := range texts {
		if t != "" {
			all = append(all, t)
		}
	}
	return all
}

// HatchedWords say what hatching means.
const HatchedWords = "hatched: " + Masked + ", not seen by the network"

// row is a line of a legend: text, or the scale with text beside it.
type row struct {
	text   string
	colour color.RGBA
	scale  bool
}

// rows lay a legend out within a width.
func (w Words) rows(l *letters, width int) (rows []row) {
	add := func(c color.RGBA, texts ...string) {
		for _, t := range texts {
			for _, line := range l.wrap(t, width) {
				rows = append(rows, row{text: line, colour: c})
			}
		}
	}
	first, more := w.said()
	add(ink, first...)
	if w.Note == "" {
		rows = append(rows, row{scale: true})
		add(faint, w.Meaning())
	}
	add(faint, more...)
	if w.Masked {
		add(faint, HatchedWords)
	}
	return rows
}

// legend draws a legend with its upper left corner at a point.
func (w Words) legend(on *image.RGBA, at image.Point, width int, l *letters, rows []row) {
	for _, r := range rows {
		if r.scale {
			w.scale(on, at, width, l)
		} else {
			l.write(on, at, r.colour, r.text)
		}
		at.Y += l.line()
	}
}

// scale draws the bar with the names of its ends beside it.
func (w Words) scale(on *image.RGBA, at image.Point, width int, l *letters) {
	low, high := w.ends()
	space := l.line() / 3
	from, to := at.X+l.width(low)+space, at.X+min(width, 14*l.line())-l.width(high)-space
	l.write(on, at, faint, low)
	w.bar(on, image.Rect(from, at.Y+l.line()/6, to, at.Y+l.line()*5/6))
	l.write(on, image.Pt(to+space, at.Y), faint, high)
}

// least is how wide a legend is at least: a small frame stands in the corner of a wider picture.
const least = 260

// Legend returns a picture with what it shows below it; all of it, in as many lines as that takes. The picture stands in
// the upper left corner as it is.
func Legend(overlay *image.RGBA, w Words) *image.RGBA {
	return LegendTo(nil, overlay, w, legendHeight(overlay.Rect.Size(), w, 0))
}

// LegendHeight is how high a picture of a size is with a legend of such words, also where they stand in place of a map, and with a line
// for what gets longer.
func LegendHeight(size image.Point, w Words) int {
	shown, noted := w, w
	shown.Note, shown.Masked = "", true
	noted.Note, noted.Masked = w.Note+"a line", true
	return max(legendHeight(size, shown, 1), legendHeight(size, noted, 1))
}

// LegendWidth is how wide a picture of so many columns is with a legend.
func LegendWidth(columns int) int { return max(columns, least) }

func legendLetters(size image.Point) *letters { return lettersOf(max(float64(size.Y)/45, 11)) }

func legendHeight(size image.Point, w Words, more int) int {
	l := legendLetters(size)
	pad := l.line() / 2
	return size.Y + (len(w.rows(l, LegendWidth(size.X)-2*pad))+more)*l.line() + pad
}

// LegendTo is Legend in a picture of a height: in the one that is given where it has that size, else in another one.
func LegendTo(out, overlay *image.RGBA, w Words, height int) *image.RGBA {
	size := overlay.Rect.Size()
	l := legendLetters(size)
	pad := l.line() / 2
	width := LegendWidth(size.X)
	rows := w.rows(l, width-2*pad)
	if whole := image.Rect(0, 0, width, height); out == nil || out.Rect != whole {
		out = image.NewRGBA(whole)
	}
	draw.Draw(out, out.Rect, image.NewUniform(paper), image.Point{}, draw.Src)
	draw.Draw(out, image.Rectangle{Max: size}, overlay, overlay.Rect.Min, draw.Src)
	w.legend(out, image.Pt(pad, size.Y+pad/2), width-2*pad, l, rows)
	return out
}
