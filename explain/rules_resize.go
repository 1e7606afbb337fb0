package explain

import "math"

// vjpResize: along each axis Resize is a product with a matrix, whose transpose takes the gradient back.
func vjpResize(w *walk, n *node, dy []string) ([]string, error) {
	if n.attrInt("antialias", 0) != 0 || n.attrString("keep_aspect_ratio_policy", "stretch") != "stretch" {
		return nil, unsupported(n, "interpolation with antialiasing, or in proportions that are kept, cannot be differentiated")
	}
	x, y := w.shape(n.in(0)), w.shape(n.out(0))
	axes := span(0, int64(len(x)))
	if a := attribute(n.NodeProto, "axes"); a != nil {
		axes = a.Ints
	}
	scales, given := w.g.floats(n.in(2))
	dx := dy[0]
	for k, axis := range axes {
		i := bound(axis, len(x))
		r := resampler{n: n, in: x[i], out: y[i], scale: float64(y[i]) / float64(x[i])}
		if given && len(scales) == len(axes) {
			r.scale = float64(scales[k])
		}
		if x[i] == y[i] && r.scale == 1 {
			continue
		}
		if i == 0 {
			return nil, unsupported(n, "it resizes the batch")
		}
		matrix, ok := r.matrix()
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

// resampler is interpolation along one axis.
type resampler struct {
	n       *node
	in, out int64
	scale   float64
}

// matrix is out×in; false where it is not known.
func (r resampler) matrix() ([]float32, bool) {
	m := make([]float32, r.in*r.out)
	last := float64(r.in - 1)
	for o := range r.out {
		at, ok := r.coordinate(float64(o))
		if !ok {
			return nil, false
		}
		add := func(place, part float64) { m[o*r.in+int64(min(max(place, 0), last))] += float32(part) }
		switch low := math.Floor(at); r.n.attrString("mode", "nearest") {
		case "nearest":
			add(nearest(r.n.attrString("nearest_mode", "round_prefer_floor"), at), 1)
		case "linear":
			at = min(max(at, 0), last)
			low = math.Floor(at)
			add(low, 1-(at-low))
			add(low+1, at-low)
		default:
			outside, sum := r.n.attrInt("exclude_outside", 0) != 0, 0.
			weight := func(place float64) float64 {
				if outside && (place < 0 || place > last) {
					return 0
				}
				return cubic(float64(r.n.attrFloat("cubic_coeff_a", -0.75)), math.Abs(at-place))
			}
			for tap := low - 1; tap <= low+2; tap++ {
				sum += weight(tap)
			}
			for tap := low - 1; tap <= low+2; tap++ {
				add(tap, weight(tap)/sum)
			}
		}
	}
	return m, true
}

// cubic is the weight of a place so far away (Keys 1981).
func cubic(a, d float64) float64 {
	switch {
	case d <= 1:
		return ((a+2)*d-(a+3))*d*d + 1
	case d < 2:
		return a * (((d-5)*d+8)*d - 4)
	}
	return 0
}

// coordinate is where the place o of the output lies in the input.
func (r resampler) coordinate(o float64) (float64, bool) {
	in, out := float64(r.in), float64(r.out)
	switch mode := r.n.attrString("coordinate_transformation_mode", "half_pixel"); mode {
	case "half_pixel", "pytorch_half_pixel":
		if mode == "pytorch_half_pixel" && out <= 1 {
			return 0, true
		}
		return (o+0.5)/r.scale - 0.5, true
	case "align_corners":
		if out <= 1 {
			return 0, true
		}
		return o * (in - 1) / (out - 1), true
	case "asymmetric":
		return o / r.scale, true
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
