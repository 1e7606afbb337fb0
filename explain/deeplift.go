package explain

import (
	"slices"

	"endogate/explain/onnxpb"
)

// DeepLIFT's rescale rule against a baseline: what is passed down are multipliers, m·Δy = Σ mᵢ·Δxᵢ. Linear operators
// have their gradient; an activation has its difference quotient; of a product, each factor counts half-way.

const leastDifference = 1e-6 // below it the quotient is the gradient

func rescale() variant {
	v := variant{name: "deeplift", rules: map[string]rule{
		"MaxPool": rescaleMaxPool, "Mul": rescaleProduct, "MatMul": rescaleProduct, "Div": rescaleDiv,
	}}
	for typ := range activations {
		if op, ok := operators()[typ]; ok {
			v.rules[typ] = quotient(op.vjp)
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
		w.twins[tensor] = w.compiled.BaselineName
	case n == nil || !w.varying(tensor):
		w.twins[tensor] = tensor
	default:
		w.twinNode(n)
	}
	return w.twins[tensor]
}

// twinNode is a node for the baseline.
func (w *walk) twinNode(n *node) *node {
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
	last := w.nodes[len(w.nodes)-1]
	last.Domain = n.Domain
	return &node{NodeProto: last, index: n.index, opset: n.opset}
}

// quotient replaces the gradient of an activation by its difference quotient where there is one.
func quotient(gradient rule) rule {
	return func(w *walk, n *node, dy []string) ([]string, error) {
		dx, err := gradient(w, n, dy)
		if err != nil {
			return nil, err
		}
		x, y := n.in(0), n.out(0)
		far, run := w.apart(x, w.twin(x))
		dx[0] = w.where(far, w.mul(dy[0], w.div(w.sub(y, w.twin(y)), run)), dx[0])
		return dx, nil
	}
}

// apart says where two tensors differ, and by how much, with ones where they do not.
func (w *walk) apart(a, b string) (far, difference string) {
	difference = w.sub(a, b)
	far = w.op("Greater", []string{w.op("Abs", []string{difference}), w.scalar(leastDifference)})
	return far, w.where(far, difference, w.scalar(1))
}

// rescaleMaxPool: the picture's greatest place accounts for what it has above both, the baseline's for the rest.
func rescaleMaxPool(w *walk, n *node, dy []string) ([]string, error) {
	x, y := n.in(0), n.out(0)
	x0, y0 := w.twin(x), w.twin(y)
	both := w.op("Max", []string{y, y0})
	up, err := vjpMaxPool(w, n, []string{w.mul(dy[0], w.sub(both, y0))})
	if err != nil {
		return nil, err
	}
	pool := w.twinOf(n, x0)
	w.g.shapes[pool.out(0)] = w.shape(y)
	down, err := vjpMaxPool(w, pool, []string{w.mul(dy[0], w.sub(y, both))})
	if err != nil {
		return nil, err
	}
	far, run := w.apart(x, x0)
	return unary(w.where(far, w.div(w.plus(up[0], down[0]), run), w.scalar(0)))
}

// twinOf is a node of one input for another input.
func (w *walk) twinOf(n *node, x string) *node {
	w.add(n.GetOpType(), []string{x}, []string{w.name("explain/twin")}, n.Attribute...)
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
		middle.Input[i] = w.times(w.plus(in, w.twin(in)), 0.5)
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
		inverse := w.times(w.plus(w.op("Reciprocal", []string{b}), w.op("Reciprocal", []string{b0})), 0.5)
		dx[0] = w.sumTo(w.mul(dy[0], inverse), full, w.shape(a))
	}
	middle := w.times(w.plus(a, w.twin(a)), 0.5)
	dx[1] = w.sumTo(w.neg(w.div(w.mul(dy[0], middle), w.mul(b, b0))), full, w.shape(b))
	return dx, nil
}

func cloneNode(n *node) *onnxpb.NodeProto {
	return &onnxpb.NodeProto{OpType: n.OpType, Name: n.Name, Domain: n.Domain, Input: slices.Clone(n.Input), Output: slices.Clone(n.Output), Attribute: n.Attribute}
}
