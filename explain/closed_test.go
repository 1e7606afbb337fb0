package explain_test

import (
	"testing"

	"endogate/explain"
	"endogate/explain/onnxpb"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

// One convolution of one channel over 0..15, a ReLU, the mean, two classes: worked out by hand.
//
// The kernel [[0 1] [-1 0]] takes x[r][c+1] - x[r+1][c] = -3 everywhere; with the bias of 5, A = 2 in each of 3×3
// places. The mean is 2; the logits are 3·mean and -4·mean. For class 0 dA = 3/9 in every place, so the channel's
// weight is 1/3 and the map 2/3; for class 1 the weight is negative and the map zero.
func closedForm(t *testing.T) []byte {
	s := &small{shape: []int64{1, 1, 4, 4}, logits: true}
	s.node("Conv", []string{"x", s.weight([]int64{1, 1, 2, 2}, 0, 1, -1, 0), s.weight([]int64{1}, 5)}, []string{"c"})
	s.node("Relu", []string{"c"}, []string{"a"})
	s.node("GlobalAveragePool", []string{"a"}, []string{"mean"})
	s.node("Flatten", []string{"mean"}, []string{"flat"})
	s.node("Gemm", []string{"flat", s.weight([]int64{1, 2}, 3, -4)}, []string{"scores"})
	s.node("Softmax", []string{"scores"}, []string{"logits"}, attrInt("axis", 1))
	return s.bytes(t)
}

func arange(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i)
	}
	return v
}

func TestCompile_closedForm(t *testing.T) {
	r := openRuntime(t)
	c, err := explain.Compile(closedForm(t), explain.Options{Probe: r.Probe, Targets: []explain.Target{
		{Method: explain.Activation}, {Method: explain.ActivationGradient}, {Method: explain.GradCAM}, {Method: explain.Gradient},
	}})
	require.NoError(t, err)
	l := c.Maps[0].Layer
	require.Equal(t, []any{"/c", "a", 1, 1, 3, 3, true}, []any{l.Name, l.Tensor, l.Channels, l.Frames, l.Height, l.Width, l.Extent.Whole()})
	require.Equal(t, "/c (3×3): the last convolution over the picture", l.Chosen)
	require.False(t, l.Fallback)
	require.Equal(t, "scores", c.LogitsName) // before the softmax
	require.Equal(t, "logits", c.OutputName)
	require.True(t, c.ManySeeds)
	out := run(t, r, c.ONNX, onnx.SessionOptions{
		Provider: provider,
		Inputs:   []string{c.InputName, c.SeedName},
		Outputs:  []string{c.LogitsName, c.Maps[0].Name, c.Maps[1].Name, c.Maps[2].Name, c.Maps[3].Name},
	}, onnx.Tensor{Shape: []int64{1, 1, 4, 4}, Values: arange(16)},
		onnx.Tensor{Shape: []int64{3, 2}, Values: []float32{1, 0, 0, 1, 1, -1}}) // the last is a contrast of both
	require.InDeltaSlice(t, []float32{6, -8}, out[0].Values, 1e-6)
	nine := func(v float32) []float32 { return []float32{v, v, v, v, v, v, v, v, v} }
	join := func(v ...[]float32) (all []float32) {
		for _, p := range v {
			all = append(all, p...)
		}
		return all
	}
	require.InDeltaSlice(t, nine(2), out[1].Values, 1e-6)
	require.InDeltaSlice(t, join(nine(1./3), nine(-4./9), nine(7./9)), out[2].Values, 1e-6)
	require.InDeltaSlice(t, join(nine(2./3), nine(0), nine(14./9)), out[3].Values, 1e-6)
	// at the input: every place gets +g from the window it is the upper right of, -g from that it is the lower left of
	const g = 1. / 3
	require.InDeltaSlice(t, []float32{
		0, g, g, g,
		-g, 0, 0, g,
		-g, 0, 0, g,
		-g, -g, -g, 0,
	}, out[4].Values[:16], 1e-6)
}

func gradCAMAt(layer string, probe explain.Probe) explain.Options {
	return explain.Options{Targets: []explain.Target{{Method: explain.GradCAM, Layer: layer}}, Probe: probe}
}

func TestCompile_batch(t *testing.T) {
	r := openRuntime(t)
	c, err := explain.Compile(closedForm(t), gradCAMAt(explain.LastLayer, r.Probe))
	require.NoError(t, err)
	frames := append(arange(16), make([]float32, 16)...) // of zeros: A = 5
	out := run(t, r, c.ONNX, onnx.SessionOptions{Inputs: []string{c.InputName, c.SeedName}, Outputs: []string{c.Maps[0].Name}},
		onnx.Tensor{Shape: []int64{2, 1, 4, 4}, Values: frames}, onnx.Tensor{Shape: []int64{2, 2}, Values: []float32{1, 0, 1, 0}})
	require.Equal(t, []int64{2, 3, 3}, out[0].Shape)
	require.InDelta(t, 2./3, out[0].Values[0], 1e-6)
	require.InDelta(t, 5./3, out[0].Values[9], 1e-6)
}

// A list of tensors that cannot be written out is named.
func TestCompile_lists(t *testing.T) {
	r := openRuntime(t)
	s := &small{shape: []int64{1, 1, 6, 6}, logits: true}
	s.node("Conv", []string{"x", s.weight([]int64{1, 1, 1, 1}, 1)}, []string{"low"})
	s.node("SplitToSequence", []string{"low", s.ints(2, 4)}, []string{"two"}, attrInt("axis", 2))
	s.node("SequenceErase", []string{"two"}, []string{"one"})
	s.node("ConcatFromSequence", []string{"one"}, []string{"upper"}, attrInt("axis", 2))
	s.node("Flatten", []string{"upper"}, []string{"logits"})
	_, err := explain.Compile(s.bytes(t), gradCAMAt(explain.LastLayer, r.Probe))
	var unsupported *explain.UnsupportedError
	require.ErrorAs(t, err, &unsupported)
	require.Equal(t, []any{"/two", "SplitToSequence", "it makes a list of tensors, and which is not known before the model runs"}, []any{unsupported.Node, unsupported.Operator, unsupported.Why})
}

func TestCompile_unsupported(t *testing.T) {
	r := openRuntime(t)
	s := &small{shape: []int64{1, 1, 6, 6}, logits: true}
	weight := s.weight([]int64{1, 1, 3, 3}, make([]float32, 9)...)
	s.node("Conv", []string{"x", weight}, []string{"low"})
	s.node("Round", []string{"low"}, []string{"rounded"})                                                                      // a gradient of zero
	s.node("ReverseSequence", []string{"low", s.ints(1)}, []string{"hard"}, attrInt("batch_axis", 0), attrInt("time_axis", 1)) // no rule
	s.node("Add", []string{"rounded", "hard"}, []string{"sum"})
	s.node("Conv", []string{"sum", weight}, []string{"high"})
	s.node("Flatten", []string{"high"}, []string{"logits"})
	model := s.bytes(t)

	_, err := explain.Compile(model, gradCAMAt("/low", r.Probe))
	var unsupported *explain.UnsupportedError
	require.ErrorAs(t, err, &unsupported)
	require.Equal(t, "/hard", unsupported.Node)
	require.Equal(t, "ReverseSequence", unsupported.Operator)
	require.EqualValues(t, 17, unsupported.Opset)
	require.Equal(t, []string{"/high"}, unsupported.Layers)

	c, err := explain.Compile(model, gradCAMAt(explain.LastLayer, r.Probe))
	require.NoError(t, err)
	require.Equal(t, "/high", c.Maps[0].Layer.Name)

	layers, err := explain.Layers(model, explain.Options{Probe: r.Probe})
	require.NoError(t, err)
	require.Len(t, layers, 2)
	require.ErrorAs(t, layers[0].Err, &unsupported)
	require.NoError(t, layers[1].Err)

	_, err = explain.Compile(model, gradCAMAt("/nowhere", r.Probe))
	require.ErrorIs(t, err, explain.ErrNoLayer)
	require.ErrorContains(t, err, "/high")
}

// Only what lies between the layer and the logits is differentiated, and weights are not copied.
func TestCompile_size(t *testing.T) {
	r := openRuntime(t)
	model := demoModel(t)
	var before, after onnxpb.ModelProto
	c, err := explain.Compile(model, gradCAMAt(explain.LastLayer, r.Probe))
	require.NoError(t, err)
	require.NoError(t, proto.Unmarshal(model, &before))
	require.NoError(t, proto.Unmarshal(c.ONNX, &after))
	require.Less(t, len(after.Graph.Node), len(before.Graph.Node)+24)
	require.Less(t, len(c.ONNX), len(model)+10_000)

	c, err = explain.Compile(model, explain.Options{Targets: []explain.Target{{Method: explain.Gradient}}, Probe: r.Probe})
	require.NoError(t, err)
	require.Less(t, len(c.ONNX), len(model)+50_000)
}

// A network in which frames and channels share an axis takes one seed for each frame; several classes of a frame
// are then several runs, with the same result.
func TestNetwork_mergedBatch(t *testing.T) {
	r := openRuntime(t)
	s := &small{shape: []int64{1, 1, 4, 4}, logits: true}
	s.node("Conv", []string{"x", s.weight([]int64{2, 1, 2, 2}, 0, 1, -1, 0, 0.1, 0, 0, 0), s.weight([]int64{2}, 5, 0)}, []string{"a"})
	s.node("Flatten", []string{"a"}, []string{"rows"}, attrInt("axis", 2))
	s.node("Sigmoid", []string{"rows"}, []string{"gate"})
	s.node("Reshape", []string{"gate", s.ints(-1, 18)}, []string{"flat"})
	s.node("Gemm", []string{"flat", s.weight([]int64{18, 3}, arange(54)...)}, []string{"logits"})
	model := s.bytes(t)
	c, err := explain.Compile(model, gradCAMAt(explain.LastLayer, r.Probe))
	require.NoError(t, err)
	require.False(t, c.ManySeeds)
	n, err := r.OpenNetwork(model, onnx.NetworkOptions{})
	require.NoError(t, err)
	defer func() { _ = n.Close() }()
	shape := []int64{1, 1, 4, 4}
	outputs, maps, err := n.Explain(t.Context(), arange(16), shape, [][]float32{{0, 0, 1}, {1, 0, 0}})
	require.NoError(t, err)
	require.Len(t, outputs[0].Values, 3)
	require.Len(t, maps, 2)
	for i, seed := range [][]float32{{0, 0, 1}, {1, 0, 0}} {
		_, alone, err := n.Explain(t.Context(), arange(16), shape, [][]float32{seed})
		require.NoError(t, err)
		require.Positive(t, alone[0].Values[0])
		require.Equal(t, alone[0], maps[i])
	}
	require.NotEqual(t, maps[0], maps[1])
}

// A model that leaves height and width open is compiled for one size.
func TestNetwork_openSize(t *testing.T) {
	r := openRuntime(t)
	var m onnxpb.ModelProto
	require.NoError(t, proto.Unmarshal(closedForm(t), &m))
	dims := m.Graph.Input[0].Type.GetTensorType().Shape.Dim
	dims[2].Value, dims[3].Value = nil, nil
	model, err := proto.Marshal(&m)
	require.NoError(t, err)
	_, err = r.OpenNetwork(model, onnx.NetworkOptions{})
	require.ErrorContains(t, err, "axis 2 is open")
	n, err := r.OpenNetwork(model, onnx.NetworkOptions{InputShape: []int64{1, 1, 4, 4}})
	require.NoError(t, err)
	defer func() { _ = n.Close() }()
	_, maps, err := n.Explain(t.Context(), arange(16), []int64{1, 1, 4, 4}, [][]float32{{1, 0}})
	require.NoError(t, err)
	require.InDelta(t, 2./3, maps[0].Values[4], 1e-6)
}

// What does not depend on the picture needs no rule, and hinders nothing.
func TestInspect_withoutRuleAside(t *testing.T) {
	s := &small{shape: []int64{1, 1, 4, 4}}
	s.node("Conv", []string{"x", s.weight([]int64{2, 1, 1, 1}, 1, -1)}, []string{"c"})
	s.node("HannWindow", []string{"four"}, []string{"window"})
	s.node("Mul", []string{"c", "window"}, []string{"y"})
	s.graph.Initializer = append(s.graph.Initializer, &onnxpb.TensorProto{Name: proto.String("four"), DataType: proto.Int32(7), Int64Data: []int64{4}})
	in, err := explain.Inspect(s.bytes(t), explain.Options{Probe: openRuntime(t).Probe})
	require.NoError(t, err)
	require.Empty(t, in.Without)
}

// What keeps the picture's places from being followed is named as the model has it, and not as what it was written out as.
func TestCompile_lostAtWrittenOut(t *testing.T) {
	s := &small{shape: []int64{1, 1, 4, 4}}
	grid := s.weight([]int64{1, 4, 4, 2}, make([]float32, 32)...)
	s.node("GridSample", []string{"x", grid}, []string{"sampled"})
	s.node("Conv", []string{"sampled", s.weight([]int64{2, 1, 1, 1}, 1, -1)}, []string{"y"})
	_, err := explain.Compile(s.bytes(t), explain.Options{Targets: []explain.Target{{Method: explain.GradCAM}}, Probe: openRuntime(t).Probe})
	require.ErrorIs(t, err, explain.ErrNoLayer)
	require.ErrorContains(t, err, "(GridSample)")
	require.NotContains(t, err.Error(), "explain/")
}
