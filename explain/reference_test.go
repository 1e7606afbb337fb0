package explain_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"endogate/explain"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
)

// reference is what testdata/reference.py wrote: PyTorch's autograd in double precision.
type reference struct {
	Shape     []int64
	Logits    []float64
	Explained []struct {
		Layer       string
		Class       int
		CAMShape    []int `json:"cam_shape"`
		CAM         []float64
		GradientAt  []int   `json:"gradient_at"`
		GradientMax float64 `json:"gradient_max"`
		Gradient    []float64
		InputAt     []int   `json:"input_at"`
		InputMax    float64 `json:"input_max"`
		Input       []float64
	}
}

// picture is reference.py's input.
func picture(shape []int64) []float32 {
	v := make([]float32, product(shape))
	for i := range v {
		v[i] = float32((i*7919)%512)/128 - 2
	}
	return v
}

func TestCompile_againstPyTorch(t *testing.T) {
	r := openRuntime(t)
	for _, c := range []struct{ vectors, model string }{
		{"demo", "../testdata/models/demo/model.onnx"},
		{"vgg19", "testdata/vgg19_17.onnx"},
		{"resnet50", "testdata/resnet50_11.onnx"},
		{"resnet50", "testdata/resnet50_16.onnx"},
		{"mobilenetv2", "testdata/mobilenetv2_13.onnx"},
	} {
		t.Run(filepath.Base(c.model), func(t *testing.T) {
			var want reference
			text, err := os.ReadFile("testdata/" + c.vectors + ".json")
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(text, &want))
			model, err := os.ReadFile(c.model)
			require.NoError(t, err)
			for _, e := range want.Explained {
				for _, single := range []bool{false, true} {
					compiled, err := explain.Compile(model, explain.Options{Single: single, Probe: r.Probe, Targets: []explain.Target{
						{Method: explain.GradCAM, Layer: e.Layer}, {Method: explain.ActivationGradient, Layer: e.Layer}, {Method: explain.Gradient},
					}})
					require.NoError(t, err)
					require.Equal(t, e.CAMShape, []int{compiled.Maps[0].Height, compiled.Maps[0].Width})
					logits, cam, da, dx := runCompiled(t, r, compiled, want.Shape, e.Class)
					requireClose(t, want.Logits, logits, nil, 0)
					requireClose(t, e.CAM, cam, nil, 0)
					requireClose(t, e.Gradient, da, e.GradientAt, e.GradientMax)
					requireClose(t, e.Input, dx, e.InputAt, e.InputMax)
				}
			}
		})
	}
}

func runCompiled(t *testing.T, r *onnx.Runtime, c *explain.Compiled, shape []int64, class int) (logits, cam, da, dx []float32) {
	t.Helper()
	s, err := r.NewSession(c.ONNX, onnx.SessionOptions{
		Provider: provider,
		Inputs:   []string{c.InputName, c.SeedName},
		Outputs:  []string{c.LogitsName, c.Maps[0].Name, c.Maps[1].Name, c.Maps[2].Name},
	})
	require.NoError(t, err)
	defer func() { _ = s.Close() }()
	seed := make([]float32, c.Classes)
	seed[class] = 1
	out, err := s.Run(context.Background(), []onnx.Tensor{
		{Shape: shape, Values: picture(shape)}, {Shape: []int64{1, int64(c.Classes)}, Values: seed},
	})
	require.NoError(t, err)
	return out[0].Values, out[1].Values, out[2].Values, out[3].Values
}

// requireClose holds values, at the given places if there are some, to 1e-4 of the largest.
func requireClose(t *testing.T, want []float64, got []float32, at []int, largest float64) {
	t.Helper()
	if at == nil {
		require.Len(t, got, len(want))
		for _, v := range want {
			largest = max(largest, math.Abs(v))
		}
	}
	require.Positive(t, largest)
	for i, v := range want {
		k := i
		if at != nil {
			k = at[i]
		}
		require.InDelta(t, v, got[k], 1e-4*largest, "element %d", k)
	}
}
