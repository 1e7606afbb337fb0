package explain

// gates are the operators of a bounded result, by how surely it only scales what it is multiplied with.
var gates = map[string]int{"Softmax": 3, "Sigmoid": 2, "HardSigmoid": 2, "Reciprocal": 2, "Erf": 1, "Tanh": 1, "Clip": 1}

var (
	products  = setOf("Mul", "Div", "MatMul", "Einsum")
	arranging = setOf("Add", "Sub", "Mul", "Div") // with a constant they leave a gate what it is
)

// gate says how surely a tensor only scales what it is multiplied with; 0 where nothing speaks for that.
func (w *walk) gate(tensor string) int {
	n := w.g.producer[tensor]
	if n == nil {
		return 0
	}
	if sure := gates[n.GetOpType()]; sure > 0 {
		return sure
	}
	if typ := n.GetOpType(); !moves[typ] && !arranging[typ] {
		return 0
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
	return w.gate(varying)
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
	s := w.mul(w.mul(w.div(dy[0], w.stable(n.out(0))), m.scale), m.inverse)
	return unary(w.mul(m.x, w.sub(s, m.mean(s))))
}
