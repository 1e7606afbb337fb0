package explain

import (
	"math"
	"slices"
)

// norm is y = scale·inverse·(x - mean(x)) + bias with inverse = 1/√(variance + epsilon), over some axes.
type norm struct {
	w         *walk
	x         string
	scale     string // broadcast to x
	axes      []int64
	count     int64 // elements over which is averaged
	epsilon   float32
	uncentred bool    // the mean stays
	grouped   []int64 // the shape in which channels are taken by groups; nil where they are not
	centred   string
	variance  string
	inverse   string
}

func (m *norm) mean(v string) string {
	return m.w.times(m.w.reduceSum(v, true, m.axes...), 1/float32(m.count))
}

// leastVariance is epsilon where an operator has none.
const leastVariance = 1e-12

// norm reads a normalisation and computes its parts.
func (w *walk) norm(n *node) (*norm, error) {
	m := &norm{w: w, scale: n.in(1), epsilon: n.attrFloat("epsilon", 1e-5)}
	x, from := w.shape(n.in(0)), 2
	switch n.GetOpType() {
	case "LayerNormalization", "RMSNormalization":
		at, err := axis(n, n.attrInt("axis", -1), len(x))
		if err != nil {
			return nil, err
		}
		from, m.uncentred = at, n.GetOpType() == "RMSNormalization"
	case "LpNormalization", "MeanVarianceNormalization":
		return m.unscaled(n, x)
	case "GroupNormalization":
		groups, scales := n.attrInt("num_groups", 1), size(w.shape(n.in(1)))
		if groups < 1 || x[1]%groups != 0 || scales%groups != 0 {
			return nil, unsupported(n, "its groups do not divide its channels")
		}
		m.grouped = []int64{x[0], groups, x[1] / groups, size(x[2:])}
		m.scale = w.op("Reshape", []string{n.in(1), w.ints(groups, scales/groups, 1)}) // per group before opset 21
		x = m.grouped
	default:
		perChannel := slices.Repeat([]int64{1}, len(x)-1)
		perChannel[0] = -1
		m.scale = w.op("Reshape", []string{n.in(1), w.ints(perChannel...)})
	}
	m.count = size(x[from:])
	for i := from; i < len(x); i++ {
		m.axes = append(m.axes, int64(i))
	}
	m.of(n.in(0))
	return m, nil
}

// unscaled reads the normalisations that have no weights.
func (m *norm) unscaled(n *node, x []int64) (*norm, error) {
	m.axes, m.epsilon, m.count = []int64{0, 2, 3}, leastVariance, 1
	if a := attribute(n.NodeProto, "axes"); a != nil {
		m.axes = a.Ints
	}
	if m.uncentred = n.GetOpType() == "LpNormalization"; m.uncentred {
		m.axes = []int64{n.attrInt("axis", -1)}
		if n.attrInt("p", 2) != 2 {
			return nil, unsupported(n, "only division by the root of the sum of squares can be differentiated")
		}
	}
	for _, a := range m.axes {
		at, err := axis(n, a, len(x))
		if err != nil {
			return nil, err
		}
		if batch, ok := m.w.g.batch()[n.in(0)]; ok && batch == at && m.w.g.seeds() != 1 {
			return nil, unsupported(n, "it normalises over the batch")
		}
		m.count *= x[at]
	}
	m.scale = m.w.scalar(1)
	if m.uncentred {
		m.scale = m.w.scalar(float32(1 / math.Sqrt(float64(m.count))))
	}
	m.of(n.in(0))
	return m, nil
}

// centre takes the mean off, where the normalisation does.
func (m *norm) centre(v string) string {
	if m.uncentred {
		return v
	}
	return m.w.sub(v, m.mean(v))
}

// of computes the parts for a tensor.
func (m *norm) of(x string) {
	w := m.w
	m.x = m.group(x)
	m.centred = m.centre(m.x)
	m.variance = m.mean(w.mul(m.centred, m.centred))
	m.inverse = w.op("Reciprocal", []string{w.op("Sqrt", []string{w.plus(m.variance, w.scalar(m.epsilon))})})
}

// group gives a tensor the shape that the parts have.
func (m *norm) group(v string) string {
	if m.grouped == nil {
		return v
	}
	return m.w.reshape(v, m.grouped...)
}

// ungroup gives a gradient the shape of the node's input.
func (m *norm) ungroup(n *node, v string) string {
	if m.grouped == nil {
		return v
	}
	return m.w.reshapeLike(v, n.in(0))
}

func vjpNorm(w *walk, n *node, dy []string) ([]string, error) {
	m, err := w.norm(n)
	if err != nil {
		return nil, err
	}
	g, unit := w.mul(m.group(dy[0]), m.scale), w.mul(m.centred, m.inverse)
	return unary(m.ungroup(n, w.mul(m.inverse, w.sub(m.centre(g), w.mul(unit, m.mean(w.mul(g, unit)))))))
}

// responses is what a LRN divides by: y = x·s^-beta with s = bias + alpha/size·Σx² over neighbouring channels.
type responses struct {
	w                 *walk
	x                 []int64
	span, before      int64
	alpha, beta, bias float32
}

func (w *walk) responses(n *node) *responses {
	span := n.attrInt("size", 1)
	return &responses{
		w: w, x: w.shape(n.in(0)), span: span, before: (span - 1) / 2,
		alpha: n.attrFloat("alpha", 0.0001), beta: n.attrFloat("beta", 0.75), bias: n.attrFloat("bias", 1),
	}
}

func (m *responses) sum(x string) string {
	w := m.w
	return w.plus(w.times(m.across(w.mul(x, x), m.before), m.alpha), w.scalar(m.bias))
}

func (m *responses) factor(s string) string { return m.w.op("Pow", []string{s, m.w.scalar(-m.beta)}) }

// seen is across the other way round: for each channel, over those that have it among their neighbours.
func (m *responses) seen(v string) string { return m.across(v, m.span-1-m.before) }

// across is the mean over span channels, zeros beyond the first and last.
func (m *responses) across(v string, before int64) string {
	w := m.w
	flat := w.reshape(v, -1, 1, m.x[1], size(m.x[2:]))
	mean := w.op("AveragePool", []string{flat}, intsAttr("kernel_shape", m.span, 1),
		intsAttr("pads", before, 0, m.span-1-before, 0), intAttr("count_include_pad", 1))
	return w.reshape(mean, m.x...)
}

func vjpLRN(w *walk, n *node, dy []string) ([]string, error) {
	m, x := w.responses(n), n.in(0)
	s := m.sum(x)
	scaled := w.mul(dy[0], m.factor(s))
	seen := m.seen(w.div(w.mul(scaled, x), s))
	return unary(w.sub(scaled, w.mul(w.times(x, 2*m.alpha*m.beta), seen)))
}
