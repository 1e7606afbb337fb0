package explain_test

import (
	"context"
	"math"
	"testing"

	"endogate/explain"
	"endogate/explain/sampling"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
)

// check is what helpers need of a test, or of a check of a property: its own, so that it shrinks.
type check interface {
	require.TestingT
	Helper()
	Context() context.Context
}

// explained runs one target on a picture and returns the logits and what the target became.
func explained(t check, r *onnx.Runtime, model []byte, in onnx.Input, seed []float32, targets ...explain.Target) ([]float32, []onnx.Attribution) {
	t.Helper()
	e := r.NewExplainer(func() ([]byte, error) { return model, nil }, onnx.ExplainerOptions{Provider: provider})
	defer func() { require.NoError(t, e.Close()) }()
	logits, maps, err := e.Run(t.Context(), in, [][]float32{seed}, targets)
	require.NoError(t, err)
	return logits, maps
}

func oneHot(class, classes int) []float32 {
	seed := make([]float32, classes)
	seed[class] = 1
	return seed
}

func total(v []float32) (sum float64) {
	for _, x := range v {
		sum += float64(x)
	}
	return sum
}

// plainNet has no bias: relevance cannot leak.
func plainNet(t *testing.T) ([]byte, []int64) {
	s := &small{shape: []int64{1, 2, 8, 8}}
	v := func(n int64, k int) []float32 {
		w := make([]float32, n)
		for i := range w {
			w[i] = float32((i*37+k)%19)/10 - 0.85
		}
		return w
	}
	s.node("Conv", []string{"x", s.weight([]int64{4, 2, 3, 3}, v(72, 3)...)}, []string{"a"}, attrInts("pads", 1, 1, 1, 1))
	s.node("Relu", []string{"a"}, []string{"b"})
	s.node("MaxPool", []string{"b"}, []string{"c"}, attrInts("kernel_shape", 2, 2), attrInts("strides", 2, 2))
	s.node("Conv", []string{"c", s.weight([]int64{4, 4, 3, 3}, v(144, 5)...)}, []string{"d"}, attrInts("pads", 1, 1, 1, 1))
	s.node("Relu", []string{"d"}, []string{"e"})
	s.node("Add", []string{"e", "c"}, []string{"f"})
	s.node("AveragePool", []string{"f"}, []string{"g"}, attrInts("kernel_shape", 2, 2), attrInts("strides", 2, 2))
	s.node("Flatten", []string{"g"}, []string{"h"})
	s.node("Gemm", []string{"h", s.weight([]int64{16, 3}, v(48, 7)...)}, []string{"logits"})
	s.logits = true
	return s.bytes(t), s.shape
}

func TestIntegratedGradients_complete(t *testing.T) {
	r := openRuntime(t)
	model, shape := plainNet(t)
	in := onnx.Input{Shape: shape, Values: picture(shape)}
	e := r.NewExplainer(func() ([]byte, error) { return model, nil }, onnx.ExplainerOptions{Provider: provider})
	defer func() { require.NoError(t, e.Close()) }()
	for class := range 3 {
		seed := oneHot(class, 3)
		logits, _, err := e.Run(t.Context(), in, [][]float32{seed}, nil)
		require.NoError(t, err)
		a, err := e.Explain(t.Context(), in, onnx.Question{Target: explain.Target{Method: explain.IntegratedGradients}, Seed: seed})
		require.NoError(t, err)
		require.InEpsilon(t, logits[class], total(a[0].Values), 0.01) // the baseline's are zero: there is no bias
	}
}

// All methods answer on a real network, finite and in the shape they announce.
func TestMethods_all(t *testing.T) {
	r := openRuntime(t)
	model, shape := demoModel(t), []int64{1, 3, 160, 160}
	in := onnx.Input{Shape: shape, Values: blobs(shape)}
	e := r.NewExplainer(func() ([]byte, error) { return model, nil }, onnx.ExplainerOptions{Provider: provider})
	defer func() { require.NoError(t, e.Close()) }()
	for _, m := range explain.Methods() {
		t.Run(string(m.Method), func(t *testing.T) {
			q := onnx.Question{Target: explain.Target{Method: m.Method}, Seed: oneHot(2, 5), Score: sampling.Probability(2)}
			a, err := e.Explain(t.Context(), in, q)
			if m.Method == explain.AttentionRollout || m.Method == explain.GradientAttention {
				require.ErrorContains(t, err, "no attention")
				return
			}
			require.NoError(t, err)
			require.Len(t, a, 1)
			require.Equal(t, m.AtInput, a[0].AtInput)
			maps, err := a[0].Maps(shape)
			require.NoError(t, err)
			require.Len(t, maps, 1)
			nonzero := false
			for _, v := range maps[0].Values {
				require.False(t, v != v)
				nonzero = nonzero || v != 0
			}
			require.True(t, nonzero)
		})
	}
}

// blobs is a picture of smooth colours, where there are regions to be told apart.
func blobs(shape []int64) []float32 {
	v := make([]float32, product(shape))
	for i := range v {
		x, y, c := float64(i)/20, float64(i/int(shape[3]))/17, i/int(shape[2]*shape[3])
		v[i] = float32(math.Sin(math.Mod(x, float64(shape[3])/20)+float64(c)) + math.Cos(y))
	}
	return v
}

// Without a rectifier guided backpropagation is the plain gradient, and says so.
func TestGuided_withoutRectifier(t *testing.T) {
	r := openRuntime(t)
	for file, plain := range map[string]bool{"convnext_16": true, "vit_17": true, "vgg11_11": false, "mobilenetv3_14": false} {
		targets := []explain.Target{{Method: explain.GuidedBackprop}, {Method: explain.Deconvnet}, {Method: explain.Gradient}}
		c, err := explain.Compile(readFile(t, "testdata/zoo/"+file+".onnx"), explain.Options{Targets: targets, Probe: r.Probe})
		require.NoError(t, err)
		for _, m := range c.Maps {
			require.Equal(t, plain && m.Method != explain.Gradient, m.Instead != "", "%s %s", file, m.Method)
		}
	}
}
