package inference

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"endogate/explain"
)

// Reading makes probabilities of what a network puts out, and says which of its values a class is.
type Reading struct {
	output     string
	classes    int
	positive   int // of two classes, the one that a single value speaks for
	activation Activation

	kind                 OutputKind
	boxes                Boxes
	mask                 Mask
	thresholds           []float64
	rowsOfInput, columns int
}

// reads reports whether so many values are one for each class, or one for both of two.
func (b *Bundle) reads(values int) bool {
	return values == len(b.Classes) || values == 1 && len(b.Classes) == 2
}

// Reading says how the network's output is read, by how it is made. The network's own probabilities count: an activation
// that it applies itself is not applied again.
func (b *Bundle) Reading(ends explain.Ends) (Reading, error) {
	r := Reading{
		output: b.Output.Name, classes: len(b.Classes), positive: 1, activation: b.Output.Activation,
		kind: b.Output.Kind, boxes: b.Output.Boxes, mask: b.Output.Mask, rowsOfInput: b.Input.Rows, columns: b.Input.Columns,
	}
	for _, c := range b.Classes {
		r.thresholds = append(r.thresholds, c.Threshold)
	}
	if b.Output.Positive != "" {
		r.positive = slices.Index(b.ClassNames(), b.Output.Positive)
	}
	switch {
	case ends == explain.Probabilities:
		r.activation = None
	case ends == explain.Mixed && !b.Output.Parts():
		return r, fmt.Errorf("inference: model %s: output %q holds probabilities of some classes, behind a softmax or sigmoid of the network's own, beside logits of others, and no activation makes probabilities of all: export it with every class before, or every class behind it", b.Name, r.output)
	case ends == explain.LogProbabilities && r.activation != Softmax:
		return r, fmt.Errorf("inference: model %s: output %q holds logarithms of probabilities, as the network ends in LogSoftmax: output.activation must be softmax, which makes probabilities of them, and is %s", b.Name, r.output, r.activation)
	}
	return r, nil
}

// Applied is the activation that is applied to the network's output.
func (r Reading) Applied() Activation { return r.activation }

// fits is how many values the network's output may have: one for each class, or one for both of two.
func (r Reading) fits(values int) bool { return values == r.classes || values == 1 && r.classes == 2 }

// Seed weights the network's values so that they speak for a class, or for one and against another one: -1 for none.
func (r Reading) Seed(values, class, against int) []float32 {
	seed := make([]float32, values)
	add := func(class int, weight float32) {
		switch {
		case class < 0:
		case values == r.classes:
			seed[class] += weight
		case class == r.positive:
			seed[0] += weight
		default:
			seed[0] -= weight
		}
	}
	add(class, 1)
	add(against, -1)
	return seed
}

var errNotANumber = errors.New("inference: the network gave values that are not numbers")

// slack is how far a probability may lie beside 0 to 1 by rounding, as integers of eight bits round.
const slack = 5e-3

// Probabilities are those of the classes, 0 to 1. It is an error when a value is not a finite number, or no probability where the
// network's output must be one.
func (r Reading) Probabilities(values []float32) ([]float64, error) {
	if !r.fits(len(values)) {
		return nil, fmt.Errorf("inference: the network gave %d values for %d classes", len(values), r.classes)
	}
	q, err := r.activation.of(r.output, values)
	if err != nil || len(values) == r.classes {
		return q, err
	}
	if r.activation == Softmax {
		return nil, fmt.Errorf("inference: output %q has a single value, and softmax over one is 1.0 whatever the network says: output.activation must be sigmoid, or none where the value is a probability already", r.output)
	}
	p := []float64{0, 0}
	p[r.positive] = q[0]
	p[1-r.positive] = 1 - p[r.positive]
	return p, nil
}

// Weighted is what a seed makes of the network's values as probabilities: what methods of many runs explain.
func (r Reading) Weighted(seed, values []float32) float64 {
	sum := 0.0
	for i, p := range r.activation.apply(values) {
		if seed[i] != 0 {
			sum += float64(seed[i]) * p
		}
	}
	return sum
}

// of makes probabilities of values of an output, or says why they are none.
func (a Activation) of(output string, values []float32) ([]float64, error) {
	for _, x := range values {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return nil, errNotANumber
		}
		if a == None && (x < -slack || x > 1+slack) {
			return nil, fmt.Errorf("inference: output %q has a value of %.4g, which is no probability: output.activation is none, by which it must be; name softmax or sigmoid where the network leaves that to whoever runs it", output, x)
		}
	}
	return a.apply(values), nil
}

// one makes a probability of a value.
func (a Activation) one(output string, value float32) (float64, error) {
	p, err := a.of(output, []float32{value})
	if err != nil {
		return 0, err
	}
	return p[0], nil
}

// apply makes probabilities of values.
func (a Activation) apply(values []float32) []float64 {
	switch a {
	case Sigmoid:
		return sigmoid(values)
	case Softmax:
		return softmax(values)
	}
	p := make([]float64, len(values))
	for i, x := range values {
		p[i] = min(max(float64(x), 0), 1)
	}
	return p
}

func sigmoid(logits []float32) []float64 {
	p := make([]float64, len(logits))
	for i, x := range logits {
		p[i] = 1 / (1 + math.Exp(-float64(x)))
	}
	return p
}

func softmax(logits []float32) []float64 {
	top := math.Inf(-1)
	for _, x := range logits {
		top = max(top, float64(x))
	}
	p, sum := make([]float64, len(logits)), 0.0
	for i, x := range logits {
		p[i] = math.Exp(float64(x) - top) // no overflow
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}
