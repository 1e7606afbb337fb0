package inference

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"slices"
	"sync"
	"sync/atomic"

	"endogate/explain"
	"endogate/inference/analysis"
)

// Model says what there is in a sample. Its methods may be called from any goroutine.
type Model interface {
	// Made names the model in what it says.
	Made() analysis.Model
	// Infer classifies a sample and explains what it finds: by the model's own method, and as is wished.
	Infer(ctx context.Context, s analysis.Sample, w Wishes) (analysis.Part, error)
}

// Wishes are what is explained in other ways than a model does by itself.
type Wishes struct {
	Heatmaps []explain.Target `json:"heatmaps,omitempty"` // in place of the model's own
	Classes  []string         `json:"classes,omitempty"`  // besides those that are findings: a landmark, or what is normal
}

// Network runs a bundle's network on one prepared frame. Its methods may be called from any goroutine.
type Network interface {
	// Explain returns the values of the network's own outputs, the one that the manifest names first, and for each of the
	// seeds, which are weights of that one's values, a map of what speaks for it. The input is not kept.
	Explain(ctx context.Context, input []float32, shape []int64, seeds [][]float32) (outputs []explain.Tensor, maps []explain.Map, err error)
}

// Opened is a bundle's network, and how it is read and explained.
type Opened struct {
	Network
	Reading Reading
	How     analysis.Explanation // of its maps: the manifest's, what stands in for it, or NoMethod for none
}

// ErrBudget says that a map would have taken longer than the manifest allows.
var ErrBudget = errors.New("the explanation took longer than the model's explain.budget")

// Explainer explains by other methods, or at other layers, than the bundle's own.
type Explainer interface {
	// Explain returns for each of the targets a map of what speaks for a seed, which is weights of the output's values, in the
	// input. Its methods may be called from any goroutine.
	Explain(ctx context.Context, input, seed []float32, targets []explain.Target) ([]Explained, error)
}

// Explained is a map, and how it was made.
type Explained struct {
	How analysis.Explanation
	explain.Map
}

// BundleModel is a bundle with its network.
type BundleModel struct {
	bundle    *Bundle
	network   Opened
	explainer Explainer    // nil: no wishes
	explains  []int        // classes that are explained
	ahead     []int        // those of them that are explained before it is known whether they are found
	inputs    sync.Pool    // *[]float32
	values    atomic.Int64 // of the network's output; 0: not known yet
}

// NewModel puts bundle and network together and tries them on a black frame, so that what does not fit is
// found now. The network stays the caller's to close. Without an explainer there is the bundle's own explanation alone.
func NewModel(ctx context.Context, b *Bundle, n Opened, e Explainer) (*BundleModel, error) {
	m := &BundleModel{bundle: b, network: n, explainer: e}
	m.inputs.New = func() any { input := make([]float32, b.Len()); return &input }
	for i, class := range b.Classes {
		if class.Role == analysis.RoleFinding && n.How.Method != NoMethod {
			m.explains = append(m.explains, i)
		}
	}
	if info, _ := explain.LookupMethod(explain.Method(n.How.Method)); len(m.explains) <= maxAhead && !info.Runs && !b.Output.Parts() {
		m.ahead = m.explains
	}
	if _, err := m.Infer(ctx, analysis.Sample{Span: analysis.Still(1), Frames: []*image.RGBA{b.BlackFrame()}}, Wishes{}); err != nil {
		return nil, fmt.Errorf("inference: model %s: trial on a black frame: %w", b.Name, err)
	}
	return m, nil
}

// maxAhead is up to how many classes are explained along with the classification: one pass through the
// network gives both, and its part up to the explained layer is most of the cost.
const maxAhead = 4

// Made is what the bundle is called.
func (m *BundleModel) Made() analysis.Model { return m.bundle.Made() }

// Infer implements Model: on the first frame of the sample, or of a model that looks across time on all of them.
func (m *BundleModel) Infer(ctx context.Context, s analysis.Sample, w Wishes) (analysis.Part, error) {
	if m.bundle.Clip != nil {
		return m.inferClip(ctx, s, w)
	}
	input := m.inputs.Get().(*[]float32)
	defer m.inputs.Put(input)
	g, err := m.prepare(s, *input)
	if err != nil {
		return analysis.Part{}, Permanent(err)
	}
	values := m.values.Load()
	if values == 0 && len(m.ahead) > 0 { // how many there are shows in the first run
		outputs, _, err := m.network.Explain(ctx, *input, m.bundle.Shape(), nil)
		if err != nil {
			return analysis.Part{}, err
		}
		values = int64(len(outputs[0].Values))
	}
	outputs, ahead, err := m.network.Explain(ctx, *input, m.bundle.Shape(), m.seeds(int(values), m.ahead))
	if err != nil {
		return analysis.Part{}, err
	}
	said, err := m.network.Reading.Read(outputs, g)
	if err != nil {
		return analysis.Part{}, Permanent(err)
	}
	m.values.Store(int64(said.values))
	part := analysis.Part{Geometry: g, Result: analysis.Result{
		Span: s.Span, Rows: g.Rows, Columns: g.Columns, Scores: make(map[string]float64, len(said.Probabilities)),
	}}
	for i, class := range m.bundle.Classes {
		part.Result.Scores[class.Name] = said.Probabilities[i]
	}
	found := m.found(said)
	explanations, err := m.late(ctx, *input, found, byClass(m.ahead, ahead), w)
	if err != nil && !errors.Is(err, ErrBudget) {
		return analysis.Part{}, err
	}
	for i, f := range found {
		part.Result.Findings = append(part.Result.Findings, f.Finding)
		if f.Role != analysis.RoleFinding && !slices.Contains(w.Classes, f.Class) {
			continue
		}
		if one := explanations[i]; one != nil {
			part.Maps = append(part.Maps, mapOf(f.Finding, m.network.How, *one))
			if why := m.network.How.Fallback; why != "" && f.Number <= 1 {
				info, _ := explain.LookupMethod(explain.Method(m.network.How.Method))
				part.Result.Notes = append(part.Result.Notes, fmt.Sprintf("%s: explained by %s: %s", f.Class, info.Title, why))
			}
		} else {
			why := m.unexplained()
			if err == nil && m.network.How.Method != NoMethod {
				why = NoteFirst
			}
			part.Result.Notes = append(part.Result.Notes, f.called()+": "+why)
		}
		wished, err := m.wished(ctx, *input, f, w.Heatmaps)
		if err != nil {
			return analysis.Part{}, err
		}
		part.Maps = append(part.Maps, wished...)
	}
	return part, nil
}

// found is a finding, and the seed of what speaks for it.
type found struct {
	analysis.Finding
	class int
	seed  func() []float32 // made when it is needed: of a mask it is as large as the output
}

// called is its class, and which box of several it is.
func (f found) called() string {
	if f.Number > 1 {
		return fmt.Sprintf("%s, box %d", f.Class, f.Number)
	}
	return f.Class
}

// found are the classes that reach their thresholds, or their boxes and masks.
func (m *BundleModel) found(said Said) (all []found) {
	for i, class := range m.bundle.Classes {
		if p := said.Probabilities[i]; !m.bundle.Output.Parts() && p >= class.Threshold {
			all = append(all, found{class.Seen(p), i, func() []float32 { return m.network.Reading.Seed(said.values, i, -1) }})
		}
	}
	for _, r := range said.Regions {
		f := found{m.bundle.Classes[r.Class].Seen(r.Probability), r.Class, func() []float32 { return said.Seed(r, -1) }}
		f.Outline, f.Number, f.Contours, f.Share = r.Outline, r.Number, r.Contours, r.Share
		all = append(all, f)
	}
	return all
}

// prepare fills the network's input, and returns where it comes from.
func (m *BundleModel) prepare(s analysis.Sample, input []float32) (analysis.Geometry, error) {
	if s.Prepared != nil {
		return s.Prepared.Geometry, m.bundle.normalise(*s.Prepared, input)
	}
	return m.bundle.Prepare(s.Frames[0], s.Pose, input)
}

// wished explains a finding as the wishes say.
func (m *BundleModel) wished(ctx context.Context, input []float32, f found, wishes []explain.Target) ([]analysis.Map, error) {
	if len(wishes) == 0 {
		return nil, nil
	}
	if m.explainer == nil {
		return nil, Permanent(fmt.Errorf("inference: model %s explains by its own method alone", m.bundle.Name))
	}
	maps, err := m.explainer.Explain(ctx, input, f.seed(), wishes)
	if err != nil {
		return nil, err
	}
	wished := make([]analysis.Map, len(maps))
	for i, one := range maps {
		wished[i] = mapOf(f.Finding, one.How, one.Map)
		wished[i].Wished = true
	}
	return wished, nil
}

func mapOf(f analysis.Finding, e analysis.Explanation, m explain.Map) analysis.Map {
	return analysis.Map{Class: f.Class, Number: f.Number, Explanation: e, Width: m.Width, Height: m.Height, Values: m.Values, Extent: analysis.Extent(m.Extent)}
}

// seeds are those of classes.
func (m *BundleModel) seeds(values int, classes []int) [][]float32 {
	seeds := make([][]float32, len(classes))
	for i, class := range classes {
		seeds[i] = m.network.Reading.Seed(values, class, -1)
	}
	return seeds
}

// maxSlow is how many findings of a frame are explained by a method of many runs.
const maxSlow = 3

// late explains what is found and is not explained ahead: a map for each finding, nil where there is none.
func (m *BundleModel) late(ctx context.Context, input []float32, all []found, ahead map[int]explain.Map, w Wishes) ([]*explain.Map, error) {
	maps := make([]*explain.Map, len(all))
	var left []int
	for i, f := range all {
		if one, ok := ahead[f.class]; ok {
			maps[i] = &one
		} else if m.network.How.Method != NoMethod && (f.Role == analysis.RoleFinding || slices.Contains(w.Classes, f.Class)) {
			left = append(left, i)
		}
	}
	together := max(min(len(left), maxAhead), 1)
	if info, _ := explain.LookupMethod(explain.Method(m.network.How.Method)); info.Runs {
		together, left = 1, m.first(all, left) // what is done within the budget is kept
	}
	for some := range slices.Chunk(left, together) {
		var seeds [][]float32
		for _, i := range some {
			seeds = append(seeds, all[i].seed())
		}
		_, made, err := m.network.Explain(ctx, input, m.bundle.Shape(), seeds)
		if err != nil {
			return maps, err
		}
		for k, i := range some {
			maps[i] = &made[k]
		}
	}
	return maps, nil
}

// first are the boxes to explain where each takes long: the most probable ones of a frame.
func (m *BundleModel) first(all []found, of []int) []int {
	if !m.bundle.Output.Parts() {
		return of
	}
	of = slices.Clone(of)
	slices.SortStableFunc(of, func(a, b int) int { return cmp.Compare(all[b].Probability, all[a].Probability) })
	return of[:min(len(of), maxSlow)]
}

// What a finding says that its model does not explain.
const (
	NoteNoMethod = "No explanation is made: the model's manifest has it so."
	NoteFirst    = "No explanation is made: of a frame's boxes only the three most probable are explained by a method of many runs."
	NoteBudget   = "No explanation is made: it would take longer than the model's manifest allows."
)

// unexplained says why a finding has no map.
func (m *BundleModel) unexplained() string { return unexplained(m.network.How) }

func unexplained(how analysis.Explanation) string {
	switch {
	case how.Method != NoMethod:
		return NoteBudget
	case how.Fallback != "":
		return "No explanation is made: " + how.Fallback
	}
	return NoteNoMethod
}

func byClass(classes []int, maps []explain.Map) map[int]explain.Map {
	explanations := make(map[int]explain.Map, len(classes))
	for i, m := range maps {
		explanations[classes[i]] = m
	}
	return explanations
}
