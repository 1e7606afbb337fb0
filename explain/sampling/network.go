package sampling

import (
	"context"
	"errors"
	"fmt"
	"math"
)

// ErrNotFinite says that a logit's score, a gradient or an activation is NaN or infinite: no explanation can be
// made of it. Usually the input overflows the network's precision, or the score takes the logarithm of 0.
var ErrNotFinite = errors.New("the network's answer is not finite")

// Network is what the methods run. It is copied, never changed.
type Network struct {
	Picture Picture
	Batch   int // inputs in one run, at least 1
	// Logits answers for n inputs, 1 to Batch, that lie one after the other: n×classes. The inputs are valid
	// until it returns; the methods are done with the answer before they call again.
	Logits func(ctx context.Context, inputs []float32, n int) ([]float32, error)
	// Gradients answers with the gradients of the logits, weighted with seed and summed, at each of n
	// inputs: n×input. Only the gradient methods need it. Lifetimes as for Logits.
	Gradients func(ctx context.Context, inputs []float32, n int, seed []float32) ([]float32, error)
	// Progress, where it is not nil, is called after each batch, from the goroutine of the caller.
	Progress Progress
}

// Progress is told how many inputs of all have been run.
type Progress func(done, all int)

// Score makes one number of the logits of one input: what the forward methods explain.
type Score func(logits []float32) float64

// Logit is the score of one class before softmax; NaN where there is no such class.
func Logit(class int) Score {
	return func(logits []float32) float64 {
		if class < 0 || class >= len(logits) {
			return math.NaN()
		}
		return float64(logits[class])
	}
}

// Probability is the score of one class after softmax, from 0 to 1; NaN where there is no such class.
func Probability(class int) Score {
	return func(logits []float32) float64 {
		if class < 0 || class >= len(logits) {
			return math.NaN()
		}
		sum := 0.0
		for _, l := range logits {
			sum += math.Exp(float64(l) - float64(logits[class]))
		}
		return 1 / sum
	}
}

// weighted is the score that a seed stands for: the weighted sum of the logits.
func weighted(seed []float32) Score {
	return func(logits []float32) float64 {
		sum := 0.0
		for i, l := range logits {
			if seed[i] != 0 {
				sum += float64(seed[i]) * float64(l)
			}
		}
		return sum
	}
}

// checkForward holds what a forward method is given against the network.
func (net Network) checkForward(input, baseline []float32, score Score) error {
	if net.Logits == nil {
		return errors.New("sampling: the network has no Logits function: set it")
	}
	if score == nil {
		return errors.New("sampling: no score is given: use Logit or Probability")
	}
	return net.check(map[string][]float32{"input": input, "baseline": baseline})
}

// checkGradient is checkForward for a gradient method.
func (net Network) checkGradient(input, seed []float32) error {
	if net.Gradients == nil {
		return errors.New("sampling: the network has no Gradients function: set it, or choose a method that needs logits alone")
	}
	if len(seed) == 0 {
		return errors.New("sampling: the seed is empty: it needs a weight for each class")
	}
	return net.check(map[string][]float32{"input": input})
}

func (net Network) check(given map[string][]float32) error {
	if err := net.Picture.check(); err != nil {
		return err
	}
	if net.Batch < 1 {
		return fmt.Errorf("sampling: batch of %d: must be at least 1", net.Batch)
	}
	for name, values := range given {
		if len(values) != net.Picture.Size() {
			return fmt.Errorf("sampling: the %s has %d values, the network's picture %d", name, len(values), net.Picture.Size())
		}
	}
	return nil
}
