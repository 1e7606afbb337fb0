package explain_test

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/explain"
	"endogate/inference/onnx"
)

// The gradient of a clip from zero is what came from above wherever the input is between the bounds, however close, and
// nothing at them, in the layout of one frame as in that of many.
func TestClip_atItsBounds(t *testing.T) {
	r := openRuntime(t)
	const channels, side = 16, 4
	for _, high := range []float32{6, 1, 0.1, 4096} {
		below, above := math.Nextafter32(high, 0), math.Nextafter32(high, 2*high)
		at := []float32{-1, 0, 1e-30, 1e-20, 1e-7, high / 3, high / 2, below, high, above, 2 * high, high * 0.999}
		values := make([]float32, channels*side*side)
		for i := range values {
			values[i] = at[i%len(at)]
		}
		model := clipped(t, channels, side, high)
		for _, single := range []bool{true, false} {
			c, err := explain.Compile(model, explain.Options{Targets: []explain.Target{{Method: explain.Gradient}}, Single: single, Probe: r.Probe})
			require.NoError(t, err)
			s, err := r.NewSession(c.ONNX, onnx.SessionOptions{Inputs: []string{c.InputName, c.SeedName}, Outputs: []string{c.Maps[0].Name}})
			require.NoError(t, err)
			seed := make([]float32, channels)
			for i := range seed {
				seed[i] = float32(side * side)
			}
			out, err := s.Run(t.Context(), []onnx.Tensor{{Shape: []int64{1, channels, side, side}, Values: values}, {Shape: []int64{1, channels}, Values: seed}})
			require.NoError(t, err)
			require.NoError(t, s.Close())
			for i, v := range values {
				want := float32(0)
				if v > 0 && v < high {
					want = 1
				}
				require.Equal(t, want, out[0].Values[i], "single %v: clip to %v of %v", single, high, v)
			}
		}
	}
}

// clipped is the mean over the places of a clip of each channel, between convolutions that leave it as it is.
func clipped(t *testing.T, channels, side int64, high float32) []byte {
	s := &small{shape: []int64{1, channels, side, side}, logits: true}
	identity := func() string {
		return s.weight([]int64{channels, 1, 1, 1}, slices.Repeat([]float32{1}, int(channels))...)
	}
	s.node("Conv", []string{"x", identity()}, []string{"z"}, attrInt("group", channels))
	s.node("Clip", []string{"z", s.weight(nil, 0), s.weight(nil, high)}, []string{"y"})
	s.node("Conv", []string{"y", identity()}, []string{"v"}, attrInt("group", channels))
	s.node("GlobalAveragePool", []string{"v"}, []string{"means"})
	s.node("Flatten", []string{"means"}, []string{"logits"})
	return s.bytes(t)
}

// Behind a softmax that is clamped, or rounded to eight bits, the gradient starts at what the softmax reads.
func TestCompile_clampedSoftmax(t *testing.T) {
	for _, end := range []string{"Clip", "DequantizeLinear"} {
		s := &small{shape: []int64{1, 2, 4, 4}, logits: true}
		s.node("Conv", []string{"x", s.weight([]int64{3, 2, 1, 1}, 1, 2, -1, 1, 0.5, -2)}, []string{"y"})
		s.node("GlobalAveragePool", []string{"y"}, []string{"means"})
		s.node("Flatten", []string{"means"}, []string{"scores"})
		s.node("Softmax", []string{"scores"}, []string{"probabilities"}, attrInt("axis", 1))
		if end == "Clip" {
			s.node("Clip", []string{"probabilities", s.weight(nil, 1e-7), s.weight(nil, 1-1e-7)}, []string{"logits"})
		} else {
			scale := s.weight(nil, 1./255)
			s.node("QuantizeLinear", []string{"probabilities", scale}, []string{"rounded"})
			s.node("DequantizeLinear", []string{"rounded", scale}, []string{"logits"})
		}
		c, err := explain.Compile(s.bytes(t), explain.Options{Targets: []explain.Target{{Method: explain.GradCAM}}, Probe: openRuntime(t).Probe})
		require.NoError(t, err, end)
		require.Equal(t, "scores", c.LogitsName, end)
	}
}

// A softmax that is written out is looked behind as the operator is, and known to give probabilities.
func TestCompile_softmaxWrittenOut(t *testing.T) {
	s := &small{shape: []int64{1, 2}, logits: true}
	s.node("MatMul", []string{"x", s.weight([]int64{2, 2}, 40, -30, 20, 10)}, []string{"z"})
	s.node("ReduceMax", []string{"z"}, []string{"most"}, attrInts("axes", 1))
	s.node("Sub", []string{"z", "most"}, []string{"less"})
	s.node("Exp", []string{"less"}, []string{"e"})
	s.node("ReduceSum", []string{"e", s.ints(1)}, []string{"sum"})
	s.node("Div", []string{"e", "sum"}, []string{"logits"})
	model := s.bytes(t)
	outline, err := explain.ReadOutline(model)
	require.NoError(t, err)
	require.Equal(t, explain.Probabilities, outline.Ends("logits"))
	_, maps := explained(t, openRuntime(t), model, onnx.Input{Shape: s.shape, Values: []float32{2, 1}}, []float32{1, 0}, explain.Target{Method: explain.Gradient})
	require.Equal(t, []float32{40, 20}, maps[0].Values)
}

// A sigmoid that is written out is looked behind too.
func TestCompile_sigmoidWrittenOut(t *testing.T) {
	for _, end := range []string{"Div", "Reciprocal"} {
		s := &small{shape: []int64{1, 2}, logits: true}
		s.node("MatMul", []string{"x", s.weight([]int64{2, 2}, 40, -30, 20, 10)}, []string{"z"})
		s.node("Neg", []string{"z"}, []string{"minus"})
		s.node("Exp", []string{"minus"}, []string{"e"})
		one := s.weight(nil, 1)
		s.node("Add", []string{one, "e"}, []string{"sum"})
		if end == "Div" {
			s.node("Div", []string{one, "sum"}, []string{"logits"})
		} else {
			s.node("Reciprocal", []string{"sum"}, []string{"logits"})
		}
		_, maps := explained(t, openRuntime(t), s.bytes(t), onnx.Input{Shape: s.shape, Values: []float32{2, 1}}, []float32{1, 0}, explain.Target{Method: explain.Gradient})
		require.Equal(t, []float32{40, 20}, maps[0].Values, end)
	}
}

// What is all zero has no direction: its length gives it no gradient, as in PyTorch.
func TestCompile_lengthOfNothing(t *testing.T) {
	s := &small{shape: []int64{1, 2, 2}, logits: true}
	s.node("Relu", []string{"x"}, []string{"a"})
	s.node("ReduceL2", []string{"a"}, []string{"logits"}, attrInts("axes", 2), attrInt("keepdims", 0))
	_, maps := explained(t, openRuntime(t), s.bytes(t), onnx.Input{Shape: s.shape, Values: []float32{3, 4, -1, 0}}, []float32{1, 1}, explain.Target{Method: explain.Gradient})
	require.InDeltaSlice(t, []float32{0.6, 0.8, 0, 0}, maps[0].Values, 1e-6)
}

// What only decides has no layer to explain at, and the node that cuts it off is named.
func TestCompile_decision(t *testing.T) {
	s := &small{shape: []int64{1, 2, 4, 4}, logits: true}
	s.node("Conv", []string{"x", s.weight([]int64{3, 2, 1, 1}, 1, 2, -1, 1, 0.5, -2)}, []string{"y"})
	s.node("GlobalAveragePool", []string{"y"}, []string{"means"})
	s.node("Flatten", []string{"means"}, []string{"scores"})
	s.node("Greater", []string{"scores", s.weight(nil, 0)}, []string{"yes"})
	s.node("Cast", []string{"yes"}, []string{"logits"}, attrInt("to", 1))
	_, err := explain.Compile(s.bytes(t), explain.Options{Targets: []explain.Target{{Method: explain.GradCAM}}, Probe: openRuntime(t).Probe})
	require.ErrorIs(t, err, explain.ErrNoLayer)
	require.ErrorContains(t, err, "(Greater) has no slope")
}
