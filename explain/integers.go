package explain

import "math"

// unknownSize stands for a number that depends on the batch.
const unknownSize = math.MinInt64

// integers works out a small tensor of int64 that follows from constants and shapes alone, as exporters write the bounds of a
// slice; false where it depends on the batch or on values.
func (g *graph) integers(name string) ([]int64, bool) {
	v, ok := g.integerChain(name, 0)
	for _, n := range v {
		ok = ok && n != unknownSize
	}
	return v, ok
}

const longestChain = 64 // operators deep

func (g *graph) integerChain(name string, depth int) ([]int64, bool) {
	if v, ok := g.ints(name); ok {
		return v, true
	}
	n := g.producer[name]
	if n == nil || !n.standard() || depth > longestChain {
		return nil, false
	}
	if n.GetOpType() == "Shape" {
		return g.shapeNumbers(n)
	}
	var in [][]int64
	for _, t := range n.Input {
		v, ok := g.integerChain(t, depth+1)
		if !ok {
			return nil, false
		}
		in = append(in, v)
	}
	switch n.GetOpType() {
	case "Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape":
		return in[0], true
	case "Concat":
		var all []int64
		for _, v := range in {
			all = append(all, v...)
		}
		return all, true
	case "Gather":
		return picked(in[0], in[1])
	case "Add", "Sub", "Mul", "Div":
		return arithmetic(n.GetOpType(), in[0], in[1])
	}
	return nil, false
}

// shapeNumbers is the shape of a tensor, open where it is the batch.
func (g *graph) shapeNumbers(n *node) ([]int64, bool) {
	dims := g.shape(n.in(0))
	if dims == nil || attribute(n.NodeProto, "start") != nil || attribute(n.NodeProto, "end") != nil {
		return nil, false
	}
	v := append([]int64{}, dims...)
	if at, ok := g.batch()[n.in(0)]; ok {
		v[at] = unknownSize
	}
	return v, true
}

func picked(from, at []int64) ([]int64, bool) {
	out := make([]int64, len(at))
	for i, a := range at {
		if a < 0 {
			a += int64(len(from))
		}
		if a < 0 || a >= int64(len(from)) {
			return nil, false
		}
		out[i] = from[a]
	}
	return out, true
}

func arithmetic(typ string, a, b []int64) ([]int64, bool) {
	if len(a) != len(b) && len(a) != 1 && len(b) != 1 {
		return nil, false
	}
	out := make([]int64, max(len(a), len(b)))
	for i := range out {
		x, y := a[min(i, len(a)-1)], b[min(i, len(b)-1)]
		switch {
		case x == unknownSize || y == unknownSize:
			out[i] = unknownSize
		case typ == "Add":
			out[i] = x + y
		case typ == "Sub":
			out[i] = x - y
		case typ == "Mul":
			out[i] = x * y
		case y == 0:
			return nil, false
		default:
			out[i] = x / y
		}
	}
	return out, true
}
