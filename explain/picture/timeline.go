package picture

import (
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"slices"
	"strings"
)

// Timeline is what is said of a video over time: a lane for each class with its probabilities, its threshold and where it persists, where
// frames are discounted, how much frames count, and key frames under their places. Times are seconds since the first frame.
type Timeline struct {
	Title   string
	Remark  string
	Length  float64
	Lanes   []Lane
	Quality []Stretch // of discounted frames
	Weights []Point   // of a model that looks across time; none: it has no lane
	Spans   []Stretch // such as an estimate of insertion, under the lanes
	Marks   []Mark    // by time
	Light   bool      // for paper
	Words   TimelineWords
}

// TimelineWords are what a timeline says of its own, with {value} and {why} where numbers and reasons stand. The zero value is [English].
type TimelineWords struct {
	Unverified string // that nobody has looked at it
	Threshold  string // of a class
	Weights    string // how much frames count, and the highest
	Discounted string // frames, for reasons
	None       string // that no frame is
}

// English are the words in English.
var English = TimelineWords{
	Unverified: NotVerified + "; not for primary diagnosis", Threshold: "threshold {value}", Weights: "How much frames count (highest {value})",
	Discounted: "Frames discounted (hatched): {why}", None: "Frames discounted: 0",
}

// Lane is a class over time.
type Lane struct {
	Name      string
	Threshold float64 // 0: unknown, and not drawn
	Points    []Point // by time
	Persists  []Stretch
	Tone      int // which colour, from 0
}

// Point is a value, 0..1, at a time. A discounted one is drawn hollow.
type Point struct {
	At, Value  float64
	Discounted bool
}

// Stretch is a part of the time, and what there is to say of it.
type Stretch struct {
	From, To float64
	Text     string
}

// Mark is a frame to look at.
type Mark struct {
	At      float64
	Caption []string
	Frame   image.Image // nil: it cannot be shown
}

// Sizes of a timeline in pixels. Time runs from TimelineLeft to TimelineWidth - TimelineRight.
const (
	TimelineWidth = 1200
	TimelineLeft  = 24
	TimelineRight = 24

	laneHeight    = 64
	qualityHeight = 18
	spanHeight    = 18
	markWidth     = 116
	markGap       = 8
	linkHeight    = 28
)

// MostMarks is how many frames there is room for.
const MostMarks = (TimelineWidth - TimelineLeft - TimelineRight + markGap) / (markWidth + markGap)

// tones tell lanes apart, also where colours are not (Okabe and Ito 2008); each is legible on dark and on light paper.
var tones = []color.RGBA{{230, 159, 0, 255}, {86, 180, 233, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {213, 94, 0, 255}, {120, 140, 220, 255}}

// colours of paper and ink.
type colours struct{ paper, ink, faint, line, poor color.RGBA }

var (
	onDark  = colours{paper, ink, faint, color.RGBA{60, 64, 72, 255}, color.RGBA{120, 124, 132, 255}}
	onPaper = colours{color.RGBA{255, 255, 255, 255}, color.RGBA{20, 20, 24, 255}, color.RGBA{80, 84, 92, 255}, color.RGBA{205, 208, 214, 255}, color.RGBA{150, 154, 162, 255}}
)

// timelining is a timeline being drawn.
type timelining struct {
	Timeline
	colours
	on   *image.RGBA
	text *letters
}

// Draw makes the picture.
func (t Timeline) Draw() *image.RGBA {
	if t.Words == (TimelineWords{}) {
		t.Words = English
	}
	d := &timelining{Timeline: t, colours: onDark, text: lettersOf(textSize)}
	if t.Light {
		d.colours = onPaper
	}
	d.Marks = spread(t.Marks, MostMarks)
	head := lettersOf(titleSize)
	titles := head.wrap(t.Title, TimelineWidth-TimelineLeft-TimelineRight)
	notes := d.text.wrap(joinedWords(t.Words.Unverified, t.Remark), TimelineWidth-TimelineLeft-TimelineRight)
	d.on = image.NewRGBA(image.Rect(0, 0, TimelineWidth, d.height(len(titles)*head.line()+len(notes)*d.text.line())))
	d.fill(d.on.Rect, d.paper)
	at := lines(d.on, image.Pt(TimelineLeft, margin), head, d.ink, titles)
	at = lines(d.on, at, d.text, d.faint, notes)
	y := at.Y + margin/2
	top := y
	for _, lane := range t.Lanes {
		y = d.lane(lane, y)
	}
	y = d.weights(y)
	y = d.quality(y)
	y = d.spans(y)
	y = d.axis(top, y)
	d.marks(y)
	return d.on
}

// height is that of the picture below so much of title.
func (d *timelining) height(title int) int {
	h := 2*margin + title + len(d.Lanes)*(laneHeight+d.text.line()+6) + qualityHeight + d.text.line() + 6 + d.text.line() + margin
	if len(d.Weights) > 0 {
		h += laneHeight + d.text.line() + 6
	}
	if len(d.Spans) > 0 {
		h += len(d.Spans)*(spanHeight+2) + 6
	}
	if len(d.Marks) > 0 {
		h += linkHeight + d.markHeight() + d.captions()*d.text.line()
	}
	return h
}

func (d *timelining) captions() (most int) {
	for _, m := range d.Marks {
		most = max(most, len(m.Caption))
	}
	return most
}

func (d *timelining) markHeight() int {
	h := 1
	for _, m := range d.Marks {
		if m.Frame != nil {
			size := m.Frame.Bounds().Size()
			h = max(h, markWidth*size.Y/max(size.X, 1))
		}
	}
	return min(max(h, markWidth/2), 2*markWidth)
}

// x is where a time is.
func (d *timelining) x(at float64) int {
	width := float64(TimelineWidth - TimelineLeft - TimelineRight)
	if d.Length <= 0 {
		return TimelineLeft
	}
	return TimelineLeft + int(math.Round(width*min(max(at/d.Length, 0), 1)))
}

func (d *timelining) fill(r image.Rectangle, c color.RGBA) {
	draw.Draw(d.on, r, image.NewUniform(c), image.Point{}, draw.Over)
}

// faded is c as it looks through.
func faded(c color.RGBA, alpha float64) color.RGBA {
	return color.RGBA{uint8(float64(c.R) * alpha), uint8(float64(c.G) * alpha), uint8(float64(c.B) * alpha), uint8(255 * alpha)}
}

// lane draws a class below y and returns where the next would stand.
func (d *timelining) lane(l Lane, y int) int {
	tone := tones[l.Tone%len(tones)]
	d.fill(image.Rect(TimelineLeft, y+3, TimelineLeft+10, y+13), tone)
	name := l.Name
	if l.Threshold > 0 {
		name += "  (" + strings.ReplaceAll(d.Words.Threshold, "{value}", fmt.Sprintf("%.2f", l.Threshold)) + ")"
	}
	d.text.write(d.on, image.Pt(TimelineLeft+16, y), d.ink, name)
	y += d.text.line()
	box := image.Rect(TimelineLeft, y, TimelineWidth-TimelineRight, y+laneHeight)
	for _, s := range l.Persists {
		d.fill(image.Rect(d.x(s.From), box.Min.Y, max(d.x(s.To), d.x(s.From)+3), box.Max.Y), faded(tone, 0.22))
		d.fill(image.Rect(d.x(s.From), box.Min.Y, max(d.x(s.To), d.x(s.From)+3), box.Min.Y+4), tone)
	}
	d.frame(box)
	if l.Threshold > 0 {
		d.dashes(box, d.value(box, l.Threshold))
	}
	d.curve(box, l.Points, tone)
	return box.Max.Y + 6
}

// frame is the ground and the top line of a lane.
func (d *timelining) frame(box image.Rectangle) {
	d.fill(image.Rect(box.Min.X, box.Max.Y-1, box.Max.X, box.Max.Y), d.faint)
	d.fill(image.Rect(box.Min.X, box.Min.Y, box.Max.X, box.Min.Y+1), d.line)
}

func (d *timelining) value(box image.Rectangle, v float64) int {
	return box.Max.Y - 1 - int(math.Round(float64(box.Dy()-2)*min(max(v, 0), 1)))
}

func (d *timelining) dashes(box image.Rectangle, y int) {
	for x := box.Min.X; x < box.Max.X; x += 10 {
		d.fill(image.Rect(x, y, min(x+5, box.Max.X), y+1), d.faint)
	}
}

// curve joins points that count; those that are discounted stand apart and hollow.
func (d *timelining) curve(box image.Rectangle, points []Point, tone color.RGBA) {
	var before *Point
	for i, p := range points {
		x, y := d.x(p.At), d.value(box, p.Value)
		if p.Discounted {
			for _, edge := range []image.Rectangle{image.Rect(x-2, y-2, x+3, y-1), image.Rect(x-2, y+2, x+3, y+3), image.Rect(x-2, y-2, x-1, y+3), image.Rect(x+2, y-2, x+3, y+3)} {
				d.fill(edge, d.poor)
			}
			continue
		}
		if before != nil {
			d.segment(d.x(before.At), d.value(box, before.Value), x, y, tone)
		}
		if before = &points[i]; len(points) < 250 {
			d.fill(image.Rect(x-1, y-1, x+2, y+2), tone)
		} else {
			d.fill(image.Rect(x, y-1, x+1, y+1), tone)
		}
	}
}

// segment is a straight line, two pixels high.
func (d *timelining) segment(x0, y0, x1, y1 int, c color.RGBA) {
	steps := max(abs(x1-x0), abs(y1-y0), 1)
	for i := range steps + 1 {
		x, y := x0+(x1-x0)*i/steps, y0+(y1-y0)*i/steps
		d.fill(image.Rect(x, y-1, x+1, y+1), c)
	}
}

func abs(n int) int { return max(n, -n) }

// weights is the lane of how much frames count.
func (d *timelining) weights(y int) int {
	if len(d.Weights) == 0 {
		return y
	}
	most := slices.MaxFunc(d.Weights, func(a, b Point) int { return cmp.Compare(a.Value, b.Value) }).Value
	d.text.write(d.on, image.Pt(TimelineLeft, y), d.ink, strings.ReplaceAll(d.Words.Weights, "{value}", fmt.Sprintf("%.3f", most)))
	y += d.text.line()
	box := image.Rect(TimelineLeft, y, TimelineWidth-TimelineRight, y+laneHeight)
	d.frame(box)
	for _, p := range d.Weights {
		x := d.x(p.At)
		d.fill(image.Rect(x-1, d.value(box, p.Value/max(most, 1e-9)), x+2, box.Max.Y-1), d.ink)
	}
	return box.Max.Y + 6
}

// quality shows where frames are discounted, hatched, and why.
func (d *timelining) quality(y int) int {
	text := d.Words.None
	if len(d.Quality) > 0 {
		var why []string
		for _, s := range d.Quality {
			if !slices.Contains(why, s.Text) {
				why = append(why, s.Text)
			}
		}
		slices.Sort(why)
		text = strings.ReplaceAll(d.Words.Discounted, "{why}", strings.Join(why, ", "))
	}
	d.text.write(d.on, image.Pt(TimelineLeft, y), d.ink, text)
	y += d.text.line()
	box := image.Rect(TimelineLeft, y, TimelineWidth-TimelineRight, y+qualityHeight)
	d.fill(box, faded(d.line, 0.5))
	for _, s := range d.Quality {
		r := image.Rect(d.x(s.From), box.Min.Y, max(d.x(s.To), d.x(s.From)+3), box.Max.Y)
		for yy := r.Min.Y; yy < r.Max.Y; yy++ {
			for x := r.Min.X; x < r.Max.X; x++ {
				if (x+yy)%5 < 2 {
					d.on.SetRGBA(x, yy, d.poor)
				}
			}
		}
		if s.Text != "" && d.text.width(s.Text)+8 < r.Dx() {
			d.fill(image.Rect(r.Min.X+2, r.Min.Y+1, r.Min.X+6+d.text.width(s.Text), r.Max.Y-1), d.paper)
			d.text.write(d.on, image.Pt(r.Min.X+4, r.Min.Y), d.ink, s.Text)
		}
	}
	return box.Max.Y + 6
}

// spans are bars with what they are.
func (d *timelining) spans(y int) int {
	for _, s := range d.Spans {
		r := image.Rect(d.x(s.From), y, max(d.x(s.To), d.x(s.From)+3), y+spanHeight)
		d.fill(r, faded(d.faint, 0.35))
		d.fill(image.Rect(r.Min.X, r.Min.Y, r.Min.X+2, r.Max.Y), d.ink)
		d.fill(image.Rect(r.Max.X-2, r.Min.Y, r.Max.X, r.Max.Y), d.ink)
		x := min(max(r.Min.X+6, TimelineLeft), TimelineWidth-TimelineRight-d.text.width(s.Text))
		d.text.write(d.on, image.Pt(x, y), d.ink, s.Text)
		y += spanHeight + 2
	}
	if len(d.Spans) > 0 {
		y += 6
	}
	return y
}

// steps of an axis, in seconds.
var axisSteps = []float64{0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200}

// axisStep is that of so many seconds, of which there are twelve at most: a stream may say any length.
func axisStep(length float64) float64 {
	if i := slices.IndexFunc(axisSteps, func(s float64) bool { return length/s <= 12 }); i >= 0 {
		return axisSteps[i]
	}
	step := axisSteps[len(axisSteps)-1]
	for length/step > 12 {
		step *= 2
	}
	return step
}

// axis writes times below what stands from top to y.
func (d *timelining) axis(top, y int) int {
	step := axisStep(d.Length)
	for i := 0; float64(i)*step <= d.Length+1e-9; i++ {
		at := float64(i) * step
		x, text := d.x(at), clock(at, step)
		d.fill(image.Rect(x, top, x+1, y), faded(d.line, 0.45))
		d.fill(image.Rect(x, y, x+1, y+4), d.faint)
		w := d.text.width(text)
		d.text.write(d.on, image.Pt(min(max(x-w/2, 2), TimelineWidth-w-2), y+4), d.faint, text)
		if d.Length <= 0 {
			break
		}
	}
	return y + 4 + d.text.line()
}

// clock writes a time of an axis.
func clock(seconds, step float64) string {
	if step < 1 {
		return fmt.Sprintf("%d:%04.1f", int(seconds)/60, math.Mod(seconds, 60))
	}
	n := int(seconds + 0.5)
	if n >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", n/3600, n/60%60, n%60)
	}
	return fmt.Sprintf("%d:%02d", n/60, n%60)
}

// marks are the key frames, each joined to its time.
func (d *timelining) marks(y int) {
	height := d.markHeight()
	for i, left := range d.places() {
		m := d.Marks[i]
		d.segment(d.x(m.At), y, left+markWidth/2, y+linkHeight-2, d.faint)
		to := image.Rect(left, y+linkHeight, left+markWidth, y+linkHeight+height)
		d.fill(to, d.line)
		if m.Frame != nil {
			size := m.Frame.Bounds().Size()
			high := min(markWidth*size.Y/max(size.X, 1), height)
			put(d.on, image.Rect(left, to.Min.Y, left+markWidth*high/max(markWidth*size.Y/max(size.X, 1), 1), to.Max.Y), plain(m.Frame))
		}
		for k, line := range m.Caption {
			for d.text.width(line) > markWidth && line != "" {
				line = line[:d.text.fitting(line, markWidth)]
			}
			d.text.write(d.on, image.Pt(left, to.Max.Y+k*d.text.line()), d.faint, line)
		}
	}
}

// places are the left edges of marks: as near to their times as there is room.
func (d *timelining) places() []int {
	all := make([]int, len(d.Marks))
	next := TimelineLeft
	for i, m := range d.Marks {
		all[i] = max(d.x(m.At)-markWidth/2, next)
		next = all[i] + markWidth + markGap
	}
	most := TimelineWidth - TimelineRight - markWidth
	for i := len(all) - 1; i >= 0; i-- {
		all[i] = min(all[i], most)
		most = all[i] - markWidth - markGap
	}
	return all
}

// spread leaves as many marks as there is room for, evenly.
func spread(marks []Mark, most int) []Mark {
	if len(marks) <= most {
		return marks
	}
	few := make([]Mark, most)
	for i := range few {
		few[i] = marks[i*len(marks)/most]
	}
	return few
}

// plain is an image whose pixels can be scaled at once.
func plain(m image.Image) *image.RGBA {
	if p, ok := m.(*image.RGBA); ok {
		return p
	}
	p := image.NewRGBA(image.Rectangle{Max: m.Bounds().Size()})
	draw.Draw(p, p.Rect, m, m.Bounds().Min, draw.Src)
	return p
}
