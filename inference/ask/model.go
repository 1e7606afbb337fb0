package ask

import (
	"errors"

	"endogate/explain"
	"endogate/inference"
	"endogate/inference/onnx"
)

// Options say how a model's network is loaded and run.
type Options struct {
	Load       func() ([]byte, error) // the network, or one made of it; nil is the bundle's own
	FromOutput bool                   // answers by gradients start at the model's own output, after a softmax or sigmoid in it
	Threads    int                    // of one run; 0 is 1
	Sessions   int                    // runs at once; 0 is the number of CPUs over Threads
	Provider   string                 // as onnx.SessionOptions.Provider
	Cache      *onnx.Cache            // what was asked stays loaded in it; nil: one of its own
}

// Model is a bundle that questions are put to. Its methods may be called from any goroutine.
type Model struct {
	Bundle *inference.Bundle

	runtime *onnx.Runtime
	logits  *onnx.Explainer // classifies, and answers by probabilities, which the activation makes of logits
	output  *onnx.Explainer // answers by gradients
}

// New makes a model of a bundle. Nothing is loaded yet. The caller closes it.
func New(r *onnx.Runtime, b *inference.Bundle, o Options) *Model {
	if o.Load == nil {
		o.Load = b.Network
	}
	if o.Cache == nil {
		o.Cache = onnx.NewCache(0)
	}
	logits := onnx.ExplainerOptions{
		InputShape: b.Input.Shape(), Output: b.Output.Name, IntraOpThreads: o.Threads, Sessions: o.Sessions, Provider: o.Provider, Cache: o.Cache,
	}
	m := &Model{Bundle: b, runtime: r, logits: r.NewExplainer(o.Load, logits)}
	if m.output = m.logits; o.FromOutput {
		output := logits
		output.FromOutput = true
		m.output = r.NewExplainer(o.Load, output)
	}
	return m
}

// Open finds ONNX Runtime as onnx.FindLibrary does, and makes a model of a bundle whose manifest and network fit together.
func Open(library string, b *inference.Bundle, o Options) (*Model, error) {
	r, err := onnx.OpenConfigured(library)
	if err != nil {
		return nil, err
	}
	m := New(r, b, o)
	_, err = m.Inspect()
	return m, err
}

// Close frees what the model has loaded.
func (m *Model) Close() error { return errors.Join(m.logits.Close(), m.output.Close()) }

// Inspect looks at the bundle's network. The error says where manifest and network do not fit together.
func (m *Model) Inspect() (*explain.Inspection, error) {
	content, err := m.Bundle.Network()
	if err != nil {
		return nil, err
	}
	found, err := explain.Inspect(content, explain.Options{InputShape: m.Bundle.Input.Shape(), Output: m.Bundle.Output.Name, Probe: m.runtime.Probe})
	if err != nil {
		return nil, err
	}
	return found, m.Bundle.Fits(found)
}
