package explain

import (
	"math"
	"slices"
)

// phases splits the gradient of a convolution at its input by place: element x = count·j + a, for a in
// [0, count), gets Σ dy[step·j + u]·weight[a + pad - u·stride] over the u for which there is such a tap. Each
// phase is a convolution of dy; together, interleaved, they are the gradient. That is much faster than
// ConvTranspose, which works in columns, and a convolution of few channels fills the processor's vectors.
type phases struct {
	count, step int64      // the same for both axes
	places      [2]int64   // of a phase: ⌈extent/count⌉
	low, high   [2][]int64 // u of the first and last tap by axis and phase; low > high where there is none
	v           window     // of the convolution
	x, y        []int64    // shapes of its input and output
	group       int64
	dy, weight  string  // the gradient; the weights with channel axes swapped
	dims        []int64 // of the swapped weights
}

// few is the number of channels up to which several phases share a convolution.
const few = 4

// phased lays out the phases; false where ConvTranspose or one convolution does better.
func (w *walk) phased(v window, x, y []int64, group int64) (*phases, bool) {
	if len(x) != 4 || v.strides[0] != v.strides[1] || v.dilations[0] != 1 || v.dilations[1] != 1 {
		return nil, false
	}
	p := &phases{count: v.strides[0], step: 1, v: v, x: x, y: y, group: group}
	if p.together() {
		if p.count == 1 {
			p.count, p.step = 2*p.count, 2
		}
	} else if p.count == 1 {
		return nil, false
	}
	for i, stride := range v.strides {
		p.places[i] = (x[i+2] + p.count - 1) / p.count
		for a := range p.count {
			at := a + v.begin[i]
			p.low[i] = append(p.low[i], ceilDiv(at-v.kernel[i]+1, stride))
			p.high[i] = append(p.high[i], floorDiv(at, stride))
		}
		first, last := p.reach(i)
		if first > 0 || p.beyond(i, last) < 0 {
			return nil, false
		}
		for a := range p.count {
			if !p.together() && p.low[i][a] <= p.high[i][a] && (p.low[i][a] > 0 || p.beyond(i, p.high[i][a]) < 0) {
				return nil, false
			}
		}
	}
	return p, true
}

// together reports whether one convolution makes all phases.
func (p *phases) together() bool {
	return p.group == 1 && p.x[1] <= few && max(p.v.kernel[0], p.v.kernel[1]) > 1
}

// reach is the range of u over all phases.
func (p *phases) reach(i int) (first, last int64) { return slices.Min(p.low[i]), slices.Max(p.high[i]) }

// beyond is how many places after the end of dy the last place of a phase reads.
func (p *phases) beyond(i int, high int64) int64 { return (p.places[i]-1)*p.step + high - p.y[i+2] + 1 }

// phaseKernel is the part of the weights that makes phase a, b, reversed; its taps are those of the phase.
func (w *walk) phaseKernel(p *phases, a, b int64) string {
	var starts, ends, steps []int64
	for i, phase := range []int64{a, b} {
		stride := p.v.strides[i]
		first := phase + p.v.begin[i] - p.low[i][phase]*stride
		last := phase + p.v.begin[i] - p.high[i][phase]*stride
		end := last - stride
		if end < 0 {
			end = math.MinInt64
		}
		starts, ends, steps = append(starts, first), append(ends, end), append(steps, -stride)
	}
	return w.op("Slice", []string{p.weight, w.ints(starts...), w.ints(ends...), w.ints(2, 3), w.ints(steps...)})
}

// none reports whether a phase has no tap.
func (p *phases) none(a, b int64) bool {
	return p.low[0][a] > p.high[0][a] || p.low[1][b] > p.high[1][b]
}

// phase makes phase a, b.
func (w *walk) phase(p *phases, a, b int64) string {
	var begin, end, kernel []int64
	for i, phase := range []int64{a, b} {
		low, high := p.low[i][phase], p.high[i][phase]
		kernel = append(kernel, high-low+1)
		begin, end = append(begin, -low), append(end, p.beyond(i, high))
	}
	return w.op("Conv", []string{p.dy, w.phaseKernel(p, a, b)}, intsAttr("kernel_shape", kernel...),
		intsAttr("pads", append(begin, end...)...), intAttr("group", p.group))
}

// joined interleaves the phases; "" where only some of them have taps, but more than one.
func (w *walk) joined(p *phases) string {
	var taps [][2]int64
	for a := range p.count {
		for b := range p.count {
			if !p.none(a, b) {
				taps = append(taps, [2]int64{a, b})
			}
		}
	}
	switch {
	case len(taps) == 1:
		return w.cropped(p, w.spaced(w.phase(p, taps[0][0], taps[0][1]), p.x[0], p.x[1], p.places, p.count, taps[0]))
	case p.together():
		return w.cropped(p, w.interleaved(p, w.allPhases(p)))
	case int64(len(taps)) < p.count*p.count:
		return ""
	}
	var parts []string
	for _, t := range taps {
		parts = append(parts, w.phase(p, t[0], t[1]))
	}
	return w.cropped(p, w.interleaved(p, w.op("Concat", parts, intAttr("axis", 1))))
}

// allPhases makes all of them by one convolution, whose kernels are padded to a common reach.
func (w *walk) allPhases(p *phases) string {
	var first, last, begin, end, kernel []int64
	for i := range p.places {
		f, l := p.reach(i)
		first, last = append(first, f), append(last, l)
		kernel, begin, end = append(kernel, l-f+1), append(begin, -f), append(end, p.beyond(i, l))
	}
	var kernels []string
	for a := range p.count {
		for b := range p.count {
			if p.none(a, b) {
				kernels = append(kernels, w.op("ConstantOfShape", []string{w.ints(p.dims[0], p.dims[1], kernel[0], kernel[1])}))
				continue
			}
			kernels = append(kernels, w.op("Pad", []string{w.phaseKernel(p, a, b), w.ints(
				0, 0, p.low[0][a]-first[0], p.low[1][b]-first[1], 0, 0, last[0]-p.high[0][a], last[1]-p.high[1][b])}))
		}
	}
	all := w.op("Concat", kernels, intAttr("axis", 0))
	return w.op("Conv", []string{p.dy, all}, intsAttr("kernel_shape", kernel...),
		intsAttr("strides", p.step, p.step), intsAttr("pads", append(begin, end...)...))
}

// interleaved turns phases, one after the other along the channels, into places.
func (w *walk) interleaved(p *phases, parts string) string {
	last, run := w.channelsLast(parts), p.count*p.x[1]
	return w.woven(p, p.x[1], func(a int64) string {
		return w.op("Slice", []string{last, w.ints(a * run), w.ints((a + 1) * run), w.ints(3)})
	})
}

// woven turns phases of so many channels into places; row makes those of one a, one after the other along the channels, which are
// last, so that whole runs are copied.
func (w *walk) woven(p *phases, channels int64, row func(a int64) string) string {
	var rows []string
	for a := range p.count {
		rows = append(rows, w.reshape(row(a), p.x[0], p.places[0], 1, p.places[1]*p.count*channels))
	}
	all := w.reshape(w.op("Concat", rows, intAttr("axis", 2)), p.x[0], p.places[0]*p.count, p.places[1]*p.count, channels)
	return w.op("Transpose", []string{all}, intsAttr("perm", 0, 3, 1, 2))
}

func (w *walk) channelsLast(x string) string {
	return w.op("Transpose", []string{x}, intsAttr("perm", 0, 2, 3, 1))
}

// spaced puts what has the given channels and places at every step-th place from at on, with zeros between; channels last
// while at it, so that whole runs are copied.
func (w *walk) spaced(part string, batch, channels int64, places [2]int64, step int64, at [2]int64) string {
	rows := w.reshape(w.channelsLast(part), batch, places[0], 1, places[1], channels)
	rows = w.op("Pad", []string{rows, w.ints(0, 0, at[0], 0, at[1]*channels, 0, 0, step-1-at[0], 0, (step-1-at[1])*channels)})
	rows = w.reshape(rows, batch, places[0]*step, places[1]*step, channels)
	return w.op("Transpose", []string{rows}, intsAttr("perm", 0, 3, 1, 2))
}

// depthwise is the gradient of a strided convolution of each channel for itself: its arithmetic is little, so that zeros
// between the places of dy cost less than phases; false where one convolution of that does not do.
func (w *walk) depthwise(v window, dy, weight string, x, y []int64, group int64) (string, bool) {
	if len(x) != 4 || group != x[1] || v.strides[0] < 2 || v.strides[0] != v.strides[1] {
		return "", false
	}
	stride, kernel := v.strides[0], w.rotated(weight, w.shape(weight), group)
	var begin, end []int64
	for i := range v.kernel {
		first := v.reach(i) - 1 - v.begin[i]
		last := x[i+2] - y[i+2]*stride - first + v.reach(i) - 1
		if first < 0 || last < 0 {
			return "", false
		}
		begin, end = append(begin, first), append(end, last)
	}
	spaced := w.spaced(dy, y[0], y[1], [2]int64{y[2], y[3]}, stride, [2]int64{})
	dx := w.op("Conv", []string{spaced, kernel}, intsAttr("kernel_shape", v.kernel...),
		intsAttr("dilations", v.dilations...), intsAttr("pads", append(begin, end...)...), intAttr("group", group))
	w.keepSplit(dx, v, dy, weight, x, y)
	return dx, true
}

// cropped drops the places beyond the input, where phases do not divide it.
func (w *walk) cropped(p *phases, dx string) string {
	if p.places[0]*p.count == p.x[2] && p.places[1]*p.count == p.x[3] {
		return dx
	}
	return w.op("Slice", []string{dx, w.ints(0, 0), w.ints(p.x[2], p.x[3]), w.ints(2, 3)})
}

func floorDiv(a, b int64) int64 { return int64(math.Floor(float64(a) / float64(b))) }
func ceilDiv(a, b int64) int64  { return int64(math.Ceil(float64(a) / float64(b))) }
