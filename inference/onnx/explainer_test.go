package onnx_test

import (
	"context"
	"sync"
	"testing"

	"endogate/explain"
	"endogate/explain/sampling"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func explainer(t *testing.T, cache *onnx.Cache) *onnx.Explainer {
	t.Helper()
	model := demoModel(t)
	e := openRuntime(t).NewExplainer(func() ([]byte, error) { return model, nil }, onnx.ExplainerOptions{Cache: cache})
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

func seedOf(class int) []float32 {
	seed := make([]float32, 5)
	seed[class] = 1
	return seed
}

func input() onnx.Input { return onnx.Input{Shape: shape, Values: frame()} }

// Each question has a session; the sessions of all models share a number of bytes.
func TestCache(t *testing.T) {
	size := int64(len(demoModel(t)))
	cache := onnx.NewCache(2*size + size/2)
	a, b, c := explainer(t, cache), explainer(t, cache), explainer(t, cache)
	ask := func(e *onnx.Explainer, m explain.Method) {
		t.Helper()
		_, maps, err := e.Run(context.Background(), input(), [][]float32{seedOf(1)}, []explain.Target{{Method: m}})
		require.NoError(t, err)
		require.Len(t, maps, 1)
	}
	ask(a, explain.GradCAM)
	ask(a, explain.GradCAM)
	require.Equal(t, 1, cache.Stats().Sessions)
	require.EqualValues(t, 1, cache.Stats().Loads)
	require.EqualValues(t, 1, cache.Stats().Hits)
	require.Greater(t, cache.Stats().Bytes, size*9/10)

	for range 3 { // both stay
		ask(a, explain.Gradient)
		ask(a, explain.GradCAM)
	}
	require.Equal(t, 2, cache.Stats().Sessions)
	require.EqualValues(t, 2, cache.Stats().Loads)
	require.Zero(t, cache.Stats().Evictions)

	ask(a, explain.Gradient)
	ask(b, explain.GradCAM) // in place of a's first
	require.Equal(t, 2, cache.Stats().Sessions)
	require.EqualValues(t, 1, cache.Stats().Evictions)
	ask(a, explain.Gradient) // b's is now the one used longest ago
	ask(c, explain.GradCAM)
	require.Equal(t, 2, cache.Stats().Sessions)
	loads := cache.Stats().Loads
	ask(a, explain.Gradient)
	require.Equal(t, loads, cache.Stats().Loads)
	ask(b, explain.GradCAM)
	require.Equal(t, loads+1, cache.Stats().Loads)
	require.NoError(t, b.Close())
	require.LessOrEqual(t, cache.Stats().Sessions, 1)
}

// Whoever uses a session that is given up meanwhile gets its result all the same.
func TestCache_manyGoroutines(t *testing.T) {
	cache := onnx.NewCache(1)
	a, b := explainer(t, cache), explainer(t, cache)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			e, m := a, explain.GradCAM
			if i%2 == 0 {
				e = b
			}
			if i%3 == 0 {
				m = explain.HiResCAM
			}
			for range 3 {
				_, maps, err := e.Run(context.Background(), input(), [][]float32{seedOf(i % 5)}, []explain.Target{{Method: m}})
				if assert.NoError(t, err) {
					assert.Len(t, maps[0].Values, 100)
				}
			}
		})
	}
	wg.Wait()
}

// Several seeds are one run where the network allows it, with the results of single ones; a contrast is linear.
func TestExplainer_seeds(t *testing.T) {
	e := explainer(t, nil)
	targets := []explain.Target{{Method: explain.Gradient}, {Method: explain.HiResCAM, Layer: explain.BlockLayers}}
	contrast := seedOf(0)
	contrast[3] = -1
	_, all, err := e.Run(context.Background(), input(), [][]float32{seedOf(0), seedOf(3), contrast}, targets)
	require.NoError(t, err)
	per := len(all) / 3
	require.Equal(t, 5, per) // the gradient, and a map for each of four sizes
	for k, class := range []int{0, 3} {
		_, one, err := e.Run(context.Background(), input(), [][]float32{seedOf(class)}, targets)
		require.NoError(t, err)
		for i := range one {
			require.Equal(t, one[i].Output.Layer, all[k*per+i].Output.Layer)
			require.InDeltaSlice(t, one[i].Values, all[k*per+i].Values, 1e-4)
		}
	}
	for i, g := range all[2*per].Values {
		require.InDelta(t, all[0].Values[i]-all[per].Values[i], g, 1e-4)
	}
	_, _, err = e.Run(context.Background(), input(), [][]float32{{1}}, targets)
	require.ErrorContains(t, err, "5 values")
}

func TestExplainer_cancelled(t *testing.T) {
	e := explainer(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	done := 0
	_, err := e.Explain(ctx, input(), onnx.Question{
		Target: explain.Target{Method: explain.RISE}, Seed: seedOf(0),
		Progress: func(n, all int) {
			done = n
			assert.Equal(t, 1000, all)
			cancel()
		},
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, done, 20)
	require.Positive(t, done)
}

// Integrated gradients say how far their shares are from adding up.
func TestExplain_gap(t *testing.T) {
	answer, err := explainer(t, nil).Explain(t.Context(), input(), onnx.Question{Target: explain.Target{Method: explain.IntegratedGradients}, Seed: seedOf(1)})
	require.NoError(t, err)
	require.Regexp(t, `^shares .* \d+\.\d %`, answer[0].Note)
	for _, c := range []struct {
		change, gap float64
		want        string
	}{
		{8, 0.02, "shares add up to the score within 0.2 %"},
		{-8, 0.08, "shares add up to the score within 1.0 %"},
		{-8, 0.4, "shares off by 5.0 %: do not rely on this map"},
		{0, 0.1, "shares of no change: do not rely on this map"},
		{0, 0, ""},
	} {
		require.Equal(t, c.want, onnx.GapNote(sampling.Attribution{Change: c.change, Gap: c.gap}))
	}
}

// LIME says how well its linear model fits, but for a constant score, of which there is no map.
func TestExplain_fit(t *testing.T) {
	some, none := explain.Map{Width: 2, Height: 1, Values: []float32{0, 1}}, explain.Map{Width: 2, Height: 1, Values: []float32{0, 0}}
	require.Equal(t, "linear fit R² 0.87", onnx.FitNote(sampling.Surrogate{Map: some, Fit: 0.87}))
	require.Equal(t, "linear fit R² 0.50", onnx.FitNote(sampling.Surrogate{Map: some, Fit: 0.5}))
	require.Equal(t, "linear fit R² 0.42: do not rely on this map", onnx.FitNote(sampling.Surrogate{Map: some, Fit: 0.42}))
	require.Empty(t, onnx.FitNote(sampling.Surrogate{Map: none, Fit: 1}))
}

// The library that tests use has no CUDA: the error says what to do.
func TestProvider(t *testing.T) {
	_, err := openRuntime(t).OpenNetwork(demoModel(t), onnx.NetworkOptions{Provider: onnx.CUDA})
	require.ErrorContains(t, err, "onnxruntime.provider to cpu")
	_, err = openRuntime(t).OpenNetwork(demoModel(t), onnx.NetworkOptions{Provider: "tea"})
	require.ErrorContains(t, err, "unknown")
}
