package sampling

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
)

// SmoothGradOptions are those of SmoothGrad; what is zero has the default.
type SmoothGradOptions struct {
	Samples int     // 25
	Noise   float64 // standard deviation as a share of the input's range, 0.15
	Seed    uint64
	// Normal fills the noise of a sample with values of the standard normal distribution. The default draws
	// them from Seed.
	Normal func(sample int, into []float32)
}

func (o SmoothGradOptions) withDefaults() (SmoothGradOptions, error) {
	orDefault(&o.Samples, 25)
	orDefault(&o.Noise, 0.15)
	if o.Normal == nil {
		o.Normal = func(sample int, into []float32) {
			rng := rand.New(rand.NewPCG(o.Seed, uint64(sample)))
			for i := range into {
				into[i] = float32(rng.NormFloat64())
			}
		}
	}
	if o.Samples < 1 {
		return o, fmt.Errorf("sampling: SmoothGrad of %d samples: must be at least 1", o.Samples)
	}
	if !(o.Noise > 0 && o.Noise <= 1) {
		return o, fmt.Errorf("sampling: SmoothGrad with noise %v of the range: must be above 0 and at most 1", o.Noise)
	}
	return o, nil
}

// SmoothGrad is the mean gradient at noisy copies of the input (Smilkov et al. 2017, "SmoothGrad: removing
// noise by adding noise"): the seeded logits', in the input's layout. The noise is normal, its deviation a
// share of the input's greatest value less its smallest. An input of one value only has no noise.
func SmoothGrad(ctx context.Context, net Network, input, seed []float32, o SmoothGradOptions) ([]float32, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := net.checkGradient(input, seed); err != nil {
		return nil, err
	}
	deviation := float32(o.Noise) * (slices.Max(input) - slices.Min(input))
	sum := make([]float64, len(input))
	noisy := func(i int, into []float32) {
		o.Normal(i, into)
		for j, v := range input {
			into[j] = v + deviation*into[j]
		}
	}
	err = net.start(o.Samples).gradients(ctx, o.Samples, seed, noisy, func(gradient []float32) {
		for j, g := range gradient {
			sum[j] += float64(g)
		}
	})
	if err != nil {
		return nil, err
	}
	return scaled(sum, 1/float64(o.Samples)), nil
}

// orDefault sets a field that was left zero.
func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
