package inference

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"endogate/dicomnode/pixeldata"
	"endogate/explain"
	"endogate/inference/analysis"
)

// Model finds things in a frame. Its methods may be called from any goroutine.
type Model interface {
	Name() string
	Digest() string // SHA-256 of the network file, quoted in every report
	Infer(ctx context.Context, f pixeldata.Frame) (FrameAnalysis, error)
}

// Network runs a bundle's network on one prepared frame. Its methods may be called from any goroutine.
type Network interface {
	Classes() int
	// Logits returns one value for each class. The input is not kept.
	Logits(ctx context.Context, input []float32, shape []int64) ([]float32, error)
	// Explain returns the logits and for each of the classes a map of what speaks for it.
	Explain(ctx context.Context, input []float32, shape []int64, classes []int) ([]float32, []explain.Map, error)
}

// FrameAnalysis is what a model says about a frame.
type FrameAnalysis struct {
	analysis.Result
	// Maps say why, one for each of the findings: as large as the source frame, from 0 to 1. A map is empty, of width 0,
	// for a class that is not of RoleFinding, and where there is nothing to show: a note says why then.
	Maps []explain.Map
}

// ModelOptions say how findings are explained. The zero value is good.
type ModelOptions struct {
	ContourLevel float32 // part of the map's maximum at which the hot region ends, between 0 and 1; 0: 0.5
}

// BundleModel is a bundle with its network.
type BundleModel struct {
	bundle   *Bundle
	network  Network
	level    float32
	explains []int     // classes that are explained
	ahead    []int     // those of them that are explained before it is known whether they are found
	inputs   sync.Pool // *[]float32
}

// NewModel puts bundle and network together and tries them on a black frame, so that what does not fit is
// found now. The network stays the caller's to close.
func NewModel(ctx context.Context, b *Bundle, n Network, o ModelOptions) (*BundleModel, error) {
	if n.Classes() != len(b.Classes) {
		return nil, fmt.Errorf("inference: model %s: the network has %d classes, %s lists %d; make them agree", b.Name, n.Classes(), ManifestFile, len(b.Classes))
	}
	m := &BundleModel{bundle: b, network: n, level: cmp.Or(o.ContourLevel, 0.5)}
	if !(m.level > 0 && m.level < 1) {
		return nil, fmt.Errorf("inference: model %s: contour level %g is not between 0 and 1", b.Name, m.level)
	}
	m.inputs.New = func() any { input := make([]float32, b.Input.Len()); return &input }
	for i, class := range b.Classes {
		if class.Role == analysis.RoleFinding {
			m.explains = append(m.explains, i)
		}
	}
	if len(m.explains) <= maxAhead {
		m.ahead = m.explains
	}
	if _, err := m.Infer(ctx, blackFrame(b.Input)); err != nil {
		return nil, fmt.Errorf("inference: model %s: trial on a black frame: %w", b.Name, err)
	}
	return m, nil
}

// maxAhead is up to how many classes are explained along with the classification: one pass through the
// network gives both, and its part up to the explained layer is most of the cost.
const maxAhead = 4

// minRegion is the part of the frame below which a hot region is not outlined.
const minRegion = 0.001

// Name is that of the bundle.
func (m *BundleModel) Name() string { return m.bundle.Name }

// Digest is that of the bundle.
func (m *BundleModel) Digest() string { return m.bundle.Digest }

// Bundle is what the model was made of.
func (m *BundleModel) Bundle() *Bundle { return m.bundle }

// Infer classifies a frame and explains what it finds.
func (m *BundleModel) Infer(ctx context.Context, f pixeldata.Frame) (FrameAnalysis, error) {
	input := m.inputs.Get().(*[]float32)
	defer m.inputs.Put(input)
	g, err := m.bundle.Prepare(f.Image, *input)
	if err != nil {
		return FrameAnalysis{}, Permanent(err)
	}
	logits, maps, err := m.network.Explain(ctx, *input, m.bundle.Input.Shape(), m.ahead)
	if err != nil {
		return FrameAnalysis{}, err
	}
	p, err := m.probabilities(logits)
	if err != nil {
		return FrameAnalysis{}, Permanent(err)
	}
	found := m.above(p)
	explanations := byClass(m.ahead, maps)
	if late := m.unexplained(found); len(late) > 0 {
		if _, maps, err = m.network.Explain(ctx, *input, m.bundle.Input.Shape(), late); err != nil {
			return FrameAnalysis{}, err
		}
		explanations = byClass(late, maps)
	}
	a := FrameAnalysis{Result: analysis.Result{
		Span: analysis.Still(f.Number), Rows: g.Rows, Columns: g.Columns, Scores: make(map[string]float64, len(p)),
	}}
	for i, class := range m.bundle.Classes {
		a.Scores[class.Name] = p[i]
	}
	for _, i := range found {
		finding, shown := m.bundle.Classes[i].Seen(p[i]), explain.Map{}
		if raw, ok := explanations[i]; ok && finding.Role == analysis.RoleFinding {
			var note string
			if shown, note = onSource(g, raw); note != "" {
				a.Notes = append(a.Notes, finding.Class+": "+note)
			} else {
				finding.Contours = explain.Contours(shown, m.level, minRegion*float64(g.Rows*g.Columns))
			}
		}
		a.Findings, a.Maps = append(a.Findings, finding), append(a.Maps, shown)
	}
	return a, nil
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

// What a finding without a map says.
const (
	NoteNotANumber = "The explanation has values that are not numbers; it is not shown."
	NoteZero       = "The explanation is zero everywhere: nothing in the explained layer speaks for this class."
	NoteUnseen     = "The explanation lies only where the picture was masked; it is not shown."
)

// onSource turns the layer's map into one of the source frame, or says why there is none.
func onSource(g Geometry, raw explain.Map) (m explain.Map, note string) {
	_, err := raw.Max()
	if err == nil {
		m, err = g.ToSource(raw).Normalised()
		if errors.Is(err, explain.ErrZeroMap) {
			return explain.Map{}, NoteUnseen
		}
	}
	switch {
	case errors.Is(err, explain.ErrZeroMap):
		return explain.Map{}, NoteZero
	case err != nil:
		return explain.Map{}, NoteNotANumber
	}
	return m, ""
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
