package picture

import (
	"encoding/binary"
	"image"
	"image/color"
	"image/draw"
	"slices"
	"strings"
)

// Canvas is what a legend is drawn on; its top-left corner is (0,0).
type Canvas interface{ SetRGBA(x, y int, c color.RGBA) }

// Inscribed says which part of a legend stands in a picture.
type Inscribed int

// The parts: each has those before it.
const (
	Nothing   Inscribed = iota // there is no room that is not mucosa
	Warning                    // [NotVerified] alone
	Essential                  // with class and probability
	Whole                      // with scale, method and model
)

// dark is the greatest channel of a pixel outside the field of view.
const dark = 24

// Inscribe writes a legend where the frame shows no mucosa: into what is black from the edge of the frame on. A picture
// keeps its size, and every pixel below the legend is black in the frame. Where room lacks, letters get smaller and lines
// break; then method, model and scale are left out, of which the attributes of the object speak; then the class is shortened
// by whole words, with an ellipsis for those that it lost; then the warning stands alone.
func Inscribe(on Canvas, frame *image.RGBA, w Words) Inscribed {
	g := blackOf(frame)
	if g == nil {
		return Nothing
	}
	p := placing{grid: g, on: on, words: w, sizes: map[float64]*letters{}}
	sizes := sizesOf(frame.Rect.Dy())
	for _, size := range sizes { // all of it, if need be smaller
		p.begin(size)
		if p.place(p.essential(w.class())) && p.rest() {
			p.draw()
			return Whole
		}
	}
	for _, size := range sizes {
		p.begin(size)
		if !p.place(p.essential(w.class())) {
			continue
		}
		for _, smaller := range sizes {
			if smaller <= size {
				p.letters = p.of(smaller)
				p.place(p.by())
				p.place(p.scales())
			}
		}
		p.draw()
		return Essential
	}
	for _, shorter := range shortened(w.class()) {
		p.begin(sizes[len(sizes)-1])
		if p.place(p.essential(shorter)) {
			p.draw()
			return Essential
		}
	}
	for _, size := range sizes {
		p.begin(size)
		if p.place(warnings()) {
			p.draw()
			return Warning
		}
	}
	return Nothing
}

// sizesOf are those of letters in a frame of a height, the largest first; none is too small to be read.
func sizesOf(height int) (all []float64) {
	const legible = 9
	for _, part := range []float64{36, 44, 56, 72} {
		if size := max(float64(height)/part, legible); !slices.Contains(all, size) {
			all = append(all, size)
		}
	}
	return all
}

// shortened are a text with ever fewer words and an ellipsis; its first word stays, or the beginning of it.
func shortened(text string) (all []string) {
	const letters = 10
	words := pieces(text)
	for n := len(words) - 1; n > 0; n-- {
		all = append(all, strings.TrimRight(strings.Join(words[:n], ""), " -_/:")+"…")
	}
	if first := []rune(text); len(words) > 0 && len([]rune(words[0])) > letters {
		all = append(all, string(first[:letters])+"…")
	}
	return all
}

// grid says of cells of a frame whether they are black from the edge of the frame on, and still free.
type grid struct {
	cell          int // pixels
	columns, rows int
	free          []bool
	sums          []int32 // of free cells above and left of a corner
	longest       []int   // run of free cells in each row
}

// blackOf finds where the frame is black; nil: nowhere.
func blackOf(frame *image.RGBA) *grid {
	size := frame.Rect.Size()
	cell := max(min(size.X, size.Y)/72, 1)
	g := &grid{cell: cell, columns: size.X / cell, rows: size.Y / cell}
	g.free = make([]bool, g.columns*g.rows)
	looked := make([]bool, len(g.free))
	var open []int
	reach := func(x, y int) {
		i := y*g.columns + x
		if x < 0 || y < 0 || x >= g.columns || y >= g.rows || looked[i] {
			return
		}
		looked[i] = true
		if g.free[i] = g.black(frame, x, y); g.free[i] {
			open = append(open, i)
		}
	}
	for x := range g.columns {
		reach(x, 0)
		reach(x, g.rows-1)
	}
	for y := range g.rows {
		reach(0, y)
		reach(g.columns-1, y)
	}
	if len(open) == 0 {
		return nil
	}
	for len(open) > 0 {
		i := open[len(open)-1]
		open = open[:len(open)-1]
		x, y := i%g.columns, i/g.columns
		reach(x-1, y)
		reach(x+1, y)
		reach(x, y-1)
		reach(x, y+1)
	}
	g.sums, g.longest = make([]int32, (g.columns+1)*(g.rows+1)), make([]int, g.rows)
	g.count()
	return g
}

// black reports whether a cell is black all through; it looks at the channels of two pixels at once.
func (g *grid) black(frame *image.RGBA, x, y int) bool {
	const topBits, low, up = 0x0080808000808080, 0x007f7f7f007f7f7f, (0x7f - dark) * 0x0001010100010101
	for row := y * g.cell; row < (y+1)*g.cell; row++ {
		line, bright := frame.Pix[row*frame.Stride+4*g.cell*x:][:4*g.cell], uint64(0)
		for ; len(line) >= 8; line = line[8:] {
			p := binary.LittleEndian.Uint64(line)
			bright |= p&low + up | p
		}
		if len(line) > 0 {
			p := uint64(binary.LittleEndian.Uint32(line))
			bright |= p&low + up | p
		}
		if bright&topBits != 0 {
			return false
		}
	}
	return true
}

// count makes the sums anew.
func (g *grid) count() {
	stride := g.columns + 1
	for y := range g.rows {
		var line int32
		run, longest := 0, 0
		for x := range g.columns {
			if run++; !g.free[y*g.columns+x] {
				run = 0
			} else {
				line++
			}
			longest = max(longest, run)
			g.sums[(y+1)*stride+x+1] = g.sums[y*stride+x+1] + line
		}
		g.longest[y] = longest
	}
}

// empty reports whether a rectangle of pixels is free.
func (g *grid) empty(r image.Rectangle) bool {
	x0, y0, x1, y1 := r.Min.X/g.cell, r.Min.Y/g.cell, (r.Max.X+g.cell-1)/g.cell, (r.Max.Y+g.cell-1)/g.cell
	if r.Min.X < 0 || r.Min.Y < 0 || x1 > g.columns || y1 > g.rows {
		return false
	}
	s := g.columns + 1
	return g.sums[y1*s+x1]-g.sums[y0*s+x1]-g.sums[y1*s+x0]+g.sums[y0*s+x0] == int32((x1-x0)*(y1-y0))
}

func (g *grid) take(r image.Rectangle) {
	for y := r.Min.Y / g.cell; y < min((r.Max.Y+g.cell-1)/g.cell, g.rows); y++ {
		for x := r.Min.X / g.cell; x < min((r.Max.X+g.cell-1)/g.cell, g.columns); x++ {
			g.free[y*g.columns+x] = false
		}
	}
}

// block is lines that stand under one another; an empty one is the scale.
type block []string

// placed is a line in its place.
type placed struct {
	at      image.Rectangle
	text    string
	letters *letters
}

// placing puts blocks where there is room.
type placing struct {
	*grid
	on      Canvas
	words   Words
	sizes   map[float64]*letters
	letters *letters
	lines   []placed
}

func (p *placing) of(size float64) *letters {
	if p.sizes[size] == nil {
		p.sizes[size] = lettersOf(size)
	}
	return p.sizes[size]
}

// begin starts over with letters of a size.
func (p *placing) begin(size float64) {
	p.letters = p.of(size)
	if len(p.lines) > 0 {
		for _, l := range p.lines {
			p.give(l.at)
		}
		p.lines = nil
		p.count()
	}
}

func (g *grid) give(r image.Rectangle) {
	for y := r.Min.Y / g.cell; y < min((r.Max.Y+g.cell-1)/g.cell, g.rows); y++ {
		for x := r.Min.X / g.cell; x < min((r.Max.X+g.cell-1)/g.cell, g.columns); x++ {
			g.free[y*g.columns+x] = true
		}
	}
}

// essential are the ways to write what has to stand in every picture: upwards and downwards, since a corner is wide at one
// end, in few lines and in more.
func (p *placing) essential(class string) (ways []block) {
	if class == "" {
		return warnings()
	}
	ways = []block{{joined("  ", NotVerified, class, p.words.Probability)}} // along a band
	for _, lines := range p.broken(class) {
		last := lines[len(lines)-1]
		with := append(slices.Clone(lines[:len(lines)-1]), joined(" ", last, p.words.Probability))
		apart := append(slices.Clone(lines), p.words.Probability)
		for _, warning := range warnings() {
			ways = append(ways, slices.Concat(warning, with), slices.Concat(warning, apart), slices.Concat(with, warning), slices.Concat(apart, warning))
		}
	}
	return ways
}

func warnings() []block { return []block{{NotVerified}, {"AI, not", "verified"}} }

// broken is a text in one line and in ever more, each as even as its words let it; no word is broken.
func (p *placing) broken(text string) [][]string {
	whole, widest := p.letters.width(text), 0
	for _, word := range pieces(text) {
		widest = max(widest, p.letters.width(strings.TrimRight(word, " ")))
	}
	all := [][]string{{text}}
	for n := 2; n <= 4; n++ {
		low, high := max(whole/n, widest), whole // the least width that takes n lines
		for high-low > whole/32+1 {
			if middle := (low + high) / 2; len(p.letters.wrap(text, middle)) > n {
				low = middle
			} else {
				high = middle
			}
		}
		if lines := p.letters.wrap(text, high); len(lines) > len(all[len(all)-1]) {
			all = append(all, lines)
		}
	}
	return all
}

// by says how the map was made and of which model.
func (p *placing) by() (ways []block) {
	texts := nonEmpty(p.words.Method, p.words.Remark, p.words.Model)
	if len(texts) == 0 {
		return nil
	}
	for _, n := range []int{1, 2, 3} {
		var lines block
		for _, t := range texts {
			broken := p.broken(t)
			lines = append(lines, broken[min(n, len(broken))-1]...)
		}
		ways = append(ways, lines)
	}
	return ways
}

// scales are the ways to write the scale.
func (p *placing) scales() []block {
	meaning := p.broken(p.words.Meaning())
	ways := make([]block, 0, len(meaning))
	for _, lines := range meaning {
		ways = append(ways, append(block{""}, lines...))
	}
	return ways
}

// rest places all that is not essential: together, else each where there is room.
func (p *placing) rest() bool { return p.place(p.scales()) && p.place(p.by()) }

// place puts the first way that fits as near to a corner as it can.
func (p *placing) place(ways []block) bool {
	for _, way := range ways {
		if lines := p.fit(way); lines != nil {
			for _, l := range lines {
				p.take(l.at)
			}
			p.count()
			p.lines = append(p.lines, lines...)
			return true
		}
	}
	return len(ways) == 0
}

// scaleWidth is how wide the scale with its ends is, in lines.
const scaleWidth = 7

// fit finds a place for a block, flush with the side of the frame that it stands nearer to; nil: there is none.
func (p *placing) fit(b block) []placed {
	l := p.letters
	pad := max(l.line()/4, 1)
	widths, widest := make([]int, len(b)), 0
	for i, text := range b {
		if widths[i] = l.width(text) + 2*pad; text == "" {
			widths[i] = scaleWidth*l.line() + 2*pad
		}
		widest = max(widest, widths[i])
	}
	height := len(b)*l.line() + pad
	right, bottom := p.columns*p.cell, p.rows*p.cell
	at := func(x, y, i int, flushRight bool) image.Rectangle {
		if flushRight {
			x += widest - widths[i]
		}
		r := image.Rect(x, y+i*l.line(), x+widths[i], y+(i+1)*l.line())
		if i == len(b)-1 {
			r.Max.Y += pad
		}
		return r
	}
	best, found, flush := image.Point{}, -1, false
	for y := 0; y+height <= bottom; y += p.cell {
		near := 2*min(y, bottom-y-height) - 1 // nothing in these rows is nearer
		wide := found < 0 || near < found
		for i := 0; i < len(b) && wide; i++ {
			line := at(0, y, i, false)
			for row := line.Min.Y / p.cell; row*p.cell < line.Max.Y && wide; row++ {
				wide = widths[i] <= p.longest[row]*p.cell
			}
		}
		if !wide {
			continue
		}
		for x := 0; x+widest <= right; x += p.cell {
			for _, flushRight := range []bool{true, false} {
				corner, far := x/p.cell, 2*min(y, bottom-y-height)+2*x
				if flushRight {
					corner, far = (x+widest-1)/p.cell, far+2*(right-x-widest-x)-1 // scopes write on the left
				}
				if !p.free[y/p.cell*p.columns+corner] {
					continue
				}
				if found >= 0 && far >= found || !p.empty(at(x, y, 0, flushRight)) {
					continue
				}
				fits := true
				for i := 1; i < len(b) && fits; i++ {
					fits = p.empty(at(x, y, i, flushRight))
				}
				if fits {
					best, found, flush = image.Pt(x, y), far, flushRight
				}
			}
		}
	}
	if found < 0 {
		return nil
	}
	lines := make([]placed, len(b))
	for i, text := range b {
		lines[i] = placed{at(best.X, best.Y, i, flush), text, l}
	}
	return lines
}

// draw draws what was placed.
func (p *placing) draw() {
	for _, line := range p.lines {
		pad := max(line.letters.line()/4, 1)
		small := image.NewRGBA(image.Rectangle{Max: line.at.Size()})
		draw.Draw(small, small.Rect, image.Black, image.Point{}, draw.Src)
		if line.text == "" {
			p.words.scale(small, image.Pt(pad, 0), small.Rect.Dx()-2*pad, line.letters)
		} else {
			line.letters.write(small, image.Pt(pad, 0), color.White, line.text)
		}
		for y := range small.Rect.Dy() {
			for x := range small.Rect.Dx() {
				p.on.SetRGBA(line.at.Min.X+x, line.at.Min.Y+y, small.RGBAAt(x, y))
			}
		}
	}
}
