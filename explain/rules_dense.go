package explain

import "slices"

// vjpGemm: Y = alpha·A'·B' + beta·C, where ' is a transposition if so asked.
func vjpGemm(w *walk, n *node, dy []string) ([]string, error) {
	transA, transB := n.attrInt("transA", 0), n.attrInt("transB", 0)
	alpha, beta := n.attrFloat("alpha", 1), n.attrFloat("beta", 1)
	a, b, c := n.in(0), n.in(1), n.in(2)
	product := func(x, y string, tx, ty int64) string {
		return w.op("Gemm", []string{x, y}, intAttr("transA", tx), intAttr("transB", ty), floatAttr("alpha", alpha))
	}
	dx := make([]string, len(n.Input))
	switch {
	case w.wants(a) && transA == 0:
		rows, weights := w.named(dy[0], b, 1-transB)
		dx[0] = product(rows, weights, 0, 1-transB)
	case w.wants(a):
		dx[0] = product(b, dy[0], transB, 1)
	}
	switch {
	case w.wants(b) && transB == 0:
		dx[1] = product(a, dy[0], 1-transA, 0)
	case w.wants(b):
		dx[1] = product(dy[0], a, 1, transA)
	}
	if w.wants(c) {
		dx[2] = w.sumTo(w.times(dy[0], beta), w.shape(n.out(0)), w.shape(c))
	}
	return dx, nil
}

// manyClasses is the number of classes from which a seed's zeros are worth leaving out.
const manyClasses = 64

// named leaves out of a product with the seed the classes that no row of it names, so that of a large last layer
// only those weights are read. Classes are the columns of the seed and the given axis of the weights.
func (w *walk) named(seed, weights string, axis int64) (rows, kept string) {
	if dims := w.shape(weights); !w.sparse[seed] || len(dims) != 2 || dims[axis] < manyClasses {
		return seed, weights
	}
	most := w.reduceSum(w.op("Abs", []string{seed}), false, 0)
	classes := w.op("Reshape", []string{w.op("NonZero", []string{most}), w.ints(-1)})
	return w.op("Gather", []string{seed, classes}, intAttr("axis", 1)), w.op("Gather", []string{weights, classes}, intAttr("axis", axis))
}

func vjpMatMul(w *walk, n *node, dy []string) ([]string, error) {
	a, b, y := w.shape(n.in(0)), w.shape(n.in(1)), w.shape(n.out(0))
	left, right, above := n.in(0), n.in(1), dy[0]
	if len(b) == 1 { // a vector is a matrix of one column, or of one row on the left
		right, above = w.op("Unsqueeze", []string{right, w.ints(1)}), w.op("Unsqueeze", []string{above, w.ints(-1)})
		b, y = []int64{b[0], 1}, append(y[:len(y):len(y)], 1)
	}
	if len(a) == 1 {
		left, above = w.op("Unsqueeze", []string{left, w.ints(0)}), w.op("Unsqueeze", []string{above, w.ints(-2)})
		a, y = []int64{1, a[0]}, slices.Insert(slices.Clone(y), len(y)-1, 1)
	}
	for _, in := range n.Input {
		if w.wants(in) && len(w.shape(in)) == 1 {
			return nil, unsupported(n, "a vector that depends on the picture cannot be differentiated")
		}
	}
	batch := y[:len(y)-2]
	dx := make([]string, 2)
	if w.wants(n.in(0)) {
		full := append(batch[:len(batch):len(batch)], a[len(a)-2:]...)
		rows, weights := above, right
		if len(b) == 2 {
			rows, weights = w.named(rows, weights, 1)
		}
		da := w.op("MatMul", []string{rows, w.transposeLast(weights, len(b))})
		dx[0] = w.sumTo(da, full, a)
	}
	if w.wants(n.in(1)) {
		full := append(batch[:len(batch):len(batch)], b[len(b)-2:]...)
		db := w.op("MatMul", []string{w.transposeLast(left, len(a)), above})
		dx[1] = w.sumTo(db, full, b)
	}
	return dx, nil
}

// vjpBatchNormalization: at inference it is a scale per channel, gamma/√(variance + epsilon).
func vjpBatchNormalization(w *walk, n *node, dy []string) ([]string, error) {
	if n.attrInt("training_mode", 0) != 0 {
		return nil, unsupported(n, "only the inference form can be differentiated")
	}
	for _, in := range n.Input[1:] {
		if w.wants(in) {
			return nil, unsupported(n, "only its first input may depend on the picture")
		}
	}
	eps := w.scalar(n.attrFloat("epsilon", 1e-5))
	deviation := w.op("Sqrt", []string{w.plus(n.in(4), eps)})
	channels := []int64{-1}
	for range w.shape(n.in(0))[2:] {
		channels = append(channels, 1)
	}
	scale := w.op("Reshape", []string{w.div(n.in(1), deviation), w.ints(channels...)})
	return unary(w.mul(dy[0], scale))
}
