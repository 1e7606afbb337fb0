package explain

// camMap makes a map S×... of a layer's activation N×C×... and its gradient S×C×...
type camMap func(w *walk, activation, gradient string) string

// atLayer makes a method of a class activation map: tokens are laid back on their grid before, and the maps of several views of the picture
// added up.
func atLayer(post camMap) func(c *compiler, t *target, grads []string) string {
	return func(c *compiler, t *target, grads []string) string {
		w, grid := newWalk(c.builder), t.layer.grid
		activation, gradient := grid.onGrid(w, t.layer.Tensor, t.layer.dims), grid.onGrid(w, grads[0], t.layer.dims)
		if grid == nil || grid.views < 2 {
			return post(w, activation, gradient)
		}
		sum := ""
		for i := range grid.views {
			if one := post(w, grid.view(w, activation, i), grid.view(w, gradient, i)); sum == "" {
				sum = one
			} else {
				sum = w.plus(sum, one)
			}
		}
		return sum
	}
}

// gradCAM does the weighted sum as a matrix product, so that one activation serves many seeds.
func gradCAM(w *walk, activation, gradient string) string {
	dims := w.shape(activation)
	return w.weighted(activation, w.reshape(w.unlessCancelled(gradient, w.mean, 1), -1, 1, dims[1]))
}

// cancelled is the part of the greatest terms under which a sum is what rounding has left of them: where its own cancel each other out, and
// where they do not.
const cancelled, rounded = 1e-5, 1e-6

// unlessCancelled is a sum or a mean, zero where its terms cancel each other out beside the greatest along some axes: the gradients of what is
// centred over the picture or divided by its norm have no sum, and a map of what rounding leaves of it would look like one.
func (w *walk) unlessCancelled(terms string, sum func(string) string, axes ...int64) string {
	all, own := sum(terms), sum(w.op("Abs", []string{terms}))
	most := w.reduceMax(own, axes...)
	least := w.op("Min", []string{w.times(most, cancelled), w.op("Max", []string{w.times(most, rounded), w.times(own, 0.01)})})
	some := w.op("Greater", []string{w.op("Abs", []string{all}), least})
	return w.where(some, all, w.scalar(0))
}

// gradCAMPlusPlus: α = g²/(2g² + g³ΣA) with the sum over a channel's places, 0 where that is 0/0; a channel's weight is Σ α·relu(g).
func gradCAMPlusPlus(w *walk, activation, gradient string) string {
	dims := w.shape(activation)
	var places []int64
	for i := range dims[2:] {
		places = append(places, int64(i+2))
	}
	square := w.mul(gradient, gradient)
	below := w.plus(w.times(square, 2), w.mul(w.mul(square, gradient), w.reduceSum(activation, true, places...)))
	none := w.op("Equal", []string{below, w.scalar(0)})
	alpha := w.where(none, w.scalar(0), w.div(square, w.where(none, w.scalar(1), below)))
	weights := w.reduceSum(w.mul(alpha, w.op("Relu", []string{gradient})), true, places...)
	return w.weighted(activation, w.reshape(weights, -1, 1, dims[1]))
}

func hiResCAM(w *walk, activation, gradient string) string {
	share := func(x string) string { return w.reduceSum(x, false, 1) }
	return w.op("Relu", []string{w.unlessCancelled(w.mul(gradient, activation), share, span(1, int64(len(w.shape(activation))-1))...)})
}

func layerCAM(w *walk, activation, gradient string) string {
	return hiResCAM(w, activation, w.op("Relu", []string{gradient}))
}

// weighted is what is positive of the channels' sum with weights S×1×C.
func (w *walk) weighted(activation, weights string) string {
	dims := w.shape(activation)
	flat := w.reshape(activation, -1, dims[1], size(dims[2:]))
	sum := w.op("Relu", []string{w.op("MatMul", []string{weights, flat})})
	return w.reshape(sum, append([]int64{-1}, dims[2:]...)...)
}

// guidedGradCAM is guided backpropagation times grad-CAM at the input's size.
func guidedGradCAM(c *compiler, t *target, grads []string) string {
	cam := atLayer(gradCAM)(c, t, grads[1:])
	return c.mul(grads[0], c.stretched(cam, t.layer))
}

// stretched is a layer's map at the input's size, with a channel axis of one. Between the centres of its cells it is
// linear (half_pixel is PyTorch's align_corners=False).
func (c *compiler) stretched(cam string, l Layer) string {
	shape := c.g.shape(c.compiled.InputName)
	in, _ := LayoutOf(shape)
	cells, extent := []int64{int64(l.Height), int64(l.Width)}, []int64{int64(in.Height), int64(in.Width)}
	if in.Frames > 1 && !in.FramesFirst { // time is an axis like the others
		cells, extent = append([]int64{int64(l.Frames)}, cells...), append([]int64{int64(in.Frames)}, extent...)
	}
	x := c.reshape(cam, append([]int64{-1, 1}, cells...)...)
	if !l.Extent.Whole() { // laid where the grid lies, without stretching it further
		x = c.placed(x, l, in)
	}
	rows := c.op("Shape", []string{x}, intAttr("start", 0), intAttr("end", 2))
	sizes := c.op("Concat", []string{rows, c.ints(extent...)}, intAttr("axis", 0))
	x = c.op("Resize", []string{x, "", "", sizes}, stringAttr("mode", "linear"))
	switch {
	case in.ChannelsLast:
		return c.op("Transpose", []string{x}, intsAttr("perm", 0, 2, 3, 1))
	case in.FramesFirst:
		return c.reshape(x, -1, shape[1], 1, shape[3], shape[4])
	}
	return x
}

// placed interpolates a map's last two axes, its rows and columns, at the input's size: as Map.Resize does.
func (c *compiler) placed(x string, l Layer, in Layout) string {
	matrix := func(cells, points int, from, to float64) string {
		m := make([]float32, cells*points) // cells×points
		for i, t := range taps(cells, points, from, to) {
			if !t.beyond {
				m[t.low*points+i] += 1 - t.weight
				m[t.high*points+i] += t.weight
			}
		}
		return c.floats([]int64{int64(cells), int64(points)}, m...)
	}
	x = c.op("MatMul", []string{x, matrix(l.Width, in.Width, l.Extent.Left, l.Extent.Right)})
	rows := c.op("Transpose", []string{matrix(l.Height, in.Height, l.Extent.Top, l.Extent.Bottom)}, intsAttr("perm", 1, 0))
	return c.op("MatMul", []string{rows, x})
}
