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
	IntraOpThreads int               // threads of one run; 0 is 1
	Sessions       int               // runs at once; 0 is the number of CPUs over IntraOpThreads
	Provider       string            // as SessionOptions.Provider
	Grid           explain.TokenGrid // as explain.Options.Grid
}

// NoLayer asks for no map.
const NoLayer = "none"

// Network is an image classifier that explains itself: one loaded model with its gradient, so that the
// weights are in memory once. Its methods may be called from any goroutine.
type Network struct {
	compiled *explain.Compiled
	session  *Session
}

// ErrNotExplained says that a network was opened with NoLayer.
var ErrNotExplained = errors.New("onnx: the network was opened without a layer to explain")

// OpenNetwork compiles a classifier and loads it. An operator that cannot be differentiated gives an
// *explain.UnsupportedError; with NoLayer the network still classifies. The caller closes the network.
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
	c, err := explain.Compile(model, explain.Options{Targets: targets, InputShape: o.InputShape, Output: o.Output, Grid: o.Grid, WeightsApart: apart, Probe: r.Probe})
	if err != nil {
		return nil, err
	}
	outputs := []string{c.LogitsName}
	for _, m := range c.Maps {
		outputs = append(outputs, m.Name)
	}
	s, err := r.NewSession(c.ONNX, SessionOptions{
		Inputs:         []string{c.InputName, c.SeedName},
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
	return &Network{compiled: c, session: s}, nil
}

// Classes is the number of logits.
func (n *Network) Classes() int { return n.compiled.Classes }

// InputShape is that of the model's input; -1 where it is open, such as the batch.
func (n *Network) InputShape() []int64 { return n.compiled.InputShape }

// Layer is the layer that maps come from; Height and Width are those of the maps.
func (n *Network) Layer() explain.Layer { return n.compiled.Maps[0].Layer }

// Logits classifies one frame: one value for each class, before softmax or sigmoid. The input is a batch
// of one in the model's own layout, of the given shape; it is not kept.
func (n *Network) Logits(ctx context.Context, input []float32, shape []int64) ([]float32, error) {
	logits, _, err := n.run(ctx, Tensor{shape, input}, 1, nil)
	return logits, err
}

// Explain classifies one frame (a batch of one) and maps why, for each of the classes: one forward pass for
// all. Maps are in the order of classes. With global average pooling before the classes it costs what
// Logits does, so that there is no need to call Logits first.
func (n *Network) Explain(ctx context.Context, input []float32, shape []int64, classes []int) (logits []float32, maps []explain.Map, err error) {
	for _, c := range classes {
		if c < 0 || c >= n.Classes() {
			return nil, nil, fmt.Errorf("onnx: no class %d: the network has %d", c, n.Classes())
		}
	}
	if len(n.compiled.Maps) == 0 && len(classes) > 0 {
		return nil, nil, ErrNotExplained
	}
	if !n.compiled.ManySeeds && len(classes) > 1 {
		return n.oneByOne(ctx, input, shape, classes)
	}
	logits, cams, err := n.run(ctx, Tensor{shape, input}, max(len(classes), 1), classes)
	if err != nil {
		return nil, nil, err
	}
	h, w := n.compiled.Maps[0].Height, n.compiled.Maps[0].Width
	for i := range classes {
		maps = append(maps, explain.Map{Width: w, Height: h, Values: cams[i*h*w : (i+1)*h*w : (i+1)*h*w], Extent: n.compiled.Maps[0].Extent})
	}
	return logits, maps, nil
}

// oneByOne is Explain for a network that takes one seed for each frame.
func (n *Network) oneByOne(ctx context.Context, input []float32, shape []int64, classes []int) (logits []float32, maps []explain.Map, err error) {
	for i := range classes {
		l, m, err := n.Explain(ctx, input, shape, classes[i:i+1])
		if err != nil {
			return nil, nil, err
		}
		logits, maps = l, append(maps, m...)
	}
	return logits, maps, nil
}

// run seeds one row for each class; rows without a class stay zero.
func (n *Network) run(ctx context.Context, input Tensor, rows int, classes []int) (logits, cams []float32, err error) {
	if len(input.Shape) == 0 || input.Shape[0] != 1 {
		return nil, nil, fmt.Errorf("onnx: input shape %v: one frame at a time", input.Shape)
	}
	seed := Tensor{Shape: []int64{int64(rows), int64(n.Classes())}, Values: make([]float32, rows*n.Classes())}
	for row, c := range classes {
		seed.Values[row*n.Classes()+c] = 1
	}
	out, err := n.session.Run(ctx, []Tensor{input, seed})
	if err != nil {
		return nil, nil, err
	}
	logits = out[0].Values
	if len(logits) != n.Classes() {
		return nil, nil, fmt.Errorf("onnx: the network gave %d logits for %d classes", len(logits), n.Classes())
	}
	if len(out) < 2 {
		return logits, nil, nil
	}
	cams = out[1].Values
	if want := rows * n.compiled.Maps[0].Height * n.compiled.Maps[0].Width; len(cams) != want {
		return nil, nil, fmt.Errorf("onnx: the network gave maps of shape %v", out[1].Shape)
	}
	return logits, cams, nil
}

// Close waits for runs under way and frees the network.
func (n *Network) Close() error { return n.session.Close() }
