package explain_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/explain"
	"endogate/inference/onnx"
)

// Logits and gradients of single operators are those that testdata/operators.py has of PyTorch, or of the standard's words written
// out there.
func TestOperators_againstPyTorch(t *testing.T) {
	r := openRuntime(t)
	files, err := filepath.Glob("testdata/operators/*.json")
	require.NoError(t, err)
	require.Len(t, files, 28)
	for _, file := range files {
		name := strings.TrimSuffix(file, ".json")
		t.Run(filepath.Base(name), func(t *testing.T) {
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			var want struct {
				Shape            []int64
				Logits, Gradient []float64
			}
			require.NoError(t, json.Unmarshal(content, &want))
			e := r.NewExplainer(func() ([]byte, error) { return os.ReadFile(name + ".onnx") }, onnx.ExplainerOptions{})
			defer func() { require.NoError(t, e.Close()) }()
			logits, maps, err := e.Run(t.Context(), onnx.Input{Shape: want.Shape, Values: picture(want.Shape)}, [][]float32{{0, 1, 0}}, []explain.Target{{Method: explain.Gradient}})
			require.NoError(t, err)
			same := func(want []float64, got []float32) {
				require.Len(t, got, len(want))
				greatest := 0.0
				for _, v := range want {
					greatest = max(greatest, math.Abs(v))
				}
				require.Positive(t, greatest)
				for i, v := range want {
					require.InDelta(t, v, got[i], 2e-5*greatest, "value %d", i)
				}
			}
			same(want.Logits, logits)
			own, err := e.Output(t.Context(), onnx.Input{Shape: want.Shape, Values: picture(want.Shape)}, 1)
			require.NoError(t, err)
			same(want.Logits, own) // of the operator itself
			same(want.Gradient, maps[0].Values)
		})
	}
}
