package explain

import (
	"math"
	"slices"
)

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
			before, after := w.op("Shape", []string{arrived}, intAttr("end", int64(at))), w.op("Shape", []string{arrived}, intAttr("start", int64(at+1)))
			dims := w.op("Concat", []string{before, w.ints(w.shape(n.out(i))[at]), after}, intAttr("axis", 0))
			parts[i] = w.op("ConstantOfShape", []string{dims})
		}
	}
	return unary(w.op("Concat", parts, intAttr("axis", int64(at))))
}

// vjpSlice: a slice is undone by padding, after the gaps that its steps left are filled with zeros.
func vjpSlice(w *walk, n *node, dy []string) ([]string, error) {
	x, y := w.shape(n.in(0)), slices.Clone(w.shape(n.out(0)))
	starts, ok := w.g.integers(n.in(1))
	axes, err := optionalInts(w, n, 3, len(starts))
	if err != nil || !ok {
		return nil, unsupported(n, "starts and axes must be constants")
	}
	steps := slices.Repeat([]int64{1}, len(starts))
	if n.in(4) != "" {
		if steps, ok = w.g.integers(n.in(4)); !ok || len(steps) != len(starts) {
			return nil, unsupported(n, "steps must be constants")
		}
	}
	dx, pads := dy[0], make([]int64, 2*len(x))
	for i, a := range axes {
		at, err := axis(n, a, len(x))
		if err != nil {
			return nil, err
		}
		from, step := starts[i], steps[i]
		if from < 0 {
			from += x[at]
		}
		if batch, ok := w.g.batch()[n.out(0)]; ok && batch == at && step != 1 {
			return nil, unsupported(n, "it picks among frames")
		}
		if from = min(max(from, 0), x[at]); step < 0 {
			dx = w.reversed(dx, at)
			from, step = min(from, x[at]-1)+(y[at]-1)*step, -step
		}
		if step > 1 {
			dx = w.stepped(dx, n, y, at, step)
			y[at] *= step
		}
		pads[at], pads[len(x)+at] = from, x[at]-from-y[at]
	}
	return unary(w.op("Pad", []string{dx, w.ints(pads...)}))
}

// reversed turns an axis about.
func (w *walk) reversed(x string, at int) string {
	return w.op("Slice", []string{x, w.ints(-1), w.ints(math.MinInt64), w.ints(int64(at)), w.ints(-1)})
}

// stepped puts zeros behind each place along an axis of a gradient of the node's output, so that there are step times as many.
func (w *walk) stepped(dy string, n *node, y []int64, at int, step int64) string {
	dims := slices.Clone(y)
	if batch, ok := w.g.batch()[n.out(0)]; ok && w.g.seeds() != 1 {
		dims[batch] = -1
	}
	pads := make([]int64, 2*(len(y)+1))
	pads[len(pads)-len(y)+at] = step - 1
	apart := w.op("Reshape", []string{dy, w.ints(slices.Insert(slices.Clone(dims), at+1, 1)...)})
	dims[at] *= step
	return w.op("Reshape", []string{w.op("Pad", []string{apart, w.ints(pads...)}), w.ints(dims...)})
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

// vjpPad: padding with a constant is undone by negative padding; what repeats elements, by adding up what each became.
func vjpPad(w *walk, n *node, dy []string) ([]string, error) {
	mode, x := n.attrString("mode", "constant"), w.shape(n.in(0))
	pads, ok := w.g.integers(n.in(1))
	rank := len(x)
	axes, err := optionalInts(w, n, 3, len(pads)/2)
	if err != nil || !ok || len(pads) != 2*len(axes) {
		return nil, unsupported(n, "pads and axes must be constants")
	}
	dx, back := dy[0], make([]int64, 2*rank)
	for i, a := range axes {
		at, err := axis(n, a, rank)
		if err != nil {
			return nil, err
		}
		first, last := pads[i], pads[len(axes)+i]
		switch batch, ok := w.g.batch()[n.in(0)]; {
		case mode == "constant":
			back[at], back[rank+at] = -first, -last
		case first == 0 && last == 0:
		case first < 0 || last < 0 || ok && batch == at:
			return nil, unsupported(n, "mode "+mode+" can be differentiated only where nothing is cut off, nor frames repeated")
		default:
			read := w.floats([]int64{x[at] + first + last, x[at]}, repeated(mode, x[at], first, last)...)
			dx = w.along(dx, rank, at, func(v string) string { return w.op("MatMul", []string{v, read}) })
		}
	}
	if mode != "constant" {
		return unary(dx)
	}
	return unary(w.op("Pad", []string{dx, w.ints(back...)}))
}

// repeated is the matrix of ones where a row, a place of the padded axis, is read from a column.
func repeated(mode string, count, first, last int64) []float32 {
	read := make([]float32, (count+first+last)*count)
	for row := range count + first + last {
		from := row - first
		switch mode {
		case "edge":
			from = min(max(from, 0), count-1)
		case "wrap":
			from = (from%count + count) % count
		case "reflect":
			if from < 0 {
				from = -from
			}
			if from >= count {
				from = 2*(count-1) - from
			}
		}
		read[row*count+from] = 1
	}
	return read
}

func vjpExpand(w *walk, n *node, dy []string) ([]string, error) {
	return unary(w.sumTo(dy[0], w.shape(n.out(0)), w.shape(n.in(0))))
}

// vjpTile adds up the repeats.
func vjpTile(w *walk, n *node, dy []string) ([]string, error) {
	x, y := w.shape(n.in(0)), w.shape(n.out(0))
	batch, ok := w.g.batch()[n.in(0)]
	var dims, axes []int64
	for i := range x {
		repeats := y[i] / x[i]
		switch {
		case repeats == 1 && ok && batch == i && w.g.seeds() != 1:
			dims = append(dims, -1)
		case repeats == 1:
			dims = append(dims, x[i])
		case ok && batch == i:
			return nil, unsupported(n, "it repeats the frames")
		default:
			axes = append(axes, int64(len(dims)))
			dims = append(dims, repeats, x[i])
		}
	}
	if len(axes) == 0 {
		return unary(dy[0])
	}
	return unary(w.reduceSum(w.op("Reshape", []string{dy[0], w.ints(dims...)}), false, axes...))
}
