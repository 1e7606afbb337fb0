package onnx

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"endogate/explain"
)

// Plain is a network as it was exported, without a word of what package explain makes of it: what it says is what counts, and
// it can be run whatever its operators. Its methods may be called from any goroutine.
type Plain struct {
	session *Session
	open    bool // takes several inputs in one run
}

// OpenPlain loads a model as it is. Output is the one that counts, Outputs are others that Run returns behind it. The caller closes it.
func (r *Runtime) OpenPlain(model []byte, o NetworkOptions) (*Plain, error) {
	outline, err := explain.ReadOutline(model)
	if err != nil {
		return nil, err
	}
	return r.openPlain(model, outline, o)
}

func (r *Runtime) openPlain(model []byte, outline *explain.Outline, o NetworkOptions) (*Plain, error) {
	if len(outline.Inputs) != 1 || len(outline.Outputs) == 0 {
		return nil, fmt.Errorf("onnx: the network has %d inputs and %d outputs: it must have one input and an output", len(outline.Inputs), len(outline.Outputs))
	}
	if o.Output == "" {
		o.Output = outline.Outputs[0].Name
	}
	input := outline.Inputs[0]
	model, outputs, err := explain.OutputsInFloat32(model, append([]string{o.Output}, o.Outputs...))
	if err != nil {
		return nil, err
	}
	lean, weights, err := explain.Apart(model)
	if err != nil {
		return nil, err
	}
	options := SessionOptions{
		Inputs: []string{input.Name}, Types: []int32{input.Type}, Outputs: outputs,
		Weights: weights, Lean: true, IntraOpThreads: o.IntraOpThreads, Runs: o.Sessions, Provider: o.Provider,
	}
	session, err := r.NewSession(lean, options)
	if errors.Is(err, ErrNoRoom) { // a second copy of the weights while it loads, then
		options.Weights = nil
		session, err = r.NewSession(model, options)
	}
	if err != nil {
		return nil, r.lacking(err, outline)
	}
	return &Plain{session: session, open: len(input.Shape) > 0 && input.Shape[0] < 0}, nil
}

// lacking says of an error of loading what the library lacks for the network, where it is that.
func (r *Runtime) lacking(err error, outline *explain.Outline) error {
	switch {
	case strings.Contains(err.Error(), "Could not find an implementation for"):
		return fmt.Errorf("%w; ONNX Runtime %s has this operator, but not for the numbers that it has here, as a convolution of float64, not for this processor, as what its optimizer writes for GPUs, or not of so old an operator set: export the network in float32, without the optimizer, of operator set 17", err, r.Version())
	case strings.Contains(err.Error(), "two nodes with same node name"):
		return fmt.Errorf("%w; give each node a name of its own, or none", err)
	case outline.Mixed != "":
		return fmt.Errorf("%w; function %s, which the file defines, is of another operator set than the network (opset %d): export both with one", err, outline.Mixed, outline.Opset)
	case len(outline.Domains) > 0:
		return fmt.Errorf("%w; the network has operators of %s, which ONNX Runtime %s must know: export it with those of the standard", err, strings.Join(outline.Domains, ", "), r.Version())
	}
	return err
}

// Run gives the network n inputs of a shape, one after the other: its outputs, in the order of the options.
func (p *Plain) Run(ctx context.Context, inputs []float32, shape []int64, n int) ([]Tensor, error) {
	if len(shape) == 0 || shape[0] != 1 {
		return nil, fmt.Errorf("onnx: input shape %v: one frame at a time", shape)
	}
	return p.session.Run(ctx, []Tensor{{Shape: append([]int64{int64(n)}, shape[1:]...), Values: inputs}})
}

// Close waits for runs under way and frees the network.
func (p *Plain) Close() error { return p.session.Close() }
