package sampling

import (
	"errors"
	"math"

	"gonum.org/v1/gonum/mat"
)

// fitRidge is weighted least squares with a penalty on the squared coefficients, none on the constant (Hoerl and
// Kennard 1970). The fit is the weighted R², 1 where all scores are equal.
func fitRidge(samples []sample, penalty float64) (coefficients []float64, fit float64, err error) {
	means, mean := weightedMeans(samples)
	n, k := len(samples), len(means)
	x, y := mat.NewDense(n, k, nil), mat.NewVecDense(n, nil) // centred, so that the constant drops out
	for i, s := range samples {
		root := math.Sqrt(s.weight)
		for j, seen := range s.seen {
			x.Set(i, j, root*(float64(seen)-means[j]))
		}
		y.SetVec(i, root*(s.score-mean))
	}
	var normal mat.SymDense
	normal.SymOuterK(1, x.T())
	for j := range k {
		normal.SetSym(j, j, normal.At(j, j)+penalty)
	}
	var factor mat.Cholesky
	if !factor.Factorize(&normal) {
		return nil, 0, errors.New("sampling: LIME: the samples do not determine the weights: take more samples or a greater ridge")
	}
	var right, solution, rest mat.VecDense
	right.MulVec(x.T(), y)
	if err := factor.SolveVecTo(&solution, &right); err != nil {
		return nil, 0, errors.New("sampling: LIME: the weights are badly determined: take more samples or a greater ridge")
	}
	rest.MulVec(x, &solution)
	rest.SubVec(y, &rest)
	fit = 1
	if total := mat.Dot(y, y); total > 0 {
		fit = 1 - mat.Dot(&rest, &rest)/total
	}
	return solution.RawVector().Data, fit, nil
}

// weightedMeans are those of each segment's presence and of the score.
func weightedMeans(samples []sample) (means []float64, mean float64) {
	means = make([]float64, len(samples[0].seen))
	total := 0.0
	for _, s := range samples {
		total += s.weight
		mean += s.weight * s.score
		for j, seen := range s.seen {
			means[j] += s.weight * float64(seen)
		}
	}
	for j := range means {
		means[j] /= total
	}
	return means, mean / total
}
