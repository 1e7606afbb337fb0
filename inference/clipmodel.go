package inference

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"endogate/explain"
	"endogate/inference/analysis"
)

// ClipNetwork is a Network of clips. Its methods may be called from any goroutine.
type ClipNetwork interface {
	Network
	// ExplainClip says of a clip of so many frames, which are followed by what fills it up, how much each counts and where in each something
	// speaks for a seed, by the gradient of the clip's own decision.
	ExplainClip(ctx context.Context, input []float32, frames int, seed []float32) (Moments, error)
}

// Moments are the frames of a clip, explained.
type Moments struct {
	Importance []float32     // of each frame
	By         string        // what tells how much they count
	Maps       []explain.Map // of each frame; none where the manifest has none made
}

// inferClip is Infer of a model that looks across time.
func (m *BundleModel) inferClip(ctx context.Context, s analysis.Sample, w Wishes) (analysis.Part, error) {
	network, ok := m.network.Network.(ClipNetwork)
	if !ok {
		return analysis.Part{}, Permanent(fmt.Errorf("inference: model %s: its network does not look across time", m.bundle.Name))
	}
	if len(w.Heatmaps) > 0 {
		return analysis.Part{}, Permanent(fmt.Errorf("inference: model %s looks across time and explains by its own method alone", m.bundle.Name))
	}
	if s.Prepared != nil || len(s.Frames) == 0 {
		return analysis.Part{}, Permanent(errors.New("inference: a model that looks across time wants the frames of a clip"))
	}
	input := m.inputs.Get().(*[]float32)
	defer m.inputs.Put(input)
	all, err := m.bundle.PrepareClip(s.Frames, s.Orientation, *input)
	if err != nil {
		return analysis.Part{}, Permanent(err)
	}
	outputs, _, err := network.Explain(ctx, *input, m.bundle.Shape(), nil)
	if err != nil {
		return analysis.Part{}, err
	}
	said, err := m.network.Reading.Read(outputs, all[0])
	if err != nil {
		return analysis.Part{}, Permanent(err)
	}
	part := analysis.Part{Geometry: all[0], Result: analysis.Result{
		Span: s.Span, Rows: all[0].Rows, Columns: all[0].Columns, Scores: make(map[string]float64, len(said.Probabilities)),
	}}
	for i, class := range m.bundle.Classes {
		part.Result.Scores[class.Name] = said.Probabilities[i]
	}
	for _, f := range m.found(said) {
		part.Result.Findings = append(part.Result.Findings, f.Finding)
		if f.Role != analysis.RoleFinding && !slices.Contains(w.Classes, f.Class) {
			continue
		}
		moments, err := network.ExplainClip(ctx, *input, len(s.Frames), f.seed())
		if err != nil {
			return analysis.Part{}, err
		}
		if len(moments.Maps) == 0 {
			part.Result.Notes = append(part.Result.Notes, f.Class+": "+m.unexplained())
			continue
		}
		order := byImportance(moments.Importance)
		peak := order[0]
		part.Result.Peak, part.Geometry = s.Span.First+peak, all[peak]
		part.Result.Notes = append(part.Result.Notes, fmt.Sprintf("%s: the frames that count most are %s (%s); the map is of frame %d", f.Class, counting(s.Span, moments.Importance, order), moments.By, part.Result.Peak))
		part.Maps = append(part.Maps, mapOf(f.Finding, m.network.How, moments.Maps[peak]))
	}
	return part, nil
}

// maxCounting is how many frames a note names.
const maxCounting = 3

// byImportance are the frames of a clip, from 0, those that count most first.
func byImportance(importance []float32) []int {
	order := make([]int, len(importance))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(importance[b], importance[a]) })
	return order
}

// counting names the frames that count most.
func counting(span analysis.Span, importance []float32, order []int) string {
	var all []string
	for _, i := range order[:min(len(order), maxCounting)] {
		all = append(all, fmt.Sprintf("%d (%.2f)", span.First+i, importance[i]))
	}
	return strings.Join(all, ", ")
}
