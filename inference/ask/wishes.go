package ask

import (
	"context"
	"slices"

	"endogate/explain"
	"endogate/inference"
	"endogate/inference/analysis"
)

// Wishes explains the findings of a model as routes wish. It implements inference.Explainer.
type Wishes struct {
	Model *Model
	Own   analysis.Explanation // what findings are explained by without wishes

	prepared []explain.Target // in one session, so that the wishes of one route do not push out those of another
}

// Prepare compiles all that is going to be wished, so that what cannot be is found now and no frame waits. It is called
// before the first Explain.
func (w *Wishes) Prepare(targets []explain.Target) error {
	var all []explain.Target
	for _, t := range targets {
		if !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	if len(all) == 0 {
		return nil
	}
	_, err := w.Model.output.Prepare(all)
	if err == nil {
		w.prepared = all
	}
	return err
}

// Explain implements inference.Explainer.
func (w *Wishes) Explain(ctx context.Context, input, seed []float32, targets []explain.Target) ([]inference.Explained, error) {
	run := targets
	if !slices.ContainsFunc(targets, func(t explain.Target) bool { return !slices.Contains(w.prepared, t) }) {
		run = w.prepared
	}
	a := &Asked{Input: inputOf(w.Model.Bundle, input), seed: seed}
	answers, err := w.Model.run(ctx, a, run)
	if err != nil {
		return nil, err
	}
	made := make([]inference.Explained, len(targets))
	for i, t := range targets {
		one := answers[slices.Index(run, t)]
		made[i].How = analysis.Explanation{Method: string(t.Method), Layer: t.Layer, Fallback: one.Instead}
		if made[i].Map, err = one.raw(a); err != nil {
			return nil, err
		}
	}
	return made, nil
}
