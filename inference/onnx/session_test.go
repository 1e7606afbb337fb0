package onnx_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"endogate/explain"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func openDemo(t *testing.T, runs int) *onnx.Session {
	t.Helper()
	s, err := openRuntime(t).NewSession(demoModel(t), onnx.SessionOptions{
		Inputs: []string{"input"}, Outputs: []string{"logits"}, Runs: runs,
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestOpen(t *testing.T) {
	r := openRuntime(t)
	require.NotEmpty(t, r.Version())
	again, err := onnx.Open(r.Library())
	require.NoError(t, err)
	require.Same(t, r, again)
	_, err = onnx.Open(filepath.Join(t.TempDir(), onnx.LibraryName))
	require.ErrorContains(t, err, "loaded already")
}

func TestFindLibrary(t *testing.T) {
	dir := t.TempDir()
	_, err := onnx.FindLibrary(dir)
	require.ErrorIs(t, err, onnx.ErrNoLibrary)
	require.ErrorContains(t, err, dir)

	library := filepath.Join(dir, onnx.LibraryName)
	require.NoError(t, os.WriteFile(library, nil, 0o600))
	for _, configured := range []string{dir, library} {
		found, err := onnx.FindLibrary(configured)
		require.NoError(t, err)
		require.Equal(t, library, found)
	}

	deep := filepath.Join(dir, "bin", "lib")
	require.NoError(t, os.MkdirAll(deep, 0o700))
	require.NoError(t, os.Rename(library, filepath.Join(deep, onnx.LibraryName)))
	work := filepath.Join(dir, "a", "b")
	require.NoError(t, os.MkdirAll(work, 0o700))
	t.Chdir(work)
	found, err := onnx.FindLibrary("")
	require.NoError(t, err)
	require.Equal(t, filepath.Join(deep, onnx.LibraryName), found)
}

func TestSession_manyGoroutines(t *testing.T) {
	s := openDemo(t, 2)
	in := []onnx.Tensor{{Shape: shape, Values: frame()}}
	want, err := s.Run(context.Background(), in)
	require.NoError(t, err)
	require.Equal(t, []int64{1, 5}, want[0].Shape)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got, err := s.Run(context.Background(), in)
			if assert.NoError(t, err) {
				assert.Equal(t, want[0].Values, got[0].Values)
			}
		})
	}
	wg.Wait()
}

func TestSession_cancelled(t *testing.T) {
	s := openDemo(t, 1)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := s.Run(ctx, []onnx.Tensor{{Shape: shape, Values: frame()}})
	require.ErrorIs(t, err, context.Canceled)

	// within a run: a batch that takes many times as long as it is given
	ctx, cancel = context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	const frames = 128
	_, err = s.Run(ctx, []onnx.Tensor{{Shape: []int64{frames, 3, 160, 160}, Values: make([]float32, frames*3*160*160)}})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = s.Run(context.Background(), []onnx.Tensor{{Shape: shape, Values: frame()}})
	require.NoError(t, err)
}

func TestSession_errors(t *testing.T) {
	r := openRuntime(t)
	var failed *onnx.Error
	for name, model := range map[string][]byte{"empty": nil, "garbage": []byte("no model"), "cut": demoModel(t)[:1<<20]} {
		_, err := r.NewSession(model, onnx.SessionOptions{Inputs: []string{"input"}, Outputs: []string{"logits"}})
		require.ErrorAs(t, err, &failed, name)
		require.Equal(t, "load", failed.Op)
	}
	s := openDemo(t, 1)
	for name, in := range map[string][]onnx.Tensor{
		"none":           {},
		"too few values": {{Shape: shape, Values: frame()[1:]}},
		"no shape":       {{Values: frame()[:1]}},
		"wrong size":     {{Shape: []int64{1, 3, 80, 80}, Values: frame()[:3*80*80]}},
	} {
		_, err := s.Run(context.Background(), in)
		require.ErrorAs(t, err, &failed, name)
		require.Equal(t, "run", failed.Op)
	}
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	_, err := s.Run(context.Background(), []onnx.Tensor{{Shape: shape, Values: frame()}})
	require.ErrorIs(t, err, onnx.ErrClosed)
}

func TestNetwork_notExplained(t *testing.T) {
	n, err := openRuntime(t).OpenNetwork(demoModel(t), onnx.NetworkOptions{Layer: onnx.NoLayer})
	require.NoError(t, err)
	defer func() { _ = n.Close() }()
	outputs, _, err := n.Explain(context.Background(), frame(), shape, nil)
	require.NoError(t, err)
	want, err := openDemo(t, 1).Run(context.Background(), []onnx.Tensor{{Shape: shape, Values: frame()}})
	require.NoError(t, err)
	require.InDeltaSlice(t, want[0].Values, outputs[0].Values, 1e-5)
	_, _, err = n.Explain(context.Background(), frame(), shape, [][]float32{oneHot(0)})
	require.ErrorIs(t, err, onnx.ErrNotExplained)
}

func TestNetwork_errors(t *testing.T) {
	r := openRuntime(t)
	_, err := r.OpenNetwork(demoModel(t), onnx.NetworkOptions{Layer: "nowhere"})
	require.ErrorIs(t, err, explain.ErrNoLayer)
	n, err := r.OpenNetwork(demoModel(t), onnx.NetworkOptions{})
	require.NoError(t, err)
	defer func() { _ = n.Close() }()
	_, _, err = n.Explain(context.Background(), frame(), shape, [][]float32{{1}})
	require.ErrorContains(t, err, "a seed of 1 weights: the network has 5 values")
	_, _, err = n.Explain(context.Background(), append(frame(), frame()...), []int64{2, 3, 160, 160}, [][]float32{oneHot(0)})
	require.ErrorContains(t, err, "one frame")
	outputs, maps, err := n.Explain(context.Background(), frame(), shape, nil)
	require.NoError(t, err)
	require.Len(t, outputs[0].Values, 5)
	require.Empty(t, maps)
}
