package explain

import "math"

// ONNX Runtime keeps tensors N×C×H×W in a blocked layout from convolution to convolution and through what it
// knows to be pointwise (Add, Mul, Relu of equal shapes). Everything else costs two passes over the tensor. The
// helpers here say things by operators that stay in that layout.

// blockedChannels divides the channels of a tensor that can be blocked, on any processor.
const blockedChannels = 16

// blockable reports whether a tensor of this shape can have the blocked layout.
func blockable(dims []int64) bool {
	return len(dims) == 4 && dims[1]%blockedChannels == 0 && size(dims[2:]) > 1
}

// scaled multiplies every element of a blockable tensor by a number, as a convolution of each channel with
// itself.
func (w *walk) scaled(x string, channels int64, by float32) string {
	weights := make([]float32, channels)
	for i := range weights {
		weights[i] = by
	}
	return w.op("Conv", []string{x, w.floats([]int64{channels, 1, 1, 1}, weights...)},
		intsAttr("kernel_shape", 1, 1), intAttr("group", channels))
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
	return w.scaled(dy, dims[1], 1)
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

// positive is one where y, which is not negative, is positive, and zero elsewhere. Steepness is such that only
// y below 3e-39, where float32 loses its precision, comes between the two.
func (w *walk) positive(y string) string {
	const steep = math.MaxFloat32
	if step := w.steps[y]; step != "" { // of another walk
		return step
	}
	dims := w.shape(y)
	step := ""
	if !w.g.single || !blockable(dims) {
		step = w.op("HardSigmoid", []string{y}, floatAttr("alpha", steep), floatAttr("beta", 0))
	} else {
		step = w.op("Clip", []string{w.scaled(y, dims[1], steep), w.scalar(0), w.scalar(1)})
	}
	w.steps[y] = step
	return step
}
