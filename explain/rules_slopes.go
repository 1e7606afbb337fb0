package explain

// slopes are the derivatives of what acts place by place and needs no attribute, at x where the operator gives y.
var slopes = map[string]func(w *walk, x, y string) string{
	"Sin":  func(w *walk, x, _ string) string { return w.op("Cos", []string{x}) },
	"Cos":  func(w *walk, x, _ string) string { return w.neg(w.op("Sin", []string{x})) },
	"Tan":  func(w *walk, _, y string) string { return w.plus(w.mul(y, y), w.scalar(1)) },
	"Sinh": func(w *walk, x, _ string) string { return w.op("Cosh", []string{x}) },
	"Cosh": func(w *walk, x, _ string) string { return w.op("Sinh", []string{x}) },
	"Asin": func(w *walk, x, _ string) string { return w.inverseRoot(w.sub(w.scalar(1), w.mul(x, x))) },
	"Acos": func(w *walk, x, _ string) string { return w.neg(w.inverseRoot(w.sub(w.scalar(1), w.mul(x, x)))) },
	"Atan": func(w *walk, x, _ string) string {
		return w.op("Reciprocal", []string{w.plus(w.mul(x, x), w.scalar(1))})
	},
	"Asinh": func(w *walk, x, _ string) string { return w.inverseRoot(w.plus(w.mul(x, x), w.scalar(1))) },
	"Acosh": func(w *walk, x, _ string) string { return w.inverseRoot(w.sub(w.mul(x, x), w.scalar(1))) },
	"Atanh": func(w *walk, x, _ string) string {
		return w.op("Reciprocal", []string{w.sub(w.scalar(1), w.mul(x, x))})
	},
}

func (w *walk) inverseRoot(v string) string {
	return w.op("Reciprocal", []string{w.op("Sqrt", []string{v})})
}

// bySlope is the rule of an operator of a known derivative.
func bySlope(slope func(w *walk, x, y string) string) rule {
	return func(w *walk, n *node, dy []string) ([]string, error) {
		return unary(w.mul(dy[0], slope(w, n.in(0), n.out(0))))
	}
}

// vjpShrink: what is small is zero.
func vjpShrink(w *walk, n *node, dy []string) ([]string, error) {
	far := w.op("Greater", []string{w.op("Abs", []string{n.in(0)}), w.scalar(n.attrFloat("lambd", 0.5))})
	return unary(w.where(far, dy[0], w.scalar(0)))
}

// vjpSwish: y = x·s with s = sigmoid(alpha·x).
func vjpSwish(w *walk, n *node, dy []string) ([]string, error) {
	alpha := n.attrFloat("alpha", 1)
	s := w.op("Sigmoid", []string{w.times(n.in(0), alpha)})
	return unary(w.mul(dy[0], w.plus(s, w.times(w.mul(n.out(0), w.sub(w.scalar(1), s)), alpha))))
}
