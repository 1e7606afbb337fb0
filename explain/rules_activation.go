package explain

import "math"

// vjpGelu: x·Φ(x), or its approximation by tanh.
func vjpGelu(w *walk, n *node, dy []string) ([]string, error) {
	x := n.in(0)
	if n.attrString("approximate", "none") == "tanh" {
		c := float32(math.Sqrt(2 / math.Pi))
		square := w.mul(x, x)
		t := w.op("Tanh", []string{w.times(w.mul(x, w.plus(w.times(square, 0.044715), w.scalar(1))), c)})
		inner := w.times(w.plus(w.times(square, 3*0.044715), w.scalar(1)), c)
		slope := w.mul(w.mul(x, w.sub(w.scalar(1), w.mul(t, t))), inner)
		return unary(w.mul(dy[0], w.times(w.plus(w.plus(t, w.scalar(1)), slope), 0.5)))
	}
	phi := w.times(w.plus(w.op("Erf", []string{w.times(x, float32(1/math.Sqrt2))}), w.scalar(1)), 0.5)
	bell := w.times(w.op("Exp", []string{w.times(w.mul(x, x), -0.5)}), float32(1/math.Sqrt(2*math.Pi)))
	return unary(w.mul(dy[0], w.plus(phi, w.mul(x, bell))))
}

// vjpMish: x·tanh(softplus(x)).
func vjpMish(w *walk, n *node, dy []string) ([]string, error) {
	x := n.in(0)
	t := w.op("Tanh", []string{w.op("Softplus", []string{x})})
	slope := w.mul(w.mul(x, w.op("Sigmoid", []string{x})), w.sub(w.scalar(1), w.mul(t, t)))
	return unary(w.mul(dy[0], w.plus(t, slope)))
}

func vjpSelu(w *walk, n *node, dy []string) ([]string, error) {
	alpha, gamma := n.attrFloat("alpha", 1.67326319217681884765625), n.attrFloat("gamma", 1.05070102214813232421875)
	positive := w.op("Greater", []string{n.in(0), w.scalar(0)})
	return unary(w.where(positive, w.times(dy[0], gamma), w.mul(dy[0], w.plus(n.out(0), w.scalar(alpha*gamma)))))
}

// vjpCelu: below zero it is alpha·(exp(x/alpha)-1).
func vjpCelu(w *walk, n *node, dy []string) ([]string, error) {
	alpha := n.attrFloat("alpha", 1)
	positive := w.op("Greater", []string{n.in(0), w.scalar(0)})
	return unary(w.where(positive, dy[0], w.mul(dy[0], w.plus(w.times(n.out(0), 1/alpha), w.scalar(1)))))
}

func vjpThresholdedRelu(w *walk, n *node, dy []string) ([]string, error) {
	return unary(w.where(w.op("Greater", []string{n.in(0), w.scalar(n.attrFloat("alpha", 1))}), dy[0], w.scalar(0)))
}

func vjpSoftsign(w *walk, n *node, dy []string) ([]string, error) {
	below := w.plus(w.op("Abs", []string{n.in(0)}), w.scalar(1))
	return unary(w.div(dy[0], w.mul(below, below)))
}
