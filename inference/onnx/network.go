package onnx

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"endogate/explain"
)

// NetworkOptions say how a classifier is compiled and run.
type NetworkOptions struct {
	Method         explain.Method    // of the maps that Explain makes: one of a layer, in one run; "" is grad-CAM
	Layer          string            // to explain at, as explain.Target.Layer; "" is the last one, NoLayer none
	InputShape     []int64           // of a frame, for a model that leaves its height and width open; it is then for this size only
	Output         string            // as explain.Options.Output
	Outputs        []string          // others that are wanted besides
	IntraOpThreads int               // threads of one run; 0 is 1
	Sessions       int               // runs at once; 0 is the number of CPUs over IntraOpThreads
	Provider       string            // as SessionOptions.Provider
	Grid           explain.TokenGrid // as explain.Options.Grid
	Parts          bool              // as explain.Options.Parts
}

// NoLayer asks for no map.
const NoLayer = "none"

// Network is an image classifier that explains itself: one loaded model with its gradient, so that the
// weights are in memory once. Its methods may be called from any goroutine.
type Network struct {
	compiled *explain.Compiled
	session  *Session
	others   int // outputs besides
}

// ErrNotExplained says that a network was opened with NoLayer.
var ErrNotExplained = errors.New("onnx: the network was opened without a layer to explain")

// OpenNetwork compiles a classifier and loads it. An operator that cannot be differentiated gives an
// *explain.UnsupportedError; OpenPlain runs such a network all the same. The caller closes the network.
func (r *Runtime) OpenNetwork(model []byte, o NetworkOptions) (*Network, error) {
	n, err := r.openNetwork(model, o, true)
	if errors.Is(err, ErrNoRoom) { // a second copy while it loads, then
		return r.openNetwork(model, o, false)
	}
	return n, err
}

func (r *Runtime) openNetwork(model []byte, o NetworkOptions, apart bool) (*Network, error) {
	var targets []explain.Target
	if o.Layer != NoLayer {
		targets = []explain.Target{{Method: cmp.Or(o.Method, explain.GradCAM), Layer: o.Layer}}
	}
	c, err := compiled(model, explain.Options{Targets: targets, InputShape: o.InputShape, Output: o.Output, Parts: o.Parts, Grid: o.Grid, WeightsApart: apart, Probe: r.Probe})
	if err != nil {
		return nil, err
	}
	outputs := append([]string{c.OutputName}, o.Outputs...)
	for _, m := range c.Maps {
		outputs = append(outputs, m.Name)
	}
	s, err := r.NewSession(c.ONNX, SessionOptions{
		Inputs:         []string{c.InputName, c.SeedName},
		Types:          []int32{c.InputType},
		Outputs:        outputs,
		Lean:           true,
		Weights:        c.Weights,
		IntraOpThreads: o.IntraOpThreads,
		Runs:           o.Sessions,
		Provider:       o.Provider,
	})
	if err != nil {
		return nil, err
	}
	c.ONNX, c.Weights = nil, nil // the session has its own
	return &Network{compiled: c, session: s, others: len(o.Outputs)}, nil
}

// Values is how many the network's output has for one frame.
func (n *Network) Values() int { return n.compiled.Classes }

// InputShape is that of the model's input; -1 where it is open, such as the batch.
func (n *Network) InputShape() []int64 { return n.compiled.InputShape }

// Layer is the layer that maps come from; Height and Width are those of the maps.
func (n *Network) Layer() explain.Layer { return n.compiled.Maps[0].Layer }

// Instead is why maps are not of the method and the layer that were asked for; "" where they are.
func (n *Network) Instead() string { return n.compiled.Maps[0].Instead }

// Explain runs one frame (a batch of one in the model's own layout, of the given shape; it is not kept) and maps what speaks
// for each of the seeds, which are weights of the output's values: one forward pass for all. Outputs are the network's own, as it
// declares them: the one that counts, then those wanted besides. With global average pooling before the classes maps cost nothing.
func (n *Network) Explain(ctx context.Context, input []float32, shape []int64, seeds [][]float32) (outputs []Tensor, maps []explain.Map, err error) {
	for _, seed := range seeds {
		if len(seed) != n.Values() {
			return nil, nil, fmt.Errorf("onnx: a seed of %d weights: the network has %d values", len(seed), n.Values())
		}
	}
	if len(n.compiled.Maps) == 0 && len(seeds) > 0 {
		return nil, nil, ErrNotExplained
	}
	if !n.compiled.ManySeeds && len(seeds) > 1 {
		return n.oneByOne(ctx, input, shape, seeds)
	}
	outputs, cams, err := n.run(ctx, Tensor{Shape: shape, Values: input}, seeds)
	if err != nil {
		return nil, nil, err
	}
	for i := range seeds {
		h, w := n.compiled.Maps[0].Height, n.compiled.Maps[0].Width
		maps = append(maps, explain.Map{Width: w, Height: h, Values: cams[i*h*w : (i+1)*h*w : (i+1)*h*w], Extent: n.compiled.Maps[0].Extent})
	}
	return outputs, maps, nil
}

// oneByOne is Explain for a network that takes one seed for each frame.
func (n *Network) oneByOne(ctx context.Context, input []float32, shape []int64, seeds [][]float32) (outputs []Tensor, maps []explain.Map, err error) {
	for i := range seeds {
		out, m, err := n.Explain(ctx, input, shape, seeds[i:i+1])
		if err != nil {
			return nil, nil, err
		}
		outputs, maps = out, append(maps, m...)
	}
	return outputs, maps, nil
}

// run seeds one row for each seed; without any, a row of zeros.
func (n *Network) run(ctx context.Context, input Tensor, seeds [][]float32) (outputs []Tensor, cams []float32, err error) {
	if len(input.Shape) == 0 || input.Shape[0] != 1 {
		return nil, nil, fmt.Errorf("onnx: input shape %v: one frame at a time", input.Shape)
	}
	rows := max(len(seeds), 1)
	seed := Tensor{Shape: []int64{int64(rows), int64(n.Values())}, Values: make([]float32, rows*n.Values())}
	for row, s := range seeds {
		copy(seed.Values[row*n.Values():], s)
	}
	out, err := n.session.Run(ctx, []Tensor{input, seed})
	if err != nil {
		return nil, nil, err
	}
	outputs, out = out[:1+n.others], out[1+n.others:]
	if len(out) == 0 {
		return outputs, nil, nil
	}
	cams = out[0].Values
	if want := rows * n.compiled.Maps[0].Height * n.compiled.Maps[0].Width; len(cams) != want {
		return nil, nil, fmt.Errorf("onnx: the network gave maps of shape %v", out[0].Shape)
	}
	return outputs, cams, nil
}

// Close waits for runs under way and frees the network.
func (n *Network) Close() error { return n.session.Close() }
