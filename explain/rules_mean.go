package explain

import "slices"

// Class activation maps read no more of a gradient than the mean of each channel, and that is often known for less
// than the gradient itself.

// mean is the mean over the places of a gradient S×C×..., as S×C×1...
func (b *builder) mean(gradient string) string {
	if shorter := b.means[gradient]; shorter != nil {
		return shorter()
	}
	return b.op("GlobalAveragePool", []string{gradient})
}

// poolMean: what a pooling of maxima sends down adds up to what it got.
func (w *walk) poolMean(dx, dy string, x, y []int64) {
	share := float32(float64(size(y[2:])) / float64(size(x[2:])))
	w.means[dx] = func() string { return w.times(w.mean(dy), share) }
}

// convMean: the sum over the places of a convolution's input gradient is the sum over taps of weight·(sum of dy over the
// places for which the tap meets the input), so that the convolution need not be run. Worth it where nothing else needs it.
func (w *walk) convMean(n *node, v window, dx, dy string, x, y []int64) {
	if len(x) != 4 || n.attrInt("group", 1) != 1 || !w.ends(n.in(0)) {
		return
	}
	w.means[dx] = func() string {
		weight := w.shape(n.in(1))
		taps := weight[0] * weight[2] * weight[3]
		sums := w.op("MatMul", []string{dy, w.meets(v, 1, x, y, true)})
		sums = w.op("MatMul", []string{w.meets(v, 0, x, y, false), sums})
		last := w.op("Transpose", []string{n.in(1)}, intsAttr("perm", 0, 2, 3, 1))
		last = w.op("Reshape", []string{last, w.ints(taps, weight[1])})
		total := w.op("MatMul", []string{w.reshape(sums, -1, taps), last})
		return w.reshape(w.times(total, 1/float32(size(x[2:]))), -1, weight[1], 1, 1)
	}
}

// meets is one where a tap of the kernel, by rows, meets the input from a place of the output, by columns; or transposed.
func (w *walk) meets(v window, axis int, x, y []int64, transposed bool) string {
	taps, places := v.kernel[axis], y[axis+2]
	ones := make([]float32, taps*places)
	for t := range taps {
		for o := range places {
			at := o*v.strides[axis] - v.begin[axis] + t*v.dilations[axis]
			if at < 0 || at >= x[axis+2] {
				continue
			}
			if transposed {
				ones[o*taps+t] = 1
			} else {
				ones[t*places+o] = 1
			}
		}
	}
	if transposed {
		return w.floats([]int64{places, taps}, ones...)
	}
	return w.floats([]int64{taps, places}, ones...)
}

// ends reports whether a walk goes no further down from a tensor than to a target, through at most a pooling of maxima.
func (w *walk) ends(tensor string) bool {
	from := w.g.producer[tensor]
	switch {
	case from == nil:
		return w.targets[tensor]
	case w.targets[tensor]:
		return !anyOf(w.on, from.differentiable())
	}
	return from.standard() && from.GetOpType() == "MaxPool" && w.ends(from.in(0))
}

// sumMean: the mean of a sum is the sum of the means, where all are known.
func (w *walk) sumMean(sum string, parts []string) {
	if slices.ContainsFunc(parts, func(p string) bool { return w.means[p] == nil }) {
		return
	}
	w.means[sum] = func() string {
		mean := w.mean(parts[0])
		for _, p := range parts[1:] {
			mean = w.plus(mean, w.mean(p))
		}
		return mean
	}
}
