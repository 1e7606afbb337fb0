package explain

import "slices"

// split is a gradient of which the phases are known before they are interleaved. What acts on each place for itself acts on each of
// them: they are small enough for the processor's caches, and fewer channels are left to interleave.
type split struct {
	p *phases
	// phase makes phase a, b.
	phase func(a, b int64) string
}

// keepSplit remembers the phases of dx, the gradient of a strided convolution of each channel for itself.
func (w *walk) keepSplit(dx string, v window, dy, weight string, x, y []int64) {
	p, ok := w.phased(v, x, y, x[1])
	if !ok || !w.g.single || !blockable(x) || !blockable(y) {
		return
	}
	for a := range p.count {
		for b := range p.count {
			if p.none(a, b) {
				return
			}
		}
	}
	p.dy = dy
	p.weight, p.dims = w.swapped(weight, w.shape(weight), x[1])
	w.split[dx] = &split{p, func(a, b int64) string { return w.phase(p, a, b) }}
}

// letThrough multiplies a gradient by what makes says of an activation's output y, place by place.
func (w *walk) letThrough(dy, y string, factors func(y part) []string) string {
	dims := w.shape(y)
	through := func(g string, y part) string {
		for _, factor := range factors(y) {
			g = w.mul(g, factor)
		}
		return g
	}
	dx := through(w.blocked(dy, dims), whole(y, dims))
	if s := w.split[dy]; s != nil {
		w.split[dx] = &split{s.p, func(a, b int64) string {
			return through(s.phase(a, b), part{y, dims, s.p.count, [2]int64{a, b}})
		}}
	}
	return dx
}

// pointwise is the gradient of a convolution of single places whose own gradient came apart; false where it does not.
func (w *walk) pointwise(v window, dy, weight string, x, y []int64, group int64) (string, bool) {
	s := w.split[dy]
	if s == nil || group != 1 || x[1] > y[1] || size(v.kernel) != 1 || !slices.Equal(x[2:], y[2:]) || !v.plain() {
		return "", false
	}
	kernel, _ := w.swapped(weight, []int64{y[1], x[1], 1, 1}, 1)
	row := func(a int64) string {
		var parts []string
		for b := range s.p.count {
			parts = append(parts, w.op("Conv", []string{s.phase(a, b), kernel}, intsAttr("kernel_shape", 1, 1)))
		}
		return w.channelsLast(w.op("Concat", parts, intAttr("axis", 1)))
	}
	return w.cropped(s.p, w.woven(s.p, x[1], row)), true
}
