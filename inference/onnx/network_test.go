package onnx_test

import (
	"context"
	"os"
	"testing"

	"endogate/cmd/endogate/installed"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
)

func openRuntime(t testing.TB) *onnx.Runtime {
	t.Helper()
	library, err := onnx.FindLibrary("")
	if err != nil {
		installed.Lacking(t, "%v; make setup brings it", err)
	}
	r, err := onnx.Open(library)
	require.NoError(t, err)
	return r
}

func demoModel(t testing.TB) []byte {
	t.Helper()
	model, err := os.ReadFile("../../testdata/models/demo/model.onnx")
	require.NoError(t, err)
	return model
}

var shape = []int64{1, 3, 160, 160}

func frame() []float32 {
	in := make([]float32, 3*160*160)
	for i := range in {
		in[i] = float32((i*7919)%512)/128 - 2
	}
	return in
}

// oneHot is the seed of a class of the demo model.
func oneHot(class int) []float32 {
	seed := make([]float32, 5)
	seed[class] = 1
	return seed
}

func TestNetwork_demo(t *testing.T) {
	n, err := openRuntime(t).OpenNetwork(demoModel(t), onnx.NetworkOptions{Sessions: 2})
	require.NoError(t, err)
	defer func() { _ = n.Close() }()
	require.Equal(t, 5, n.Values())
	require.Equal(t, "/layer4/layer4.1/relu2/Relu_output_0", n.Layer().Tensor)
	require.Equal(t, []int64{-1, 3, 160, 160}, n.InputShape())

	plain, _, err := n.Explain(context.Background(), frame(), shape, nil)
	require.NoError(t, err)
	outputs, maps, err := n.Explain(context.Background(), frame(), shape, [][]float32{oneHot(0), oneHot(3), oneHot(1)})
	require.NoError(t, err)
	require.InDeltaSlice(t, plain[0].Values, outputs[0].Values, 1e-5)
	require.Len(t, maps, 3)
	for i, class := range []int{0, 3, 1} {
		_, alone, err := n.Explain(context.Background(), frame(), shape, [][]float32{oneHot(class)})
		require.NoError(t, err)
		require.Equal(t, 10, maps[i].Height)
		require.InDeltaSlice(t, alone[0].Values, maps[i].Values, 1e-6)
	}
	require.NotEqual(t, maps[0].Values, maps[1].Values)
}
