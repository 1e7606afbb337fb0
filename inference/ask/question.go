package ask

import (
	"cmp"
	"context"
	"fmt"
	"image"
	"math"
	"slices"
	"strings"

	"endogate/explain"
	"endogate/explain/sampling"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/onnx"
)

// Top stands for the most probable class.
const Top = "top"

// Question is what somebody wants to know about a frame.
type Question struct {
	Class         string           // its name; "" is Top
	Against       string           // the class to contrast it with: why this rather than that; "" for none
	Layer         string           // as explain.Target.Layer; "" is the manifest's
	Methods       []explain.Method // without any, the frame is classified alone
	analysis.Pose                  // of the frame
	// Before are steps of preparation before those of the manifest: what if the frame were another.
	Before []inference.Step
}

// Error is what is wrong with a question, and what can be asked instead.
type Error string

func (e Error) Error() string { return string(e) }

// ReadMethods reads the names of methods that can be asked for.
func ReadMethods(names []string) ([]explain.Method, error) {
	var methods []explain.Method
	for _, name := range names {
		info, ok := explain.LookupMethod(explain.Method(name))
		if !ok || info.Raw {
			return nil, Error(fmt.Sprintf("method %q is unknown; there are %s", name, explain.MethodNames()))
		}
		methods = append(methods, info.Method)
	}
	return methods, nil
}

// Asked is a question about a frame as the network sees it.
type Asked struct {
	Frame         *image.RGBA
	Geometry      analysis.Geometry
	Input         onnx.Input
	Probabilities []float64 // of the classes
	Class         int
	Against       int // -1 for none

	// Regions are the boxes or masks of a network that gives them, of all classes that reach their thresholds; At is where the class in
	// question is, which the answer is about, and nil where the network does not say.
	Regions []inference.Region
	At      *inference.Region

	bundle  *inference.Bundle
	reading inference.Reading
	outputs []onnx.Tensor
	seed    []float32 // the question as weights of the network's values
	score   sampling.Score
	targets []explain.Target
}

// Ask classifies a frame and reads what is asked about it.
func (m *Model) Ask(ctx context.Context, frame *image.RGBA, q Question) (*Asked, error) {
	values := make([]float32, m.Bundle.Input.Len())
	other := *m.Bundle
	other.Preprocess = slices.Concat(q.Before, other.Preprocess)
	geometry, err := other.Prepare(frame, q.Pose, values)
	if err != nil {
		return nil, err
	}
	a := &Asked{Frame: frame, Geometry: geometry, Input: inputOf(m.Bundle, values), bundle: m.Bundle}
	known, err := m.reading()
	if err != nil {
		return nil, err
	}
	outputs, err := m.own.Outputs(ctx, a.Input, 1)
	if err != nil {
		return nil, err
	}
	a.reading, a.outputs = known.reading, outputs[0]
	said, err := a.reading.Read(a.outputs, geometry)
	if err != nil {
		return nil, err
	}
	a.Probabilities, a.Regions = said.Probabilities, said.Regions
	if err := a.choose(q); err != nil {
		return nil, err
	}
	return a, a.weigh(said)
}

// weigh makes the seed of what is asked, and the score that methods of many runs explain: the probability, or for a contrast that of one
// less the other.
func (a *Asked) weigh(said inference.Said) (err error) {
	if !a.bundle.Output.Parts() {
		a.seed, a.score = a.reading.Seed(len(a.outputs[0].Values), a.Class, a.Against), a.difference
		return nil
	}
	at, ok := said.Best(a.Class)
	if !ok { // nothing speaks for it
		a.seed, a.score = make([]float32, len(a.outputs[0].Values)), func([]float32) float64 { return 0 }
		return nil
	}
	a.At, a.seed = &at, said.Seed(at, a.Against)
	a.score, err = a.reading.Scoring(a.outputs, said.Seed(at, -1))
	if err != nil || a.Against < 0 {
		return err
	}
	if slices.Contains(a.bundle.Output.Boxes.Columns, inference.LabelColumn) {
		return Error("the network gives a box one class alone: it cannot be contrasted with another")
	}
	own, other := a.score, at
	other.Class = a.Against
	less, err := a.reading.Scoring(a.outputs, said.Seed(other, -1))
	a.score = func(values []float32) float64 { return own(values) - less(values) }
	return err
}

// inputOf is what the network takes of values that a bundle prepared.
func inputOf(b *inference.Bundle, values []float32) onnx.Input {
	return onnx.Input{Shape: b.Input.Shape(), Values: values, Baseline: b.Input.Uniform(0), Low: b.Input.Uniform(0), High: b.Input.Uniform(255)}
}

// Probabilities classifies n inputs, one after the other.
func (m *Model) Probabilities(ctx context.Context, inputs []float32, n int) ([][]float64, error) {
	known, err := m.reading()
	if err != nil {
		return nil, err
	}
	outputs, err := m.own.Outputs(ctx, onnx.Input{Shape: m.Bundle.Input.Shape(), Values: inputs}, n)
	if err != nil {
		return nil, err
	}
	all := make([][]float64, n)
	for i := range all {
		if all[i], err = known.reading.Shallow(outputs[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// choose finds the classes and methods of a question.
func (a *Asked) choose(q Question) error {
	names := a.bundle.ClassNames()
	find := func(name string) (int, error) {
		i := slices.Index(names, name)
		if i < 0 {
			return 0, Error(fmt.Sprintf("%s has no class %q; it has %s", a.bundle.Name, name, strings.Join(names, ", ")))
		}
		return i, nil
	}
	var err error
	if a.Class = slices.Index(a.Probabilities, slices.Max(a.Probabilities)); cmp.Or(q.Class, Top) != Top {
		if a.Class, err = find(q.Class); err != nil {
			return err
		}
	}
	if a.Against = -1; q.Against != "" {
		if a.Against, err = find(q.Against); err != nil {
			return err
		}
		if a.Against == a.Class {
			return Error(fmt.Sprintf("%s rather than itself: name another class", q.Against))
		}
	}
	for _, method := range q.Methods {
		a.targets = append(a.targets, explain.Target{Method: method, Layer: cmp.Or(q.Layer, a.bundle.Explain.Layer)})
	}
	return nil
}

// ClassName is the class in question.
func (a *Asked) ClassName() string { return a.bundle.Classes[a.Class].Name }

// AgainstName is the class that it is contrasted with; "" for none.
func (a *Asked) AgainstName() string {
	if a.Against < 0 {
		return ""
	}
	return a.bundle.Classes[a.Against].Name
}

// Subject says what is asked: a class, or one rather than another.
func (a *Asked) Subject() string {
	if a.Against < 0 {
		return a.ClassName()
	}
	return a.ClassName() + " rather than " + a.AgainstName()
}

// worded is Subject as a clinician reads it.
func (a *Asked) worded() string {
	subject := a.bundle.Classes[a.Class].Worded()
	if a.Against >= 0 {
		subject += " rather than " + a.bundle.Classes[a.Against].Worded()
	}
	return subject
}

// Outline is what the network itself says of where the class in question is.
func (a *Asked) Outline() analysis.Outline {
	if a.At == nil || len(a.At.Contours) == 0 {
		return analysis.HotRegion
	}
	return a.At.Outline
}

// Number is that of the box that is asked about; 0 for none.
func (a *Asked) Number() int {
	if a.At == nil {
		return 0
	}
	return a.At.Number
}

// difference is the probability of the class in question, less that of the one that it is contrasted with.
func (a *Asked) difference(values []float32) float64 {
	p, err := a.reading.Probabilities(values)
	if err != nil { // a value is no number
		return math.NaN()
	}
	if a.Against >= 0 {
		return p[a.Class] - p[a.Against]
	}
	return p[a.Class]
}
