package explain

import (
	"math"
	"strings"
)

// window is a sliding window over the spatial axes: pads are those that the shapes bear out, so
// an end pad is negative where the last elements of the input are in no window; declared are the end pads that the model states.
type window struct {
	kernel, strides, dilations, begin, end, declared []int64
}

// window reads the attributes of a convolution or a pooling from x to y (shapes with batch and channel).
func (w *walk) window(n *node, x, y, kernel []int64) (window, error) {
	spatial := len(x) - 2
	if spatial < 1 || len(y) != len(x) || len(kernel) != spatial {
		return window{}, unsupported(n, "its shapes do not fit together")
	}
	v := window{kernel: kernel, begin: make([]int64, spatial), end: make([]int64, spatial), declared: make([]int64, spatial)}
	var err error
	if v.strides, err = n.attrInts("strides", spatial, 1); err != nil {
		return v, err
	}
	if v.dilations, err = n.attrInts("dilations", spatial, 1); err != nil {
		return v, err
	}
	pads, err := n.attrInts("pads", 2*spatial, 0)
	if err != nil {
		return v, err
	}
	auto := n.attrString("auto_pad", "NOTSET")
	for i := range spatial {
		// of a pooling the runtime forgets the dilations here, and it refuses those of a convolution
		same := (ceilDiv(x[i+2], v.strides[i])-1)*v.strides[i] + v.kernel[i] - x[i+2]
		if n.pools() && strings.HasPrefix(auto, "SAME") && (same < -1 || same < 0 && v.dilations[i] > 1) {
			return v, unsupported(n, "auto_pad crops what its windows leave out")
		}
		same = max(same, 0)
		switch auto {
		case "NOTSET", "":
			v.begin[i], v.declared[i] = pads[i], pads[spatial+i]
		case "SAME_UPPER":
			v.begin[i], v.declared[i] = same/2, (same+1)/2
		case "SAME_LOWER":
			v.begin[i], v.declared[i] = (same+1)/2, same/2
		}
		v.end[i] = (y[i+2]-1)*v.strides[i] + v.reach(i) - x[i+2] - v.begin[i]
	}
	return v, nil
}

// reach is the extent of the dilated kernel along a spatial axis.
func (v window) reach(i int) int64 { return (v.kernel[i]-1)*v.dilations[i] + 1 }

// transposed gives the pads and output_padding with which ConvTranspose restores the input's size.
func (v window) transposed() (pads, outputPadding []int64) {
	outputPadding = make([]int64, len(v.kernel))
	ends := make([]int64, len(v.kernel))
	for i, e := range v.end {
		ends[i], outputPadding[i] = max(e, 0), max(-e, 0)
	}
	return append(append(pads, v.begin...), ends...), outputPadding
}

func (v window) plain() bool {
	for i := range v.kernel {
		if v.begin[i] != 0 || v.end[i] != 0 {
			return false
		}
	}
	return true
}

// vjpConv: with stride one the gradient is a convolution with the kernel rotated by 180° and its
// channel axes swapped, which runs faster than ConvTranspose; the runtime folds the rotation at load.
func vjpConv(w *walk, n *node, dy []string) ([]string, error) {
	if w.wants(n.in(1)) || w.wants(n.in(2)) {
		return nil, unsupported(n, "its weights depend on the picture")
	}
	weight := w.shape(n.in(1))
	v, err := w.window(n, w.shape(n.in(0)), w.shape(n.out(0)), weight[2:])
	if err != nil {
		return nil, err
	}
	group := n.attrInt("group", 1)
	if group < 1 || weight[0]%group != 0 {
		return nil, unsupported(n, "its groups do not divide its channels")
	}
	x, y := w.shape(n.in(0)), w.shape(n.out(0))
	dx := w.convGradient(n, v, dy[0], x, y, group)
	w.convMean(n, v, dx, dy[0], x, y)
	return unary(dx)
}

func (w *walk) convGradient(n *node, v window, dy string, x, y []int64, group int64) string {
	weight := w.shape(n.in(1))
	if group > 1 && group == x[1] {
		if dx, ok := w.depthwise(v, dy, n.in(1), x, y, group); ok {
			return dx
		}
	}
	if dx, ok := w.pointwise(v, dy, n.in(1), x, y, group); ok {
		return w.blocked(dx, x)
	}
	if p, ok := w.phased(v, x, y, group); ok {
		p.dy = dy
		p.weight, p.dims = w.swapped(n.in(1), weight, group)
		if dx := w.joined(p); dx != "" {
			return w.blocked(dx, x)
		}
	}
	if dx, ok := w.winograd(v, dy, n.in(1), x, y, group); ok {
		return w.blocked(dx, x)
	}
	if back, ok := v.mirrored(); ok {
		kernel := w.rotated(n.in(1), weight, group)
		return w.op("Conv", []string{dy, kernel}, intsAttr("kernel_shape", v.kernel...),
			intsAttr("dilations", v.dilations...), intsAttr("pads", back...), intAttr("group", group))
	}
	pads, outputPadding := v.transposed()
	dx := w.op("ConvTranspose", []string{dy, n.in(1)}, intsAttr("kernel_shape", v.kernel...),
		intsAttr("strides", v.strides...), intsAttr("dilations", v.dilations...), intsAttr("pads", pads...),
		intsAttr("output_padding", outputPadding...), intAttr("group", group))
	return w.blocked(dx, x)
}

// mirrored gives the pads of the convolution that is the gradient; false where it is none.
func (v window) mirrored() (pads []int64, ok bool) {
	ends := make([]int64, len(v.kernel))
	for i := range v.kernel {
		first, last := v.reach(i)-1-v.begin[i], v.reach(i)-1-v.end[i]
		if v.strides[i] != 1 || first < 0 || last < 0 {
			return nil, false
		}
		pads, ends[i] = append(pads, first), last
	}
	return append(pads, ends...), true
}

// swapped turns weights [M, C/group, ...] into [C, M/group, ...].
func (w *walk) swapped(weight string, dims []int64, group int64) (string, []int64) {
	spatial := len(dims) - 2
	m, c := dims[0]/group, dims[1]
	joined := append([]int64{group * c, m}, dims[2:]...)
	if group == 1 {
		weight = w.op("Transpose", []string{weight}, intsAttr("perm", exchanged(0, spatial)...))
	} else if m != 1 || c != 1 {
		grouped := append([]int64{group, m, c}, dims[2:]...)
		weight = w.op("Reshape", []string{weight, w.ints(grouped...)})
		weight = w.op("Transpose", []string{weight}, intsAttr("perm", exchanged(1, spatial)...))
		weight = w.op("Reshape", []string{weight, w.ints(joined...)})
	}
	return weight, joined
}

// rotated swaps the channel axes of weights and reverses every kernel.
func (w *walk) rotated(weight string, dims []int64, group int64) string {
	weight, dims = w.swapped(weight, dims, group)
	var axes, starts, ends, steps []int64
	for i := range dims[2:] {
		if dims[i+2] > 1 {
			axes, starts = append(axes, int64(i+2)), append(starts, -1)
			ends, steps = append(ends, math.MinInt64), append(steps, -1)
		}
	}
	if len(axes) == 0 {
		return weight
	}
	return w.op("Slice", []string{weight, w.ints(starts...), w.ints(ends...), w.ints(axes...), w.ints(steps...)})
}

// exchanged is the permutation that exchanges axes at and at+1 of at+2+spatial axes.
func exchanged(at, spatial int) []int64 {
	perm := make([]int64, at+2+spatial)
	for i := range perm {
		perm[i] = int64(i)
	}
	perm[at], perm[at+1] = perm[at+1], perm[at]
	return perm
}

// vjpConvTranspose: its gradient is the convolution it is the gradient of.
func vjpConvTranspose(w *walk, n *node, dy []string) ([]string, error) {
	if w.wants(n.in(1)) || w.wants(n.in(2)) {
		return nil, unsupported(n, "its weights depend on the picture")
	}
	if n.attrString("auto_pad", "NOTSET") != "NOTSET" || attribute(n.NodeProto, "output_shape") != nil {
		return nil, unsupported(n, "only explicit pads can be differentiated")
	}
	conv := w.op("Conv", []string{dy[0], n.in(1)})
	last := w.nodes[len(w.nodes)-1]
	for _, name := range []string{"kernel_shape", "strides", "dilations", "pads", "group"} {
		if a := attribute(n.NodeProto, name); a != nil {
			last.Attribute = append(last.Attribute, a)
		}
	}
	return unary(conv)
}
