package inference

import (
	"context"

	"endogate/inference/analysis"
)

// Watcher is a model of stills that says how it speaks of videos.
type Watcher interface {
	Model
	// Classify is Infer without an explanation.
	Classify(ctx context.Context, s analysis.Sample) (analysis.Part, error)
	// Watching says which frames it is shown, how they are put together, and of which classes.
	Watching() (Temporal, []analysis.Class)
}

// Watching implements Watcher.
func (m *BundleModel) Watching() (Temporal, []analysis.Class) {
	return m.bundle.Temporal, m.bundle.Classes
}

// Classify implements Watcher.
func (m *BundleModel) Classify(ctx context.Context, s analysis.Sample) (analysis.Part, error) {
	input := m.inputs.Get().(*[]float32)
	defer m.inputs.Put(input)
	g, err := m.prepare(s, *input)
	if err != nil {
		return analysis.Part{}, Permanent(err)
	}
	outputs, _, err := m.network.Explain(ctx, *input, m.bundle.Shape(), nil)
	if err != nil {
		return analysis.Part{}, err
	}
	said, err := m.network.Reading.Read(outputs, g)
	if err != nil {
		return analysis.Part{}, Permanent(err)
	}
	part := analysis.Part{Geometry: g, Result: analysis.Result{
		Span: s.Span, Rows: g.Rows, Columns: g.Columns, Scores: make(map[string]float64, len(said.Probabilities)),
	}}
	for i, class := range m.bundle.Classes {
		part.Result.Scores[class.Name] = said.Probabilities[i]
	}
	for _, f := range m.found(said) {
		part.Result.Findings = append(part.Result.Findings, f.Finding)
	}
	return part, nil
}
