package sampling_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/explain/sampling"
)

func TestSmoothGrad_ofALinearNetworkIsItsGradient(t *testing.T) {
	p := still(3, 5, 7)
	w := noise(1, p.Size())
	got, err := sampling.SmoothGrad(t.Context(), linear(w).network(p, 4, nil), noise(2, p.Size()), []float32{2, 0.5}, sampling.SmoothGradOptions{})
	require.NoError(t, err)
	for i := range w {
		require.InDelta(t, 1.5*w[i], got[i], 1e-6)
	}
}

// The mean gradient of Σ w·x³ is the mean of 3w(x + σn)².
func TestSmoothGrad_givenNoise(t *testing.T) {
	p := still(1, 2, 2)
	w, x := []float32{1, -2, 3, 4}, []float32{-1, 0, 1, 3}
	noises := [][]float32{{1, 2, 0, -1}, {-1, 0, 0.5, 2}}
	got, err := sampling.SmoothGrad(t.Context(), power(w, 3).network(p, 5, nil), x, seed, sampling.SmoothGradOptions{
		Samples: 2, Noise: 0.1,
		Normal: func(sample int, into []float32) { copy(into, noises[sample]) },
	})
	require.NoError(t, err)
	for i := range x {
		want := 0.0
		for _, n := range noises {
			want += 3 * float64(w[i]) * math.Pow(float64(x[i])+0.1*4*float64(n[i]), 2) / 2
		}
		require.InDelta(t, want, got[i], 1e-5)
	}
}

func TestSmoothGrad_noiseIsNormalAndFollowsItsSeed(t *testing.T) {
	p := still(1, 40, 40)
	x := noise(3, p.Size())
	x[0], x[1] = -1, 3 // a range of 4
	ran := 0
	var sum, squares float64
	net := power(x, 2).network(p, 8, func(in []float32) {
		ran++
		for i, v := range in {
			sum += float64(v - x[i])
			squares += float64(v-x[i]) * float64(v-x[i])
		}
	})
	one, err := sampling.SmoothGrad(t.Context(), net, x, seed, sampling.SmoothGradOptions{Seed: 1})
	require.NoError(t, err)
	require.Equal(t, 25, ran, "samples by default")
	n := float64(ran * p.Size())
	require.InDelta(t, 0, sum/n, 0.02)
	require.InDelta(t, 0.15*4, math.Sqrt(squares/n), 0.01)

	again, err := sampling.SmoothGrad(t.Context(), net, x, seed, sampling.SmoothGradOptions{Seed: 1})
	require.NoError(t, err)
	require.Equal(t, one, again)
	other, err := sampling.SmoothGrad(t.Context(), net, x, seed, sampling.SmoothGradOptions{Seed: 2})
	require.NoError(t, err)
	require.NotEqual(t, one, other)
}

// The gradient of a square is linear along the path, where the midpoint rule is exact.
func TestIntegratedGradients_exactForSquares(t *testing.T) {
	p := still(2, 3, 3)
	w, x, b := noise(1, p.Size()), noise(2, p.Size()), noise(3, p.Size())
	got, err := sampling.IntegratedGradients(t.Context(), power(w, 2).network(p, 4, nil), x, b, seed, sampling.IntegratedGradientsOptions{})
	require.NoError(t, err)
	change := 0.0
	for i := range w {
		want := float64(w[i]) * (float64(x[i])*float64(x[i]) - float64(b[i])*float64(b[i]))
		require.InDelta(t, want, got.Values[i], 1e-6)
		change += want
	}
	require.InDelta(t, change, got.Change, 1e-5)
	require.Less(t, got.Gap, 1e-5)
}

func TestIntegratedGradients_completeForALinearNetworkInOneStep(t *testing.T) {
	p := still(1, 4, 4)
	w, x, b := noise(1, 16), noise(2, 16), noise(3, 16)
	got, err := sampling.IntegratedGradients(t.Context(), linear(w).network(p, 1, nil), x, b, []float32{0, 1}, sampling.IntegratedGradientsOptions{Steps: 1})
	require.NoError(t, err)
	for i := range w {
		require.InDelta(t, -w[i]*(x[i]-b[i]), got.Values[i], 1e-6)
	}
	require.Less(t, got.Gap, 1e-6)
}

// Of Σ x⁴ from 0 to 1 the midpoint rule misses about 1/(2·steps²) of the whole: the gap says so.
func TestIntegratedGradients_gapTellsTooFewSteps(t *testing.T) {
	p := still(1, 4, 4)
	net := power(filled(16, 1), 4).network(p, 8, nil)
	for steps, want := range map[int]float64{2: 0.125, 4: 1.0 / 32, 16: 1.0 / 512} {
		got, err := sampling.IntegratedGradients(t.Context(), net, filled(16, 1), filled(16, 0), seed, sampling.IntegratedGradientsOptions{Steps: steps})
		require.NoError(t, err)
		require.InDelta(t, 16, got.Change, 1e-6)
		require.InDelta(t, 16*want, got.Gap, 1e-4, "%d steps", steps)
	}
}

func TestIntegratedGradients_seedOfAnotherNetwork(t *testing.T) {
	p := still(1, 4, 4)
	_, err := sampling.IntegratedGradients(t.Context(), linear(noise(1, 16)).network(p, 8, nil), noise(2, 16), noise(3, 16), []float32{1, 0, 0}, sampling.IntegratedGradientsOptions{})
	require.ErrorContains(t, err, "4 logits for 2 inputs, want 3 for each")
}

func TestReduce(t *testing.T) {
	p := sampling.Picture{Frames: 2, Channels: 2, Height: 1, Width: 2}
	values := []float32{1, -2, -3, 1 /* second frame */, 0, 5, 2, -6}
	want := map[sampling.Reduction][2][]float32{
		sampling.MaxAbs:      {{3, 2}, {2, 6}},
		sampling.Sum:         {{-2, -1}, {2, -1}},
		sampling.SumPositive: {{0, 0}, {2, 0}},
	}
	for _, layout := range []sampling.Layout{sampling.ChannelsFirst, sampling.ChannelsLast, sampling.FramesAfterChannels} {
		p.Layout = layout
		for how, frames := range want {
			maps := sampling.Reduce(p, arrange(p, values, false), how)
			require.Len(t, maps, 2)
			for i, m := range maps {
				require.Equal(t, frames[i], m.Values, "layout %d, reduction %d, frame %d", layout, how, i)
				require.Equal(t, [2]int{2, 1}, [2]int{m.Width, m.Height})
			}
		}
	}
}

func TestGradientMethods_refuseOptions(t *testing.T) {
	p := still(1, 4, 4)
	x := noise(1, 16)
	net := linear(x).network(p, 4, nil)
	for why, o := range map[string]sampling.SmoothGradOptions{
		"of -1 samples": {Samples: -1}, "noise -0.1": {Noise: -0.1}, "noise 2": {Noise: 2}, "noise NaN": {Noise: math.NaN()},
	} {
		_, err := sampling.SmoothGrad(t.Context(), net, x, seed, o)
		require.ErrorContains(t, err, why)
	}
	_, err := sampling.SmoothGrad(t.Context(), net, x, nil, sampling.SmoothGradOptions{})
	require.ErrorContains(t, err, "seed is empty")
	_, err = sampling.IntegratedGradients(t.Context(), net, x, x, seed, sampling.IntegratedGradientsOptions{Steps: -2})
	require.ErrorContains(t, err, "of -2 steps")
}
