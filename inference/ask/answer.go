package ask

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"endogate/explain"
	"endogate/explain/picture"
	"endogate/inference"
	"endogate/inference/onnx"
)

// Answer is what a method says, at one layer.
type Answer struct{ onnx.Attribution }

// Shape is that of the values, of a question about a.
func (one Answer) Shape(a *Asked) []int64 {
	if one.AtInput {
		return a.Input.Shape
	}
	return []int64{int64(one.Frames), int64(one.Height), int64(one.Width)}
}

// OnFrame lays an answer over the frame: a map of the frame's size, 0 to 1, of what speaks for the class. Errors as
// inference.Shown.
func (one Answer) OnFrame(a *Asked) (explain.Map, error) {
	m, err := one.raw(a)
	if err != nil {
		return explain.Map{}, err
	}
	return inference.Shown(a.Geometry, m)
}

// raw is the first map of an answer; one of pixels is clipped, so that a few do not darken all others.
func (one Answer) raw(a *Asked) (explain.Map, error) {
	maps, err := one.Maps(a.Input.Shape)
	if err != nil {
		return explain.Map{}, err
	}
	m := maps[0]
	if _, err := m.Max(); err == nil && one.AtInput {
		m = picture.Clip(m)
	}
	return m, nil
}

// remark is what a reader of the map has to know.
func (one Answer) remark() string { return joined(one.Instead, one.Note) }

// joined is what there is of two remarks.
func joined(a, b string) string { return strings.TrimPrefix(strings.TrimSuffix(a+"; "+b, "; "), "; ") }

// Progress tells how many of a method's runs are done.
type Progress func(m explain.Method, done, all int)

// run answers by targets that are compiled, all in one run of the network.
func (m *Model) run(ctx context.Context, a *Asked, targets []explain.Target) ([]Answer, error) {
	_, maps, err := m.output.Run(ctx, a.Input, [][]float32{a.seed}, targets)
	return answers(maps), err
}

// Answer answers by every method of the question, those of one run together and then the others, and hands over each answer as
// soon as it is there. progress may be nil.
func (m *Model) Answer(ctx context.Context, a *Asked, progress Progress, do func(Answer) error) error {
	hand := func(all []Answer, err error) error {
		for _, one := range all {
			err = errors.Join(err, do(one))
			if err != nil {
				break
			}
		}
		return err
	}
	var together, alone []explain.Target
	for _, t := range a.targets {
		if info, _ := explain.LookupMethod(t.Method); info.Runs {
			alone = append(alone, t)
		} else {
			together = append(together, t)
		}
	}
	able, unable, why := m.apart(together)
	if why != nil && !m.standsIn(unable, why) {
		return why
	}
	if len(able) > 0 {
		if err := hand(m.run(ctx, a, able)); err != nil {
			return err
		}
	}
	if len(unable) > 0 {
		if err := hand(m.standsFor(ctx, a, unable, why, progress)); err != nil {
			return err
		}
	}
	for _, t := range alone {
		if err := hand(m.sample(ctx, a, t, progress)); err != nil {
			return err
		}
	}
	return nil
}

// apart tells targets that can be compiled, all in one, from those that cannot, and says why the first of these cannot.
func (m *Model) apart(targets []explain.Target) (able, unable []explain.Target, why error) {
	if len(targets) == 0 {
		return nil, nil, nil
	}
	_, err := m.output.Prepare(targets)
	switch {
	case err == nil:
		return targets, nil, nil
	case len(targets) == 1:
		return nil, targets, err
	}
	for _, t := range targets {
		one, none, err := m.apart([]explain.Target{t})
		able, unable = append(able, one...), append(unable, none...)
		if why == nil {
			why = err
		}
	}
	if why == nil { // each by itself, but not together
		return nil, targets, err
	}
	return able, unable, why
}

// standsFor answers by what stands in for methods that cannot be compiled, and says so.
func (m *Model) standsFor(ctx context.Context, a *Asked, targets []explain.Target, why error, progress Progress) ([]Answer, error) {
	stand := m.standIn(targets, why)
	all, err := m.sample(ctx, a, explain.Target{Method: explain.Method(stand.Method), Layer: stand.Layer}, progress)
	for i := range all {
		all[i].Instead = joined(strings.TrimSuffix(stand.Fallback, "."), all[i].Instead)
	}
	return all, err
}

// sample answers by a method of many runs.
func (m *Model) sample(ctx context.Context, a *Asked, t explain.Target, progress Progress) ([]Answer, error) {
	info, _ := explain.LookupMethod(t.Method)
	explainer := m.own
	if info.AtInput { // by gradients
		explainer = m.output
	}
	q := onnx.Question{Target: t, Seed: a.seed, Score: a.score}
	if progress != nil {
		q.Progress = func(done, all int) { progress(t.Method, done, all) }
	}
	maps, err := explainer.Explain(ctx, a.Input, q)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", info.Title, err)
	}
	return answers(maps), nil
}

func answers(maps []onnx.Attribution) []Answer {
	all := make([]Answer, len(maps))
	for i, m := range maps {
		all[i] = Answer{m}
	}
	return all
}

// Answers are all of them.
func (m *Model) Answers(ctx context.Context, a *Asked) (all []Answer, err error) {
	err = m.Answer(ctx, a, nil, func(one Answer) error { all = append(all, one); return nil })
	return all, err
}

// Paint is Answer with a picture of each answer.
func (m *Model) Paint(ctx context.Context, a *Asked, p *Painter, progress Progress, do func(Answer, Painting) error) error {
	return m.Answer(ctx, a, progress, func(one Answer) error {
		painting, err := p.Paint(a, one)
		if err != nil {
			return err
		}
		return do(one, painting)
	})
}
