package ask

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"endogate/explain"
	"endogate/explain/sampling"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/onnx"
)

// Opened is a bundle's network, loaded to classify every frame and explain what it finds.
type Opened struct {
	inference.Opened
	close func() error
}

// Close frees it.
func (o *Opened) Close() error { return o.close() }

// OpenNetwork loads the bundle's network as a gateway does: with the gradient that its manifest's method needs, or where that
// cannot be had (an operator without a rule, no layer) as it is, explained by what needs no gradient. Either way its
// probabilities are held against those of the network as it was exported. The caller closes it.
func (m *Model) OpenNetwork(ctx context.Context) (*Opened, error) {
	known, err := m.reading()
	if err != nil {
		return nil, err
	}
	content, err := m.options.Load()
	if err != nil {
		return nil, err
	}
	if m.Bundle.Clip != nil {
		return m.openClips(ctx, content, known)
	}
	o := onnx.NetworkOptions{
		Method: explain.Method(m.Bundle.Explain.Method), Layer: m.Bundle.Explain.Layer, InputShape: m.Bundle.Shape(), Output: m.Bundle.Output.Name,
		IntraOpThreads: m.options.Threads, Sessions: m.options.Sessions, Provider: m.options.Provider, Grid: m.Bundle.Explain.Grid,
		Outputs: m.Bundle.Output.Others(), Parts: m.Bundle.Output.Parts(),
	}
	plain, err := m.runtime.OpenPlain(content, o)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", m.Bundle.Name, err)
	}
	opened, err := m.open(content, o, plain, known)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("model %s: %w", m.Bundle.Name, err), plain.Close())
	}
	own := func(ctx context.Context, input []float32) ([]explain.Tensor, error) {
		return plain.Run(ctx, input, o.InputShape, 1)
	}
	if err := m.Bundle.Hold(ctx, opened.Opened, own, known.ends, known.tolerance); err != nil {
		return nil, errors.Join(err, opened.Close(), plain.Close())
	}
	if _, compiled := opened.Network.(*onnx.Network); compiled { // it has its own
		err = plain.Close()
	}
	return opened, err
}

// open explains a network as its manifest has it, or as it can be.
func (m *Model) open(content []byte, o onnx.NetworkOptions, plain *onnx.Plain, known read) (*Opened, error) {
	how := m.Bundle.Explain
	info, _ := explain.LookupMethod(explain.Method(how.Method))
	switch {
	case how.Method == inference.NoMethod:
		return m.sampled(plain, known, analysis.Explanation{Method: inference.NoMethod})
	case info.Runs:
		return m.sampled(plain, known, how.Explanation)
	}
	n, err := m.runtime.OpenNetwork(content, o)
	if err == nil {
		how.Explanation.Fallback = n.Instead()
		return &Opened{inference.Opened{Network: n, Reading: known.reading, How: how.Explanation}, n.Close}, nil
	}
	if errors.Is(err, explain.ErrNoLayer) && how.Layer != explain.LastLayer { // a name that is not there is a fault of the manifest
		return nil, err
	}
	return m.sampled(plain, known, m.standIn([]explain.Target{{Method: info.Method, Layer: how.Layer}}, err))
}

// standIn is what explains in place of targets that cannot be compiled.
func (m *Model) standIn(targets []explain.Target, err error) analysis.Explanation {
	var titles []string
	for _, t := range targets {
		info, _ := explain.LookupMethod(t.Method)
		titles = append(titles, info.Title)
	}
	stand := analysis.Explanation{
		Method:   string(m.Bundle.Explain.Fallback),
		Fallback: fmt.Sprintf("%s cannot explain this network: %s.", strings.Join(slices.Compact(titles), ", "), why(err)),
	}
	if m.Bundle.Explain.Fallback == explain.ScoreCAM {
		stand.Layer = targets[0].Layer
	}
	return stand
}

// standsIn reports whether something stands in for targets that cannot be compiled: not where a layer's name is wrong.
func (m *Model) standsIn(targets []explain.Target, err error) bool {
	named := slices.ContainsFunc(targets, func(t explain.Target) bool {
		return t.Layer != "" && t.Layer != explain.LastLayer
	})
	return m.Bundle.Explain.Fallback != inference.NoMethod && (!errors.Is(err, explain.ErrNoLayer) || !named)
}

// why an explanation cannot be had, for people, without what else could be.
func why(err error) string {
	var u *explain.UnsupportedError
	if errors.As(err, &u) {
		return fmt.Sprintf("operator %s of node %q: %s", u.Operator, u.Node, u.Why)
	}
	return err.Error()
}

// sampled is a network as it is, explained by a method of many runs, or not.
func (m *Model) sampled(plain *onnx.Plain, known read, how analysis.Explanation) (*Opened, error) {
	if how.Method != inference.NoMethod { // whether it can be, and at which layer, is known now
		at, err := m.own.PrepareSampling(explain.Target{Method: explain.Method(how.Method), Layer: how.Layer})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", how.Method, err)
		}
		for _, o := range at {
			how.Fallback = strings.TrimSpace(how.Fallback + " " + o.Instead)
		}
	}
	return &Opened{inference.Opened{Network: &sampled{model: m, plain: plain, reading: known.reading, how: how}, Reading: known.reading, How: how}, plain.Close}, nil
}

// sampled implements inference.Network without gradients.
type sampled struct {
	model   *Model
	plain   *onnx.Plain
	reading inference.Reading
	how     analysis.Explanation
}

func (s *sampled) Explain(ctx context.Context, input []float32, shape []int64, seeds [][]float32) (outputs []explain.Tensor, maps []explain.Map, err error) {
	if outputs, err = s.plain.Run(ctx, input, shape, 1); err != nil {
		return nil, nil, err
	}
	for _, seed := range seeds {
		score, err := s.reading.Scoring(outputs, seed)
		if err != nil {
			return nil, nil, err
		}
		one, err := s.explain(ctx, input, seed, score)
		if err != nil {
			return nil, nil, err
		}
		maps = append(maps, one)
	}
	return outputs, maps, nil
}

// explain makes one map within the manifest's budget.
func (s *sampled) explain(ctx context.Context, input, seed []float32, score sampling.Score) (explain.Map, error) {
	limited, cancel := context.WithTimeoutCause(ctx, s.model.Bundle.Explain.Budget, inference.ErrBudget)
	defer cancel()
	in := inputOf(s.model.Bundle, input)
	all, err := s.model.own.Explain(limited, in, onnx.Question{
		Target: explain.Target{Method: explain.Method(s.how.Method), Layer: s.how.Layer}, Seed: seed, Score: score,
	})
	switch {
	case err != nil && ctx.Err() == nil && context.Cause(limited) == inference.ErrBudget:
		return explain.Map{}, inference.ErrBudget
	case err != nil:
		return explain.Map{}, err
	}
	made, err := all[0].Maps(in.Shape)
	if err != nil {
		return explain.Map{}, err
	}
	return made[0], nil
}
