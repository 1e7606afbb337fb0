package ask

import (
	"context"
	"errors"
	"fmt"

	"endogate/explain"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/onnx"
)

// clipNetwork implements inference.ClipNetwork: it classifies by the network as it was exported and explains by its gradient.
type clipNetwork struct {
	model *Model
	own   func(ctx context.Context, input []float32) ([]onnx.Tensor, error)
	pair  *pair // of an encoder and a head; nil: the network is one
}

// openClips loads a network that looks across time, and holds what its gradient's graph says against the network as it was exported.
func (m *Model) openClips(ctx context.Context, content []byte, known read) (*Opened, error) {
	own, pair, closeOwn, err := m.openAsExported(content)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", m.Bundle.Name, err)
	}
	fail := func(err error) (*Opened, error) { return nil, errors.Join(err, closeOwn()) }
	how := m.Bundle.Explain.Explanation
	n := &clipNetwork{m, own, pair}
	if targets, err := m.clipTargets(Question{}); err != nil {
		return fail(err)
	} else if len(targets) > 0 {
		made, err := m.output.Prepare(targets)
		if err != nil {
			return fail(fmt.Errorf("model %s: %w; explain.method: none runs the network as it is", m.Bundle.Name, err))
		}
		if last := made[len(made)-1]; how.Method != inference.NoMethod {
			how.Fallback = last.Instead
		}
		held := inference.Opened{Network: &gradientSays{n, known, targets}, Reading: known.reading, How: how}
		if err := m.Bundle.Hold(ctx, held, own, known.ends, known.tolerance); err != nil {
			return fail(err)
		}
	}
	return &Opened{inference.Opened{Network: n, Reading: known.reading, How: how}, closeOwn}, nil
}

// openAsExported loads the network, or both parts of it, without a gradient.
func (m *Model) openAsExported(content []byte) (run func(ctx context.Context, input []float32) ([]onnx.Tensor, error), parts *pair, closeIt func() error, err error) {
	if m.Bundle.Clip.Head != "" {
		if parts, err = m.openPair(); err != nil {
			return nil, nil, nil, err
		}
		return parts.Run, parts, parts.Close, nil
	}
	p, err := m.runtime.OpenPlain(content, onnx.NetworkOptions{
		Output: m.Bundle.Output.Name, IntraOpThreads: m.options.Threads, Sessions: m.options.Sessions, Provider: m.options.Provider,
	})
	if err != nil {
		return nil, nil, nil, err
	}
	return func(ctx context.Context, input []float32) ([]onnx.Tensor, error) {
		return p.Run(ctx, input, m.Bundle.Shape(), 1)
	}, nil, p.Close, nil
}

// Explain implements inference.Network: it classifies. What speaks for a seed is said frame by frame, by ExplainClip.
func (n *clipNetwork) Explain(ctx context.Context, input []float32, _ []int64, seeds [][]float32) ([]explain.Tensor, []explain.Map, error) {
	if len(seeds) > 0 {
		return nil, nil, errors.New("ask: a clip has no map of its own, its frames have")
	}
	outputs, err := n.own(ctx, input)
	return outputs, nil, err
}

// ExplainClip implements inference.ClipNetwork.
func (n *clipNetwork) ExplainClip(ctx context.Context, input []float32, frames int, seed []float32) (inference.Moments, error) {
	w := &Watched{
		Asked:  &Asked{Input: onnx.Input{Shape: n.model.Bundle.Shape(), Values: input}, bundle: n.model.Bundle, seed: seed},
		Frames: make([]analysis.Prepared, frames),
	}
	if err := n.model.explainClip(ctx, w, Question{}); err != nil {
		return inference.Moments{}, err
	}
	return inference.Moments{Importance: w.Importance(), Maps: w.Maps, By: w.measure()}, nil
}

// Encode implements inference.ClipNetwork.
func (n *clipNetwork) Encode(ctx context.Context, frames []float32) ([][]float32, error) {
	if n.pair == nil {
		return nil, errOneGraph
	}
	return n.pair.Encode(ctx, frames)
}

// Across implements inference.ClipNetwork.
func (n *clipNetwork) Across(ctx context.Context, window [][]float32) ([]explain.Tensor, error) {
	if n.pair == nil {
		return nil, errOneGraph
	}
	return n.pair.Across(ctx, window)
}

var errOneGraph = errors.New("ask: the network has no encoder of frames by itself")

// gradientSays is what the graph with the gradient makes of the output, where that is what its logits are.
type gradientSays struct {
	*clipNetwork
	known   read
	targets []explain.Target
}

// Explain implements inference.Network.
func (g *gradientSays) Explain(ctx context.Context, input []float32, shape []int64, seeds [][]float32) ([]explain.Tensor, []explain.Map, error) {
	if g.known.ends != explain.Linear {
		return g.clipNetwork.Explain(ctx, input, shape, seeds)
	}
	values, err := g.model.own.Output(ctx, onnx.Input{Shape: shape, Values: input}, 1)
	if err != nil {
		return nil, nil, err
	}
	logits, _, err := g.model.output.Run(ctx, onnx.Input{Shape: shape, Values: input}, [][]float32{make([]float32, len(values))}, g.targets)
	return []explain.Tensor{{Shape: []int64{1, int64(len(logits))}, Values: logits}}, nil, err
}
