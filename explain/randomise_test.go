package explain_test

import (
	"slices"
	"testing"

	"endogate/explain"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
)

func TestRandomise(t *testing.T) {
	r := openRuntime(t)
	model := demoModel(t)
	before := slices.Clone(model)
	shape := []int64{1, 3, 160, 160}
	in := onnx.Tensor{Shape: shape, Values: picture(shape)}
	logits := func(m []byte) []float32 {
		return run(t, r, m, onnx.SessionOptions{Inputs: []string{"input"}, Outputs: []string{"logits"}}, in)[0].Values
	}
	want := logits(model)
	seen := [][]float32{want}
	for _, top := range []int{0, 1, 3} {
		random, err := explain.Randomise(model, 7, top)
		require.NoError(t, err)
		require.Equal(t, before, model, "the model given is left alone")
		again, err := explain.Randomise(model, 7, top)
		require.NoError(t, err)
		require.Equal(t, random, again)
		got := logits(random)
		for _, other := range seen {
			require.NotEqual(t, other, got)
		}
		seen = append(seen, got)
	}
	_, err := explain.Randomise([]byte("no model"), 1, 0)
	require.Error(t, err)
}
