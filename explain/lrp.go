package explain

import "slices"

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
	for _, typ := range []string{"LayerNormalization", "InstanceNormalization"} {
		v.rules[typ] = relevanceNorm
	}
	v.rules["LRN"] = vjpIdentity
	for typ, op := range operators() {
		switch {
		case op.vjp == nil:
		case activations[typ]:
			v.rules[typ] = vjpIdentity // keeps its relevance
		case moves[typ]:
			v.rules[typ] = op.vjp // only moves it
		}
	}
	return v
}

// activations are the operators of one input that act place by place.
var activations = setOf("Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "ThresholdedRelu", "Clip", "Sigmoid", "HardSigmoid",
	"HardSwish", "Tanh", "Softplus", "Softsign", "Mish", "Gelu", "Swish", "Exp", "Log", "Sqrt", "Erf", "Abs", "Reciprocal", "Pow", "Sin", "Cos")

// moves are the operators that take values from one place to another, the greatest of a window included.
var moves = setOf("MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin", "Max", "Min", "Where", "Identity", "Dropout", "Cast", "Flatten", "Reshape", "Squeeze",
	"Unsqueeze", "Transpose", "Concat", "Split", "Slice", "Pad", "Expand", "Tile", "Gather", "GatherElements", "GatherND", "DepthToSpace",
	"SpaceToDepth", "Neg")

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
	s := slices.Clone(dy)
	for i := range dy {
		if dy[i] != "" {
			s[i] = w.div(dy[i], w.stable(n.out(i)))
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
			dx[i] = w.times(w.mul(dx[i], n.in(i)), share)
		default:
			dx[i] = w.mul(dx[i], n.in(i))
		}
	}
	return dx, nil
}

// constantWeights says which input of a layer is the picture's; false where both are, or neither.
func (w *walk) constantWeights(n *node) (data int, ok bool) {
	switch {
	case w.wants(n.in(0)) && !w.varying(n.in(1)):
		return 0, true
	case w.wants(n.in(1)) && !w.varying(n.in(0)):
		return 1, true
	}
	return 0, false
}

// altered is the node with another picture, other weights and another bias ("" for none), and its output's name.
func (w *walk) altered(n *node, data int, x, weights, bias string) *node {
	inputs := []string{x, weights}
	if data == 1 {
		inputs = []string{weights, x}
	}
	if bias != "" {
		inputs = append(inputs, bias)
	}
	out := w.op(n.GetOpType(), inputs, n.Attribute...)
	for i, name := range []string{x, weights} {
		w.g.shapes[name] = w.shape(n.in((data + i) % 2))
	}
	w.g.shapes[out] = w.shape(n.out(0))
	w.alias[x] = n.in(data)
	return &node{NodeProto: w.nodes[len(w.nodes)-1], index: n.index, opset: n.opset}
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

func relevanceGamma(w *walk, n *node, dy []string) ([]string, error) {
	data, ok := w.constantWeights(n)
	if !ok {
		return relevanceEpsilon(w, n, dy)
	}
	if low, high := w.bounds(n.in(data)); low != "" { // the rule is for values that are not negative
		return relevanceBox(w, n, data, low, high, dy)
	}
	favoured := func(t string) string {
		if t == "" {
			return ""
		}
		return w.plus(t, w.times(w.op("Relu", []string{t}), lrpFavour))
	}
	x := n.in(data)
	m := w.altered(n, data, x, favoured(n.in(1-data)), favoured(n.in(2)))
	dx := make([]string, len(n.Input))
	grad, err := w.back(m, data, w.div(dy[0], w.stable(m.out(0))))
	dx[data] = w.mul(grad, x)
	return dx, err
}

// part is what is positive of a tensor, or negative.
func (w *walk) part(t string, negative bool) string {
	switch {
	case t == "":
		return ""
	case negative:
		return w.neg(w.op("Relu", []string{w.neg(t)}))
	}
	return w.op("Relu", []string{t})
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
	x, weights, bias := n.in(data), n.in(1-data), n.in(2)
	sum := ""
	for _, against := range []bool{false, true} {
		up := w.altered(n, data, w.part(x, false), w.part(weights, against), w.part(bias, against))
		down := w.altered(n, data, w.part(x, true), w.part(weights, !against), "")
		z := w.plus(up.out(0), down.out(0))
		factor, stabiliser := float32(lrpPositive), float32(lrpStabiliser)
		if against {
			factor, stabiliser = -lrpNegative, -lrpStabiliser
		}
		s := w.times(w.div(dy[0], w.plus(z, w.scalar(stabiliser))), factor)
		for _, m := range []*node{up, down} {
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

// relevanceBox is the z-box rule of the layer that reads the picture: pixels lie between low and high.
func relevanceBox(w *walk, n *node, data int, low, high string, dy []string) ([]string, error) {
	weights := n.in(1 - data)
	parts := []*node{
		w.altered(n, data, n.in(data), weights, ""),
		w.altered(n, data, low, w.part(weights, false), ""),
		w.altered(n, data, high, w.part(weights, true), ""),
	}
	z := w.sub(w.sub(parts[0].out(0), parts[1].out(0)), parts[2].out(0))
	s := w.div(dy[0], w.stable(z))
	sum := ""
	for _, m := range parts {
		grad, err := w.back(m, data, s)
		if err != nil {
			return nil, err
		}
		if grad = w.mul(grad, m.in(data)); sum != "" {
			grad = w.sub(sum, grad)
		}
		sum = grad
	}
	dx := make([]string, len(n.Input))
	dx[data] = sum
	return dx, nil
}

// bounds are the least and greatest picture as the tensor shows it: the input itself, or the input moved about.
func (w *walk) bounds(tensor string) (low, high string) {
	if tensor == w.compiled.InputName {
		if w.compiled.LowName == "" {
			w.compiled.LowName, w.compiled.HighName = w.name("low"), w.name("high")
		}
		return w.compiled.LowName, w.compiled.HighName
	}
	n := w.g.producer[tensor]
	if n == nil || !slices.Contains([]string{"Transpose", "Identity", "Cast"}, n.GetOpType()) {
		return "", ""
	}
	if low, high = w.bounds(n.in(0)); low == "" {
		return "", ""
	}
	return w.op(n.GetOpType(), []string{low}, n.Attribute...), w.op(n.GetOpType(), []string{high}, n.Attribute...)
}
