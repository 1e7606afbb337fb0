package explain

import "slices"

func vjpAveragePool(w *walk, n *node, dy []string) ([]string, error) {
	x, y := w.shape(n.in(0)), w.shape(n.out(0))
	v, err := w.pooled(n)
	if err != nil {
		return nil, err
	}
	kernel := v.kernel
	if v.plain() && size(kernel) == 1 && slices.Equal(x, y) {
		return unary(dy[0])
	}
	if size(kernel) == size(x[2:]) && v.plain() {
		return unary(w.spread(w.times(dy[0], 1/float32(size(kernel))), x))
	}
	share := w.reshape(w.mul(dy[0], w.shares(n, v, x, y)), append([]int64{-1, 1}, y[2:]...)...)
	ones := w.op("ConstantOfShape", []string{w.ints(append([]int64{1, 1}, kernel...)...)}, oneValue())
	pads, outputPadding := v.transposed()
	dx := w.op("ConvTranspose", []string{share, ones}, intsAttr("kernel_shape", kernel...),
		intsAttr("strides", v.strides...), intsAttr("dilations", v.dilations...),
		intsAttr("pads", pads...), intsAttr("output_padding", outputPadding...))
	return unary(w.reshape(dx, x...))
}

// shares is the weight that each window gives to each of its elements, as a constant for one channel.
func (w *walk) shares(n *node, v window, x, y []int64) string {
	share := ""
	for i := range v.kernel {
		parts := v.counted(i, n.attrInt("count_include_pad", 0) != 0, x, y)
		for o := range parts {
			parts[o] = 1 / parts[o]
		}
		part := w.floats(onAxis(i, y), parts...)
		if share != "" {
			part = w.mul(share, part)
		}
		share = part
	}
	return share
}

func vjpGlobalAveragePool(w *walk, n *node, dy []string) ([]string, error) {
	x := w.shape(n.in(0))
	return unary(w.spread(w.times(dy[0], 1/float32(size(x[2:]))), x))
}

// spread expands S×C×1×1 over the places of x, and remembers that it did.
func (w *walk) spread(dy string, x []int64) string {
	dx := w.expand(dy, x)
	w.means[dx] = func() string { return dy }
	return dx
}

// vjpGlobalMaxPool: of equal maxima the first one counts.
func vjpGlobalMaxPool(w *walk, n *node, dy []string) ([]string, error) {
	x := w.shape(n.in(0))
	cells := size(x[2:])
	flat := w.reshape(n.in(0), -1, x[1], cells)
	at := w.op("ArgMax", []string{flat}, intAttr("axis", 2), intAttr("keepdims", 1))
	dy3 := w.reshape(dy[0], -1, x[1], 1)
	at = w.op("Expand", []string{at, w.op("Shape", []string{dy3})})
	zeros := w.zeros(dy3, x[1], cells)
	dx := w.op("ScatterElements", []string{zeros, at, dy3}, intAttr("axis", 2))
	return unary(w.reshape(dx, x...))
}

// reduction reads the axes of a reduction and gives dy the axes back as ones.
func (w *walk) reduction(n *node, dy string) (full string, count int64, axes []int64, err error) {
	x := w.shape(n.in(0))
	if a := attribute(n.NodeProto, "axes"); a != nil {
		axes = a.Ints
	} else if n.in(1) != "" {
		v, ok := w.g.integers(n.in(1))
		if !ok {
			return "", 0, nil, unsupported(n, "its axes are not constant")
		}
		axes = v
	}
	if len(axes) == 0 && n.attrInt("noop_with_empty_axes", 0) == 0 {
		for i := range x {
			axes = append(axes, int64(i))
		}
	}
	kept, batch := slices.Clone(x), w.g.batch()[n.in(0)] // the first axis where it is not known
	count = 1
	at := make([]int64, len(axes))
	for i, a := range axes {
		place, err := axis(n, a, len(x))
		if err != nil {
			return "", 0, nil, err
		}
		if place == batch && x[place] != 1 && w.g.seeds() != 1 {
			return "", 0, nil, unsupported(n, "it reduces the batch")
		}
		at[i] = int64(place)
		count *= x[place]
		kept[place] = 1
	}
	if w.g.seeds() != 1 {
		kept[batch] = -1
	}
	return w.op("Reshape", []string{dy, w.ints(kept...)}), count, at, nil
}

func vjpReduceMean(w *walk, n *node, dy []string) ([]string, error) {
	full, count, axes, err := w.reduction(n, dy[0])
	if err != nil {
		return nil, err
	}
	x, part := w.shape(n.in(0)), w.times(full, 1/float32(count))
	if len(x) == 4 && slices.Equal(axes, []int64{2, 3}) {
		return unary(w.spread(part, x))
	}
	return unary(w.expandLike(part, n.in(0)))
}

func vjpReduceSum(w *walk, n *node, dy []string) ([]string, error) {
	full, _, _, err := w.reduction(n, dy[0])
	if err != nil {
		return nil, err
	}
	return unary(w.expandLike(full, n.in(0)))
}

// vjpReduceExtreme: equal extremes share the gradient.
func vjpReduceExtreme(w *walk, n *node, dy []string) ([]string, error) {
	full, _, axes, err := w.reduction(n, dy[0])
	if err != nil {
		return nil, err
	}
	y, _, _, err := w.reduction(n, n.out(0))
	if err != nil {
		return nil, err
	}
	hit := w.op("CastLike", []string{w.op("Equal", []string{n.in(0), y}), full})
	return unary(w.mul(hit, w.div(full, w.reduceSum(hit, true, axes...))))
}
