package onnx

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"endogate/explain"
)

// Explainer makes maps of one network by any method at any layer. What was asked for last stays loaded, in a [Cache] that
// explainers share. Its methods may be called from any goroutine.
type Explainer struct {
	runtime *Runtime
	load    func() ([]byte, error)
	options ExplainerOptions
	cache   *Cache
	loading sync.Mutex // one session is compiled at a time
	closed  bool       // under the lock of cache
}

// ExplainerOptions say how sessions are made and run.
type ExplainerOptions struct {
	InputShape     []int64           // of a frame, for a model that leaves its height and width open
	IntraOpThreads int               // threads of one run; 0 is 1
	Sessions       int               // runs at once; 0 is the number of CPUs over IntraOpThreads
	Output         string            // as explain.Options.Output
	FromOutput     bool              // as explain.Options.FromOutput
	Provider       string            // as SessionOptions.Provider
	Grid           explain.TokenGrid // as explain.Options.Grid
	Parts          bool              // as explain.Options.Parts
	Outputs        []string          // others that Outputs returns besides
	Cache          *Cache            // nil: one of its own
}

// loaded is a compiled model in memory, or with nothing to compile the model as it is.
type loaded struct {
	compiled *explain.Compiled // nil for plain
	session  *Session
	plain    *Plain

	tried    sync.Once // see apart
	together bool
}

// Close frees it.
func (l *loaded) Close() error {
	if l.plain != nil {
		return l.plain.Close()
	}
	return l.session.Close()
}

// NewExplainer makes an explainer of the model that load returns. It is read anew whenever something else is to be compiled, so
// that its bytes are not kept. Nothing is loaded yet.
func (r *Runtime) NewExplainer(load func() ([]byte, error), o ExplainerOptions) *Explainer {
	if o.Cache == nil {
		o.Cache = NewCache(0)
	}
	return &Explainer{runtime: r, load: load, options: o, cache: o.Cache}
}

// Close frees what the explainer has in its cache. What is asked later is loaded for that once.
func (e *Explainer) Close() error { return e.cache.drop(e) }

// Loaded is how many networks of the model are in memory now.
func (e *Explainer) Loaded() int { return e.cache.loaded(e) }

// Input is one picture, or one clip, as the network takes it: a batch of one.
type Input struct {
	Shape  []int64
	Values []float32
	// Baseline is what some methods compare with: a black or blurred picture; nil is zeros.
	Baseline []float32
	// Low and High are the least and greatest values of each pixel; nil: those of Values.
	Low, High []float32
}

// Attribution is what a method says of one input and one seed.
type Attribution struct {
	explain.Output
	Values []float32 // as the input with AtInput, else Frames×Height×Width
}

// Run makes the maps of targets that are compiled, for each seed (a weight for every value of the output): the targets of the first
// seed, then those of the next. Logits are what the gradients are of: the output, before a softmax or sigmoid at its end.
func (e *Explainer) Run(ctx context.Context, in Input, seeds [][]float32, targets []explain.Target) (logits []float32, maps []Attribution, err error) {
	s, err := e.open(targets, len(seeds) == 1, false)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, e.cache.giveBack(s)) }()
	c := s.loaded.compiled
	for _, group := range seedGroups(seeds, c.ManySeeds) {
		out, err := s.loaded.run(ctx, in, 1, group)
		if err != nil {
			return nil, nil, err
		}
		logits = out[0].Values
		for i := range group {
			for k, m := range c.Maps {
				all := out[1+k].Values
				one := len(all) / len(group)
				maps = append(maps, Attribution{m, all[i*one : (i+1)*one : (i+1)*one]})
			}
		}
	}
	return logits, maps, nil
}

// Prepare compiles and loads what the targets need for one seed, so that the first use does not wait.
func (e *Explainer) Prepare(targets []explain.Target) ([]explain.Output, error) {
	s, err := e.open(targets, true, false)
	if err != nil {
		return nil, err
	}
	return s.loaded.compiled.Maps, e.cache.giveBack(s)
}

// seedGroups says which seeds one run takes.
func seedGroups(seeds [][]float32, many bool) [][][]float32 {
	if many && len(seeds) > 0 {
		return [][][]float32{seeds}
	}
	return slices.Collect(slices.Chunk(seeds, 1))
}

// open returns the session for targets, which the caller gives back. A single one takes one input and one seed a run,
// and is faster; a plain one is the network as it is, without targets.
func (e *Explainer) open(targets []explain.Target, single, plain bool) (*cached, error) {
	key := fmt.Sprint(targets, single, plain)
	if s := e.cache.take(e, key); s != nil {
		return s, nil
	}
	e.loading.Lock()
	defer e.loading.Unlock()
	if s := e.cache.take(e, key); s != nil { // someone else was first
		return s, nil
	}
	made, bytes, err := e.compile(targets, single, plain, true)
	if errors.Is(err, ErrNoRoom) { // a second copy of the weights while it loads, then
		made, bytes, err = e.compile(targets, single, plain, false)
	}
	if err != nil {
		return nil, err
	}
	s := &cached{owner: e, key: key, bytes: bytes, loaded: made}
	return s, e.cache.put(s)
}

// compile makes a session and tells the bytes of its model.
func (e *Explainer) compile(targets []explain.Target, single, plain, apart bool) (*loaded, int64, error) {
	model, err := e.load()
	if err != nil {
		return nil, 0, err
	}
	if plain {
		plain, err := e.runtime.OpenPlain(model, NetworkOptions{
			Output: e.options.Output, Outputs: e.options.Outputs, IntraOpThreads: e.options.IntraOpThreads, Sessions: e.options.Sessions, Provider: e.options.Provider,
		})
		if plain != nil && e.options.Parts { // there may be more values of one input than of another
			plain.open = false
		}
		return &loaded{plain: plain}, int64(len(model)), err
	}
	options := explain.Options{
		Targets: targets, InputShape: e.options.InputShape, Output: e.options.Output, FromOutput: e.options.FromOutput, Parts: e.options.Parts, Single: single, Grid: e.options.Grid,
		WeightsApart: apart, Probe: e.runtime.Probe,
	}
	c, err := compiled(model, options)
	if err != nil {
		return nil, 0, err
	}
	o := SessionOptions{
		Inputs: []string{c.InputName, c.SeedName}, Types: []int32{c.InputType}, Outputs: []string{c.LogitsName}, Weights: c.Weights,
		Lean: true, IntraOpThreads: e.options.IntraOpThreads, Runs: e.options.Sessions, Provider: e.options.Provider,
	}
	for _, name := range []string{c.BaselineName, c.LowName, c.HighName} {
		if name != "" {
			o.Inputs = append(o.Inputs, name)
		}
	}
	for _, m := range c.Maps {
		o.Outputs = append(o.Outputs, m.Name)
	}
	if c.OutputName != c.LogitsName {
		o.Outputs = append(o.Outputs, c.OutputName)
	}
	session, err := e.runtime.NewSession(c.ONNX, o)
	if err != nil {
		return nil, 0, err
	}
	bytes := int64(len(c.ONNX))
	for _, w := range c.Weights {
		bytes += int64(len(w.Data))
	}
	c.ONNX, c.Weights = nil, nil // the session has its own
	return &loaded{compiled: c, session: session}, bytes, nil
}

// output is the network's own of what a run returned.
func (l *loaded) output(out []Tensor) Tensor {
	if l.plain == nil && l.compiled.OutputName != l.compiled.LogitsName {
		return out[len(out)-1]
	}
	return out[0]
}

// run gives the session n inputs, one after the other in in.Values, and seeds: as many, or many for one input.
func (l *loaded) run(ctx context.Context, in Input, n int, seeds [][]float32) ([]Tensor, error) {
	if l.plain != nil {
		return l.plain.Run(ctx, in.Values, in.Shape, n)
	}
	c := l.compiled
	if len(in.Shape) == 0 || in.Shape[0] != 1 {
		return nil, fmt.Errorf("onnx: input shape %v: one frame at a time", in.Shape)
	}
	for _, seed := range seeds {
		if len(seed) != c.Classes {
			return nil, fmt.Errorf("onnx: a seed of %d weights: the network has %d values", len(seed), c.Classes)
		}
	}
	rows := max(len(seeds), 1)
	shape := append([]int64{int64(n)}, in.Shape[1:]...)
	inputs := []Tensor{
		{Shape: shape, Values: in.Values},
		{Shape: []int64{int64(rows), int64(c.Classes)}, Values: append(slices.Concat(seeds...), make([]float32, (rows-len(seeds))*c.Classes)...)},
	}
	one := len(in.Values) / n
	if c.BaselineName != "" {
		inputs = append(inputs, Tensor{Shape: in.Shape, Values: orConstant(in.Baseline, one, 0)})
	}
	if c.LowName != "" {
		inputs = append(inputs, Tensor{Shape: in.Shape, Values: orConstant(in.Low, one, slices.Min(in.Values))},
			Tensor{Shape: in.Shape, Values: orConstant(in.High, one, slices.Max(in.Values))})
	}
	return l.session.Run(ctx, inputs)
}

// orConstant is v, or n times a value where v is nil.
func orConstant(v []float32, n int, value float32) []float32 {
	if v != nil {
		return v
	}
	return slices.Repeat([]float32{value}, n)
}

// Layers lists what the network can be explained at.
func (e *Explainer) Layers() ([]explain.Layer, error) {
	model, err := e.load()
	if err != nil {
		return nil, err
	}
	return explain.Layers(model, explain.Options{InputShape: e.options.InputShape, Output: e.options.Output, Parts: e.options.Parts, Grid: e.options.Grid, Probe: e.runtime.Probe})
}

// Output runs n inputs of one shape, one after the other in in.Values: the values of the network's own output for each.
func (e *Explainer) Output(ctx context.Context, in Input, n int) (values []float32, err error) {
	all, err := e.Outputs(ctx, in, n)
	for _, outputs := range all {
		values = append(values, outputs[0].Values...)
	}
	return values, err
}

// Outputs is Output with the others that are wanted besides, for each input.
func (e *Explainer) Outputs(ctx context.Context, in Input, n int) (all [][]Tensor, err error) {
	s, err := e.open(nil, false, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.cache.giveBack(s)) }()
	step := n
	if !s.loaded.plain.open || n > 1 && !s.loaded.apart(ctx, Input{Shape: in.Shape, Values: in.Values[:len(in.Values)/n]}) {
		step = 1
	}
	for size := len(in.Values) / max(n, 1); n > 0; n -= step {
		out, err := s.loaded.run(ctx, Input{Shape: in.Shape, Values: in.Values[:step*size]}, step, nil)
		if err != nil {
			return nil, err
		}
		in.Values = in.Values[step*size:]
		for i := range step {
			all = append(all, oneOf(out, i, step))
		}
	}
	return all, nil
}

// oneOf are the outputs for one of so many inputs.
func oneOf(out []Tensor, i, of int) []Tensor {
	if of == 1 {
		return out
	}
	one := make([]Tensor, len(out))
	for k, t := range out {
		size := len(t.Values) / of
		one[k] = Tensor{Shape: append([]int64{1}, t.Shape[1:]...), Values: t.Values[i*size : (i+1)*size : (i+1)*size]}
	}
	return one
}

// compiled is a model for any number of frames, or where an operator hinders that for one: what depends on how many there are is known of it.
func compiled(model []byte, o explain.Options) (*explain.Compiled, error) {
	c, err := explain.Compile(model, o)
	if unsupported := (*explain.UnsupportedError)(nil); errors.As(err, &unsupported) && !o.Single {
		o.Single = true
		return explain.Compile(model, o)
	}
	return c, err
}
