package explain

import (
	"slices"

	"endogate/explain/onnxpb"
)

// vjpMaxPool sends each gradient to where its maximum was; of equal maxima the first one counts. Windows that
// overlap add up.
func vjpMaxPool(w *walk, n *node, dy []string) ([]string, error) {
	if n.attrInt("storage_order", 0) != 0 {
		return nil, unsupported(n, "column-major indices cannot be differentiated")
	}
	x, y := w.shape(n.in(0)), w.shape(n.out(0))
	v, err := w.pooled(n)
	if err != nil {
		return nil, err
	}
	if n.out(1) == "" {
		n.Output = append(n.Output[:1:1], w.name("explain/Indices"))
	}
	route := func(dy string) string {
		if v.disjoint() {
			return w.unpool(n, dy, x)
		}
		return w.reshape(w.scatter(n, dy, x, size(y[1:])), x...)
	}
	if !w.variant.masks || !w.rectified(n.in(0)) {
		dx := route(dy[0])
		w.poolMean(dx, dy[0], x, y)
		return unary(dx)
	}
	// a maximum is positive where its window's output is: cheaper here than in the rule of Relu
	gated := route(w.mul(dy[0], w.positive(n.out(0))))
	dx := gated
	if w.targets[n.in(0)] {
		dx = route(dy[0])
		w.poolMean(dx, dy[0], x, y)
	}
	w.gated[dx] = gated
	return unary(dx)
}

// withoutIndices drops the indices of maxima that nothing reads: a pooling that gives none is several times as fast.
func withoutIndices(nodes []*onnxpb.NodeProto, used map[string]bool) {
	for _, n := range nodes {
		if n.GetOpType() == "MaxPool" && len(n.Output) == 2 && !used[n.Output[1]] {
			n.Output = n.Output[:1:1]
		}
	}
}

// rectified reports whether a tensor comes from a Relu.
func (w *walk) rectified(tensor string) bool {
	from := w.g.producer[tensor]
	return from != nil && from.standard() && from.GetOpType() == "Relu"
}

// disjoint reports whether no two windows share an element.
func (v window) disjoint() bool {
	for i := range v.kernel {
		if v.strides[i] < v.reach(i) {
			return false
		}
	}
	return true
}

// unpool writes each gradient into its own window.
func (w *walk) unpool(n *node, dy string, x []int64) string {
	cells := size(x[1:])
	at := w.frameIndices(n.out(1), x[0], cells, len(x))
	shape := w.ints(x...)
	if w.g.seeds() != 1 || x[0] != 1 {
		seeds := w.op("Shape", []string{dy}, intAttr("start", 0), intAttr("end", 1))
		at = w.plus(at, w.offsets(seeds, cells, len(x)))
		shape = w.op("Concat", []string{seeds, w.ints(x[1:]...)}, intAttr("axis", 0))
	}
	// windows of one, so that the runtime holds nothing against the size
	dx := w.op("MaxUnpool", []string{dy, at, shape}, intsAttr("kernel_shape", slices.Repeat([]int64{1}, len(x)-2)...))
	return w.reshape(dx, x...) // it does not know the shape
}

// scatter adds each gradient to where its maximum was, for frames of so many cells and maxima.
func (w *walk) scatter(n *node, dy string, x []int64, maxima int64) string {
	cells := size(x[1:])
	flat := w.reshape(dy, -1, maxima)
	at := w.frameIndices(w.reshape(n.out(1), -1, maxima), x[0], cells, 2)
	zeros := w.zeros(flat, cells)
	at = w.op("Expand", []string{at, w.op("Shape", []string{flat})})
	return w.op("ScatterElements", []string{zeros, at, flat}, intAttr("axis", 1), stringAttr("reduction", "add"))
}

// zeros has the batch of another tensor and the further dimensions given.
func (w *walk) zeros(like string, dims ...int64) string {
	batch := w.op("Shape", []string{like}, intAttr("start", 0), intAttr("end", 1))
	return w.op("ConstantOfShape", []string{w.op("Concat", []string{batch, w.ints(dims...)}, intAttr("axis", 0))})
}

// frameIndices makes MaxPool's indices, which count through the batch, count within each frame.
func (w *walk) frameIndices(indices string, frames, cells int64, rank int) string {
	if w.g.oneFrame() && frames == 1 {
		return indices
	}
	count := w.op("Shape", []string{indices}, intAttr("start", 0), intAttr("end", 1))
	return w.sub(indices, w.offsets(count, cells, rank))
}

// offsets is where each of so many frames begins, along the first of rank axes.
func (w *walk) offsets(frames string, cells int64, rank int) string {
	to := slices.Repeat([]int64{1}, rank)
	to[0] = -1
	count := w.op("Range", []string{w.intScalar(0), w.op("Squeeze", []string{frames}), w.intScalar(1)})
	return w.op("Reshape", []string{w.mul(count, w.intScalar(cells)), w.ints(to...)})
}
