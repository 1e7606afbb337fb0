package explain

import (
	"slices"
	"strings"

	"endogate/explain/onnxpb"
)

// DeepLIFT's rescale rule against a baseline: what is passed down are multipliers, m·Δy = Σ mᵢ·Δxᵢ. Linear operators
// have their gradient; an activation has its difference quotient; of a product, each factor counts half-way.

const (
	// below these the quotient is the gradient: of what is straight but for kinks, and of what is smooth, where rounding
	// outweighs the curvature sooner
	leastStraight = 1e-6
	leastSmooth   = 1e-4
	leastSum      = 1e-15 // what a sum of exponentials is at least
)

var straight = setOf("Relu", "LeakyRelu", "PRelu", "ThresholdedRelu", "Clip", "HardSigmoid", "Abs", "Shrink")

func rescale() variant {
	v := variant{name: "deeplift", rules: map[string]rule{
		"MaxPool": rescaleExtreme, "GlobalMaxPool": rescaleExtreme, "ReduceMax": rescaleExtreme, "ReduceMin": rescaleExtreme,
		"Max": rescaleChoice, "Min": rescaleChoice,
		"Mul": rescaleProduct, "MatMul": rescaleProduct, "Einsum": rescaleProduct, "Div": rescaleDiv,
		"Softmax": rescaleSoftmax, "LogSoftmax": rescaleLogSoftmax, "LRN": rescaleLRN,
		"ReduceL1": rescaleL1, "ReduceL2": rescaleL2, "ReduceSumSquare": rescaleSumSquare, "ReduceLogSumExp": rescaleLogSumExp,
	}}
	for _, typ := range norms {
		v.rules[typ] = rescaleNorm
	}
	for typ := range activations {
		if op, ok := operators()[typ]; ok {
			least := float32(leastSmooth)
			if straight[typ] {
				least = leastStraight
			}
			v.rules[typ] = quotient(op.vjp, least)
		}
	}
	return v
}

// timesDifference makes contributions of multipliers.
func timesDifference(c *compiler, _ *target, grads []string) string {
	return c.mul(grads[0], c.sub(c.compiled.InputName, c.baseline()))
}

// baseline is the further input that holds what the picture is compared with.
func (c *compiler) baseline() string {
	if c.compiled.BaselineName == "" {
		c.compiled.BaselineName = c.name("baseline")
	}
	return c.compiled.BaselineName
}

// twin is what a tensor is for the baseline: the nodes on the way to it once more.
func (w *walk) twin(tensor string) string {
	if name, ok := w.twins[tensor]; ok {
		return name
	}
	n := w.g.producer[tensor]
	switch {
	case tensor == w.compiled.InputName:
		if w.compiled.BaselineName == "" {
			w.compiled.BaselineName = w.name("baseline")
		}
		w.twins[tensor] = w.forEach(w.compiled.BaselineName)
	case n == nil || !w.varying(tensor):
		w.twins[tensor] = tensor
	default:
		w.twinNode(n)
	}
	return w.twins[tensor]
}

// forEach repeats what is given of one frame for each frame of the picture.
func (w *walk) forEach(input string) string {
	if w.g.single {
		return input
	}
	all := w.op("Expand", []string{input, w.op("Shape", []string{w.compiled.InputName})})
	w.g.shapes[all] = w.shape(w.compiled.InputName)
	return all
}

// twinNode is a node for the baseline.
func (w *walk) twinNode(n *node) {
	inputs := make([]string, len(n.Input))
	for i, in := range n.Input {
		if in != "" {
			inputs[i] = w.twin(in)
		}
	}
	outputs := make([]string, len(n.Output))
	for i, out := range n.Output {
		if out == "" {
			continue
		}
		outputs[i] = w.name("explain/twin")
		w.twins[out] = outputs[i]
		w.g.shapes[outputs[i]] = w.shape(out)
	}
	w.add(n.GetOpType(), inputs, outputs, n.Attribute...)
	w.nodes[len(w.nodes)-1].Domain = n.Domain
}

// quotient replaces the gradient of an activation by its difference quotient where there is one.
func quotient(gradient rule, least float32) rule {
	return func(w *walk, n *node, dy []string) ([]string, error) {
		dx, err := gradient(w, n, dy)
		if err != nil {
			return nil, err
		}
		x, y := n.in(0), n.out(0)
		far, run := w.apart(x, w.twin(x), least)
		dx[0] = w.where(far, w.mul(dy[0], w.div(w.sub(y, w.twin(y)), run)), dx[0])
		return dx, nil
	}
}

// middle is half-way between two tensors.
func (w *walk) middle(a, b string) string {
	return w.mul(w.plus(a, b), w.op("CastLike", []string{w.scalar(0.5), a}))
}

// apart says where two tensors differ, and by how much, with ones where they do not.
func (w *walk) apart(a, b string, least float32) (far, difference string) {
	difference = w.sub(a, b)
	far = w.op("Greater", []string{w.op("Abs", []string{difference}), w.scalar(least)})
	return far, w.where(far, difference, w.scalar(1))
}

// rescaleExtreme: the picture's greatest place accounts for what it has above both, the baseline's for the rest; the same
// below for the least.
func rescaleExtreme(w *walk, n *node, dy []string) ([]string, error) {
	op, _ := n.known()
	x, y := n.in(0), n.out(0)
	x0, y0 := w.twin(x), w.twin(y)
	both := w.op(extreme(n), []string{y, y0})
	up, err := op.vjp(w, n, []string{w.mul(dy[0], w.sub(both, y0))})
	if err != nil {
		return nil, err
	}
	twin := w.twinOf(n, x0)
	w.g.shapes[twin.out(0)] = w.shape(y)
	down, err := op.vjp(w, twin, []string{w.mul(dy[0], w.sub(y, both))})
	if err != nil {
		return nil, err
	}
	far, run := w.apart(x, x0, leastStraight)
	return unary(w.where(far, w.div(w.plus(up[0], down[0]), run), w.scalar(0)))
}

// extreme is the operator that chooses the greater or the lesser as the node does.
func extreme(n *node) string {
	if strings.Contains(n.GetOpType(), "Min") {
		return "Min"
	}
	return "Max"
}

// rescaleChoice: max(a, b) is b + relu(a-b), min(a, b) is a - relu(a-b); of more inputs, one after the other.
func rescaleChoice(w *walk, n *node, dy []string) ([]string, error) {
	last := len(n.Input) - 1
	so, so0 := make([]string, last+1), make([]string, last+1) // chosen of the inputs up to this one
	so[0], so0[0] = n.in(0), w.twin(n.in(0))
	for i := 1; i <= last; i++ {
		so[i] = w.op(extreme(n), []string{so[i-1], n.in(i)})
		so0[i] = w.op(extreme(n), []string{so0[i-1], w.twin(n.in(i))})
	}
	dx, g := make([]string, last+1), dy[0]
	for i := last; i >= 0; i-- {
		share := ""
		if i > 0 {
			share = w.shareOf(extreme(n), so[i-1], n.in(i), so0[i-1], w.twin(n.in(i)))
			dx[i] = w.mul(g, w.sub(w.scalar(1), share))
			g = w.mul(g, share)
		} else {
			dx[i] = g
		}
		if w.wants(n.in(i)) {
			dx[i] = w.sumTo(dx[i], w.shape(n.out(0)), w.shape(n.in(i)))
		}
	}
	return dx, nil
}

// shareOf is what the first of two tensors has in the choice between them, from 0 to 1.
func (w *walk) shareOf(choice, a, b, a0, b0 string) string {
	if choice == "Min" {
		a, b, a0, b0 = b, a, b0, a0
	}
	d, d0 := w.sub(a, b), w.sub(a0, b0)
	far, run := w.apart(d, d0, leastStraight)
	positive := w.op("CastLike", []string{w.op("Greater", []string{d, w.scalar(0)}), d})
	return w.where(far, w.div(w.sub(w.op("Relu", []string{d}), w.op("Relu", []string{d0})), run), positive)
}

// twinOf is a node with another first input.
func (w *walk) twinOf(n *node, x string) *node {
	w.add(n.GetOpType(), append([]string{x}, n.Input[1:]...), []string{w.name("explain/twin")}, n.Attribute...)
	w.g.shapes[x] = w.shape(n.in(0))
	return &node{NodeProto: w.nodes[len(w.nodes)-1], index: n.index, opset: n.opset}
}

// rescaleProduct serves the products of two factors that both depend on the picture.
func rescaleProduct(w *walk, n *node, dy []string) ([]string, error) {
	op, _ := n.known()
	if !w.wants(n.in(0)) || !w.wants(n.in(1)) {
		return op.vjp(w, n, dy)
	}
	middle := &node{NodeProto: cloneNode(n), index: n.index, opset: n.opset}
	for i, in := range n.Input {
		middle.Input[i] = w.middle(in, w.twin(in))
		w.g.shapes[middle.Input[i]] = w.shape(in)
		w.alias[middle.Input[i]] = in
	}
	return op.vjp(w, middle, dy)
}

// rescaleDiv: a/b is a·(1/b), and Δ(1/b) = -Δb/(b·b₀).
func rescaleDiv(w *walk, n *node, dy []string) ([]string, error) {
	op, _ := n.known()
	a, b := n.in(0), n.in(1)
	if !w.wants(b) {
		return op.vjp(w, n, dy)
	}
	dx := make([]string, 2)
	full, b0 := w.shape(n.out(0)), w.twin(b)
	if w.wants(a) {
		inverse := w.middle(w.op("Reciprocal", []string{b}), w.op("Reciprocal", []string{b0}))
		dx[0] = w.sumTo(w.mul(dy[0], inverse), full, w.shape(a))
	}
	middle := w.middle(a, w.twin(a))
	dx[1] = w.sumTo(w.neg(w.div(w.mul(dy[0], middle), w.mul(b, b0))), full, w.shape(b))
	return dx, nil
}

// logSumExp is the logarithm of the sum of eˣ over axes, of a tensor and of its baseline, and what each element's change has in its
// change: of eˣ and of the sum alike, the difference quotient, which for both is the logarithmic mean of the two values. So the
// shares are positive and at most 1 together, however far apart the two are.
func (w *walk) logSumExp(x string, axes ...int64) (sum, sum0, share string) {
	of := func(x string) string {
		greatest := w.reduceMax(x, axes...)
		return w.plus(greatest, w.op("Log", []string{w.reduceSum(w.op("Exp", []string{w.sub(x, greatest)}), true, axes...)}))
	}
	x0 := w.twin(x)
	sum, sum0 = of(x), of(x0)
	most := w.op("Max", []string{sum, sum0})
	return sum, sum0, w.div(w.meanExp(w.sub(x, most), w.sub(x0, most)), w.meanExp(w.sub(sum, most), w.sub(sum0, most)))
}

// meanExp is the difference quotient of eˣ between two tensors.
func (w *walk) meanExp(x, x0 string) string {
	far, run := w.apart(x, x0, leastSmooth)
	e, e0 := w.op("Exp", []string{x}), w.op("Exp", []string{x0})
	return w.where(far, w.div(w.sub(e, e0), run), e)
}

// rescaleSoftmax: eᶻ with z = x less the logarithm of the sum.
func rescaleSoftmax(w *walk, n *node, dy []string) ([]string, error) {
	axis, x := n.attrInt("axis", -1), n.in(0)
	sum, sum0, share := w.logSumExp(x, axis)
	return unary(w.lessSum(w.mul(dy[0], w.meanExp(w.sub(x, sum), w.sub(w.twin(x), sum0))), share, axis))
}

// rescaleLogSoftmax: x less the logarithm of the sum.
func rescaleLogSoftmax(w *walk, n *node, dy []string) ([]string, error) {
	axis := n.attrInt("axis", -1)
	_, _, share := w.logSumExp(n.in(0), axis)
	return unary(w.lessSum(dy[0], share, axis))
}

// lessSum takes from each place its share of what all pass down.
func (w *walk) lessSum(g, share string, axis int64) string {
	return w.sub(g, w.mul(share, w.reduceSum(g, true, axis)))
}

func rescaleLogSumExp(w *walk, n *node, dy []string) ([]string, error) {
	full, _, axes, err := w.reduction(n, dy[0])
	if err != nil {
		return nil, err
	}
	_, _, share := w.logSumExp(n.in(0), axes...)
	return unary(w.mul(full, share))
}

// rescaleNorm: the norm is centred·inverse; the inverse deviation has its difference quotient over the variance, and that
// is a sum of squares.
func rescaleNorm(w *walk, n *node, dy []string) ([]string, error) {
	m, err := w.norm(n)
	if err != nil {
		return nil, err
	}
	m0 := *m
	m0.of(w.twin(n.in(0)))
	g := w.mul(m.group(dy[0]), m.scale)
	centred := w.middle(m.centred, m0.centred)
	ofInverse := w.times(m.mean(w.mul(g, centred)), float32(m.count))
	// (r-r₀)/(v-v₀) with r = (v+ε)^-½ is -r²r₀²/(r+r₀)
	both := w.mul(m.inverse, m0.inverse)
	ofVariance := w.neg(w.mul(ofInverse, w.div(w.mul(both, both), w.plus(m.inverse, m0.inverse))))
	ofCentred := w.plus(
		w.mul(g, w.middle(m.inverse, m0.inverse)),
		w.mul(ofVariance, w.times(centred, 2/float32(m.count))))
	return unary(m.ungroup(n, m.centre(ofCentred)))
}

// rescaleLRN: the product of x and s^-beta, s a mean of squares.
func rescaleLRN(w *walk, n *node, dy []string) ([]string, error) {
	m := w.responses(n)
	x, x0 := n.in(0), w.twin(n.in(0))
	s, s0 := m.sum(x), m.sum(x0)
	r, r0 := m.factor(s), m.factor(s0)
	far, run := w.apart(s, s0, leastSmooth)
	slope := w.where(far, w.div(w.sub(r, r0), run), w.times(w.div(r, s), -m.beta))
	middle := w.middle(x, x0)
	seen := m.seen(w.mul(w.mul(dy[0], middle), slope))
	return unary(w.plus(w.mul(dy[0], w.middle(r, r0)), w.times(w.mul(middle, seen), 2*m.alpha)))
}

// rescaleL1: of Σ|x|, the difference quotient of |x|.
func rescaleL1(w *walk, n *node, dy []string) ([]string, error) {
	full, _, _, err := w.reduction(n, dy[0])
	if err != nil {
		return nil, err
	}
	x, x0 := n.in(0), w.twin(n.in(0))
	far, run := w.apart(x, x0, leastStraight)
	risen := w.sub(w.op("Abs", []string{x}), w.op("Abs", []string{x0}))
	return unary(w.mul(full, w.where(far, w.div(risen, run), w.op("Sign", []string{x}))))
}

// rescaleL2: of √Σx², (x+x₀)/(y+y₀).
func rescaleL2(w *walk, n *node, dy []string) ([]string, error) {
	full, _, _, err := w.reduction(n, dy[0])
	if err != nil {
		return nil, err
	}
	lengths, _, _, err := w.reduction(n, w.plus(n.out(0), w.twin(n.out(0))))
	if err != nil {
		return nil, err
	}
	lengths = w.op("Max", []string{lengths, w.scalar(leastSum)})
	return unary(w.mul(w.div(full, lengths), w.plus(n.in(0), w.twin(n.in(0)))))
}

// rescaleSumSquare: of Σx², x+x₀.
func rescaleSumSquare(w *walk, n *node, dy []string) ([]string, error) {
	full, _, _, err := w.reduction(n, dy[0])
	if err != nil {
		return nil, err
	}
	return unary(w.mul(full, w.plus(n.in(0), w.twin(n.in(0)))))
}

func cloneNode(n *node) *onnxpb.NodeProto {
	return &onnxpb.NodeProto{OpType: n.OpType, Name: n.Name, Domain: n.Domain, Input: slices.Clone(n.Input), Output: slices.Clone(n.Output), Attribute: n.Attribute}
}
