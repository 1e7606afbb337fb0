package ask

import (
	"context"
	"slices"

	"endogate/explain"
	"endogate/inference"
	"endogate/inference/onnx"
)

// Wishes explains the findings of a model as routes wish. It implements inference.Explainer.
type Wishes struct {
	Bundle    *inference.Bundle
	Explainer *onnx.Explainer

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
	_, err := w.Explainer.Prepare(all)
	if err == nil {
		w.prepared = all
	}
	return err
}

// Explain implements inference.Explainer.
func (w *Wishes) Explain(ctx context.Context, input []float32, class int, targets []explain.Target) ([]explain.Map, error) {
	run := targets
	if !slices.ContainsFunc(targets, func(t explain.Target) bool { return !slices.Contains(w.prepared, t) }) {
		run = w.prepared
	}
	b := w.Bundle
	seed := make([]float32, len(b.Classes))
	seed[class] = 1
	in := onnx.Input{Shape: b.Input.Shape(), Values: input, Baseline: b.Input.Uniform(0), Low: b.Input.Uniform(0), High: b.Input.Uniform(255)}
	_, answers, err := w.Explainer.Run(ctx, in, [][]float32{seed}, run)
	if err != nil {
		return nil, err
	}
	maps := make([]explain.Map, len(targets))
	for i, t := range targets {
		if maps[i], err = raw(answers[slices.Index(run, t)], in.Shape); err != nil {
			return nil, err
		}
	}
	return maps, nil
}
