package onnx

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"

	"endogate/explain"

	ort "github.com/yalue/onnxruntime_go"
)

// ErrClosed says that a session was closed.
var ErrClosed = errors.New("onnx: session is closed")

// Error is what ONNX Runtime says against a model or a run.
type Error struct {
	Op  string // load or run
	Err error
}

func (e *Error) Error() string { return "onnx: " + e.Op + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Tensor is float32 in row-major order.
type Tensor = explain.Tensor

// SessionOptions say how a model is loaded and run.
type SessionOptions struct {
	Inputs, Outputs []string // names, in the order of Run's tensors; both needed
	// Types are the ONNX element types of the inputs, 1 (float32) where there are none: values are rounded to them.
	Types          []int32
	IntraOpThreads int // threads of one run; 0 is 1
	// Lean keeps one copy of the weights, where the library would otherwise pack them anew for each operator
	// that reads them: a gradient reads those of dense layers a second time (VGG-19: 460 MB less). It costs
	// batch-of-one networks nothing that could be measured.
	Lean bool
	// Weights are those that explain.Compile left apart from the model. They are copied, so that nobody can change
	// them under the session, and are then in memory once.
	Weights  []explain.Weight
	Provider string // CPU, the default, or CUDA
	Runs     int    // runs at once; more wait. 0 is the number of CPUs over IntraOpThreads, at least 1
}

// Session is a loaded model. Its methods may be called from any goroutine.
type Session struct {
	options SessionOptions
	slots   chan struct{}

	mu      sync.RWMutex // held for reading by runs, for writing by Close
	session *ort.DynamicAdvancedSession
}

// NewSession loads a model. The model's bytes are not kept. The caller closes the session.
func (r *Runtime) NewSession(model []byte, o SessionOptions) (*Session, error) {
	o.IntraOpThreads = max(o.IntraOpThreads, 1)
	if o.Runs <= 0 {
		o.Runs = max(runtime.NumCPU()/o.IntraOpThreads, 1)
	}
	session, err := load(model, o, ort.GraphOptimizationLevelEnableAll)
	if err != nil {
		return nil, err
	}
	o.Weights = nil // they would keep the model's memory
	return &Session{options: o, slots: make(chan struct{}, o.Runs), session: session}, nil
}

func load(model []byte, o SessionOptions, level ort.GraphOptimizationLevel) (*ort.DynamicAdvancedSession, error) {
	if len(model) == 0 || len(o.Inputs) == 0 || len(o.Outputs) == 0 {
		return nil, &Error{"load", errors.New("the model, its input names or its output names are empty")}
	}
	so, err := ort.NewSessionOptions()
	if err != nil {
		return nil, &Error{"load", err}
	}
	defer func() { _ = so.Destroy() }()
	err = errors.Join(
		so.SetIntraOpNumThreads(o.IntraOpThreads),
		so.SetInterOpNumThreads(1),
		so.SetGraphOptimizationLevel(level),
		so.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"),
		so.SetLogSeverityLevel(ort.LoggingLevelFatal), // errors come back, and are logged by who called
	)
	if o.Lean {
		err = errors.Join(err, so.AddSessionConfigEntry("session.disable_prepacking", "1"))
	}
	if len(o.Weights) > 0 {
		folder, remove, writeErr := weightsFolder(o.Weights, places())
		defer remove()
		err = errors.Join(err, writeErr, so.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", folder))
	}
	if err != nil {
		return nil, &Error{"load", err}
	}
	if err := provide(so, o.Provider); err != nil {
		return nil, err
	}
	session, err := ort.NewDynamicAdvancedSessionWithONNXData(model, o.Inputs, o.Outputs, so)
	if err != nil {
		return nil, &Error{"load", err}
	}
	return session, nil
}

// Run computes the outputs for inputs in the order of SessionOptions. It waits for a free slot, and ends
// early with ctx's error when ctx is done. The inputs are not kept and not changed.
func (s *Session) Run(ctx context.Context, inputs []Tensor) ([]Tensor, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.session == nil {
		return nil, ErrClosed
	}
	in, err := values(inputs, s.options.Types)
	defer destroy(in)
	if err != nil {
		return nil, err
	}
	out := make([]ort.Value, len(s.options.Outputs))
	defer func() { destroy(out) }()
	err = runUntil(ctx, s.session, in, out)
	runtime.KeepAlive(inputs) // the library reads their memory until here
	if err != nil {
		return nil, err
	}
	return tensors(out, s.options.Outputs)
}

// runUntil runs a session and stops it when ctx is done.
func runUntil(ctx context.Context, s *ort.DynamicAdvancedSession, in, out []ort.Value) error {
	options, err := ort.NewRunOptions()
	if err != nil {
		return &Error{"run", err}
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		_ = options.Terminate() // the run then fails, which is looked at below
	})
	err = s.RunWithOptions(in, out, options)
	if !stop() {
		<-stopped
	}
	_ = options.Destroy()
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		if strings.Contains(err.Error(), "requested_shape_size") {
			err = fmt.Errorf("%w; a size is written into the network there, such as a number of frames: export it for one frame, or with that axis open", err)
		}
		return &Error{"run", err}
	}
	return nil
}

func destroy(values []ort.Value) {
	for _, v := range values {
		if v != nil && !reflect.ValueOf(v).IsNil() { // the binding leaves a nil of a type behind where it fails
			_ = v.Destroy()
		}
	}
}

// Close waits for runs under way and frees the model. A second Close does nothing.
func (s *Session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil {
		return nil
	}
	err := s.session.Destroy()
	s.session = nil
	return err
}
