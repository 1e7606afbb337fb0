package explain

import "slices"

// vjpReshape serves every operator that only renames axes.
func vjpReshape(w *walk, n *node, dy []string) ([]string, error) {
	return unary(w.reshapeLike(dy[0], n.in(0)))
}

func vjpTranspose(w *walk, n *node, dy []string) ([]string, error) {
	rank := len(w.shape(n.in(0)))
	back := make([]int64, rank)
	for i := range back {
		back[i] = int64(rank - 1 - i)
	}
	if a := attribute(n.NodeProto, "perm"); a != nil {
		for i, p := range a.Ints {
			if len(a.Ints) != rank || p < 0 || p >= int64(rank) {
				return nil, unsupported(n, "attribute perm is no permutation")
			}
			back[p] = int64(i)
		}
	}
	return unary(w.op("Transpose", []string{dy[0]}, intsAttr("perm", back...)))
}

// axis turns a possibly negative axis into a place in a shape.
func axis(n *node, a int64, rank int) (int, error) {
	if a < 0 {
		a += int64(rank)
	}
	if a < 0 || a >= int64(rank) {
		return 0, unsupported(n, "an axis is out of range")
	}
	return int(a), nil
}

func vjpConcat(w *walk, n *node, dy []string) ([]string, error) {
	at, err := axis(n, n.attrInt("axis", 0), len(w.shape(n.out(0))))
	if err != nil {
		return nil, err
	}
	dx := make([]string, len(n.Input))
	from := int64(0)
	for i, x := range n.Input {
		to := from + w.shape(x)[at]
		if w.wants(x) {
			dx[i] = w.op("Slice", []string{dy[0], w.ints(from), w.ints(to), w.ints(int64(at))})
		}
		from = to
	}
	return dx, nil
}

func vjpSplit(w *walk, n *node, dy []string) ([]string, error) {
	x := w.shape(n.in(0))
	at, err := axis(n, n.attrInt("axis", 0), len(x))
	if err != nil {
		return nil, err
	}
	if batch, ok := w.g.batch()[n.in(0)]; ok && batch == at {
		return nil, unsupported(n, "splits the batch")
	}
	arrived := dy[slices.IndexFunc(dy, func(d string) bool { return d != "" })]
	parts := slices.Clone(dy)
	for i, d := range dy {
		if d == "" { // a part that leads nowhere
			if parts[i] = w.times(n.out(i), 0); w.g.batch()[n.in(0)] == 0 {
				parts[i] = w.zeros(arrived, w.shape(n.out(i))[1:]...)
			}
		}
	}
	return unary(w.op("Concat", parts, intAttr("axis", int64(at))))
}

// vjpSlice: a slice of step one is undone by padding.
func vjpSlice(w *walk, n *node, dy []string) ([]string, error) {
	x, y := w.shape(n.in(0)), w.shape(n.out(0))
	starts, ok := w.g.integers(n.in(1))
	axes, err := optionalInts(w, n, 3, len(starts))
	if err != nil || !ok {
		return nil, unsupported(n, "starts and axes must be constants")
	}
	steps, ok := w.g.integers(n.in(4))
	if n.in(4) != "" && (!ok || slices.ContainsFunc(steps, func(s int64) bool { return s != 1 })) {
		return nil, unsupported(n, "only steps of one can be differentiated")
	}
	pads := make([]int64, 2*len(x))
	for i, a := range axes {
		at, err := axis(n, a, len(x))
		if err != nil {
			return nil, err
		}
		from := starts[i]
		if from < 0 {
			from += x[at]
		}
		from = min(max(from, 0), x[at])
		pads[at], pads[len(x)+at] = from, x[at]-from-y[at]
	}
	return unary(w.op("Pad", []string{dy[0], w.ints(pads...)}))
}

// optionalInts is a constant vector input; 0, 1, 2, ... where it is left out.
func optionalInts(w *walk, n *node, i, count int) ([]int64, error) {
	if n.in(i) == "" {
		v := make([]int64, count)
		for k := range v {
			v[k] = int64(k)
		}
		return v, nil
	}
	v, ok := w.g.integers(n.in(i))
	if !ok || len(v) != count {
		return nil, unsupported(n, "axes must be constant and as many as the rest")
	}
	return v, nil
}

// vjpPad: padding with a constant is undone by negative padding.
func vjpPad(w *walk, n *node, dy []string) ([]string, error) {
	if mode := n.attrString("mode", "constant"); mode != "constant" {
		return nil, unsupported(n, "only constant padding can be differentiated, not "+mode)
	}
	pads, ok := w.g.integers(n.in(1))
	rank := len(w.shape(n.in(0)))
	axes, err := optionalInts(w, n, 3, len(pads)/2)
	if err != nil || !ok || len(pads) != 2*len(axes) {
		return nil, unsupported(n, "pads and axes must be constants")
	}
	back := make([]int64, 2*rank)
	for i, a := range axes {
		at, err := axis(n, a, rank)
		if err != nil {
			return nil, err
		}
		back[at], back[rank+at] = -pads[i], -pads[len(axes)+i]
	}
	return unary(w.op("Pad", []string{dy[0], w.ints(back...)}))
}

func vjpExpand(w *walk, n *node, dy []string) ([]string, error) {
	return unary(w.sumTo(dy[0], w.shape(n.out(0)), w.shape(n.in(0))))
}
