package onnx

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"endogate/explain"
	"endogate/explain/sampling"
)

// Question is what an [Explainer] is asked about an input.
type Question struct {
	Target explain.Target
	Seed   []float32 // weights of the classes: one-hot for one, 1 and -1 for a contrast
	// Score is what methods of many forward runs explain; of the network's own output; nil is its values weighted with Seed.
	Score    sampling.Score
	Progress sampling.Progress // of methods of many runs; may be nil
}

// batchSize is how many inputs methods of many runs hand over at once: more gain nothing on a processor.
const batchSize = 4

// Explain answers by any method: one attribution, or several where the target is several layers.
func (e *Explainer) Explain(ctx context.Context, in Input, q Question) ([]Attribution, error) {
	info, ok := explain.LookupMethod(q.Target.Method)
	switch {
	case !ok:
		return nil, fmt.Errorf("onnx: unknown method %q", q.Target.Method)
	case info.Runs:
		return e.sample(ctx, in, q)
	}
	_, maps, err := e.Run(ctx, in, [][]float32{q.Seed}, []explain.Target{q.Target})
	return maps, err
}

// sample runs the network many times, on one session.
func (e *Explainer) sample(ctx context.Context, in Input, q Question) (answer []Attribution, err error) {
	s, err := e.openFor(q.Target)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.cache.giveBack(s)) }()
	picture, err := pictureOf(in.Shape)
	if err != nil {
		return nil, err
	}
	r := &sampler{loaded: s.loaded, in: in, question: q, net: s.loaded.network(in, picture, q.Target.Method == explain.ScoreCAM, q.Progress)}
	if r.net.Batch > 1 && !s.loaded.apart(ctx, in) {
		r.net.Batch = 1
	}
	r.in.Baseline = orConstant(in.Baseline, len(in.Values), 0)
	if q.Score == nil {
		r.question.Score = seeded(q.Seed)
	}
	return r.attributions(ctx)
}

// openFor opens what a method of many runs needs.
func (e *Explainer) openFor(t explain.Target) (*cached, error) {
	switch t.Method {
	case explain.SmoothGrad, explain.IntegratedGradients:
		return e.open([]explain.Target{{Method: explain.Gradient}}, false, false)
	case explain.ScoreCAM:
		return e.open([]explain.Target{{Method: explain.Activation, Layer: t.Layer}}, false, false)
	}
	return e.open(nil, false, true)
}

// PrepareSampling loads what a method of many runs needs, and returns what it explains at: nothing for one that knows no layers.
func (e *Explainer) PrepareSampling(t explain.Target) ([]explain.Output, error) {
	s, err := e.openFor(t)
	if err != nil {
		return nil, err
	}
	var at []explain.Output
	if s.loaded.compiled != nil {
		at = s.loaded.compiled.Maps
	}
	return at, e.cache.giveBack(s)
}

// seeded is the score that a seed makes of logits.
func seeded(seed []float32) sampling.Score {
	return func(logits []float32) float64 {
		sum := 0.0
		for i, l := range logits {
			if seed[i] != 0 {
				sum += float64(seed[i]) * float64(l)
			}
		}
		return sum
	}
}

// pictureOf reads the layout of an input.
func pictureOf(shape []int64) (sampling.Picture, error) {
	l, ok := explain.LayoutOf(shape)
	if !ok {
		return sampling.Picture{}, fmt.Errorf("onnx: input shape %v: neither pictures nor clips", shape)
	}
	p := sampling.Picture{Frames: l.Frames, Channels: l.Channels, Height: l.Height, Width: l.Width}
	switch {
	case l.ChannelsLast:
		p.Layout = sampling.ChannelsLast
	case l.Frames > 1 && !l.FramesFirst:
		p.Layout = sampling.FramesAfterChannels
	}
	return p, nil
}

// network is a loaded model as package sampling wants it: with its own output for a score, or the logits that gradients are of.
func (l *loaded) network(in Input, p sampling.Picture, own bool, progress sampling.Progress) sampling.Network {
	batch := batchSize
	switch {
	case l.plain != nil && !l.plain.open:
		batch = 1
	case l.plain == nil && l.compiled.InputShape[0] >= 0:
		batch = int(max(l.compiled.InputShape[0], 1))
	}
	net := sampling.Network{Picture: p, Batch: batch, Progress: progress}
	net.Logits = func(ctx context.Context, inputs []float32, n int) ([]float32, error) {
		out, err := l.run(ctx, Input{Shape: in.Shape, Values: inputs}, n, nil)
		if err != nil {
			return nil, err
		}
		if own {
			return l.output(out).Values, nil
		}
		return out[0].Values, nil
	}
	net.Gradients = func(ctx context.Context, inputs []float32, n int, seed []float32) ([]float32, error) {
		seeds := make([][]float32, n)
		for i := range seeds {
			seeds[i] = seed
		}
		out, err := l.run(ctx, Input{Shape: in.Shape, Values: inputs}, n, seeds)
		if err != nil {
			return nil, err
		}
		return out[1].Values, nil
	}
	return net
}

// apart reports whether the network takes two inputs in one run and says of each what it says of it alone. An open first axis is no proof: exporters
// leave it open where sizes of one frame stand in the graph, and what is normalised over a batch mixes its frames. It is tried once.
func (l *loaded) apart(ctx context.Context, in Input) bool {
	l.tried.Do(func() {
		other := slices.Clone(in.Values) // upside down, half as strong
		slices.Reverse(other)
		for i := range other {
			other[i] /= 2
		}
		both, err := l.run(ctx, Input{Shape: in.Shape, Values: slices.Concat(in.Values, other)}, 2, nil)
		if err != nil {
			return
		}
		var each []float32
		for _, values := range [][]float32{in.Values, other} {
			one, err := l.run(ctx, Input{Shape: in.Shape, Values: values}, 1, nil)
			if err != nil {
				return
			}
			each = append(each, l.output(one).Values...)
		}
		l.together = slices.EqualFunc(l.output(both).Values, each, func(a, b float32) bool {
			return math.Abs(float64(a-b)) <= alike*max(1, math.Abs(float64(b)))
		})
	})
	return l.together
}

// alike is how far apart a network's answers may be that are the same but for rounding.
const alike = 1e-3

// sampler is one question to one network.
type sampler struct {
	loaded   *loaded
	in       Input
	question Question
	net      sampling.Network
}

func (r *sampler) attributions(ctx context.Context) ([]Attribution, error) {
	x, base, q := r.in.Values, r.in.Baseline, r.question
	switch q.Target.Method {
	case explain.SmoothGrad:
		values, err := sampling.SmoothGrad(ctx, r.net, x, q.Seed, sampling.SmoothGradOptions{})
		return r.atInput(values, "", err)
	case explain.IntegratedGradients:
		a, err := sampling.IntegratedGradients(ctx, r.net, x, base, q.Seed, sampling.IntegratedGradientsOptions{})
		return r.atInput(a.Values, gapNote(a), err)
	case explain.Occlusion:
		m, err := sampling.Occlusion(ctx, r.net, x, base, q.Score, sampling.OcclusionOptions{})
		return r.asMap(m, explain.Layer{}, "", err)
	case explain.RISE:
		m, err := sampling.RISE(ctx, r.net, x, base, q.Score, sampling.RISEOptions{Centred: true})
		return r.asMap(m, explain.Layer{}, "", err)
	case explain.LIME:
		fit, err := sampling.LIME(ctx, r.net, x, base, q.Score, sampling.LIMEOptions{})
		return r.asMap(fit.Map, explain.Layer{}, fitNote(fit), err)
	}
	return r.scoreCAM(ctx)
}

// scoreCAM masks the input with each channel of every layer asked for; the maps of several that are the last together are added up.
func (r *sampler) scoreCAM(ctx context.Context) ([]Attribution, error) {
	out, err := r.loaded.run(ctx, r.in, 1, nil)
	if err != nil {
		return nil, err
	}
	var all []Attribution
	var layers []explain.Layer
	var maps []explain.Map
	for i, o := range r.loaded.compiled.Maps {
		m, err := sampling.ScoreCAM(ctx, r.net, r.in.Values, r.in.Baseline, r.question.Score, meanActivation(o, out[1+i].Values), sampling.ScoreCAMOptions{})
		one, err := r.asMap(m, o.Layer, "", err)
		if err != nil {
			return nil, err
		}
		m.Extent = o.Extent
		all, layers, maps = append(all, one...), append(layers, o.Layer), append(maps, m)
	}
	if layer := r.question.Target.Layer; len(all) > 1 && (layer == "" || layer == explain.LastLayer) {
		l, m := explain.AddUp(layers, maps)
		return r.asMap(m, l, "", nil)
	}
	return all, nil
}

// meanActivation is a layer's activation, averaged over the frames of a clip.
func meanActivation(o explain.Output, values []float32) sampling.Activation {
	a := sampling.Activation{Channels: o.Layer.Channels, Height: o.Height, Width: o.Width, Extent: o.Extent}
	cells := o.Height * o.Width
	a.Values = make([]float32, a.Channels*cells)
	for i, v := range values {
		channel := i / cells % a.Channels // frames are pictures of their own
		if o.Layer.TimeAxis {
			channel = i / (o.Frames * cells)
		}
		a.Values[channel*cells+i%cells] += v / float32(o.Frames)
	}
	return a
}

func (r *sampler) atInput(values []float32, note string, err error) ([]Attribution, error) {
	if err != nil {
		return nil, err
	}
	return []Attribution{{explain.Output{Method: r.question.Target.Method, AtInput: true, Frames: 1, Note: note}, values}}, nil
}

func (r *sampler) asMap(m explain.Map, l explain.Layer, note string, err error) ([]Attribution, error) {
	if err != nil {
		return nil, err
	}
	o := explain.Output{Method: r.question.Target.Method, Layer: l, Frames: 1, Height: m.Height, Width: m.Width, Extent: l.Extent, Note: note, Instead: l.Instead()}
	return []Attribution{{o, m.Values}}, nil
}

// unreliable ends the note of a map that fits the network badly.
const unreliable = ": do not rely on this map"

// fitNote says how well LIME's linear model fits the scores; nothing where they are all the same.
func fitNote(s sampling.Surrogate) string {
	if _, err := s.Map.Magnitude(); err != nil {
		return ""
	}
	note := fmt.Sprintf("linear fit R² %.2f", s.Fit)
	if !(s.Fit >= 0.5) {
		note += unreliable
	}
	return note
}

// gapNote says how far the shares of integrated gradients are from adding up to the change of the score; nothing where there is none.
func gapNote(a sampling.Attribution) string {
	switch gap := a.Gap / math.Abs(a.Change); {
	case a.Gap == 0 && a.Change == 0:
		return ""
	case gap <= 0.01:
		return fmt.Sprintf("shares add up to the score within %.1f %%", 100*gap)
	case a.Change == 0:
		return "shares of no change" + unreliable
	default:
		return fmt.Sprintf("shares off by %.1f %%", 100*gap) + unreliable
	}
}

// Maps are an attribution's values as maps, one for each frame: those at the input are put together over the channels,
// as the greatest magnitude, or as the sum where signs mean something.
func (a Attribution) Maps(shape []int64) ([]explain.Map, error) {
	if !a.AtInput {
		cells := a.Height * a.Width
		var maps []explain.Map
		for at := 0; at+cells <= len(a.Values) && cells > 0; at += cells {
			maps = append(maps, explain.Map{Width: a.Width, Height: a.Height, Values: a.Values[at : at+cells : at+cells], Extent: a.Extent})
		}
		return maps, nil
	}
	p, err := pictureOf(shape)
	if err != nil {
		return nil, err
	}
	how := sampling.MaxAbs
	if info, _ := explain.LookupMethod(a.Method); info.Signed {
		how = sampling.Sum
	}
	return sampling.Reduce(p, a.Values, how), nil
}
