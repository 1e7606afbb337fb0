package explain_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"endogate/explain"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
)

// The light models are whole graphs of known networks at opset 9, weights replaced by constants: they are
// raised to a newer opset, must still compute the same, and every convolution in them is explained.
func TestCompile_lightModels(t *testing.T) {
	r := openRuntime(t)
	files, err := filepath.Glob("testdata/light/*.onnx")
	require.NoError(t, err)
	if more := os.Getenv("ENDOGATE_TEST_MODELS"); more != "" { // a folder of further models
		further, err := filepath.Glob(filepath.Join(more, "*.onnx"))
		require.NoError(t, err)
		files = append(files, further...)
	}
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".onnx"), func(t *testing.T) {
			model, err := os.ReadFile(file)
			require.NoError(t, err)
			layers, err := explain.Layers(model, explain.Options{Probe: r.Probe})
			require.NoError(t, err)
			require.NotEmpty(t, layers)
			for _, l := range layers {
				require.NoError(t, l.Err, l.Name)
			}
			c, err := explain.Compile(model, explain.Options{
				Targets: []explain.Target{{Method: explain.GradCAM}, {Method: explain.Gradient}}, Probe: r.Probe,
			})
			require.NoError(t, err)
			cam := c.Maps[0]
			last := layers[len(layers)-1]
			require.Equal(t, []any{last.Name, last.Tensor, false}, []any{cam.Layer.Name, cam.Layer.Tensor, cam.Layer.Fallback})
			require.Less(t, len(c.ONNX), 2*len(model)+100_000)

			in := onnx.Tensor{Shape: c.InputShape, Values: picture(c.InputShape)}
			plain := run(t, r, model, onnx.SessionOptions{Inputs: []string{c.InputName}, Outputs: []string{c.OutputName}}, in)
			seed := make([]float32, 3*c.Classes)
			seed[1], seed[c.Classes] = 1, 1 // the third names no class
			out := run(t, r, c.ONNX, onnx.SessionOptions{
				Provider: provider,
				Inputs:   []string{c.InputName, c.SeedName}, Outputs: []string{c.OutputName, c.LogitsName, cam.Name, c.Maps[1].Name},
			}, in, onnx.Tensor{Shape: []int64{3, int64(c.Classes)}, Values: seed})
			require.InDeltaSlice(t, plain[0].Values, out[0].Values, 1e-6)
			require.Len(t, out[1].Values, 1000)
			require.Equal(t, []int64{3, int64(cam.Layer.Height), int64(cam.Layer.Width)}, out[2].Shape)
			none := make([]float32, c.Classes)
			zero := run(t, r, c.ONNX, onnx.SessionOptions{Inputs: []string{c.InputName, c.SeedName}, Outputs: []string{cam.Name}},
				in, onnx.Tensor{Shape: []int64{1, int64(c.Classes)}, Values: none})
			require.Equal(t, make([]float32, cam.Layer.Height*cam.Layer.Width), zero[0].Values)
			for _, o := range out {
				for _, v := range o.Values {
					require.False(t, math.IsNaN(float64(v)))
				}
			}
		})
	}
}

func run(t interface {
	require.TestingT
	Helper()
}, r *onnx.Runtime, model []byte, o onnx.SessionOptions, in ...onnx.Tensor,
) []onnx.Tensor {
	t.Helper()
	s, err := r.NewSession(model, o)
	require.NoError(t, err)
	defer func() { _ = s.Close() }()
	out, err := s.Run(context.Background(), in)
	require.NoError(t, err)
	return out
}
