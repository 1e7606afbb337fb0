package faithfulness

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Estimate is a mean, or a share, with its 95 % interval.
type Estimate struct {
	Value, Low, High float64
	N                int
}

const resamples = 10_000

// Mean estimates a mean with the percentile bootstrap (Efron 1979); the resampling is the same every time.
func Mean(values []float64) Estimate {
	e := Estimate{N: len(values)}
	if e.N == 0 {
		return Estimate{Value: math.NaN(), Low: math.NaN(), High: math.NaN()}
	}
	e.Value = mean(values)
	random := rand.New(rand.NewPCG(1979, uint64(e.N)))
	means := make([]float64, resamples)
	for i := range means {
		for range values {
			means[i] += values[random.IntN(e.N)]
		}
		means[i] /= float64(e.N)
	}
	slices.Sort(means)
	e.Low, e.High = means[resamples*25/1000], means[resamples*975/1000]
	return e
}

// MeanOfDraws estimates a mean over frames whose values come of several random draws: each frame's are averaged first, and
// the interval is over frames, which are the sample. A frame without a value is left out.
func MeanOfDraws(frames [][]float64) Estimate {
	var means []float64
	for _, draws := range frames {
		if len(draws) > 0 {
			means = append(means, mean(draws))
		}
	}
	return Mean(means)
}

// Share estimates a proportion with Wilson's score interval (1927).
func Share(hits, n int) Estimate {
	if n == 0 {
		return Estimate{Value: math.NaN(), Low: math.NaN(), High: math.NaN()}
	}
	const z = 1.959964
	p, size := float64(hits)/float64(n), float64(n)
	centre := (p + z*z/(2*size)) / (1 + z*z/size)
	half := z / (1 + z*z/size) * math.Sqrt(p*(1-p)/size+z*z/(4*size*size))
	return Estimate{Value: p, Low: centre - half, High: centre + half, N: n}
}

// RankCorrelation is Spearman's, of magnitudes: 1 where two maps order their places alike, 0 where they have nothing in common.
// It is 0 where one is the same everywhere.
func RankCorrelation(a, b []float32) float64 {
	x, y := ranks(a), ranks(b)
	mx, my := mean(x), mean(y)
	var xy, xx, yy float64
	for i := range x {
		dx, dy := x[i]-mx, y[i]-my
		xy, xx, yy = xy+dx*dy, xx+dx*dx, yy+dy*dy
	}
	if xx == 0 || yy == 0 {
		return 0
	}
	return xy / math.Sqrt(xx*yy)
}

func mean(v []float64) (sum float64) {
	for _, x := range v {
		sum += x / float64(len(v))
	}
	return sum
}

// ranks are those of magnitudes; equal ones share the mean of theirs.
func ranks(v []float32) []float64 {
	order := make([]int, len(v))
	for i := range order {
		order[i] = i
	}
	size := func(i int) float32 { return max(v[i], -v[i]) }
	slices.SortFunc(order, func(a, b int) int {
		switch x, y := size(a), size(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	out := make([]float64, len(v))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && size(order[j]) == size(order[i]) {
			j++
		}
		for _, at := range order[i:j] {
			out[at] = float64(i+j-1) / 2
		}
		i = j
	}
	return out
}
