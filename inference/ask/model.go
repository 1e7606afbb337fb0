package ask

import (
	"errors"
	"fmt"
	"sync"

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
	options Options
	own     *onnx.Explainer // classifies as the network was exported, and answers by its probabilities
	output  *onnx.Explainer // answers by gradients
	reading func() (read, error)
	over    func() (bool, error) // as attended
}

// read is what is known of a network without running it.
type read struct {
	outline   *explain.Outline
	ends      explain.Ends
	reading   inference.Reading
	tolerance float64
}

// New makes a model of a bundle. Nothing is loaded yet. The caller closes it.
func New(r *onnx.Runtime, b *inference.Bundle, o Options) *Model {
	if o.Load == nil {
		o.Load = b.Network
	}
	if o.Cache == nil {
		o.Cache = onnx.NewCache(0)
	}
	own := onnx.ExplainerOptions{
		InputShape: b.Shape(), Output: b.Output.Name, IntraOpThreads: o.Threads, Sessions: o.Sessions, Provider: o.Provider, Cache: o.Cache,
		Grid: b.Explain.Grid, Outputs: b.Output.Others(), Parts: b.Output.Parts(),
	}
	m := &Model{Bundle: b, runtime: r, options: o, own: r.NewExplainer(o.Load, own)}
	if m.output = m.own; o.FromOutput {
		output := own
		output.FromOutput = true
		m.output = r.NewExplainer(o.Load, output)
	}
	m.reading, m.over = sync.OnceValues(m.read), sync.OnceValues(m.attended)
	return m
}

// read looks at the network. The error says where manifest and network do not fit together.
func (m *Model) read() (read, error) {
	content, err := m.options.Load()
	if err != nil {
		return read{}, err
	}
	outline, err := explain.ReadOutline(content)
	if err != nil {
		return read{}, fmt.Errorf("model %s: %w", m.Bundle.Name, err)
	}
	if err := m.Bundle.Fits(outline); err != nil {
		return read{}, err
	}
	ends := outline.Ends(m.Bundle.Output.Name)
	reading, err := m.Bundle.Reading(ends)
	tolerance := inference.Tolerance(outline, m.options.Provider == onnx.CUDA)
	return read{outline: outline.Declared(), ends: ends, reading: reading, tolerance: tolerance}, err
}

// Reading is how the network's output is read.
func (m *Model) Reading() (inference.Reading, error) {
	known, err := m.reading()
	return known.reading, err
}

// Open finds ONNX Runtime as onnx.FindLibrary does, and makes a model of a bundle whose manifest and network fit together.
func Open(library string, b *inference.Bundle, o Options) (*Model, error) {
	r, err := onnx.OpenConfigured(library)
	if err != nil {
		return nil, err
	}
	m := New(r, b, o)
	_, err = m.reading()
	return m, err
}

// Close frees what the model has loaded.
func (m *Model) Close() error { return errors.Join(m.own.Close(), m.output.Close()) }

// Loaded is how many networks are in memory for questions about the model.
func (m *Model) Loaded() int {
	n := m.own.Loaded()
	if m.output != m.own {
		n += m.output.Loaded()
	}
	return n
}

// Inspect looks at the bundle's network. The error says where manifest and network do not fit together, or why package explain
// cannot take it; it may be classified with all the same.
func (m *Model) Inspect() (*explain.Inspection, error) {
	if _, err := m.reading(); err != nil {
		return nil, err
	}
	content, err := m.options.Load()
	if err != nil {
		return nil, err
	}
	return explain.Inspect(content, explain.Options{InputShape: m.Bundle.Shape(), Output: m.Bundle.Output.Name, Parts: m.Bundle.Output.Parts(), Grid: m.Bundle.Explain.Grid, Probe: m.runtime.Probe})
}
