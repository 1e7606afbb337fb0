package faithfulness

import (
	"context"
	"fmt"
	"math"
	"slices"

	"endogate/explain"
)

// Scorer gives the score, 0 to 1, of the explained class for n inputs that lie one after the other.
type Scorer func(ctx context.Context, inputs []float32, n int) ([]float64, error)

// Curve is the score while the share of pixels exchanged goes from 0 to 1 in equal steps.
type Curve struct {
	Scores []float64 // of 0, 1/steps, ... 1
	Area   float64   // under it, by the trapezoidal rule: 0 to 1
}

// Steps is how often the score is taken along a curve, besides its start.
const Steps = 32

// batch is how many inputs are scored at once.
const batch = 4

// Curves returns the deletion curve, on which pixels become those of base in the order of the map, and the insertion
// curve, on which they come back to blurred. The map is of any size and is brought to the input's; ties keep the
// order of rows. The input, base and blurred lie as layout says, of one frame. A map that is not finite is an error.
func Curves(ctx context.Context, score Scorer, l explain.Layout, input, base, blurred []float32, m explain.Map) (deletion, insertion Curve, err error) {
	if len(input) != l.Channels*l.Height*l.Width || len(base) != len(input) || len(blurred) != len(input) {
		return deletion, insertion, fmt.Errorf("faithfulness: input, baseline and blurred input have %d, %d and %d values for %d×%d×%d",
			len(input), len(base), len(blurred), l.Channels, l.Height, l.Width)
	}
	order, err := ranked(m.Resize(l.Width, l.Height))
	if err != nil {
		return deletion, insertion, err
	}
	if deletion, err = exchange(ctx, score, l, input, base, order); err != nil {
		return deletion, insertion, err
	}
	insertion, err = exchange(ctx, score, l, blurred, input, order)
	return deletion, insertion, err
}

// ranked lists the pixels from the greatest value down.
func ranked(m explain.Map) ([]int, error) {
	order := make([]int, len(m.Values))
	for i, v := range m.Values {
		if v != v || math.IsInf(float64(v), 0) {
			return nil, explain.ErrNotFinite
		}
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch va, vb := m.Values[a], m.Values[b]; {
		case va > vb:
			return -1
		case va < vb:
			return 1
		}
		return 0
	})
	return order, nil
}

// exchange scores one input on its way to another, pixel by pixel in an order.
func exchange(ctx context.Context, score Scorer, l explain.Layout, from, to []float32, order []int) (Curve, error) {
	plane, step := l.Height*l.Width, 1
	if l.ChannelsLast {
		plane, step = 1, l.Channels
	}
	now := slices.Clone(from)
	var c Curve
	var waiting []float32
	done := 0
	for k := range Steps + 1 {
		until := len(order) * k / Steps
		for _, at := range order[done:until] {
			for ch := range l.Channels {
				i := ch*plane + at*step
				now[i] = to[i]
			}
		}
		done = until
		waiting = append(waiting, now...)
		if n := len(waiting) / len(now); n == batch || k == Steps {
			scores, err := score(ctx, waiting, n)
			if err != nil {
				return Curve{}, err
			}
			c.Scores = append(c.Scores, scores...)
			waiting = waiting[:0]
		}
	}
	for k := range Steps {
		c.Area += (c.Scores[k] + c.Scores[k+1]) / 2 / Steps
	}
	return c, nil
}

// Blur smooths every channel of an input with a Gaussian of a standard deviation in pixels; edges are held.
func Blur(l explain.Layout, input []float32, sigma float64) []float32 {
	radius := int(math.Ceil(3 * sigma))
	kernel, sum := make([]float64, 2*radius+1), 0.0
	for i := range kernel {
		d := float64(i - radius)
		kernel[i] = math.Exp(-d * d / (2 * sigma * sigma))
		sum += kernel[i]
	}
	plane, pixel := l.Height*l.Width, 1
	if l.ChannelsLast {
		plane, pixel = 1, l.Channels
	}
	pass := func(in []float32, length, others, along, across int) []float32 {
		out := make([]float32, len(in))
		for c := range l.Channels {
			for o := range others {
				for i := range length {
					v := 0.0
					for k, weight := range kernel {
						at := min(max(i+k-radius, 0), length-1)
						v += weight * float64(in[c*plane+o*across+at*along])
					}
					out[c*plane+o*across+i*along] = float32(v / sum)
				}
			}
		}
		return out
	}
	rows := pass(input, l.Width, l.Height, pixel, pixel*l.Width)
	return pass(rows, l.Height, l.Width, pixel*l.Width, pixel)
}
