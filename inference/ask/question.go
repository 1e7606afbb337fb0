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
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/onnx"
)

// Top stands for the most probable class.
const Top = "top"

// Question is what somebody wants to know about a frame.
type Question struct {
	Class   string           // its name; "" is Top
	Against string           // the class to contrast it with: why this rather than that; "" for none
	Layer   string           // as explain.Target.Layer; "" is the manifest's
	Methods []explain.Method // without any, the frame is classified alone
	// Orientation is that of the frame, where its file says one.
	Orientation analysis.Orientation
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

	bundle  *inference.Bundle
	reading inference.Reading
	values  int // of the network's output
	targets []explain.Target
}

// Ask classifies a frame and reads what is asked about it.
func (m *Model) Ask(ctx context.Context, frame *image.RGBA, q Question) (*Asked, error) {
	values := make([]float32, m.Bundle.Input.Len())
	geometry, err := m.Bundle.Prepare(frame, q.Orientation, values)
	if err != nil {
		return nil, err
	}
	a := &Asked{Frame: frame, Geometry: geometry, Input: inputOf(m.Bundle, values), bundle: m.Bundle}
	known, err := m.reading()
	if err != nil {
		return nil, err
	}
	output, err := m.own.Output(ctx, a.Input, 1)
	if err != nil {
		return nil, err
	}
	a.reading, a.values = known.reading, len(output)
	if a.Probabilities, err = a.reading.Probabilities(output); err != nil {
		return nil, err
	}
	return a, a.choose(q)
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
	output, err := m.own.Output(ctx, onnx.Input{Shape: m.Bundle.Input.Shape(), Values: inputs}, n)
	if err != nil {
		return nil, err
	}
	all, values := make([][]float64, n), len(output)/n
	for i := range all {
		if all[i], err = known.reading.Probabilities(output[i*values : (i+1)*values]); err != nil {
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

// seed is the question as weights of the network's values.
func (a *Asked) seed() []float32 { return a.reading.Seed(a.values, a.Class, a.Against) }

// score is what methods of many runs explain: the probability, or for a contrast that of one less the other.
func (a *Asked) score(values []float32) float64 {
	p, err := a.reading.Probabilities(values)
	if err != nil { // a value is no number
		return math.NaN()
	}
	if a.Against >= 0 {
		return p[a.Class] - p[a.Against]
	}
	return p[a.Class]
}
