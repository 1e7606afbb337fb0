package sampling

import "endogate/explain"

// Reduction says how the channels of a pixel become one value.
type Reduction int

const (
	// MaxAbs is the greatest magnitude: for gradients, whose sign depends on whether what matters is darker or
	// lighter than around it (Simonyan et al. 2014, section 3.1).
	MaxAbs Reduction = iota
	// Sum keeps the sign and the total: for attributions, which add up to a change of the score.
	Sum
	// SumPositive is Sum without what speaks against the class.
	SumPositive
)

// Reduce makes one map of each frame of values that lie as p says, such as gradients and attributions. It
// panics if there are fewer than p.Size().
func Reduce(p Picture, values []float32, how Reduction) []explain.Map {
	maps := make([]explain.Map, p.Frames)
	for t := range maps {
		maps[t] = explain.Map{Width: p.Width, Height: p.Height, Values: make([]float32, p.cells())}
	}
	p.rows(func(t, _, y, at, step int) {
		line := maps[t].Values[y*p.Width : (y+1)*p.Width]
		for x := range line {
			v := values[at]
			if how == MaxAbs {
				line[x] = max(line[x], v, -v)
			} else {
				line[x] += v
			}
			at += step
		}
	})
	if how == SumPositive {
		for _, m := range maps {
			for i, v := range m.Values {
				m.Values[i] = max(v, 0)
			}
		}
	}
	return maps
}
