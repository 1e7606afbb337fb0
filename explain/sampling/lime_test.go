package sampling_test

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/explain/sampling"
)

// blocks is a picture of 4×4 squares of side pixels, of values far apart next to each other.
func blocks(p sampling.Picture, side int) []float32 {
	x := make([]float32, p.Size())
	for i := range x {
		bx, by := i%p.Width/side, i/p.Width%p.Height/side
		x[i] = float32(1 + (bx*5+by*7)%8)
	}
	return x
}

// The score is linear in which squares are seen, and the squares are the superpixels.
func TestLIME_recoversALinearModelOfTheSuperpixels(t *testing.T) {
	const side = 8
	p := still(3, 4*side, 4*side)
	x := blocks(p, side)
	effect := noise(9, 16) // of each square
	w := make([]float32, p.Size())
	for i := range w {
		block := i%p.Width/side + 4*(i/p.Width%p.Height/side)
		w[i] = effect[block] / (3 * side * side * x[i])
	}
	got, err := sampling.LIME(t.Context(), linear(w).network(p, 16, nil), x, filled(p.Size(), 0), sampling.Logit(0), sampling.LIMEOptions{Segments: 16, Ridge: 1e-9})
	require.NoError(t, err)
	require.Len(t, got.Weights, 16)
	require.InDelta(t, 1, got.Fit, 1e-6)
	for at, v := range got.Map.Values {
		require.InDelta(t, effect[at%32/side+4*(at/32/side)], v, 1e-4)
	}
	require.Negative(t, slices.Min(got.Map.Values), "signs are kept")

	shrunk, err := sampling.LIME(t.Context(), linear(w).network(p, 16, nil), x, filled(p.Size(), 0), sampling.Logit(0), sampling.LIMEOptions{Segments: 16})
	require.NoError(t, err)
	require.Greater(t, correlation(shrunk.Map.Values, got.Map.Values), 0.99, "with the usual ridge")
	require.Greater(t, shrunk.Fit, 0.95)
}

// The weights are the minimum of the paper's loss: its gradient, worked out here from the samples that the
// network saw, is zero.
func TestLIME_minimisesTheWeightedRidge(t *testing.T) {
	p := still(1, 16, 16)
	x, b := filled(p.Size(), 1), filled(p.Size(), 0)
	var samples [][]float32
	f := power(noise(1, p.Size()), 1)
	smooth := f.logits
	f.logits = func(x []float32) [2]float64 { s := smooth(x)[0]; return [2]float64{s*s + s, 0} }
	net := f.network(p, 7, func(x []float32) { samples = append(samples, slices.Clone(x)) })
	o := sampling.LIMEOptions{Segments: 9, Samples: 80, Kernel: 0.4, Ridge: 0.5, Seed: 4}
	got, err := sampling.LIME(t.Context(), net, x, b, sampling.Logit(0), o)
	require.NoError(t, err)
	require.Equal(t, x, samples[0], "the first sample is the input")

	k := len(got.Weights)
	weight, rest := make([]float64, 80), make([]float64, 80)
	seen := make([][]float64, 80)
	var total, constant, mean float64
	for i, s := range samples {
		seen[i] = make([]float64, k)
		for at, label := range got.Labels {
			seen[i][label] = float64(s[at])
		}
		count, said := 0.0, 0.0
		for j, v := range seen[i] {
			count += v
			said += v * got.Weights[j]
		}
		weight[i] = math.Exp(-math.Pow((1-math.Sqrt(count/float64(k)))/0.4, 2))
		score := float64(float32(f.logits(s)[0]))
		rest[i] = score - said
		total += weight[i]
		constant += weight[i] * rest[i]
		mean += weight[i] * score
	}
	var left, spread float64
	for i, s := range samples {
		rest[i] -= constant / total
		left += weight[i] * rest[i] * rest[i]
		spread += weight[i] * math.Pow(float64(float32(f.logits(s)[0]))-mean/total, 2)
	}
	for j := range k {
		slope := -0.5 * got.Weights[j]
		for i := range samples {
			slope += weight[i] * rest[i] * seen[i][j]
		}
		require.InDelta(t, 0, slope, 1e-8)
	}
	require.InDelta(t, 1-left/spread, got.Fit, 1e-9)
	require.Less(t, got.Fit, 0.999, "a curved score is not fitted wholly")
}

func TestLIME_refuses(t *testing.T) {
	p := still(1, 8, 8)
	x := noise(1, 64)
	for why, o := range map[string]sampling.LIMEOptions{
		"1 segments": {Segments: 1}, "1 samples": {Samples: 1}, "compactness -1": {Compactness: -1},
		"kernel NaN": {Kernel: math.NaN()}, "ridge +Inf": {Ridge: math.Inf(1)},
	} {
		_, err := sampling.LIME(t.Context(), linear(x).network(p, 1, nil), x, x, sampling.Logit(0), o)
		require.ErrorContains(t, err, why)
	}
	for _, labels := range [][]int{{0, 1}, append(make([]int, 63), 2), append(make([]int, 63), -1)} {
		_, err := sampling.LIME(t.Context(), linear(x).network(p, 1, nil), x, x, sampling.Logit(0), sampling.LIMEOptions{Labels: labels})
		require.ErrorContains(t, err, "labels for 64 pixels")
	}
	one := still(1, 1, 1)
	_, err := sampling.LIME(t.Context(), linear(x).network(one, 1, nil), x[:1], x[:1], sampling.Logit(0), sampling.LIMEOptions{})
	require.ErrorContains(t, err, "single superpixel")
}

// The regions are numbered from 0, each in one piece, none small, about as many as asked for.
func TestSuperpixels_regions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := still(rapid.IntRange(1, 3).Draw(t, "channels"), rapid.IntRange(1, 40).Draw(t, "height"), rapid.IntRange(1, 40).Draw(t, "width"))
		segments := rapid.IntRange(1, 80).Draw(t, "segments")
		values := noise(rapid.Uint64().Draw(t, "seed"), p.Size())
		labels, count := sampling.Superpixels(p, values, segments, rapid.Float64Range(1, 40).Draw(t, "compactness"))
		require.Len(t, labels, p.Height*p.Width)
		_, sizes := pieces(labels, p.Width, p.Height)
		require.Len(t, sizes, count, "as many pieces as labels")
		for _, l := range labels {
			require.True(t, l >= 0 && l < count)
		}
		if count > 1 {
			least := max(p.Height*p.Width/segments, 1) / 4
			require.GreaterOrEqual(t, slices.Min(sizes), least)
		}
	})
}

// A bright disc on a darker ground, both noisy, in one frame of a clip or the other.
func TestSuperpixels_asManyAsAskedForAndAlongEdges(t *testing.T) {
	for frame := range 2 {
		p := sampling.Picture{Frames: 2, Channels: 3, Height: 120, Width: 160}
		x, disc := noise(3, p.Size()), make([]int, p.Height*p.Width)
		for i := range x {
			x[i] *= 0.4
			if math.Hypot(float64(i%160)-70, float64(i/160%120)-55) < 37 {
				disc[i%len(disc)] = 1
				x[i] += 2 * float32(1-(i/(p.Size()/2)+frame)%2)
			}
		}
		labels, count := sampling.Superpixels(p, x, 60, 10)
		require.InDelta(t, 60, count, 20)
		in, all := make([]int, count), make([]int, count)
		for at, l := range labels {
			all[l]++
			in[l] += disc[at]
		}
		wrong := 0
		for l := range all {
			wrong += min(in[l], all[l]-in[l])
		}
		require.Less(t, float64(wrong)/float64(len(labels)), 0.002, "pixels of regions that lie mostly across the edge")
	}
}

// pieces are the connected pieces of equal labels: that of each pixel, and their sizes.
func pieces(labels []int, width, height int) (of, sizes []int) {
	of = make([]int, len(labels))
	done := make([]bool, len(labels))
	for start := range labels {
		if done[start] {
			continue
		}
		done[start] = true
		stack, size := []int{start}, 0
		for len(stack) > 0 {
			at := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			of[at] = len(sizes)
			size++
			x, y := at%width, at/width
			for _, n := range [][2]int{{x - 1, y}, {x + 1, y}, {x, y - 1}, {x, y + 1}} {
				if n[0] < 0 || n[1] < 0 || n[0] >= width || n[1] >= height {
					continue
				}
				if next := n[1]*width + n[0]; !done[next] && labels[next] == labels[at] {
					done[next] = true
					stack = append(stack, next)
				}
			}
		}
		sizes = append(sizes, size)
	}
	return of, sizes
}
