package explain_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"endogate/explain"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
)

// gradientOf is the gradient of the seeded sum of a small model's output at x, of a batch of one.
func gradientOf(t *testing.T, s *small, single bool, x, seed []float32) []float32 {
	t.Helper()
	r := openRuntime(t)
	c, err := explain.Compile(s.bytes(t), explain.Options{
		Targets: []explain.Target{{Method: explain.Gradient}}, Single: single, Probe: r.Probe,
	})
	require.NoError(t, err)
	session, err := r.NewSession(c.ONNX, onnx.SessionOptions{
		Provider: provider,
		Inputs:   []string{c.InputName, c.SeedName}, Outputs: []string{c.Maps[0].Name},
	})
	require.NoError(t, err)
	defer func() { _ = session.Close() }()
	out, err := session.Run(context.Background(), []onnx.Tensor{
		{Shape: s.shape, Values: x}, {Shape: []int64{1, int64(len(seed))}, Values: seed},
	})
	require.NoError(t, err)
	return out[0].Values
}

// The gradient passes a Relu whole where its input is positive, however little, and not at all elsewhere; in the
// blocked layout, which needs 16 channels, and out of it.
func TestRelu_exact(t *testing.T) {
	values := []float32{0, -1, 1e-37, 1e-20, -1e-37, 3, 1e30, -3e38, 3.4e38}
	for _, single := range []bool{false, true} {
		for _, channels := range []int64{1, 16} {
			s := &small{shape: []int64{1, channels, 3, 3}}
			s.node("Relu", []string{"x"}, []string{"y"})
			x, seed := make([]float32, 9*channels), make([]float32, 9*channels)
			want := make([]float32, 9*channels)
			for i := range x {
				x[i], seed[i] = values[i%9], float32(i+1)/3
				if x[i] > 0 {
					want[i] = seed[i]
				}
			}
			require.Equal(t, want, gradientOf(t, s, single, x, seed))
		}
	}
}

// The gradient passes a Clip within its bounds, also next to them, and not at or beyond them.
func TestClip_exact(t *testing.T) {
	values := []float32{0, -1, 1e-30, 3, 6, 5.9999995, 7, -1e30, 1e30}
	passes := []bool{false, false, true, true, false, true, false, false, false}
	for _, single := range []bool{false, true} {
		for _, channels := range []int64{1, 16} {
			s := &small{shape: []int64{1, channels, 3, 3}}
			s.node("Clip", []string{"x", s.weight(nil, 0), s.weight(nil, 6)}, []string{"y"})
			x, seed := make([]float32, 9*channels), make([]float32, 9*channels)
			want := make([]float32, 9*channels)
			for i := range x {
				x[i], seed[i] = values[i%9], float32(i+1)/3
				if passes[i%9] {
					want[i] = seed[i]
				}
			}
			require.Equal(t, want, gradientOf(t, s, single, x, seed))
		}
	}
}

// Of equal maxima the first one in reading order gets the gradient, as in PyTorch; also after a Relu, and zeros get none.
func TestMaxPool_ties(t *testing.T) {
	for _, single := range []bool{false, true} {
		for _, stride := range []int64{1, 2} { // windows that overlap, and that do not
			for _, channels := range []int64{1, 16} {
				s := &small{shape: []int64{1, channels, 4, 4}}
				s.node("Relu", []string{"x"}, []string{"a"})
				s.node("MaxPool", []string{"a"}, []string{"y"}, attrInts("kernel_shape", 2, 2), attrInts("strides", stride, stride))
				frame := []float32{
					5, 5, 0, 0,
					5, 5, -1, -1,
					1, 7, 2, 3,
					7, 1, 3, 2,
				}
				want := map[int64][]float32{ // the seed is one in every window
					1: {
						1, 1, 0, 0,
						0, 0, 0, 0,
						0, 4, 0, 2,
						0, 0, 0, 0,
					},
					2: {
						1, 0, 0, 0,
						0, 0, 0, 0,
						0, 1, 0, 1,
						0, 0, 0, 0,
					},
				}[stride]
				var x, all, seed []float32
				for range channels {
					x, all = append(x, frame...), append(all, want...)
				}
				places := (4-2)/stride + 1
				for range channels * places * places {
					seed = append(seed, 1)
				}
				require.Equal(t, all, gradientOf(t, s, single, x, seed), "stride %d, %d channels", stride, channels)
			}
		}
	}
}

// By minimal filtering the gradient of a convolution of many channels is what it is by the convolution, to a few 1e-5 of the greatest value.
func TestConv_minimalFiltering(t *testing.T) {
	s := &small{shape: []int64{1, 128, 16, 32}}
	random := rand.New(rand.NewPCG(5, 6))
	normal := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(random.NormFloat64())
		}
		return v
	}
	s.node("Conv", []string{"x", s.weight([]int64{256, 128, 3, 3}, normal(256*128*9)...)}, []string{"y"}, attrInts("pads", 1, 1, 1, 1))
	x, seed := normal(128*16*32), normal(256*16*32)
	want, got := gradientOf(t, s, false, x, seed), gradientOf(t, s, true, x, seed)
	require.NotEqual(t, want, got, "it is not by minimal filtering")
	greatest := slices.Max(want)
	for i := range want {
		require.InDelta(t, want[i], got[i], 3e-5*float64(greatest))
	}
}
