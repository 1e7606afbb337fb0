package inference

import (
	"fmt"
	"math"

	"endogate/configs/strict"
	"endogate/explain"
	"endogate/inference/analysis"
)

// Region is where in a frame a network itself says that a class is: a box or a mask.
type Region struct {
	Class       int
	Probability float64
	Outline     analysis.Outline
	Number      int                                             // of a box among those of its class, the most probable first, from 1; 0 for a mask
	Contours    [][][2]float64                                  // in the frame's pixel corners
	Share       float64                                         // of the frame, that the contours enclose
	weigh       func(class int, weight float32, seed []float32) // adds the values that speak for a class here
}

// Said is what a network says of a frame.
type Said struct {
	Probabilities []float64 // of the classes
	Regions       []Region  // of boxes and masks: what reaches its threshold, in the order of the classes
	best          []Region  // of each class, whether or not it does
	values        int       // of the output
}

// Best is where a network sees a class, if anywhere: the first of its regions.
func (s Said) Best(class int) (Region, bool) {
	for _, r := range s.Regions {
		if r.Class == class {
			return r, true
		}
	}
	if class < len(s.best) && s.best[class].weigh != nil {
		return s.best[class], true
	}
	return Region{}, false
}

// Seed weights the network's values so that they speak for a region, or for its class and against another one there: -1 for none.
func (s Said) Seed(r Region, against int) []float32 {
	seed := make([]float32, s.values)
	r.weigh(r.Class, 1, seed)
	if against >= 0 {
		r.weigh(against, -1, seed)
	}
	return seed
}

// checkParts names what is wrong between the kind of output and the rest of a manifest.
func (b *Bundle) checkParts(output strict.Value) {
	if !b.Output.Parts() {
		return
	}
	if b.Kind == Video {
		output.Fault("kind is %s, which a model of videos cannot have", b.Output.Kind)
	}
	background := b.Output.Boxes.Background
	if b.Output.Kind == OfMask {
		background = b.Output.Mask.Background
	}
	if more, _ := background.more(); more == 0 && len(b.Classes) == 1 && b.Output.Activation == Softmax {
		output.Fault("activation is softmax with one class and no background, which is 1.0 whatever the network says; sigmoid, or background: first or last")
	}
}

// Read says what the outputs of one run say of the frame that g is the geometry of: the one that counts first, then [Output.Others].
func (r Reading) Read(outputs []explain.Tensor, g analysis.Geometry) (Said, error) {
	said := Said{values: len(outputs[0].Values)}
	var err error
	switch r.kind {
	case OfBoxes:
		err = r.readBoxes(&said, outputs, g)
	case OfMask:
		err = r.readMask(&said, outputs[0], g)
	default:
		said.Probabilities, err = r.Probabilities(outputs[0].Values)
	}
	return said, err
}

// Shallow are the probabilities alone, of an input whose frame does not matter.
func (r Reading) Shallow(outputs []explain.Tensor) ([]float64, error) {
	said, err := r.Read(outputs, analysis.Geometry{})
	return said.Probabilities, err
}

func (r Reading) readBoxes(said *Said, outputs []explain.Tensor, g analysis.Geometry) error {
	d, err := r.detector(outputs)
	if err != nil {
		return err
	}
	found, best, err := d.read(r.thresholds, func(box [4]float64) ([4]float64, bool) { return onFrame(g, box) })
	if err != nil {
		return err
	}
	region := func(c candidate, number int) Region {
		l, t, rt, b := c.place[0], c.place[1], c.place[2], c.place[3]
		out := Region{
			Class: c.class, Probability: c.probability, Outline: analysis.NetworkBox, Number: number,
			Contours: [][][2]float64{{{l, t}, {rt, t}, {rt, b}, {l, b}, {l, t}}},
			weigh:    func(class int, weight float32, seed []float32) { d.seed(c.row, class, weight, seed) },
		}
		if frame := float64(g.Rows * g.Columns); frame > 0 {
			out.Share = (rt - l) * (b - t) / frame
		}
		return out
	}
	for class := range r.classes {
		said.Probabilities = append(said.Probabilities, best[class].probability)
		number := 0
		for _, c := range found {
			if c.class == class {
				number++
				said.Regions = append(said.Regions, region(c, number))
			}
		}
		var one Region
		if best[class].row >= 0 {
			one = region(best[class], 1)
		}
		said.best = append(said.best, one)
	}
	return nil
}

// onFrame is a box of the input, in its parts, in the frame's pixels, as far as it lies in what the network saw of the frame; false where
// nothing of it does.
func onFrame(g analysis.Geometry, box [4]float64) (place [4]float64, ok bool) {
	for i, v := range box { // what is beside the input was not seen
		box[i] = min(max(v, 0), 1)
	}
	if g.Columns == 0 {
		return box, box[2] > box[0] && box[3] > box[1]
	}
	x0, y0 := g.Point(box[0], box[1])
	x1, y1 := g.Point(box[2], box[3])
	seen := [4]float64{float64(g.Crop.Min.X), float64(g.Crop.Min.Y), float64(g.Crop.Max.X), float64(g.Crop.Max.Y)}
	place = [4]float64{
		quarter(max(min(x0, x1), seen[0])), quarter(max(min(y0, y1), seen[1])), quarter(min(max(x0, x1), seen[2])), quarter(min(max(y0, y1), seen[3])),
	}
	sides := [2]float64{place[2] - place[0], place[3] - place[1]}
	if sides[0] <= 0 || sides[1] <= 0 || sides[0]*sides[1] < 1 || box[2] <= box[0] || box[3] <= box[1] { // less than a pixel is no region
		return place, false
	}
	for _, m := range g.Masked {
		if place[0] >= float64(m.Min.X) && place[1] >= float64(m.Min.Y) && place[2] <= float64(m.Max.X) && place[3] <= float64(m.Max.Y) {
			return place, false
		}
	}
	return place, true
}

// quarter rounds to a quarter of a pixel.
func quarter(v float64) float64 { return math.Round(4*v) / 4 }

func (r Reading) readMask(said *Said, output explain.Tensor, g analysis.Geometry) error {
	s, err := r.segments(output.Shape)
	if err != nil {
		return err
	}
	w := g.In()
	visible := func(pixel int) bool {
		x, y := (float64(pixel%s.width)+0.5)/float64(s.width), (float64(pixel/s.width)+0.5)/float64(s.height)
		if x < w.Left || x > w.Right || y < w.Top || y > w.Bottom {
			return false
		}
		if len(g.Masked) == 0 {
			return true
		}
		column, row := g.Point(x, y)
		for _, m := range g.Masked {
			if column >= float64(m.Min.X) && column < float64(m.Max.X) && row >= float64(m.Min.Y) && row < float64(m.Max.Y) {
				return false
			}
		}
		return true
	}
	all, err := s.read(output.Values, visible)
	if err != nil {
		return err
	}
	for _, m := range all {
		said.Probabilities = append(said.Probabilities, m.probability)
		one := Region{Class: m.class, Probability: m.probability, Outline: analysis.NetworkMask, weigh: func(class int, weight float32, seed []float32) {
			for _, pixel := range m.core {
				seed[s.at(s.before+class, pixel)] += weight / float32(len(m.core))
			}
		}}
		if m.region && g.Columns > 0 && m.probability >= r.thresholds[m.class] {
			on := ToSource(g, m.pixels)
			frame := float64(g.Rows * g.Columns)
			input := float64(g.Crop.Dx()*g.Crop.Dy()) / ((w.Right - w.Left) * (w.Bottom - w.Top)) // in pixels of the frame
			one.Contours = explain.Contours(on, float32(s.mask.Level), s.mask.Smallest*input)
			for _, v := range on.Values {
				if v >= float32(s.mask.Level) {
					one.Share += 1 / frame
				}
			}
			one.Share = min(one.Share, 1)
			for _, c := range one.Contours {
				for i := range c {
					c[i] = [2]float64{quarter(c[i][0]), quarter(c[i][1])}
				}
			}
		}
		if m.probability >= r.thresholds[m.class] {
			said.Regions = append(said.Regions, one)
		}
		said.best = append(said.best, one)
	}
	return nil
}

// Scoring is what methods of many runs explain of a seed, which is of what outputs say of one input: the probability of the class there,
// in what the network says of other inputs. Where boxes change their places from one input to another, it is that of the box that is most
// alike, less the more it is another one (Petsiuk et al. 2021, D-RISE).
func (r Reading) Scoring(outputs []explain.Tensor, seed []float32) (func(values []float32) float64, error) {
	switch r.kind {
	case OfBoxes:
		d, err := r.detector(outputs)
		if err != nil {
			return nil, err
		}
		return d.scoring(seed)
	case OfMask:
		s, err := r.segments(outputs[0].Shape)
		if err != nil {
			return nil, err
		}
		return s.scoring(seed), nil
	}
	return func(values []float32) float64 { return r.Weighted(seed, values) }, nil
}

// scoring of a box: all of a seed is of one candidate.
func (d detector) scoring(seed []float32) (func([]float32) float64, error) {
	for row := range d.rows.n {
		for class := range d.classes {
			one := make([]float32, 0, 1)
			_, labelled := d.at[LabelColumn]
			_, before := d.boxes.Background.more()
			if labelled {
				one = append(one, seed[d.index(row, ScoreColumn, 0)])
			} else {
				one = append(one, seed[d.index(row, ClassesColumn, before+class)])
			}
			if one[0] <= 0 {
				continue
			}
			if labelled {
				if p, err := d.probability(row, d.scores); err != nil || p[class] == 0 {
					continue
				}
				return d.alike(d.box(row), class), nil
			}
			like := d.alike(d.box(row), class)
			return func(values []float32) float64 {
				switch {
				case len(values) == len(d.scores):
				case d.boxes.From == "":
					return like(values) // candidates come and go
				default:
					return math.NaN()
				}
				p, err := d.probability(row, values)
				if err != nil {
					return math.NaN()
				}
				return p[class]
			}, nil
		}
	}
	return nil, fmt.Errorf("inference: output %q: the seed is of no box", d.output)
}

// alike scores other runs by the box of a class that is most like one.
func (d detector) alike(box [4]float64, class int) func([]float32) float64 {
	return func(values []float32) float64 {
		other := d
		other.scores, other.corners = values, values
		n, _ := d.Reading.values()
		other.rows.n = len(values) / n
		if d.rows.apart != 1 {
			other.rows.apart = other.rows.n
		}
		other.boxRows = other.rows
		best := 0.0
		for row := range other.rows.n {
			p, err := other.probability(row, values)
			if err != nil {
				return math.NaN()
			}
			best = max(best, p[class]*union(box, other.box(row)))
		}
		return best
	}
}

// scoring of a mask: the mean over the pixels that a seed is of.
func (s segments) scoring(seed []float32) func([]float32) float64 {
	return func(values []float32) float64 {
		sum, line := 0.0, make([]float32, s.channels)
		for pixel := range s.height * s.width {
			var p []float64
			for c := range s.channels {
				w := seed[s.at(c, pixel)]
				if w == 0 {
					continue
				}
				if p == nil {
					var err error
					if p, err = s.probabilities(pixel, values, line); err != nil {
						return math.NaN()
					}
				}
				sum += float64(w) * p[c]
			}
		}
		return sum
	}
}
