package sampling_test

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/explain/sampling"
)

// place is where a value of a T×C×H×W input lies in another layout.
func place(p sampling.Picture, t, c, y, x int) int {
	switch p.Layout {
	case sampling.ChannelsLast:
		return ((t*p.Height+y)*p.Width+x)*p.Channels + c
	case sampling.FramesAfterChannels:
		return ((c*p.Frames+t)*p.Height+y)*p.Width + x
	default:
		return ((t*p.Channels+c)*p.Height+y)*p.Width + x
	}
}

// arrange puts T×C×H×W values into the layout of p, or back.
func arrange(p sampling.Picture, values []float32, back bool) []float32 {
	out := make([]float32, len(values))
	from := 0
	for t := range p.Frames {
		for c := range p.Channels {
			for y := range p.Height {
				for x := range p.Width {
					to := place(p, t, c, y, x)
					if back {
						out[from] = values[to]
					} else {
						out[to] = values[from]
					}
					from++
				}
			}
		}
	}
	return out
}

func drawPicture(t *rapid.T) sampling.Picture {
	return sampling.Picture{
		Frames: rapid.IntRange(1, 3).Draw(t, "frames"), Channels: rapid.IntRange(1, 3).Draw(t, "channels"),
		Height: rapid.IntRange(4, 12).Draw(t, "height"), Width: rapid.IntRange(4, 12).Draw(t, "width"),
	}
}

// The answer is the same, to the bit, for batches of 1, 3 and 7.
func TestMethods_anyBatch(t *testing.T) {
	for name, m := range methods() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				p := drawPicture(t)
				p.Layout = rapid.SampledFrom([]sampling.Layout{sampling.ChannelsFirst, sampling.ChannelsLast, sampling.FramesAfterChannels}).Draw(t, "layout")
				some := rapid.Uint64().Draw(t, "seed")
				f, x, b := power(noise(some, p.Size()), 3), noise(some+1, p.Size()), noise(some+2, p.Size())
				one, err := m.do(t.Context(), f.network(p, 1, nil), x, b)
				require.NoError(t, err)
				for _, batch := range []int{3, 7} {
					got, err := m.do(t.Context(), f.network(p, batch, nil), x, b)
					require.NoError(t, err)
					require.Equal(t, one, got)
				}
			})
		})
	}
}

// The answer is the same for each layout of the same values.
func TestMethods_anyLayout(t *testing.T) {
	for name, m := range methods() {
		if name == "SmoothGrad" {
			continue // whose noise is drawn in the order of the values
		}
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				p := drawPicture(t)
				some := rapid.Uint64().Draw(t, "seed")
				w, x, b := noise(some, p.Size()), noise(some+1, p.Size()), noise(some+2, p.Size())
				want, err := m.do(t.Context(), power(w, 2).network(p, 4, nil), x, b)
				require.NoError(t, err)
				for _, layout := range []sampling.Layout{sampling.ChannelsLast, sampling.FramesAfterChannels} {
					p := p
					p.Layout = layout
					got, err := m.do(t.Context(), power(arrange(p, w, false), 2).network(p, 4, nil), arrange(p, x, false), arrange(p, b, false))
					require.NoError(t, err)
					if len(got) == p.Size() && name == "IntegratedGradients" {
						got = arrange(p, got, true)
					}
					require.InDeltaSlice(t, want, got, 1e-4)
				}
			})
		})
	}
}

func TestMethods_progressCountsEachRunOnce(t *testing.T) {
	for name, m := range methods() {
		ran, done, all, calls := 0, 0, 0, 0
		p := still(3, 16, 16)
		net := linear(noise(1, p.Size())).network(p, 3, func([]float32) { ran++ })
		net.Progress = func(d, a int) {
			require.Greater(t, d, done, name)
			require.Equal(t, ran, d, name)
			require.True(t, calls == 0 || a == all, name)
			done, all, calls = d, a, calls+1
		}
		_, err := m.do(t.Context(), net, noise(2, p.Size()), noise(3, p.Size()))
		require.NoError(t, err, name)
		require.Equal(t, all, done, name)
		if m.runs > 0 {
			require.Equal(t, m.runs, all, name)
		}
	}
}

func TestMethods_cancelled(t *testing.T) {
	for name, m := range methods() {
		p := still(3, 16, 16)
		ctx, cancel := context.WithCancel(t.Context())
		ran := 0
		net := linear(noise(1, p.Size())).network(p, 2, func([]float32) {
			if ran++; ran == 4 {
				cancel()
			}
		})
		values, err := m.do(ctx, net, noise(2, p.Size()), noise(3, p.Size()))
		require.Equal(t, context.Canceled, err, name)
		require.Empty(t, values, name)
		require.Equal(t, 4, ran, "%s: no batch after the one that cancelled", name)
	}
}

func TestMethods_notFinite(t *testing.T) {
	for name, m := range methods() {
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			p := still(1, 16, 16)
			ran := 0
			f := linear(noise(1, p.Size()))
			good := f
			f.logits = func(x []float32) [2]float64 {
				if ran++; ran == 6 {
					return [2]float64{bad, 0}
				}
				return good.logits(x)
			}
			f.gradient = func(x []float32, class, i int) float64 {
				if class == 0 && i == 17 {
					if ran++; ran == 6 {
						return bad
					}
				}
				return good.gradient(x, class, i)
			}
			_, err := m.do(t.Context(), f.network(p, 4, nil), noise(2, p.Size()), noise(3, p.Size()))
			require.ErrorIs(t, err, sampling.ErrNotFinite, "%s %v", name, bad)
			require.ErrorContains(t, err, "run 6 of", name)
		}
	}
}

func TestMethods_networkFails(t *testing.T) {
	broken := errors.New("out of memory")
	p := still(1, 8, 8)
	x := noise(1, p.Size())
	for name, m := range methods() {
		net := linear(x).network(p, 4, nil)
		net.Logits = func(context.Context, []float32, int) ([]float32, error) { return nil, broken }
		net.Gradients = func(context.Context, []float32, int, []float32) ([]float32, error) { return nil, broken }
		_, err := m.do(t.Context(), net, x, x)
		require.ErrorIs(t, err, broken, name)

		net.Logits = func(_ context.Context, _ []float32, n int) ([]float32, error) { return make([]float32, 2*n-1), nil }
		net.Gradients = func(_ context.Context, _ []float32, n int, _ []float32) ([]float32, error) {
			return make([]float32, n*len(x)-1), nil
		}
		_, err = m.do(t.Context(), net, x, x)
		require.ErrorContains(t, err, "inputs, want", name)
	}
}

func TestMethods_refuseWhatDoesNotFit(t *testing.T) {
	p := still(1, 8, 8)
	x := noise(1, p.Size())
	for name, m := range methods() {
		for why, change := range map[string]func(n *sampling.Network){
			"must be at least 1":              func(n *sampling.Network) { n.Batch = 0 },
			"each must be at least 1":         func(n *sampling.Network) { n.Picture.Frames = 0 },
			"layout 3 is unknown":             func(n *sampling.Network) { n.Picture.Layout = 3 },
			"values, the network's picture 4": func(n *sampling.Network) { n.Picture = still(1, 2, 2) },
			"the network has no ":             func(n *sampling.Network) { n.Logits, n.Gradients = nil, nil },
		} {
			net := linear(x).network(p, 4, nil)
			change(&net)
			_, err := m.do(t.Context(), net, x, x)
			require.ErrorContains(t, err, why, name)
		}
		if name != "SmoothGrad" {
			_, err := m.do(t.Context(), linear(x).network(p, 4, nil), x, x[1:])
			require.ErrorContains(t, err, "the baseline has 63 values", name)
		}
	}
}
