package sampling_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"endogate/explain"
	"endogate/explain/sampling"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// formula is a network in Go: two logits of one input, and their gradients.
type formula struct {
	logits   func(x []float32) [2]float64
	gradient func(x []float32, class, i int) float64
}

// linear has the logits w·x and -w·x + 1.
func linear(w []float32) formula {
	return formula{
		logits: func(x []float32) [2]float64 {
			sum := 0.0
			for i, v := range x {
				sum += float64(w[i]) * float64(v)
			}
			return [2]float64{sum, 1 - sum}
		},
		gradient: func(_ []float32, class, i int) float64 { return float64(w[i]) * float64(1-2*class) },
	}
}

// power has the logits Σ w·xⁿ and 0.
func power(w []float32, n float64) formula {
	return formula{
		logits: func(x []float32) [2]float64 {
			sum := 0.0
			for i, v := range x {
				sum += float64(w[i]) * math.Pow(float64(v), n)
			}
			return [2]float64{sum, 0}
		},
		gradient: func(x []float32, class, i int) float64 {
			return float64(1-class) * float64(w[i]) * n * math.Pow(float64(x[i]), n-1)
		},
	}
}

// network runs f for each input of a batch and tells watch, where it is not nil, of each input.
func (f formula) network(p sampling.Picture, batch int, watch func(x []float32)) sampling.Network {
	size := p.Size()
	each := func(inputs []float32, n int, do func(x []float32)) {
		if n < 1 || n > batch || len(inputs) != n*size {
			panic("not a batch")
		}
		for i := range n {
			x := inputs[i*size : (i+1)*size]
			if watch != nil {
				watch(x)
			}
			do(x)
		}
	}
	return sampling.Network{
		Picture: p, Batch: batch,
		Logits: func(_ context.Context, inputs []float32, n int) (out []float32, _ error) {
			each(inputs, n, func(x []float32) {
				l := f.logits(x)
				out = append(out, float32(l[0]), float32(l[1]))
			})
			return out, nil
		},
		Gradients: func(_ context.Context, inputs []float32, n int, seed []float32) (out []float32, _ error) {
			each(inputs, n, func(x []float32) {
				for i := range x {
					out = append(out, float32(float64(seed[0])*f.gradient(x, 0, i)+float64(seed[1])*f.gradient(x, 1, i)))
				}
			})
			return out, nil
		},
	}
}

func still(channels, height, width int) sampling.Picture {
	return sampling.Picture{Frames: 1, Channels: channels, Height: height, Width: width}
}

// noise is n values from -1 to 1.
func noise(seed uint64, n int) []float32 {
	rng := rand.New(rand.NewPCG(seed, 7))
	out := make([]float32, n)
	for i := range out {
		out[i] = rng.Float32()*2 - 1
	}
	return out
}

func filled(n int, v float32) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = v
	}
	return out
}

var seed = []float32{1, 0}

// method is one of the methods with few samples, on an input and a baseline, and the number of its runs.
type method struct {
	runs int
	do   func(ctx context.Context, net sampling.Network, x, b []float32) ([]float32, error)
}

// methods are all of them, for pictures of at least 4×4.
func methods() map[string]method {
	values := func(m explain.Map, err error) ([]float32, error) { return m.Values, err }
	return map[string]method{
		"SmoothGrad": {8, func(ctx context.Context, net sampling.Network, x, _ []float32) ([]float32, error) {
			return sampling.SmoothGrad(ctx, net, x, seed, sampling.SmoothGradOptions{Samples: 8})
		}},
		"IntegratedGradients": {12, func(ctx context.Context, net sampling.Network, x, b []float32) ([]float32, error) {
			a, err := sampling.IntegratedGradients(ctx, net, x, b, seed, sampling.IntegratedGradientsOptions{Steps: 10})
			return a.Values, err
		}},
		"Occlusion": {-1, func(ctx context.Context, net sampling.Network, x, b []float32) ([]float32, error) {
			return values(sampling.Occlusion(ctx, net, x, b, sampling.Logit(0), sampling.OcclusionOptions{}))
		}},
		"RISE": {20, func(ctx context.Context, net sampling.Network, x, b []float32) ([]float32, error) {
			return values(sampling.RISE(ctx, net, x, b, sampling.Probability(0), sampling.RISEOptions{Masks: 20}))
		}},
		"LIME": {30, func(ctx context.Context, net sampling.Network, x, b []float32) ([]float32, error) {
			s, err := sampling.LIME(ctx, net, x, b, sampling.Logit(0), sampling.LIMEOptions{Samples: 30, Segments: 6})
			return s.Map.Values, err
		}},
		"ScoreCAM": {9, func(ctx context.Context, net sampling.Network, x, b []float32) ([]float32, error) {
			layer := sampling.Activation{Channels: 8, Height: 2, Width: 3, Values: noise(5, 48)}
			return values(sampling.ScoreCAM(ctx, net, x, b, sampling.Logit(0), layer, sampling.ScoreCAMOptions{Weight: sampling.IncreaseWeight}))
		}},
	}
}

func TestScores(t *testing.T) {
	logits := []float32{0, float32(math.Log(3)), -1000}
	require.InDelta(t, 0.25, sampling.Probability(0)(logits), 1e-6)
	require.InDelta(t, 0.75, sampling.Probability(1)(logits), 1e-6)
	require.Zero(t, sampling.Probability(2)(logits))
	require.InDelta(t, math.Log(3), sampling.Logit(1)(logits), 1e-6)
	for _, class := range []int{-1, 3} {
		require.True(t, math.IsNaN(sampling.Logit(class)(logits)))
		require.True(t, math.IsNaN(sampling.Probability(class)(logits)))
	}
}
