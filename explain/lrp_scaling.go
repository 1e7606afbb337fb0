package explain

import "slices"

// gates are the operators of a bounded result, by how surely it only scales what it is multiplied with.
var gates = map[string]int{"Softmax": 3, "Sigmoid": 2, "HardSigmoid": 2, "Reciprocal": 2, "Erf": 1, "Tanh": 1, "Clip": 1}

var (
	products  = setOf("Mul", "Div", "MatMul", "Einsum")
	arranging = setOf("Add", "Sub", "Mul", "Div") // with a constant they leave a gate what it is
)

// gate says how surely a tensor only scales what it is multiplied with; 0 where nothing speaks for that.
func (w *walk) gate(tensor string) int { return w.bounded(tensor, false, false) }

// bounded is gate of a tensor that is bounded below and above further on: a ReLU6 may be a Relu and a Min.
func (w *walk) bounded(tensor string, below, above bool) int {
	n := w.g.producer[tensor]
	if n == nil {
		return 0
	}
	n = w.clip(n)
	typ := n.GetOpType()
	switch sure := gates[typ]; {
	case typ == "Clip":
		below, above = below || n.in(1) != "", above || n.in(2) != ""
	case typ == "Relu":
		below = true
	case sure > 0:
		return sure
	case !moves[typ] && !arranging[typ]:
		return 0
	}
	if below && above {
		return gates["Clip"]
	}
	varying := ""
	for _, in := range n.Input {
		switch {
		case !w.varying(in):
		case varying != "":
			return 0
		default:
			varying = in
		}
	}
	return w.bounded(varying, below, above)
}

// gating reports whether an activation's result, bounded and scaled by constants, only scales something else: it belongs to
// a hard swish or a hard sigmoid taken apart.
func (w *walk) gating(n *node) bool {
	out := n.out(0)
	for next := w.reader(out); next != nil; next = w.reader(out) {
		next = w.clip(next)
		typ := next.GetOpType()
		switch {
		case typ == "Mul" && w.varying(next.in(0)) && w.varying(next.in(1)):
			a, b := w.gate(next.in(0)), w.gate(next.in(1))
			return a > b && next.in(0) == out || a < b && next.in(1) == out
		case typ != "Clip" && !arranging[typ] || w.varying(next.in(0)) && w.varying(next.in(1)):
			return false
		}
		out = next.out(0)
	}
	return false
}

// reader is the node that alone reads a tensor.
func (w *walk) reader(tensor string) (only *node) {
	for _, n := range w.g.nodes {
		if !slices.Contains(n.Input, tensor) {
			continue
		}
		if only != nil {
			return nil
		}
		only = n
	}
	return only
}

// factors says which input of a product only scales the other one, -1 where neither does, and what share of the
// relevance an input has.
func (w *walk) factors(n *node) (scale int, share float32) {
	switch typ := n.GetOpType(); {
	case typ == "ReduceSumSquare":
		return -1, 0.5
	case !products[typ] || !w.wants(n.in(0)) || !w.wants(n.in(1)):
		return -1, 1
	case typ == "Div":
		return 1, 1
	}
	switch a, b := w.gate(n.in(0)), w.gate(n.in(1)); {
	case a > b:
		return 0, 1
	case a < b:
		return 1, 1
	}
	return -1, 0.5
}

// relevanceScaling serves products place by place: what is scaled keeps its relevance.
func relevanceScaling(w *walk, n *node, dy []string) ([]string, error) {
	scale, share := w.factors(n)
	if share != 1 {
		return relevanceEpsilon(w, n, dy)
	}
	dx := make([]string, len(n.Input))
	for i, in := range n.Input {
		if i != scale && w.wants(in) {
			dx[i] = w.sumTo(dy[0], w.shape(n.out(0)), w.shape(in))
		}
	}
	return dx, nil
}

// relevanceNorm takes the deviation for constant: what is left is a scale and the loss of the mean.
func relevanceNorm(w *walk, n *node, dy []string) ([]string, error) {
	m, err := w.norm(n)
	if err != nil {
		return nil, err
	}
	s := w.mul(w.mul(m.group(w.div(dy[0], w.stable(n.out(0)))), m.scale), m.inverse)
	return unary(m.ungroup(n, w.mul(m.x, m.centre(s))))
}
