package explain_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"endogate/explain"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
)

// Grad-CAM alone, which may get by with means of gradients that are never made, is what activation and gradient give.
func TestGradCAM_fromMeans(t *testing.T) {
	r := openRuntime(t)
	for _, file := range []string{
		"../testdata/models/demo/model.onnx", "testdata/vgg19_17.onnx", "testdata/resnet50_16.onnx", "testdata/mobilenetv2_13.onnx",
	} {
		t.Run(filepath.Base(file), func(t *testing.T) {
			model, err := os.ReadFile(file)
			require.NoError(t, err)
			layers, err := explain.Layers(model, explain.Options{Probe: r.Probe})
			require.NoError(t, err)
			for i := len(layers) - 1; i >= 0; i -= 4 { // the last, and some of each kind
				l := layers[i]
				cam := runTargets(t, r, model, explain.Target{Method: explain.GradCAM, Layer: l.Name})[0]
				both := runTargets(t, r, model,
					explain.Target{Method: explain.Activation, Layer: l.Name}, explain.Target{Method: explain.ActivationGradient, Layer: l.Name})
				want := weightedByMeans(both[0], both[1], l.Channels)
				requireClose(t, want, cam, nil, 1e-6)
			}
		})
	}
}

// runTargets runs a model for one frame and its class 1.
func runTargets(t *testing.T, r *onnx.Runtime, model []byte, targets ...explain.Target) [][]float32 {
	t.Helper()
	c, err := explain.Compile(model, explain.Options{Targets: targets, Single: true, Probe: r.Probe})
	require.NoError(t, err)
	o := onnx.SessionOptions{Inputs: []string{c.InputName, c.SeedName}}
	for _, m := range c.Maps {
		o.Outputs = append(o.Outputs, m.Name)
	}
	s, err := r.NewSession(c.ONNX, o)
	require.NoError(t, err)
	defer func() { _ = s.Close() }()
	shape := append([]int64{1}, c.InputShape[1:]...)
	for i, d := range shape {
		if d < 0 {
			shape[i] = 96
		}
	}
	seed := make([]float32, c.Classes)
	seed[1] = 1
	out, err := s.Run(context.Background(), []onnx.Tensor{
		{Shape: shape, Values: picture(shape)}, {Shape: []int64{1, int64(c.Classes)}, Values: seed},
	})
	require.NoError(t, err)
	values := make([][]float32, len(out))
	for i := range out {
		values[i] = out[i].Values
	}
	return values
}

// weightedByMeans is grad-CAM by its definition.
func weightedByMeans(activation, gradient []float32, channels int) []float64 {
	places := len(activation) / channels
	cam := make([]float64, places)
	for c := range channels {
		mean := 0.
		for _, g := range gradient[c*places : (c+1)*places] {
			mean += float64(g) / float64(places)
		}
		for i, a := range activation[c*places : (c+1)*places] {
			cam[i] += mean * float64(a)
		}
	}
	for i := range cam {
		cam[i] = max(cam[i], 0)
	}
	return cam
}
