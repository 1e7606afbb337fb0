package sampling

import (
	"context"
	"fmt"
	"math"
)

// runs counts the inputs of one explanation and puts them through the network a batch at a time.
type runs struct {
	net       Network
	classes   int // that the network must have; 0 for any
	done, all int
	inputs    []float32 // one batch, used again and again
}

func (net Network) start(all int) *runs {
	return &runs{net: net, all: all, inputs: make([]float32, min(net.Batch, all)*net.Picture.Size())}
}

// each makes n inputs, in order, and calls run for each batch of them.
func (r *runs) each(ctx context.Context, n int, fill func(i int, into []float32), run func(first, count int, inputs []float32) error) error {
	size := r.net.Picture.Size()
	for first := 0; first < n; first += r.net.Batch {
		if err := ctx.Err(); err != nil {
			return err
		}
		count := min(r.net.Batch, n-first)
		for i := range count {
			fill(first+i, r.inputs[i*size:(i+1)*size])
		}
		if err := run(first, count, r.inputs[:count*size]); err != nil {
			return err
		}
		r.done += count
		if r.net.Progress != nil {
			r.net.Progress(r.done, r.all)
		}
	}
	return nil
}

// scores gives take the score of each of n inputs, in order.
func (r *runs) scores(ctx context.Context, n int, score Score, fill func(i int, into []float32), take func(i int, s float64)) error {
	return r.each(ctx, n, fill, func(first, count int, inputs []float32) error {
		logits, err := r.net.Logits(ctx, inputs, count)
		if err != nil {
			return fmt.Errorf("sampling: run %d of %d: %w", r.done+1, r.all, err)
		}
		classes, err := r.perInput("logits", len(logits), count, r.classes)
		if err != nil {
			return err
		}
		for i := range count {
			s := score(logits[i*classes : (i+1)*classes])
			if !finite(s) {
				return fmt.Errorf("sampling: run %d of %d scores %v: %w", r.done+i+1, r.all, s, ErrNotFinite)
			}
			take(first+i, s)
		}
		return nil
	})
}

// gradients gives take the gradient at each of n inputs, in order. It is valid until take returns.
func (r *runs) gradients(ctx context.Context, n int, seed []float32, fill func(i int, into []float32), take func(gradient []float32)) error {
	size := r.net.Picture.Size()
	return r.each(ctx, n, fill, func(_, count int, inputs []float32) error {
		all, err := r.net.Gradients(ctx, inputs, count, seed)
		if err != nil {
			return fmt.Errorf("sampling: run %d of %d: %w", r.done+1, r.all, err)
		}
		if _, err := r.perInput("gradients", len(all), count, size); err != nil {
			return err
		}
		for i := range count {
			gradient := all[i*size : (i+1)*size]
			if at := notFinite(gradient); at >= 0 {
				return fmt.Errorf("sampling: run %d of %d: gradient %v at value %d: %w", r.done+i+1, r.all, gradient[at], at, ErrNotFinite)
			}
			take(gradient)
		}
		return nil
	})
}

// perInput is the number of values that the network answered with for each of count inputs; want is 0 for any.
func (r *runs) perInput(what string, got, count, want int) (int, error) {
	each := got / count
	if got%count != 0 || want > 0 && each != want { // none: a detector that sees nothing
		return 0, fmt.Errorf("sampling: %d %s for %d inputs, want %d for each", got, what, count, max(want, 1))
	}
	return each, nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// notFinite is the place of the first value that is NaN or infinite, or -1.
func notFinite(values []float32) int {
	for i, v := range values {
		if v-v != 0 {
			return i
		}
	}
	return -1
}

// scaled is sum times factor, as single precision.
func scaled(sum []float64, factor float64) []float32 {
	out := make([]float32, len(sum))
	for i, v := range sum {
		out[i] = float32(v * factor)
	}
	return out
}
