package sampling_test

import (
	"image"
	"math"
	"slices"
	"testing"

	"endogate/explain"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/explain/sampling"
)

func TestOcclusion_findsTheOnlyPixelThatMatters(t *testing.T) {
	p := still(1, 32, 48)
	w := make([]float32, p.Size())
	w[20*48+31] = 5
	ran := 0
	got, err := sampling.Occlusion(t.Context(), linear(w).network(p, 8, func([]float32) { ran++ }), filled(p.Size(), 1), filled(p.Size(), 0), sampling.Logit(0), sampling.OcclusionOptions{})
	require.NoError(t, err)
	require.Equal(t, 1+15*15, ran, "patches of an eighth, a sixteenth apart")
	highest := slices.Max(got.Values)
	require.InDelta(t, 5, highest, 1e-6, "all patches over it")
	require.Equal(t, highest, got.Values[20*48+31])
	for y := range 32 {
		for x := range 48 {
			if x <= 31-6 || x >= 31+6 || y <= 20-4 || y >= 20+4 {
				require.Zero(t, got.Values[y*48+x], "%d,%d shares no patch with it", x, y)
			}
		}
	}
}

// With patches of one pixel the drop is what the pixel adds, in all channels and frames.
func TestOcclusion_onePixelPatchesShareOutALinearScore(t *testing.T) {
	p := sampling.Picture{Frames: 2, Channels: 3, Height: 4, Width: 5}
	w, x, b := noise(1, p.Size()), noise(2, p.Size()), noise(3, p.Size())
	got, err := sampling.Occlusion(t.Context(), linear(w).network(p, 8, nil), x, b, sampling.Logit(0), sampling.OcclusionOptions{Patch: image.Pt(1, 1)})
	require.NoError(t, err)
	want := make([]float64, 20)
	for i := range w {
		want[i%20] += float64(w[i]) * float64(x[i]-b[i])
	}
	for i := range want {
		require.InDelta(t, want[i], got.Values[i], 1e-5)
	}
}

// Each pixel is hidden by a patch, whatever the sides.
func TestOcclusion_coversThePicture(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := still(1, rapid.IntRange(1, 12).Draw(t, "h"), rapid.IntRange(1, 12).Draw(t, "w"))
		var o sampling.OcclusionOptions
		o.Patch = image.Pt(rapid.IntRange(1, p.Width).Draw(t, "px"), rapid.IntRange(1, p.Height).Draw(t, "py"))
		o.Stride = image.Pt(rapid.IntRange(1, o.Patch.X).Draw(t, "sx"), rapid.IntRange(1, o.Patch.Y).Draw(t, "sy"))
		hidden := make([]float64, p.Size()) // how many values were hidden with it, and how often
		times := make([]float64, p.Size())
		net := linear(filled(p.Size(), 1)).network(p, 3, func(x []float32) {
			count := 0.0
			for _, v := range x {
				count += float64(1 - v)
			}
			for i, v := range x {
				hidden[i] += float64(1-v) * count
				times[i] += float64(1 - v)
			}
		})
		got, err := sampling.Occlusion(t.Context(), net, filled(p.Size(), 1), filled(p.Size(), 0), sampling.Logit(0), o)
		require.NoError(t, err)
		for i := range hidden {
			require.Positive(t, times[i])
			require.InDelta(t, hidden[i]/times[i], got.Values[i], 1e-4)
		}
	})
}

func TestOcclusion_refusesOptions(t *testing.T) {
	p := still(1, 8, 8)
	for why, o := range map[string]sampling.OcclusionOptions{
		"by 9×1 in a picture of 8×8": {Patch: image.Pt(9, 0)}, "by -1×1": {Patch: image.Pt(-1, 0)},
		"stride 1×3": {Patch: image.Pt(2, 2), Stride: image.Pt(0, 3)}, "stride -1×1": {Stride: image.Pt(-1, 0)},
	} {
		_, err := sampling.Occlusion(t.Context(), linear(noise(1, 64)).network(p, 1, nil), noise(1, 64), noise(1, 64), sampling.Logit(0), o)
		require.ErrorContains(t, err, why)
	}
	_, err := sampling.Occlusion(t.Context(), linear(noise(1, 64)).network(p, 1, nil), noise(1, 64), noise(1, 64), nil, sampling.OcclusionOptions{})
	require.ErrorContains(t, err, "no score")
}

// An input of ones over a baseline of zeros shows the network the masks themselves.
func TestRISE_directFormula(t *testing.T) {
	p := still(1, 23, 30)
	w := noise(4, p.Size())
	var masks [][]float32
	net := linear(w).network(p, 6, func(x []float32) { masks = append(masks, slices.Clone(x)) })
	got, err := sampling.RISE(t.Context(), net, filled(p.Size(), 1), filled(p.Size(), 0), sampling.Logit(0), sampling.RISEOptions{Masks: 100, Keep: 0.3})
	require.NoError(t, err)
	require.Len(t, masks, 100)
	want, mean := make([]float64, p.Size()), 0.0
	for _, m := range masks {
		score := float64(float32(linear(w).logits(m)[0]))
		for i, v := range m {
			require.True(t, v >= 0 && v <= 1)
			want[i] += score * float64(v) / (100 * 0.3)
			mean += float64(v) / float64(100*p.Size())
		}
	}
	for i := range want {
		require.InDelta(t, want[i], got.Values[i], 1e-4)
	}
	require.InDelta(t, 0.3, mean, 0.03, "the probability to keep")
	require.NotEqual(t, masks[0], masks[1])
}

// The masks are smooth: neighbours differ by at most a cell's slope; no place is seen more often than others; and
// the cells begin anywhere.
func TestRISE_masks(t *testing.T) {
	p := still(1, 56, 56)
	seen, steepest, bends := make([]float64, p.Size()), 0.0, map[int]bool{}
	net := linear(noise(4, p.Size())).network(p, 16, func(x []float32) {
		for i, v := range x {
			seen[i] += float64(v) / 1000
			if i%56 > 0 {
				steepest = max(steepest, math.Abs(float64(v-x[i-1])))
			}
			if column := i % 56; column > 0 && column < 55 && math.Abs(float64(x[i-1]+x[i+1]-2*v)) > 0.05 {
				bends[column] = true
			}
		}
	})
	_, err := sampling.RISE(t.Context(), net, filled(p.Size(), 1), filled(p.Size(), 0), sampling.Logit(0), sampling.RISEOptions{})
	require.NoError(t, err)
	require.InDelta(t, 7.0/64, steepest, 1e-4, "seven cells enlarged to 64 pixels")
	require.Greater(t, slices.Min(seen), 0.43)
	require.Less(t, slices.Max(seen), 0.57)
	require.Greater(t, len(bends), 45, "columns where a cell ends in some mask; 14 were the grid not shifted")
}

func TestRISE_correlatesWithWhatMatters(t *testing.T) {
	p := still(3, 42, 42)
	importance := make([]float32, p.Size())
	for i := range importance {
		if x, y := i%42, i/42%42; x >= 24 && x < 36 && y >= 6 && y < 20 {
			importance[i] = 1.0 / (3 * 12 * 14)
		}
	}
	got, err := sampling.RISE(t.Context(), linear(importance).network(p, 32, nil), filled(p.Size(), 1), filled(p.Size(), 0), sampling.Logit(0), sampling.RISEOptions{Seed: 3})
	require.NoError(t, err)
	require.Greater(t, correlation(got.Values, importance[:42*42]), 0.7)
}

// A network that does not answer to its input gives nothing to show.
func TestSampling_constantNetwork(t *testing.T) {
	p := still(3, 16, 16)
	net := linear(filled(p.Size(), 0)).network(p, 8, nil)
	x, base := filled(p.Size(), 1), filled(p.Size(), 0)
	constant := func([]float32) float64 { return 0.1 }
	m, err := sampling.RISE(t.Context(), net, x, base, constant, sampling.RISEOptions{Masks: 50, Centred: true})
	require.NoError(t, err)
	_, err = m.Magnitude()
	require.ErrorIs(t, err, explain.ErrZeroMap)
	fit, err := sampling.LIME(t.Context(), net, x, base, constant, sampling.LIMEOptions{Samples: 60})
	require.NoError(t, err)
	_, err = fit.Map.Magnitude()
	require.ErrorIs(t, err, explain.ErrZeroMap)
}

func TestRISE_refusesOptions(t *testing.T) {
	p := still(1, 8, 6)
	x := noise(1, 48)
	for why, o := range map[string]sampling.RISEOptions{
		"of -1 masks": {Masks: -1}, "grid of 7": {Grid: 7}, "grid of -1": {Grid: -1},
		"probability 1": {Keep: 1}, "probability -0.5": {Keep: -0.5}, "probability NaN": {Keep: math.NaN()},
	} {
		_, err := sampling.RISE(t.Context(), linear(x).network(p, 1, nil), x, x, sampling.Logit(0), o)
		require.ErrorContains(t, err, why)
	}
}

// correlation is Pearson's.
func correlation(a, b []float32) float64 {
	var ma, mb, ab, aa, bb float64
	for i := range a {
		ma += float64(a[i]) / float64(len(a))
		mb += float64(b[i]) / float64(len(a))
	}
	for i := range a {
		da, db := float64(a[i])-ma, float64(b[i])-mb
		ab, aa, bb = ab+da*db, aa+da*da, bb+db*db
	}
	return ab / math.Sqrt(aa*bb)
}
