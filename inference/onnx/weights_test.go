package onnx_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"
	"weak"

	"endogate/explain"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
)

// A session whose weights came apart from its model computes what one with them in its model does, also after the
// model's bytes have been overwritten, and leaves no file behind.
func TestNewSession_weightsApart(t *testing.T) {
	r := openRuntime(t)
	left := func() []string {
		files, err := filepath.Glob("/dev/shm/endogate-weights-*")
		require.NoError(t, err)
		return files
	}
	before := left()
	var got [2][]onnx.Tensor
	for i, apart := range []bool{false, true} {
		model := demoModel(t)
		c, err := explain.Compile(model, explain.Options{
			Targets: []explain.Target{{Method: explain.Gradient}}, WeightsApart: apart, Probe: r.Probe,
		})
		require.NoError(t, err)
		require.Equal(t, apart, len(c.Weights) > 0)
		if apart {
			require.Less(t, len(c.ONNX), len(model)/4)
		}
		s, err := r.NewSession(c.ONNX, onnx.SessionOptions{
			Inputs: []string{c.InputName, c.SeedName}, Outputs: []string{c.LogitsName, c.Maps[0].Name}, Weights: c.Weights,
		})
		require.NoError(t, err)
		defer func() { _ = s.Close() }()
		clear(model)
		got[i], err = s.Run(context.Background(), []onnx.Tensor{{Shape: shape, Values: frame()}, {Shape: []int64{1, 5}, Values: []float32{1, 0, 0, 0, 0}}})
		require.NoError(t, err)
	}
	require.NotZero(t, got[0][1].Values[1000])
	require.Equal(t, got[0], got[1])
	for _, folder := range left() { // another process may be loading just now
		if !slices.Contains(before, folder) {
			require.Eventually(t, func() bool { _, err := os.Stat(folder); return os.IsNotExist(err) }, time.Minute, 10*time.Millisecond, folder)
		}
	}
}

// A session does not keep the memory of the model that it was made from.
func TestNewSession_letsGo(t *testing.T) {
	r := openRuntime(t)
	var memory weak.Pointer[byte]
	s := func() *onnx.Session {
		model := demoModel(t)
		memory = weak.Make(&model[0])
		c, err := explain.Compile(model, explain.Options{WeightsApart: true, Probe: r.Probe})
		require.NoError(t, err)
		s, err := r.NewSession(c.ONNX, onnx.SessionOptions{
			Inputs: []string{c.InputName}, Outputs: []string{c.LogitsName}, Weights: c.Weights,
		})
		require.NoError(t, err)
		return s
	}()
	for range 10 {
		runtime.GC()
	}
	require.Nil(t, memory.Value())
	require.NoError(t, s.Close())
}

func TestNewSession_noRoomForWeights(t *testing.T) {
	dir := t.TempDir()
	full := filepath.Join(dir, "no such folder")
	weights := []explain.Weight{{Name: "w", Data: []byte("weight"), Offset: 4096}}
	_, _, err := onnx.WeightsFolder(weights, []string{full})
	require.ErrorIs(t, err, onnx.ErrNoRoom)
	require.ErrorContains(t, err, full)

	folder, remove, err := onnx.WeightsFolder(weights, []string{full, dir})
	require.NoError(t, err)
	content, err := os.ReadFile(filepath.Join(folder, explain.WeightsFile))
	require.NoError(t, err)
	require.Equal(t, append(make([]byte, 4096), "weight"...), content)
	remove()
	require.NoDirExists(t, folder)
}

// What a process has left that was killed while it loaded a model does not stay; what one holds that loads now does.
func TestWeightsFolder_leftBehind(t *testing.T) {
	place := t.TempDir()
	weights := []explain.Weight{{Name: "w", Data: make([]byte, 64)}}
	held, remove, err := onnx.WeightsFolder(weights, []string{place})
	require.NoError(t, err)
	left, young := filepath.Join(place, "endogate-weights-1"), filepath.Join(place, "endogate-weights-2")
	for _, folder := range []string{left, young} {
		require.NoError(t, os.Mkdir(folder, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(folder, explain.WeightsFile), make([]byte, 64), 0o600))
	}
	before := time.Now().Add(-time.Hour)
	for _, folder := range []string{left, held} {
		require.NoError(t, os.Chtimes(folder, before, before))
	}
	_, removeAnother, err := onnx.WeightsFolder(weights, []string{place})
	require.NoError(t, err)
	removeAnother()
	require.NoDirExists(t, left)
	require.DirExists(t, young)
	require.DirExists(t, held)
	remove()
	require.NoDirExists(t, held)
}
