package inference

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"endogate/explain"
)

// Column is what one or more of the values of a candidate are, of a network whose output is boxes.
type Column string

// The columns.
const (
	BoxColumn        Column = "box"        // four values, in Boxes.Format
	ObjectnessColumn Column = "objectness" // that there is anything: multiplies the probabilities of the classes
	ClassesColumn    Column = "classes"    // one for each class, and for the background where there is one
	ScoreColumn      Column = "score"      // the probability of the class that label names
	LabelColumn      Column = "label"      // the number of a class
	SkipColumn       Column = "skip"       // is not read
)

// BoxFormat is how four values are a box.
type BoxFormat string

// The formats of a box.
const (
	Centred  BoxFormat = "cxcywh" // centre, width and height
	Corners  BoxFormat = "xyxy"   // left, top, right, bottom
	Cornered BoxFormat = "xywh"   // left, top, width and height
)

// Unit is what boxes are measured in.
type Unit string

// The units.
const (
	Pixels    Unit = "pixels"    // of the network's input
	Fractions Unit = "fractions" // of its width and height
)

// Background says which of the class values is none of the manifest's classes.
type Background string

// Where the background is among the classes.
const (
	NoBackground    Background = "none"
	FirstBackground Background = "first"
	LastBackground  Background = "last"
)

// more is how many values there are besides those of the classes, and before the first of them.
func (b Background) more() (all, before int) {
	switch b {
	case FirstBackground:
		return 1, 1
	case LastBackground:
		return 1, 0
	}
	return 0, 0
}

// Boxes say how the output of a detector is read.
type Boxes struct {
	Columns    []Column // of the values of a candidate, in their order
	From       string   // the output that boxes are in, where it is another one
	Labels     string   // the output that labels are in, where boxes, scores and labels are each in one of their own: the network is read with them put together
	Corners    string   // with Labels, the output that boxes are in
	Format     BoxFormat
	Unit       Unit
	Background Background
	Overlap    float64 // of the intersection in the union, beyond which the less probable of two boxes of a class is left out; 1: never
	Skip       int     // values behind those of Columns that are not read, such as coefficients of masks or key points
	Most       int     // boxes of a frame, the most probable ones; the best of each class stays in any case
}

// wrong says why columns are none that can be read, or "".
func (b Boxes) wrong() string {
	has := func(c Column) int {
		n := 0
		for _, other := range b.Columns {
			if other == c {
				n++
			}
		}
		return n
	}
	switch boxes := has(BoxColumn); {
	case b.From == "" && boxes != 1:
		return "must have box once, or boxes.from must name the output that boxes are in"
	case b.From != "" && boxes != 0:
		return "has box, which is in the output that boxes.from names"
	case has(ClassesColumn)+has(ScoreColumn) != 1 || has(ScoreColumn) != has(LabelColumn):
		return "must have either classes, or score and label, each once"
	case b.From != "" && has(LabelColumn) > 0:
		return "has score and label, which must lie with their box: leave boxes.from out"
	case has(ObjectnessColumn) > 1:
		return "has objectness more than once"
	case len(b.Columns) > 16:
		return "are more than 16"
	}
	return ""
}

// rows are the candidates of a tensor: value k of candidate i is at i*each+k*apart.
type rows struct {
	n, each, apart int
}

// rowsOf finds the candidates in a tensor, of so many values each: N×candidates×values or N×values×candidates.
func rowsOf(output string, shape []int64, values int) (rows, error) {
	inner := slices.Clone(shape)
	for len(inner) > 2 && inner[0] == 1 {
		inner = inner[1:]
	}
	want, none := int64(values), rows{}
	switch {
	case len(inner) == 2 && inner[1] == want:
		return rows{n: int(inner[0]), each: values, apart: 1}, nil
	case len(inner) == 2 && inner[0] == want:
		return rows{n: int(inner[1]), each: 1, apart: int(inner[1])}, nil
	}
	return none, fmt.Errorf("inference: output %q has shape %v; by the manifest's columns and classes a box has %d values, so that it must be 1×boxes×%d or 1×%d×boxes", output, shape, values, values, values)
}

// candidate is a box that a network proposes.
type candidate struct {
	row, class  int
	probability float64
	box         [4]float64 // left, top, right, bottom, in parts of the input
	place       [4]float64 // in the frame's pixels
}

// values is how many a candidate has, and where each column begins.
func (r Reading) values() (n int, at map[Column]int) {
	at = map[Column]int{}
	more, _ := r.boxes.Background.more()
	for _, c := range r.boxes.Columns {
		if _, known := at[c]; !known {
			at[c] = n
		}
		switch c {
		case BoxColumn:
			n += 4
		case ClassesColumn:
			n += r.classes + more
		default:
			n++
		}
	}
	return n + r.boxes.Skip, at
}

// detector reads one run's outputs.
type detector struct {
	Reading
	rows    rows
	at      map[Column]int
	scores  []float32
	boxRows rows
	boxAt   int
	corners []float32
}

func (r Reading) detector(outputs []explain.Tensor) (d detector, err error) {
	n, at := r.values()
	d = detector{Reading: r, at: at, scores: outputs[0].Values}
	if d.rows, err = rowsOf(r.output, outputs[0].Shape, n); err != nil {
		return d, err
	}
	d.boxRows, d.boxAt, d.corners = d.rows, at[BoxColumn], d.scores
	if r.boxes.From != "" {
		if len(outputs) < 2 {
			return d, fmt.Errorf("inference: output %q, which has the boxes, is missing", r.boxes.From)
		}
		d.boxAt, d.corners = 0, outputs[1].Values
		if d.boxRows, err = rowsOf(r.boxes.From, outputs[1].Shape, 4); err != nil {
			return d, err
		}
		if d.boxRows.n != d.rows.n {
			return d, fmt.Errorf("inference: output %q has %d boxes, output %q values for %d", r.boxes.From, d.boxRows.n, r.output, d.rows.n)
		}
	}
	return d, nil
}

func (d detector) index(row int, c Column, k int) int {
	return row*d.rows.each + (d.at[c]+k)*d.rows.apart
}

// probability is that of a class in a candidate.
func (d detector) probability(row int, values []float32) (p []float64, err error) {
	p = make([]float64, d.classes)
	more, before := d.boxes.Background.more()
	one := func(c Column) (float64, error) {
		activation := d.activation
		if activation == Softmax { // is over classes
			activation = Sigmoid
		}
		return activation.one(d.output, values[d.index(row, c, 0)])
	}
	if _, labelled := d.at[LabelColumn]; labelled {
		score, err := one(ScoreColumn)
		if err != nil {
			return nil, err
		}
		if _, has := d.at[ObjectnessColumn]; has {
			o, err := one(ObjectnessColumn)
			if err != nil {
				return nil, err
			}
			score *= o
		}
		label := float64(values[d.index(row, LabelColumn, 0)])
		if class := math.Round(label) - float64(before); class >= 0 && class < float64(d.classes) {
			p[int(class)] = score
		}
		return p, nil
	}
	all := make([]float32, d.classes+more)
	for k := range all {
		all[k] = values[d.index(row, ClassesColumn, k)]
	}
	q, err := d.activation.of(d.output, all)
	if err != nil {
		return nil, err
	}
	copy(p, q[before:])
	if _, has := d.at[ObjectnessColumn]; has {
		o, err := one(ObjectnessColumn)
		if err != nil {
			return nil, err
		}
		for i := range p {
			p[i] *= o
		}
	}
	return p, nil
}

// box is that of a candidate, in parts of the input.
func (d detector) box(row int) [4]float64 {
	var v [4]float64
	for k := range v {
		v[k] = float64(d.corners[row*d.boxRows.each+(d.boxAt+k)*d.boxRows.apart])
	}
	switch d.boxes.Format {
	case Centred:
		v = [4]float64{v[0] - v[2]/2, v[1] - v[3]/2, v[0] + v[2]/2, v[1] + v[3]/2}
	case Cornered:
		v[2], v[3] = v[0]+v[2], v[1]+v[3]
	}
	if d.boxes.Unit == Pixels {
		v = [4]float64{v[0] / float64(d.columns), v[1] / float64(d.rowsOfInput), v[2] / float64(d.columns), v[3] / float64(d.rowsOfInput)}
	}
	return v
}

// maxCandidates bounds those that are held against each other.
const maxCandidates = 3000

// read finds the boxes: those that reach their thresholds and are not left out beside a better one, the most probable first, and of each
// class the best of all, which its probability is.
func (d detector) read(thresholds []float64, seen func([4]float64) ([4]float64, bool)) (found, best []candidate, err error) {
	best = make([]candidate, d.classes)
	for i := range best {
		best[i] = candidate{row: -1, class: i}
	}
	for row := range d.rows.n {
		p, err := d.probability(row, d.scores)
		if err != nil {
			return nil, nil, err
		}
		var c candidate
		for class := range p {
			if p[class] < thresholds[class] && p[class] <= best[class].probability {
				continue
			}
			if c.box == ([4]float64{}) {
				c.box = d.box(row)
			}
			if slices.ContainsFunc(c.box[:], func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }) {
				return nil, nil, errNotANumber
			}
			place, ok := seen(c.box)
			if !ok {
				break
			}
			c := candidate{row: row, class: class, probability: p[class], box: c.box, place: place}
			if p[class] > best[class].probability {
				best[class] = c
			}
			if p[class] >= thresholds[class] {
				found = append(found, c)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(b.probability, a.probability) })
	found = suppressed(found[:min(len(found), maxCandidates)], d.boxes.Overlap)
	n := 0
	return slices.DeleteFunc(found, func(c candidate) bool { // the best of a class stays
		n++
		return n > d.boxes.Most && c.row != best[c.class].row
	}), best, nil
}

// suppressed leaves out of boxes, the most probable first, those that overlap a better one of their class: non-maximum suppression.
func suppressed(sorted []candidate, overlap float64) (kept []candidate) {
	for _, c := range sorted {
		if !slices.ContainsFunc(kept, func(k candidate) bool { return k.class == c.class && union(k.box, c.box) > overlap }) {
			kept = append(kept, c)
		}
	}
	return kept
}

// union is the part of the union of two boxes that is their intersection.
func union(a, b [4]float64) float64 {
	area := func(b [4]float64) float64 { return max(b[2]-b[0], 0) * max(b[3]-b[1], 0) }
	both := area([4]float64{max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])})
	if both == 0 {
		return 0
	}
	return both / (area(a) + area(b) - both)
}

// seeds weight the values that speak for a class in a candidate: that of the class, and that there is anything.
func (d detector) seed(row, class int, weight float32, seed []float32) {
	if _, labelled := d.at[LabelColumn]; labelled {
		seed[d.index(row, ScoreColumn, 0)] += weight
	} else {
		_, before := d.boxes.Background.more()
		seed[d.index(row, ClassesColumn, before+class)] += weight
	}
	if _, has := d.at[ObjectnessColumn]; has {
		seed[d.index(row, ObjectnessColumn, 0)] += weight
	}
}
