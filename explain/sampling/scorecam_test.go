package sampling_test

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/explain"
	"endogate/explain/sampling"
)

func TestScoreCAM_directFormula(t *testing.T) {
	p := still(2, 9, 12)
	w, x, b := noise(1, p.Size()), noise(2, p.Size()), noise(3, p.Size())
	layer := sampling.Activation{Channels: 5, Height: 3, Width: 4, Values: noise(4, 60)}
	copy(layer.Values[2*12:], filled(12, 0.7)) // a constant channel
	score := func(x []float32) float64 { return float64(float32(power(w, 2).logits(x)[0])) }

	for _, how := range []sampling.ChannelWeight{sampling.ScoreWeight, sampling.IncreaseWeight, sampling.SoftmaxWeight} {
		want, total := make([]float64, 12), 0.0
		for _, c := range []int{0, 1, 3, 4} {
			channel := layer.Values[c*12 : c*12+12]
			mask := explain.Map{Width: 4, Height: 3, Values: channel}.Resize(12, 9).Values
			low, high := slices.Min(mask), slices.Max(mask)
			masked := make([]float32, p.Size())
			for i := range masked {
				m := (mask[i%(9*12)] - low) / (high - low)
				masked[i] = b[i] + m*(x[i]-b[i])
			}
			weight := score(masked)
			switch how {
			case sampling.IncreaseWeight:
				weight -= score(b)
			case sampling.SoftmaxWeight:
				weight = math.Exp(weight)
			}
			total += weight
			for i, a := range channel {
				want[i] += weight * float64(a)
			}
		}
		ran := 0
		got, err := sampling.ScoreCAM(t.Context(), power(w, 2).network(p, 3, func([]float32) { ran++ }), x, b, sampling.Logit(0), layer, sampling.ScoreCAMOptions{Weight: how})
		require.NoError(t, err)
		require.Equal(t, [2]int{4, 3}, [2]int{got.Width, got.Height})
		positive := 0
		for i := range want {
			if how == sampling.SoftmaxWeight {
				want[i] /= total
			}
			require.InDelta(t, max(want[i], 0), got.Values[i], 1e-4, "weight %d", how)
			if want[i] > 0 {
				positive++
			}
		}
		require.True(t, positive > 0 && positive < 12, "both signs are tried")
		if how == sampling.IncreaseWeight {
			ran--
		}
		require.Equal(t, 4, ran, "the constant channel is not run")
	}
}

func TestScoreCAM_nothingToMaskWith(t *testing.T) {
	p := still(1, 4, 4)
	x := noise(1, 16)
	for _, how := range []sampling.ChannelWeight{sampling.ScoreWeight, sampling.IncreaseWeight, sampling.SoftmaxWeight} {
		got, err := sampling.ScoreCAM(t.Context(), linear(x).network(p, 3, nil), x, x, sampling.Logit(0), sampling.Activation{Channels: 1, Height: 2, Width: 2, Values: filled(4, 3)}, sampling.ScoreCAMOptions{Weight: how})
		require.NoError(t, err)
		_, err = got.Max()
		require.ErrorIs(t, err, explain.ErrZeroMap)
	}
}

// A network that answers every input alike is explained by no channel, not by their mean.
func TestScoreCAM_constantNetwork(t *testing.T) {
	p := still(1, 4, 4)
	x, b := noise(1, 16), make([]float32, 16)
	all := sampling.Activation{Channels: 3, Height: 2, Width: 2, Values: []float32{1, 2, 3, 4, 4, 3, 2, 1, 1, 0, 0, 1}}
	one := sampling.Activation{Channels: 1, Height: 2, Width: 2, Values: all.Values[:4]}
	for _, how := range []sampling.ChannelWeight{sampling.ScoreWeight, sampling.IncreaseWeight, sampling.SoftmaxWeight} {
		for _, layer := range []sampling.Activation{all, one} {
			rounded := 0 // a constant as single precision gives it: the last bit may differ
			constant := func([]float32) float64 { rounded++; return 0.7 + 6e-8*float64(rounded%2) }
			got, err := sampling.ScoreCAM(t.Context(), linear(x).network(p, 3, nil), x, b, constant, layer, sampling.ScoreCAMOptions{Weight: how})
			require.NoError(t, err)
			require.Equal(t, [2]int{2, 2}, [2]int{got.Width, got.Height})
			_, err = got.Max()
			require.ErrorIs(t, err, explain.ErrZeroMap, "weight %d, %d channels", how, layer.Channels)

			got, err = sampling.ScoreCAM(t.Context(), linear(x).network(p, 3, nil), x, b, sampling.Probability(0), layer, sampling.ScoreCAMOptions{Weight: how})
			require.NoError(t, err)
			_, err = got.Max()
			require.NoError(t, err, "a network that does answer: weight %d, %d channels", how, layer.Channels)
		}
	}
}

func TestScoreCAM_refuses(t *testing.T) {
	p := still(1, 4, 4)
	x := noise(1, 16)
	do := func(a sampling.Activation, how sampling.ChannelWeight) error {
		_, err := sampling.ScoreCAM(t.Context(), linear(x).network(p, 3, nil), x, x, sampling.Logit(0), a, sampling.ScoreCAMOptions{Weight: how})
		return err
	}
	require.ErrorContains(t, do(sampling.Activation{Channels: 2, Height: 2, Width: 2, Values: filled(4, 3)}, 0), "2×2×2 has 4 values")
	require.ErrorContains(t, do(sampling.Activation{}, 0), "0×0×0")
	require.ErrorContains(t, do(sampling.Activation{Channels: 1, Height: 1, Width: 2, Values: []float32{1, 2}}, 3), "weight 3 is unknown")
	bad := sampling.Activation{Channels: 1, Height: 1, Width: 2, Values: []float32{1, float32(math.NaN())}}
	require.ErrorIs(t, do(bad, 0), sampling.ErrNotFinite)
}
