package gateway

import (
	"context"
	"errors"
	"fmt"

	"endogate/configs"
	"endogate/inference"
	"endogate/inference/ask"
	"endogate/inference/onnx"
)

// Watcher is a model of stills that looks at one signal, with a session of its own: it waits for no job, and no job for it.
type Watcher struct {
	inference.Watcher
	Bundle *inference.Bundle

	asked   *ask.Model
	network *ask.Opened
}

// OpenWatcher loads a model for a signal. The caller closes it.
func OpenWatcher(ctx context.Context, cfg configs.Config, b *inference.Bundle) (_ *Watcher, err error) {
	if b.Clip != nil {
		return nil, fmt.Errorf("model %s looks across time itself: a live signal is for models of stills (kind: still)", b.Name)
	}
	runtime, err := onnx.OpenConfigured(cfg.ONNXRuntime.Library)
	if err != nil {
		return nil, err
	}
	w := &Watcher{Bundle: b, asked: ask.New(runtime, b, ask.Options{Threads: cfg.ONNXRuntime.Threads, Sessions: 1, Provider: cfg.ONNXRuntime.Provider})}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if w.network, err = w.asked.OpenNetwork(ctx); err != nil {
		return nil, err
	}
	w.Watcher, err = inference.NewModel(ctx, b, w.network.Opened, nil)
	return w, err
}

// Close frees it. Nothing may be under way.
func (w *Watcher) Close() error {
	err := w.asked.Close()
	if w.network != nil {
		err = errors.Join(err, w.network.Close())
	}
	return err
}
