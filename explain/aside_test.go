package explain_test

import (
	"testing"

	"endogate/explain"

	"github.com/stretchr/testify/require"
)

// A convolution that only says how much each place counts, as attention pooling has, is not the last layer: what it weighs is.
func TestLast_notItsWeights(t *testing.T) {
	s := &small{shape: []int64{1, 3, 6, 6}, logits: true}
	s.node("Conv", []string{"x", s.weight([]int64{2, 3, 1, 1}, 1, 2, 3, -1, 0.5, 1)}, []string{"c"})
	s.node("Relu", []string{"c"}, []string{"features"})
	s.node("Conv", []string{"features", s.weight([]int64{1, 2, 1, 1}, 1, -1)}, []string{"scores"})
	s.node("Reshape", []string{"scores", s.ints(0, 1, -1)}, []string{"row"})
	s.node("Softmax", []string{"row"}, []string{"shares"}, attrInt("axis", 2))
	s.node("Reshape", []string{"features", s.ints(0, 2, -1)}, []string{"flat"})
	s.node("Mul", []string{"flat", "shares"}, []string{"weighed"})
	s.node("ReduceSum", []string{"weighed", s.ints(2)}, []string{"logits"}, attrInt("keepdims", 0))
	layer := lastOf(t, s)
	require.Equal(t, "features", layer.Tensor)
	require.False(t, layer.Fallback)
}

// Where a network reads the picture through a grid that it works out (a spatial transformer), the convolutions that
// work it out lie over the picture, and say nothing of what the network saw there.
func TestLast_notItsGrid(t *testing.T) {
	s := &small{shape: []int64{1, 3, 6, 6}, logits: true}
	s.node("Conv", []string{"x", s.weight([]int64{2, 3, 1, 1}, 1, 2, 3, -1, 0.5, 1)}, []string{"c"})
	s.node("Tanh", []string{"c"}, []string{"bounded"})
	s.node("Transpose", []string{"bounded"}, []string{"grid"}, attrInts("perm", 0, 2, 3, 1))
	s.node("GridSample", []string{"x", "grid"}, []string{"read"})
	s.node("Conv", []string{"read", s.weight([]int64{2, 3, 1, 1}, 1, -2, 3, 1, 0.5, 1)}, []string{"d"})
	s.node("GlobalAveragePool", []string{"d"}, []string{"means"})
	s.node("Flatten", []string{"means"}, []string{"logits"})
	_, err := explain.Compile(s.bytes(t), explain.Options{Targets: []explain.Target{{Method: explain.GradCAM}}, Probe: openRuntime(t).Probe})
	require.ErrorIs(t, err, explain.ErrNoLayer)
	require.ErrorContains(t, err, "GridSample")
}

func lastOf(t *testing.T, s *small) explain.Layer {
	c, err := explain.Compile(s.bytes(t), explain.Options{Targets: []explain.Target{{Method: explain.GradCAM}}, Probe: openRuntime(t).Probe})
	require.NoError(t, err)
	return c.Maps[0].Layer
}
