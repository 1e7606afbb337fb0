package explain

import "slices"

// normalised is the gradient of (x-mean)/√(variance+epsilon) over axes, for the gradient of its result.
func (w *walk) normalised(x, dy string, epsilon float32, axes []int64, count int64) string {
	share := 1 / float32(count)
	mean := func(v string) string { return w.times(w.reduceSum(v, true, axes...), share) }
	centred := w.sub(x, mean(x))
	inverse := w.op("Reciprocal", []string{w.op("Sqrt", []string{w.plus(mean(w.mul(centred, centred)), w.scalar(epsilon))})})
	unit := w.mul(centred, inverse)
	return w.mul(inverse, w.sub(w.sub(dy, mean(dy)), w.mul(unit, mean(w.mul(dy, unit)))))
}

func vjpLayerNormalization(w *walk, n *node, dy []string) ([]string, error) {
	x := w.shape(n.in(0))
	from, err := axis(n, n.attrInt("axis", -1), len(x))
	if err != nil {
		return nil, err
	}
	var axes []int64
	for i := from; i < len(x); i++ {
		axes = append(axes, int64(i))
	}
	return unary(w.normalised(n.in(0), w.mul(dy[0], n.in(1)), n.attrFloat("epsilon", 1e-5), axes, size(x[from:])))
}

func vjpInstanceNormalization(w *walk, n *node, dy []string) ([]string, error) {
	x := w.shape(n.in(0))
	scale := slices.Repeat([]int64{1}, len(x)-1)
	scale[0] = -1
	var axes []int64
	for i := 2; i < len(x); i++ {
		axes = append(axes, int64(i))
	}
	scaled := w.mul(dy[0], w.op("Reshape", []string{n.in(1), w.ints(scale...)}))
	return unary(w.normalised(n.in(0), scaled, n.attrFloat("epsilon", 1e-5), axes, size(x[2:])))
}
