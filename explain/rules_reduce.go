package explain

func vjpReduceL1(w *walk, n *node, dy []string) ([]string, error) {
	full, _, _, err := w.reduction(n, dy[0])
	if err != nil {
		return nil, err
	}
	return unary(w.mul(full, w.op("Sign", []string{n.in(0)})))
}

const leastLength = 1e-30

// vjpReduceL2: what is all zero has no direction, and no gradient.
func vjpReduceL2(w *walk, n *node, dy []string) ([]string, error) {
	full, _, _, err := w.reduction(n, dy[0])
	if err != nil {
		return nil, err
	}
	length, _, _, err := w.reduction(n, n.out(0))
	if err != nil {
		return nil, err
	}
	return unary(w.mul(w.div(full, w.op("Max", []string{length, w.scalar(leastLength)})), n.in(0)))
}

func vjpReduceSumSquare(w *walk, n *node, dy []string) ([]string, error) {
	full, _, _, err := w.reduction(n, dy[0])
	if err != nil {
		return nil, err
	}
	return unary(w.mul(full, w.times(n.in(0), 2)))
}

// vjpReduceLogSumExp: the shares of the exponentials.
func vjpReduceLogSumExp(w *walk, n *node, dy []string) ([]string, error) {
	full, _, _, err := w.reduction(n, dy[0])
	if err != nil {
		return nil, err
	}
	y, _, _, err := w.reduction(n, n.out(0))
	if err != nil {
		return nil, err
	}
	return unary(w.mul(full, w.op("Exp", []string{w.sub(n.in(0), y)})))
}

// vjpMean: each input has an equal share.
func vjpMean(w *walk, n *node, dy []string) ([]string, error) {
	return vjpSum(w, n, []string{w.times(dy[0], 1/float32(len(n.Input)))})
}

// vjpCumSum adds up from the other end.
func vjpCumSum(w *walk, n *node, dy []string) ([]string, error) {
	batch, batched := w.g.batch()[n.in(0)]
	if a, ok := w.g.integers(n.in(1)); ok && batched && (a[0] == int64(batch) || a[0]+int64(len(w.shape(n.in(0)))) == int64(batch)) {
		return nil, unsupported(n, "it adds up frames")
	}
	return unary(w.op("CumSum", []string{dy[0], n.in(1)},
		intAttr("exclusive", n.attrInt("exclusive", 0)), intAttr("reverse", 1-n.attrInt("reverse", 0))))
}

// vjpTrilu keeps the same triangle.
func vjpTrilu(w *walk, n *node, dy []string) ([]string, error) {
	return unary(w.op("Trilu", append(dy[:1:1], n.Input[1:]...), intAttr("upper", n.attrInt("upper", 1))))
}
