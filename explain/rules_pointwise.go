package explain

import (
	"math"
	"slices"

	"endogate/explain/onnxpb"
)

// unary is the result of a rule for an operator of one differentiable input.
func unary(dx string) ([]string, error) { return []string{dx}, nil }

func vjpIdentity(_ *walk, _ *node, dy []string) ([]string, error) { return unary(dy[0]) }

// integerRanges are the bounds of integers that numbers are rounded to.
var integerRanges = map[onnxpb.TensorProto_DataType][2]float32{
	onnxpb.TensorProto_UINT8: {0, 255}, onnxpb.TensorProto_INT8: {-128, 127},
	onnxpb.TensorProto_UINT16: {0, 65535}, onnxpb.TensorProto_INT16: {-32768, 32767},
	21: {0, 15}, 22: {-8, 7}, // UINT4, INT4 of opset 21
}

// vjpQuantizeLinear: what is rounded passes straight through, what is cut off does not: that is how rectifiers are left that tools of
// quantisation took out. As torch.fake_quantize_per_tensor_affine and its kin for each channel, counted in steps.
func vjpQuantizeLinear(w *walk, n *node, dy []string) ([]string, error) {
	x, scale := n.in(0), w.beside(n, n.in(1))
	dx := w.div(dy[0], scale)
	between, ok := integerRanges[w.g.roundedTo(n)]
	if !ok {
		return unary(dx)
	}
	low, high := w.scalar(between[0]-0.5), w.scalar(between[1]+0.5)
	if zero := n.in(2); zero != "" {
		at := w.op("DequantizeLinear", []string{zero, w.scalar(1)})
		w.g.shapes[at] = w.shape(zero)
		at = w.beside(n, at)
		low, high = w.sub(low, at), w.sub(high, at)
	}
	within := w.op("And", []string{w.op("GreaterOrEqual", []string{x, w.mul(low, scale)}), w.op("LessOrEqual", []string{x, w.mul(high, scale)})})
	return unary(w.where(within, dx, w.scalar(0)))
}

// vjpDequantizeLinear: a step is as large as the scale says.
func vjpDequantizeLinear(w *walk, n *node, dy []string) ([]string, error) {
	return unary(w.mul(dy[0], w.beside(n, n.in(1))))
}

func vjpDynamicQuantizeLinear(w *walk, n *node, dy []string) ([]string, error) {
	return unary(w.div(dy[0], n.out(1)))
}

// roundedTo is the type of the integers that a QuantizeLinear makes.
func (g *graph) roundedTo(n *node) onnxpb.TensorProto_DataType {
	if zero := n.in(2); zero != "" {
		return onnxpb.TensorProto_DataType(g.weights[zero].GetDataType()) // none of a zero point that is computed
	}
	return onnxpb.TensorProto_DataType(n.attrInt("output_dtype", int64(onnxpb.TensorProto_UINT8)))
}

// beside lays a scale or zero point, of which there are one, one for each place of an axis or one for each block of it, beside
// what is rounded by it.
func (w *walk) beside(n *node, scale string) string {
	dims, x := slices.Clone(w.shape(scale)), w.shape(n.in(0))
	at := bound(n.attrInt("axis", 1), len(x))
	block := n.attrInt("block_size", 0)
	switch {
	case size(dims) == 1 && block == 0:
		return scale
	case block == 0:
		to := slices.Repeat([]int64{1}, len(x))
		to[at] = dims[0]
		return w.op("Reshape", []string{scale, w.ints(to...)})
	}
	each := w.op("Expand", []string{w.op("Unsqueeze", []string{scale, w.ints(int64(at) + 1)}), w.ints(slices.Insert(slices.Repeat([]int64{1}, len(dims)), at+1, block)...)})
	dims[at] *= block
	return w.builder.part(w.op("Reshape", []string{each, w.ints(dims...)}), int64(at), 0, x[at], 1)
}

// vjpCast: of whole numbers, such as a picture of bytes, the gradient is that of their values.
func vjpCast(w *walk, n *node, dy []string) ([]string, error) {
	if w.g.counts(n.in(0)) {
		return unary(dy[0])
	}
	return unary(w.op("CastLike", []string{dy[0], n.in(0)}))
}

// The rules of activations read the output where they can: a runtime that fuses the activation
// with the convolution before it then need not keep the input.

func vjpRelu(w *walk, n *node, dy []string) ([]string, error) {
	if gated := w.gated[dy[0]]; gated != "" {
		return unary(gated)
	}
	return unary(w.letThrough(dy[0], n.out(0), func(y part) []string { return []string{w.beyond(y, 0, 1)} }))
}

func vjpLeakyRelu(w *walk, n *node, dy []string) ([]string, error) {
	alpha := n.attrFloat("alpha", 0.01)
	positive := w.op("Greater", []string{n.in(0), w.scalar(0)})
	return unary(w.where(positive, dy[0], w.times(dy[0], alpha)))
}

func vjpPRelu(w *walk, n *node, dy []string) ([]string, error) {
	positive := w.op("Greater", []string{n.in(0), w.scalar(0)})
	return unary(w.where(positive, dy[0], w.mul(dy[0], n.in(1))))
}

// vjpElu: the derivative below zero is alpha·exp(x) = y + alpha.
func vjpElu(w *walk, n *node, dy []string) ([]string, error) {
	alpha := n.attrFloat("alpha", 1)
	positive := w.op("Greater", []string{n.in(0), w.scalar(0)})
	return unary(w.where(positive, dy[0], w.mul(dy[0], w.plus(n.out(0), w.scalar(alpha)))))
}

func vjpClip(w *walk, n *node, dy []string) ([]string, error) {
	dx := w.letThrough(dy[0], n.out(0), func(y part) []string {
		if within, ok := w.unsaturated(n, y); ok {
			return []string{within}
		}
		var gates []string
		for i, side := range []float32{1, -1} {
			if at, known := w.g.float(n.in(i + 1)); known {
				gates = append(gates, w.beyond(y, at, side))
			}
		}
		return gates
	})
	for i, past := range []string{"Greater", "Less"} {
		bound := n.in(i + 1)
		if _, known := w.g.float(bound); bound != "" && !known {
			dx = w.where(w.op(past, []string{n.out(0), bound}), dx, w.scalar(0))
		}
	}
	return unary(dx)
}

func vjpSigmoid(w *walk, n *node, dy []string) ([]string, error) {
	y := n.out(0)
	return unary(w.mul(dy[0], w.mul(y, w.sub(w.scalar(1), y))))
}

func vjpTanh(w *walk, n *node, dy []string) ([]string, error) {
	y := n.out(0)
	return unary(w.mul(dy[0], w.sub(w.scalar(1), w.mul(y, y))))
}

func vjpHardSigmoid(w *walk, n *node, dy []string) ([]string, error) {
	alpha, y := n.attrFloat("alpha", 0.2), n.out(0)
	return unary(w.times(w.within(y, 0, 1, dy[0]), alpha))
}

// vjpHardSwish: y = x·max(0, min(1, x/6 + 1/2)).
func vjpHardSwish(w *walk, n *node, dy []string) ([]string, error) {
	x := n.in(0)
	gate := w.op("HardSigmoid", []string{x}, floatAttr("alpha", 1./6), floatAttr("beta", 0.5))
	slope := w.within(gate, 0, 1, w.times(x, 1./6))
	return unary(w.mul(dy[0], w.plus(gate, slope)))
}

// within is v where low < x < high and zero elsewhere.
func (w *walk) within(x string, low, high float32, v string) string {
	in := w.op("And", []string{
		w.op("Greater", []string{x, w.scalar(low)}), w.op("Less", []string{x, w.scalar(high)}),
	})
	return w.where(in, v, w.scalar(0))
}

func vjpSoftplus(w *walk, n *node, dy []string) ([]string, error) {
	return unary(w.mul(dy[0], w.op("Sigmoid", []string{n.in(0)})))
}

func vjpExp(w *walk, n *node, dy []string) ([]string, error) { return unary(w.mul(dy[0], n.out(0))) }

func vjpLog(w *walk, n *node, dy []string) ([]string, error) { return unary(w.div(dy[0], n.in(0))) }

func vjpSqrt(w *walk, n *node, dy []string) ([]string, error) {
	return unary(w.div(w.times(dy[0], 0.5), n.out(0)))
}

func vjpReciprocal(w *walk, n *node, dy []string) ([]string, error) {
	return unary(w.neg(w.mul(dy[0], w.mul(n.out(0), n.out(0)))))
}

func vjpErf(w *walk, n *node, dy []string) ([]string, error) {
	bell := w.op("Exp", []string{w.neg(w.mul(n.in(0), n.in(0)))})
	return unary(w.mul(dy[0], w.times(bell, float32(2/math.Sqrt(math.Pi)))))
}

func vjpAbs(w *walk, n *node, dy []string) ([]string, error) {
	return unary(w.mul(dy[0], w.op("Sign", []string{n.in(0)})))
}

func vjpNeg(w *walk, _ *node, dy []string) ([]string, error) { return unary(w.neg(dy[0])) }

// vjpPow: the exponent is taken as given.
func vjpPow(w *walk, n *node, dy []string) ([]string, error) {
	x, e := n.in(0), n.in(1)
	slope := w.mul(e, w.op("Pow", []string{x, w.sub(e, w.scalar(1))}))
	return unary(w.sumTo(w.mul(dy[0], slope), w.shape(n.out(0)), w.shape(x)))
}

func vjpAdd(w *walk, n *node, dy []string) ([]string, error) { return vjpSum(w, n, dy) }

func vjpSum(w *walk, n *node, dy []string) ([]string, error) {
	dx := make([]string, len(n.Input))
	for i, x := range n.Input {
		if w.wants(x) {
			dx[i] = w.sumTo(dy[0], w.shape(n.out(0)), w.shape(x))
		}
	}
	return dx, nil
}

func vjpSub(w *walk, n *node, dy []string) ([]string, error) {
	dx, err := vjpSum(w, n, dy)
	if dx[1] != "" {
		dx[1] = w.neg(dx[1])
	}
	return dx, err
}

// vjpMod: what is left over a whole multiple grows as the number does.
func vjpMod(w *walk, n *node, dy []string) ([]string, error) {
	return unary(w.sumTo(dy[0], w.shape(n.out(0)), w.shape(n.in(0))))
}

func vjpMul(w *walk, n *node, dy []string) ([]string, error) {
	dx := make([]string, 2)
	for i, x := range n.Input {
		if w.wants(x) {
			dx[i] = w.sumTo(w.mul(dy[0], n.Input[1-i]), w.shape(n.out(0)), w.shape(x))
		}
	}
	return dx, nil
}

func vjpDiv(w *walk, n *node, dy []string) ([]string, error) {
	dx := make([]string, 2)
	full, a, b := w.shape(n.out(0)), n.in(0), n.in(1)
	if w.wants(a) {
		dx[0] = w.sumTo(w.div(dy[0], b), full, w.shape(a))
	}
	if w.wants(b) {
		dx[1] = w.sumTo(w.neg(w.div(w.mul(dy[0], n.out(0)), b)), full, w.shape(b))
	}
	return dx, nil
}

func vjpSoftmax(w *walk, n *node, dy []string) ([]string, error) {
	y := n.out(0)
	total := w.reduceSum(w.mul(dy[0], y), true, n.attrInt("axis", -1))
	return unary(w.mul(w.sub(dy[0], total), y))
}

func vjpLogSoftmax(w *walk, n *node, dy []string) ([]string, error) {
	total := w.reduceSum(dy[0], true, n.attrInt("axis", -1))
	return unary(w.sub(dy[0], w.mul(w.op("Exp", []string{n.out(0)}), total)))
}
