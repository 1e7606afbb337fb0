package gateway

import (
	"context"
	"reflect"
	"sync"

	"endogate/inference"
	"endogate/inference/ask"
	"endogate/inference/onnx"
)

// RunBy is Run by another clock than the machine's.
var RunBy = run

// The gateways of this process share the networks that they open: to open one, and to hold it against itself as it was exported, costs more
// than most tests do besides, and would come to the same each time.
func init() {
	type shared struct {
		bundle *inference.Bundle
		how    loading
		inference.Opened
	}
	var mu sync.Mutex
	var all []shared // until the process ends
	open := openNetwork
	openNetwork = func(ctx context.Context, m *ask.Model, how loading) (inference.Opened, func() error, error) {
		mu.Lock()
		defer mu.Unlock()
		for _, n := range all {
			if n.how == how && reflect.DeepEqual(n.bundle, m.Bundle) {
				return n.Opened, func() error { return nil }, nil
			}
		}
		n, closes, err := open(ctx, m, how)
		if _, alone := n.Network.(*onnx.Network); err != nil || !alone { // others are part of the model that opened them
			return n, closes, err
		}
		all = append(all, shared{m.Bundle, how, n})
		return n, func() error { return nil }, nil
	}
}
