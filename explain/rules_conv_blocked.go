package explain

import (
	"fmt"
	"math"
	"slices"

	"endogate/explain/onnxpb"
)

// ONNX Runtime keeps tensors N×C×H×W in a blocked layout from convolution to convolution and through what it
// knows to be pointwise (Add, Mul, Relu of equal shapes). Everything else costs two passes over the tensor. The
// helpers here say things by operators that stay in that layout.

// blockedChannels divides the channels of a tensor that can be blocked, on any processor.
const blockedChannels = 16

// blockable reports whether a tensor of this shape can have the blocked layout.
func blockable(dims []int64) bool {
	return len(dims) == 4 && dims[1]%blockedChannels == 0 && size(dims[2:]) > 1
}

// part is a tensor N×C×H×W, or every step-th of its rows and columns from at on.
type part struct {
	tensor string
	dims   []int64 // of the tensor
	step   int64
	at     [2]int64
}

// whole is all of a tensor.
func whole(tensor string, dims []int64) part { return part{tensor: tensor, dims: dims, step: 1} }

func (p part) String() string { return fmt.Sprint(p.tensor, " ", p.step, p.at) }

// scaled multiplies every element of what is part of a blockable tensor by a number and adds another, as a convolution of
// each channel with itself; what the last step reaches beyond the tensor counts as zero.
func (w *walk) scaled(x part, by, plus float32) string {
	channels, taps := x.dims[1], make([]float32, (x.at[0]+1)*(x.at[1]+1))
	taps[len(taps)-1] = by
	inputs := []string{x.tensor, w.floats([]int64{channels, 1, x.at[0] + 1, x.at[1] + 1}, slices.Repeat(taps, int(channels))...)}
	if plus != 0 {
		inputs = append(inputs, w.floats([]int64{channels}, slices.Repeat([]float32{plus}, int(channels))...))
	}
	attrs := []*onnxpb.AttributeProto{intsAttr("kernel_shape", x.at[0]+1, x.at[1]+1), intAttr("group", channels)}
	if x.step > 1 {
		var over [2]int64
		for i, at := range x.at {
			extent := x.dims[i+2]
			over[i] = max(ceilDiv(extent, x.step)*x.step-x.step+at+1-extent, 0)
		}
		attrs = append(attrs, intsAttr("strides", x.step, x.step), intsAttr("pads", 0, 0, over[0], over[1]))
	}
	return w.op("Conv", inputs, attrs...)
}

// blocked is dy as a tensor in the blocked layout where it may not be in it, so that sums and products further
// down stay there.
func (w *walk) blocked(dy string, dims []int64) string {
	if !w.g.single || !blockable(dims) {
		return dy
	}
	switch w.madeBy(dy) {
	case "Conv", "Mul", "Add", "Clip", "Relu", "":
		return dy
	}
	return w.scaled(whole(dy, dims), 1, 0)
}

// madeBy is the operator that makes a tensor of the gradient, "" where none does.
func (w *walk) madeBy(tensor string) string {
	for i := len(w.nodes) - 1; i >= 0; i-- {
		if n := w.nodes[i]; n.Output[0] == tensor {
			return n.GetOpType()
		}
	}
	return ""
}

// positive is one where y is positive and zero elsewhere.
func (w *walk) positive(y string) string { return w.beyond(whole(y, w.shape(y)), 0, 1) }

// beyond is one where y > at, for side 1, or y < at, for side -1, and zero elsewhere: the distance, made so large that
// only numbers of which float32 has lost sight come between. A factor of a power of two keeps it exact.
func (w *walk) beyond(y part, at, side float32) string {
	factor := side * 0x1p100
	if at == 0 {
		factor = side * math.MaxFloat32
	}
	key := fmt.Sprint(y, " ", at, " ", side)
	if step := w.steps[key]; step != "" { // of another walk
		return step
	}
	step := ""
	if !w.g.single || !blockable(y.dims) {
		step = w.op("HardSigmoid", []string{y.tensor}, floatAttr("alpha", factor), floatAttr("beta", -at*factor))
	} else {
		step = w.op("Clip", []string{w.scaled(y, factor, -at*factor), w.scalar(0), w.scalar(1)})
	}
	w.steps[key] = step
	return step
}

// unsaturated is one where a Clip from zero, such as ReLU6, lets its input through, and zero at both its bounds; false where
// it is none of a blockable tensor. A rectifier is the one activation that the runtime's blocked convolution does for nothing,
// so both ends are found by rectifiers, as one sum: a quarter less than a step and a product for each.
func (w *walk) unsaturated(n *node, y part) (string, bool) {
	low, lowKnown := w.g.float(n.in(1))
	high, highKnown := w.g.float(n.in(2))
	if !w.g.single || !blockable(y.dims) || !lowKnown || !highKnown || low != 0 || !(high > 0x1p-60 && high < 0x1p60) {
		return "", false
	}
	key := fmt.Sprint(y, " unsaturated ", high)
	if within := w.steps[key]; within != "" { // of another walk
		return within, true
	}
	// The last number below high times factor is a whole one less than high times factor, of 24 bits: all of this is exact.
	factor := 1 / (high - math.Nextafter32(high, 0))
	bottom := w.op("Relu", []string{w.scaled(y, -math.MaxFloat32, high*factor)}) // high*factor at zero, zero above
	ends := w.op("Relu", []string{w.op("Add", []string{w.scaled(y, factor, 1-high*factor), bottom})})
	within := w.scaled(whole(ends, y.dims), -1, 1)
	w.steps[key] = within
	return within, true
}
