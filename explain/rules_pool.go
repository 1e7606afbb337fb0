package explain

import (
	"slices"
	"strings"

	"endogate/explain/onnxpb"
)

// vjpMaxPool sends each gradient to where its maximum was; of equal maxima the first one counts. Windows that
// overlap add up.
func vjpMaxPool(w *walk, n *node, dy []string) ([]string, error) {
	if n.attrInt("storage_order", 0) != 0 {
		return nil, unsupported(n, "column-major indices cannot be differentiated")
	}
	x, y := w.shape(n.in(0)), w.shape(n.out(0))
	kernel, err := n.attrInts("kernel_shape", len(x)-2, 1)
	if err != nil {
		return nil, err
	}
	v, err := w.window(n, x, y, kernel)
	if err != nil {
		return nil, err
	}
	v.spellOut(n)
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

// spellOut writes the pads that ceil_mode adds into the node: for the shapes that it makes, the runtime's inference errs by
// windows that lie in the padding alone.
func (v window) spellOut(n *node) {
	ends := make([]int64, len(v.end))
	for i, e := range v.end {
		if ends[i] = max(e, 0); e >= v.kernel[i] {
			return
		}
	}
	if n.attrInt("ceil_mode", 0) == 0 || n.attrString("auto_pad", "NOTSET") != "NOTSET" {
		return
	}
	dropAttribute(n.NodeProto, "ceil_mode")
	dropAttribute(n.NodeProto, "pads")
	n.Attribute = append(n.Attribute, intsAttr("pads", append(slices.Clone(v.begin), ends...)...))
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

func vjpAveragePool(w *walk, n *node, dy []string) ([]string, error) {
	x, y := w.shape(n.in(0)), w.shape(n.out(0))
	kernel, err := n.attrInts("kernel_shape", len(x)-2, 1)
	if err != nil {
		return nil, err
	}
	v, err := w.window(n, x, y, kernel)
	if err != nil {
		return nil, err
	}
	if v.plain() && size(kernel) == 1 && slices.Equal(x, y) {
		return unary(dy[0])
	}
	if v.plain() && size(y[2:]) == 1 {
		return unary(w.spread(w.times(dy[0], 1/float32(size(kernel))), x))
	}
	shares, err := w.shares(n, v, x, y)
	if err != nil {
		return nil, err
	}
	share := w.reshape(w.mul(dy[0], shares), append([]int64{-1, 1}, y[2:]...)...)
	ones := w.op("ConstantOfShape", []string{w.ints(append([]int64{1, 1}, kernel...)...)}, oneValue())
	pads, outputPadding := v.transposed()
	dx := w.op("ConvTranspose", []string{share, ones}, intsAttr("kernel_shape", kernel...),
		intsAttr("strides", v.strides...), intsAttr("dilations", v.dilations...),
		intsAttr("pads", pads...), intsAttr("output_padding", outputPadding...))
	return unary(w.reshape(dx, x...))
}

// shares is the weight that each window gives to each of its elements, as a constant for one channel.
func (w *walk) shares(n *node, v window, x, y []int64) (string, error) {
	pads, err := n.attrInts("pads", 2*len(v.kernel), 0)
	if err != nil {
		return "", err
	}
	include := n.attrInt("count_include_pad", 0) != 0
	share := ""
	for i := range v.kernel {
		first, last := int64(0), x[i+2]
		if include { // what ceil_mode adds beyond the declared pads never counts
			first, last = -v.begin[i], x[i+2]+pads[len(v.kernel)+i]
			if strings.HasPrefix(n.attrString("auto_pad", ""), "SAME") {
				last = x[i+2] + v.end[i]
			}
		}
		parts := make([]float32, y[i+2])
		for o := range parts {
			for k := range v.kernel[i] {
				if at := int64(o)*v.strides[i] - v.begin[i] + k*v.dilations[i]; at >= first && at < last {
					parts[o]++
				}
			}
			parts[o] = 1 / parts[o]
		}
		dims := slices.Repeat([]int64{1}, len(y))
		dims[i+2] = y[i+2]
		part := w.floats(dims, parts...)
		if share != "" {
			part = w.mul(share, part)
		}
		share = part
	}
	return share, nil
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
	kept := slices.Clone(x)
	count = 1
	at := make([]int64, len(axes))
	for i, a := range axes {
		place, err := axis(n, a, len(x))
		if err != nil {
			return "", 0, nil, err
		}
		if place == 0 && x[0] != 1 {
			return "", 0, nil, unsupported(n, "it reduces the batch")
		}
		at[i] = int64(place)
		count *= x[place]
		kept[place] = 1
	}
	return w.reshape(dy, kept...), count, at, nil
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
	return unary(w.expand(part, x))
}

func vjpReduceSum(w *walk, n *node, dy []string) ([]string, error) {
	full, _, _, err := w.reduction(n, dy[0])
	if err != nil {
		return nil, err
	}
	return unary(w.expand(full, w.shape(n.in(0))))
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

// vjpLRN: y = x·s^-beta with s = bias + alpha/size·Σx² over neighbouring channels.
func vjpLRN(w *walk, n *node, dy []string) ([]string, error) {
	x := w.shape(n.in(0))
	span := n.attrInt("size", 1)
	alpha, beta, bias := n.attrFloat("alpha", 0.0001), n.attrFloat("beta", 0.75), n.attrFloat("bias", 1)
	before := (span - 1) / 2
	squares := w.mul(n.in(0), n.in(0))
	s := w.plus(w.times(w.acrossChannels(squares, x, span, before), alpha), w.scalar(bias))
	scaled := w.mul(dy[0], w.op("Pow", []string{s, w.scalar(-beta)}))
	// the channels that see a channel lie the other way round
	seen := w.acrossChannels(w.div(w.mul(scaled, n.in(0)), s), x, span, span-1-before)
	return unary(w.sub(scaled, w.mul(w.times(n.in(0), 2*alpha*beta), seen)))
}

// acrossChannels is the mean over span channels, zeros beyond the first and last.
func (w *walk) acrossChannels(v string, x []int64, span, before int64) string {
	flat := w.reshape(v, -1, 1, x[1], size(x[2:]))
	mean := w.op("AveragePool", []string{flat}, intsAttr("kernel_shape", span, 1),
		intsAttr("pads", before, 0, span-1-before, 0), intAttr("count_include_pad", 1))
	return w.reshape(mean, x...)
}
