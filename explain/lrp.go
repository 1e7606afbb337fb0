package explain

import (
	"slices"
	"strings"
)

// Layer-wise relevance propagation: what is passed down is relevance. A layer z = Wx + b gives its inputs
// x ⊙ Wᵀ(R/z), which is the operator's own vector-Jacobian product between a division and a multiplication.
// What only scales counts as constant, so that relevance is conserved: gates (Arras et al. 2019), the weights of attention and
// the deviations of norms (Ali et al., XAI for Transformers, 2022).

const (
	lrpStabiliser = 1e-9
	lrpFavour     = 0.25 // γ
	lrpPositive   = 2    // α
	lrpNegative   = 1    // β
)

func lrpEpsilon() variant   { return lrp("lrp-epsilon", relevanceEpsilon) }
func lrpGamma() variant     { return lrp("lrp-gamma", relevanceGamma) }
func lrpAlphaBeta() variant { return lrp("lrp-alphabeta", relevanceAlphaBeta) }

// lrp is relevance propagation with a rule for the layers that have weights.
func lrp(name string, weighted rule) variant {
	v := variant{name: name, rules: map[string]rule{}, other: relevanceEpsilon, start: func(w *walk, logits, seed string) (string, string) {
		return logits, w.mul(seed, logits)
	}}
	for _, typ := range []string{"Conv", "ConvTranspose", "Gemm", "MatMul"} {
		v.rules[typ] = weighted
	}
	for _, typ := range []string{"Mul", "Div"} {
		v.rules[typ] = relevanceScaling
	}
	for _, typ := range norms {
		v.rules[typ] = relevanceNorm
	}
	v.rules["LRN"], v.rules["Add"], v.rules["Sub"] = vjpIdentity, relevanceSum, relevanceSum
	for typ, op := range operators() {
		switch {
		case op.vjp == nil:
		case activations[typ] || typ == "Neg" || strings.HasSuffix(typ, "QuantizeLinear") || typ == "DequantizeLinear":
			v.rules[typ] = vjpIdentity // keeps its relevance
		case moves[typ]:
			v.rules[typ] = op.vjp // only moves it
		}
	}
	return v
}

// activations are the operators of one input that act place by place.
var activations = setOf("Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "ThresholdedRelu", "Clip", "Sigmoid", "HardSigmoid",
	"HardSwish", "Tanh", "Softplus", "Softsign", "Mish", "Gelu", "Swish", "Exp", "Log", "Sqrt", "Erf", "Abs", "Reciprocal", "Pow", "Sin", "Cos",
	"Tan", "Sinh", "Cosh", "Asin", "Acos", "Atan", "Asinh", "Acosh", "Atanh", "Shrink", "Mod")

// norms are the normalisations that have a deviation or a length of their own.
var norms = []string{"LayerNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization", "LpNormalization", "MeanVarianceNormalization"}

// moves are the operators that take values from one place to another, the greatest of a window included.
var moves = setOf("MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin", "Max", "Min", "Where", "Identity", "Dropout", "Cast", "Flatten", "Reshape", "Squeeze",
	"Unsqueeze", "Transpose", "Concat", "Split", "Slice", "Pad", "Expand", "Tile", "Gather", "GatherElements", "GatherND", "DepthToSpace",
	"SpaceToDepth", "Neg", "CastLike", "Trilu")

func setOf(names ...string) map[string]bool {
	set := map[string]bool{}
	for _, n := range names {
		set[n] = true
	}
	return set
}

// stable is a denominator moved away from zero.
func (w *walk) stable(z string) string {
	not := w.op("Less", []string{z, w.scalar(0)})
	return w.plus(z, w.where(not, w.scalar(-lrpStabiliser), w.scalar(lrpStabiliser)))
}

// relevanceEpsilon serves whatever is linear in each of its inputs. Of two factors, the one that only scales the other
// gets nothing; two that do not share.
func relevanceEpsilon(w *walk, n *node, dy []string) ([]string, error) {
	op, ok := n.known()
	if !ok || op.vjp == nil {
		return nil, unsupported(n, "no rule to differentiate it")
	}
	number := func(t string) string { // of bytes that are interpolated too
		if w.g.counts(t) {
			return w.op("Cast", []string{t}, intAttr("to", int64(single)))
		}
		return t
	}
	s := slices.Clone(dy)
	for i := range dy {
		if dy[i] != "" {
			s[i] = w.div(dy[i], w.stable(number(w.result(n, i))))
		}
	}
	dx, err := apply(op.vjp, w, n, s)
	if err != nil {
		return nil, err
	}
	scale, share := w.factors(n)
	for i := range dx {
		switch {
		case dx[i] == "" || !w.wants(n.in(i)):
		case i == scale:
			dx[i] = ""
		case share != 1:
			dx[i] = w.times(w.mul(dx[i], number(n.in(i))), share)
		default:
			dx[i] = w.mul(dx[i], number(n.in(i)))
		}
	}
	return dx, nil
}

// constantWeights says which input of a layer is the picture's; false where both are, or neither, or where signs are turned
// between the weights and the result.
func (w *walk) constantWeights(n *node) (data int, ok bool) {
	switch {
	case n.attrFloat("alpha", 1) < 0, n.attrFloat("beta", 1) < 0: // of Gemm
	case w.wants(n.in(0)) && !w.varying(n.in(1)):
		return 0, true
	case w.wants(n.in(1)) && !w.varying(n.in(0)):
		return 1, true
	}
	return 0, false
}

// bias is what a layer adds: "" for nothing, and with a MatMul the constant of the Add that follows it.
func (w *walk) bias(n *node) string {
	if sum := w.biased(n); sum != nil {
		if sum.in(0) == n.out(0) {
			return sum.in(1)
		}
		return sum.in(0)
	}
	return n.in(2)
}

// result is an output of a layer, its bias included.
func (w *walk) result(n *node, i int) string {
	if sum := w.biased(n); sum != nil {
		return sum.out(0)
	}
	return n.out(i)
}

// biased is the Add of a constant that alone reads a MatMul: both are one layer, as Gemm is.
func (w *walk) biased(n *node) (sum *node) {
	if n.GetOpType() != "MatMul" {
		return nil
	}
	sum = w.reader(n.out(0))
	if sum == nil || sum.GetOpType() != "Add" || w.varying(sum.in(0)) && w.varying(sum.in(1)) ||
		!slices.Equal(w.shape(sum.out(0)), w.shape(n.out(0))) {
		return nil
	}
	return sum
}

// relevanceSum leaves a bias to the layer that it belongs to, and takes nothing off where the picture is normalised.
func relevanceSum(w *walk, n *node, dy []string) ([]string, error) {
	keeps := w.entry(n)
	for i, in := range n.Input {
		if m := w.g.producer[in]; m != nil && w.biased(m) == n {
			keeps = i
		}
	}
	if keeps >= 0 {
		dx := make([]string, len(n.Input))
		dx[keeps] = w.sumTo(dy[0], w.shape(n.out(0)), w.shape(n.in(keeps)))
		return dx, nil
	}
	return relevanceEpsilon(w, n, dy)
}

// altered is the node with another picture, other weights and another bias ("" for none), and its result's name.
func (w *walk) altered(n *node, data int, x, weights, bias string) (m *node, z string) {
	inputs := []string{x, weights}
	if data == 1 {
		inputs = []string{weights, x}
	}
	if bias != "" && n.GetOpType() != "MatMul" {
		inputs = append(inputs, bias)
	}
	out := w.op(n.GetOpType(), inputs, n.Attribute...)
	for i, name := range []string{x, weights} {
		w.g.shapes[name] = w.shape(n.in((data + i) % 2))
	}
	w.g.shapes[out] = w.shape(n.out(0))
	w.alias[x] = n.in(data)
	m = &node{NodeProto: w.nodes[len(w.nodes)-1], index: n.index, opset: n.opset}
	if bias != "" && n.GetOpType() == "MatMul" {
		out = w.plus(out, bias)
	}
	return m, out
}

// back is what a layer with these weights passes down of s: the walk wants it of whatever stands for the picture.
func (w *walk) back(n *node, data int, s string) (string, error) {
	op, _ := n.known()
	dx, err := apply(op.vjp, w, n, []string{s})
	if err != nil {
		return "", err
	}
	return dx[data], nil
}

// relevanceGamma favours what has the sign of the result (Andéol et al. 2021; for what is not negative it is the rule of
// Montavon et al. 2019). What has it is half the sum of all products and of all their magnitudes, so that only |W| is
// wanted besides W.
func relevanceGamma(w *walk, n *node, dy []string) ([]string, error) {
	data, ok := w.constantWeights(n)
	if !ok {
		return relevanceEpsilon(w, n, dy)
	}
	if low, high := w.bounds(n.in(data)); low != "" {
		return relevanceBox(w, n, data, low, high, dy)
	}
	x, z := n.in(data), w.result(n, 0)
	sign := w.where(w.op("Less", []string{z, w.scalar(0)}), w.scalar(-1), w.scalar(1))
	m, magnitude := w.altered(n, data, w.magnitude(x), w.magnitude(n.in(1-data)), w.magnitude(w.bias(n)))
	favoured := w.plus(z, w.times(w.plus(z, w.mul(sign, magnitude)), lrpFavour/2))
	s := w.div(dy[0], w.stable(favoured))
	all, err := w.back(n, data, w.times(s, 1+lrpFavour/2))
	if err != nil {
		return nil, err
	}
	with, err := w.back(m, data, w.times(w.mul(s, sign), lrpFavour/2))
	if err != nil {
		return nil, err
	}
	dx := make([]string, len(n.Input))
	dx[data] = w.plus(w.mul(all, x), w.mul(with, m.in(data)))
	return dx, nil
}

// magnitude is a tensor without its signs; "" of nothing.
func (w *walk) magnitude(t string) string {
	if t == "" {
		return ""
	}
	return w.op("Abs", []string{t})
}

// relevanceAlphaBeta passes on α of what speaks for a value and -β of what speaks against it, each by its own shares.
func relevanceAlphaBeta(w *walk, n *node, dy []string) ([]string, error) {
	data, ok := w.constantWeights(n)
	if !ok {
		return relevanceEpsilon(w, n, dy)
	}
	if low, high := w.bounds(n.in(data)); low != "" {
		return relevanceBox(w, n, data, low, high, dy)
	}
	x, weights, sum := n.in(data), n.in(1-data), ""
	for _, against := range []bool{false, true} {
		m, z := w.altered(n, data, w.part(x, false), w.part(weights, against), w.part(w.bias(n), against))
		layers := []*node{m}
		if !w.rectified(x) {
			negative, part := w.altered(n, data, w.part(x, true), w.part(weights, !against), "")
			layers, z = append(layers, negative), w.plus(z, part)
		}
		factor, stabiliser := float32(lrpPositive), float32(lrpStabiliser)
		if against {
			factor, stabiliser = -lrpNegative, -lrpStabiliser
		}
		s := w.times(w.div(dy[0], w.plus(z, w.scalar(stabiliser))), factor)
		for _, m := range layers {
			grad, err := w.back(m, data, s)
			if err != nil {
				return nil, err
			}
			if grad = w.mul(grad, m.in(data)); sum != "" {
				grad = w.plus(sum, grad)
			}
			sum = grad
		}
	}
	dx := make([]string, len(n.Input))
	dx[data] = sum
	return dx, nil
}

// part is what is positive of a tensor, or negative; "" of nothing.
func (w *walk) part(t string, negative bool) string {
	switch {
	case t == "":
		return ""
	case negative:
		return w.neg(w.op("Relu", []string{w.neg(t)}))
	}
	return w.op("Relu", []string{t})
}
