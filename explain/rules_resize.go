package explain

import "math"

// vjpResize: along each axis Resize is a product with a matrix, whose transpose takes the gradient back.
func vjpResize(w *walk, n *node, dy []string) ([]string, error) {
	mode := n.attrString("mode", "nearest")
	if (mode != "nearest" && mode != "linear") || n.attrInt("antialias", 0) != 0 || attribute(n.NodeProto, "axes") != nil {
		return nil, unsupported(n, "only nearest and linear interpolation over all axes, without antialiasing, can be differentiated")
	}
	x, y := w.shape(n.in(0)), w.shape(n.out(0))
	scales, given := w.g.floats(n.in(2))
	dx := dy[0]
	for i := range x {
		scale := float64(y[i]) / float64(x[i])
		if given && len(scales) == len(x) {
			scale = float64(scales[i])
		}
		if x[i] == y[i] && scale == 1 {
			continue
		}
		if i == 0 {
			return nil, unsupported(n, "it resizes the batch")
		}
		matrix, ok := resampling(n, mode, x[i], y[i], scale)
		if !ok {
			return nil, unsupported(n, "coordinates "+n.attrString("coordinate_transformation_mode", "half_pixel")+" have no rule")
		}
		m := w.floats([]int64{y[i], x[i]}, matrix...)
		dx = w.along(dx, len(x), i, func(v string) string { return w.op("MatMul", []string{v, m}) })
	}
	return unary(dx)
}

// along applies f with an axis brought to the last place.
func (w *walk) along(x string, rank, axis int, f func(string) string) string {
	if axis == rank-1 {
		return f(x)
	}
	perm := make([]int64, rank)
	for i := range perm {
		perm[i] = int64(i)
	}
	perm[axis], perm[rank-1] = perm[rank-1], perm[axis]
	return w.op("Transpose", []string{f(w.op("Transpose", []string{x}, intsAttr("perm", perm...)))}, intsAttr("perm", perm...))
}

// resampling is the matrix out×in of interpolation along one axis.
func resampling(n *node, mode string, in, out int64, scale float64) ([]float32, bool) {
	m := make([]float32, in*out)
	last := float64(in - 1)
	for o := range out {
		at, ok := coordinate(n.attrString("coordinate_transformation_mode", "half_pixel"), float64(o), float64(in), float64(out), scale)
		if !ok {
			return nil, false
		}
		if mode == "nearest" {
			m[o*in+int64(min(max(nearest(n.attrString("nearest_mode", "round_prefer_floor"), at), 0), last))] = 1
			continue
		}
		at = min(max(at, 0), last)
		low := int64(at)
		part := float32(at - float64(low))
		m[o*in+low] += 1 - part
		m[o*in+min(low+1, in-1)] += part
	}
	return m, true
}

// coordinate is where the place o of the output lies in the input.
func coordinate(mode string, o, in, out, scale float64) (float64, bool) {
	switch mode {
	case "half_pixel":
		return (o+0.5)/scale - 0.5, true
	case "pytorch_half_pixel":
		if out <= 1 {
			return 0, true
		}
		return (o+0.5)/scale - 0.5, true
	case "align_corners":
		if out <= 1 {
			return 0, true
		}
		return o * (in - 1) / (out - 1), true
	case "asymmetric":
		return o / scale, true
	}
	return 0, false
}

func nearest(mode string, at float64) float64 {
	switch mode {
	case "round_prefer_ceil":
		return math.Floor(at + 0.5)
	case "floor":
		return math.Floor(at)
	case "ceil":
		return math.Ceil(at)
	}
	return math.Ceil(at - 0.5)
}
