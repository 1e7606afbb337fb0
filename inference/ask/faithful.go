package ask

import (
	"context"

	"endogate/explain"
	"endogate/explain/faithfulness"
)

// Faithfulness is what becomes of the probability of the class in question while what an answer points at goes from the frame, and while
// it comes back. An answer with nothing in it is explain.ErrZeroMap.
func (m *Model) Faithfulness(ctx context.Context, a *Asked, one Answer) (deletion, insertion faithfulness.Curve, err error) {
	maps, err := one.Maps(a.Input.Shape)
	if err != nil {
		return deletion, insertion, err
	}
	if _, err := maps[0].Magnitude(); err != nil {
		return deletion, insertion, err
	}
	l, _ := explain.LayoutOf(a.Input.Shape)
	blurred := faithfulness.Blur(l, a.Input.Values, float64(l.Width)/20)
	return faithfulness.Curves(ctx, m.scorer(a.Class), l, a.Input.Values, a.Input.Baseline, blurred, maps[0])
}

// scorer scores a class.
func (m *Model) scorer(class int) faithfulness.Scorer {
	return func(ctx context.Context, inputs []float32, n int) ([]float64, error) {
		probabilities, err := m.Probabilities(ctx, inputs, n)
		scores := make([]float64, len(probabilities))
		for i, p := range probabilities {
			scores[i] = p[class]
		}
		return scores, err
	}
}
