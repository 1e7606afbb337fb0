package explain

import "slices"

// vjpMaxUnpool reads each gradient where its value was put. The indices count frames too.
func vjpMaxUnpool(w *walk, n *node, dy []string) ([]string, error) {
	w.framed = true
	return unary(w.op("Gather", []string{w.op("Reshape", []string{dy[0], w.ints(-1)}), n.in(1)}))
}

// vjpCol2Im reads the gradient block by block, as a convolution with a kernel for each place of a block does.
func vjpCol2Im(w *walk, n *node, dy []string) ([]string, error) {
	x, y := w.shape(n.in(0)), w.shape(n.out(0))
	block, ok := w.g.integers(n.in(2))
	if !ok || len(block) != len(y)-2 || len(block) > 3 {
		return nil, unsupported(n, "its blocks must be a constant of one to three axes")
	}
	places, channels := size(block), y[1]
	if channels*places*places > largeWeight {
		return nil, unsupported(n, "its blocks are too large")
	}
	one := make([]float32, channels*places*places)
	for i := range one {
		if int64(i)%places == int64(i)/places%places {
			one[i] = 1
		}
	}
	read := w.op("Conv", []string{dy[0], w.floats(append([]int64{channels * places, 1}, block...), one...)},
		append(slices.Clone(n.Attribute), intAttr("group", channels))...)
	return unary(w.reshape(read, x...))
}

// vjpDFT: the transform is a product with a matrix, whose conjugate is that of the other direction but for a factor.
func vjpDFT(w *walk, n *node, dy []string) ([]string, error) {
	x, y := w.shape(n.in(0)), w.shape(n.out(0))
	along := []int64{n.attrInt("axis", 1)}
	if n.opset >= 20 {
		if along[0] = -2; n.in(2) != "" {
			var ok bool
			if along, ok = w.g.integers(n.in(2)); !ok {
				return nil, unsupported(n, "its axis is not constant")
			}
		}
	}
	at, err := axis(n, along[0], len(x))
	if err != nil {
		return nil, err
	}
	if batch, ok := w.g.batch()[n.in(0)]; ok && batch == at {
		return nil, unsupported(n, "it transforms over frames")
	}
	resized := func(v string, by int64) string { // along the axis
		if by == 0 {
			return v
		}
		pads := make([]int64, 2*len(x))
		pads[len(x)+at] = by
		return w.op("Pad", []string{v, w.ints(pads...)})
	}
	back, count, dx := n.attrInt("inverse", 0), y[at], dy[0]
	if n.attrInt("onesided", 0) != 0 {
		if back != 0 {
			return nil, unsupported(n, "the inverse of half a spectrum has no rule")
		}
		if count = x[at]; n.in(1) != "" {
			v, ok := w.g.integers(n.in(1))
			if !ok {
				return nil, unsupported(n, "its length is not constant")
			}
			count = v[0]
		}
		dx = resized(dx, count-y[at])
	}
	if n.opset >= 20 {
		dx = w.op("DFT", []string{dx, "", w.intScalar(int64(at))}, intAttr("inverse", 1-back))
	} else {
		dx = w.op("DFT", []string{dx}, intAttr("axis", int64(at)), intAttr("inverse", 1-back))
	}
	factor := float32(count)
	if back != 0 {
		factor = 1 / factor
	}
	dx = resized(w.times(dx, factor), x[at]-count)
	if last := int64(len(x) - 1); x[last] == 1 { // of real numbers
		dx = w.op("Slice", []string{dx, w.ints(0), w.ints(1), w.ints(last)})
	}
	return unary(dx)
}
