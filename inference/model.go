package inference

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"endogate/explain"
	"endogate/inference/analysis"
)

// Model says what there is in a sample. Its methods may be called from any goroutine.
type Model interface {
	// Made names the model in what it says.
	Made() analysis.Model
	// Infer classifies a sample and explains what it finds: by the model's own method, and by those that are wished.
	Infer(ctx context.Context, s analysis.Sample, wishes []explain.Target) (analysis.Part, error)
}

// Network runs a bundle's network on one prepared frame. Its methods may be called from any goroutine.
type Network interface {
	Classes() int
	// Logits returns one value for each class. The input is not kept.
	Logits(ctx context.Context, input []float32, shape []int64) ([]float32, error)
	// Explain returns the logits and for each of the classes a map of what speaks for it.
	Explain(ctx context.Context, input []float32, shape []int64, classes []int) ([]float32, []explain.Map, error)
}

// Explainer explains by other methods, or at other layers, than the bundle's own.
type Explainer interface {
	// Explain returns for each of the targets a map of what speaks for a class in the input. Its methods may be called
	// from any goroutine.
	Explain(ctx context.Context, input []float32, class int, targets []explain.Target) ([]explain.Map, error)
}

// BundleModel is a bundle with its network.
type BundleModel struct {
	bundle    *Bundle
	network   Network
	explainer Explainer // nil: no wishes
	explains  []int     // classes that are explained
	ahead     []int     // those of them that are explained before it is known whether they are found
	inputs    sync.Pool // *[]float32
}

// NewModel puts bundle and network together and tries them on a black frame, so that what does not fit is
// found now. The network stays the caller's to close. Without an explainer there is the bundle's own explanation alone.
func NewModel(ctx context.Context, b *Bundle, n Network, e Explainer) (*BundleModel, error) {
	if n.Classes() != len(b.Classes) {
		return nil, fmt.Errorf("inference: model %s: the network has %d classes, %s lists %d; make them agree", b.Name, n.Classes(), ManifestFile, len(b.Classes))
	}
	m := &BundleModel{bundle: b, network: n, explainer: e}
	m.inputs.New = func() any { input := make([]float32, b.Input.Len()); return &input }
	for i, class := range b.Classes {
		if class.Role == analysis.RoleFinding {
			m.explains = append(m.explains, i)
		}
	}
	if len(m.explains) <= maxAhead {
		m.ahead = m.explains
	}
	if _, err := m.Infer(ctx, blackFrame(b.Input), nil); err != nil {
		return nil, fmt.Errorf("inference: model %s: trial on a black frame: %w", b.Name, err)
	}
	return m, nil
}

// maxAhead is up to how many classes are explained along with the classification: one pass through the
// network gives both, and its part up to the explained layer is most of the cost.
const maxAhead = 4

// Made is what the bundle is called.
func (m *BundleModel) Made() analysis.Model { return m.bundle.Made() }

// Infer implements Model, on the first frame of the sample.
func (m *BundleModel) Infer(ctx context.Context, s analysis.Sample, wishes []explain.Target) (analysis.Part, error) {
	input := m.inputs.Get().(*[]float32)
	defer m.inputs.Put(input)
	g, err := m.prepare(s, *input)
	if err != nil {
		return analysis.Part{}, Permanent(err)
	}
	logits, maps, err := m.network.Explain(ctx, *input, m.bundle.Input.Shape(), m.ahead)
	if err != nil {
		return analysis.Part{}, err
	}
	p, err := m.probabilities(logits)
	if err != nil {
		return analysis.Part{}, Permanent(err)
	}
	found := m.above(p)
	explanations := byClass(m.ahead, maps)
	if late := m.unexplained(found); len(late) > 0 {
		if _, maps, err = m.network.Explain(ctx, *input, m.bundle.Input.Shape(), late); err != nil {
			return analysis.Part{}, err
		}
		explanations = byClass(late, maps)
	}
	part := analysis.Part{Geometry: g, Result: analysis.Result{
		Span: s.Span, Rows: g.Rows, Columns: g.Columns, Scores: make(map[string]float64, len(p)),
	}}
	for i, class := range m.bundle.Classes {
		part.Result.Scores[class.Name] = p[i]
	}
	for _, i := range found {
		class := m.bundle.Classes[i]
		part.Result.Findings = append(part.Result.Findings, class.Seen(p[i]))
		if class.Role != analysis.RoleFinding {
			continue
		}
		part.Maps = append(part.Maps, mapOf(class, m.bundle.Explain, explanations[i]))
		wished, err := m.wished(ctx, *input, i, wishes)
		if err != nil {
			return analysis.Part{}, err
		}
		part.Maps = append(part.Maps, wished...)
	}
	return part, nil
}

// prepare fills the network's input, and returns where it comes from.
func (m *BundleModel) prepare(s analysis.Sample, input []float32) (analysis.Geometry, error) {
	if s.Prepared != nil {
		return s.Prepared.Geometry, m.bundle.normalise(*s.Prepared, input)
	}
	return m.bundle.Prepare(s.Frames[0], input)
}

// wished explains a class as the wishes say.
func (m *BundleModel) wished(ctx context.Context, input []float32, class int, wishes []explain.Target) ([]analysis.Map, error) {
	if len(wishes) == 0 {
		return nil, nil
	}
	if m.explainer == nil {
		return nil, Permanent(fmt.Errorf("inference: model %s explains by its own method alone", m.bundle.Name))
	}
	maps, err := m.explainer.Explain(ctx, input, class, wishes)
	if err != nil {
		return nil, err
	}
	wished := make([]analysis.Map, len(maps))
	for i, t := range wishes {
		wished[i] = mapOf(m.bundle.Classes[class], analysis.Explanation{Method: string(t.Method), Layer: t.Layer}, maps[i])
		wished[i].Wished = true
	}
	return wished, nil
}

func mapOf(class analysis.Class, e analysis.Explanation, m explain.Map) analysis.Map {
	return analysis.Map{Class: class.Name, Explanation: e, Width: m.Width, Height: m.Height, Values: m.Values, Extent: analysis.Extent(m.Extent)}
}

// above returns the classes that reach their thresholds.
func (m *BundleModel) above(p []float64) (found []int) {
	for i, class := range m.bundle.Classes {
		if p[i] >= class.Threshold {
			found = append(found, i)
		}
	}
	return found
}

// unexplained returns those found that have yet to be explained.
func (m *BundleModel) unexplained(found []int) (late []int) {
	if len(m.ahead) == len(m.explains) {
		return nil
	}
	for _, i := range found {
		if m.bundle.Classes[i].Role == analysis.RoleFinding {
			late = append(late, i)
		}
	}
	return late
}

func byClass(classes []int, maps []explain.Map) map[int]explain.Map {
	explanations := make(map[int]explain.Map, len(classes))
	for i, m := range maps {
		explanations[classes[i]] = m
	}
	return explanations
}

var errNotANumber = errors.New("inference: the network gave values that are not numbers")

// probabilities applies the activation to the logits.
func (m *BundleModel) probabilities(logits []float32) ([]float64, error) {
	if len(logits) != len(m.bundle.Classes) {
		return nil, fmt.Errorf("inference: the network gave %d values for %d classes", len(logits), len(m.bundle.Classes))
	}
	return m.bundle.Output.Activation.Apply(logits)
}

// Apply returns the probabilities, 0 to 1, of logits. It is an error when a logit is not a finite number.
func (a Activation) Apply(logits []float32) ([]float64, error) {
	for _, x := range logits {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return nil, errNotANumber
		}
	}
	if a == Sigmoid {
		return sigmoid(logits), nil
	}
	return softmax(logits), nil
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
