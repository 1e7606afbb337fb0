package explain

import (
	"slices"
	"strings"
)

// batch says which axis of each tensor is the batch's: exporters merge frames with heads or put tokens first, and
// a gradient must be given a shape that holds for any batch. A tensor that is not in the map has none.
func (g *graph) batch() map[string]int {
	if g.batched != nil {
		return g.batched
	}
	at := map[string]int{}
	g.batched = at
	for _, in := range g.inputs {
		at[in.GetName()] = 0
	}
	for _, n := range g.nodes {
		axis, ok := g.batchAxis(n, at)
		for _, out := range n.Output {
			if rank := len(g.shape(out)); ok && axis >= 0 && axis < rank {
				at[out] = axis
			}
		}
	}
	return at
}

// batchAxis follows the batch through a node.
func (g *graph) batchAxis(n *node, at map[string]int) (axis int, ok bool) {
	from := ""
	for _, in := range n.follows() {
		if _, known := at[in]; known && (from == "" || len(g.shape(in)) > len(g.shape(from))) {
			from = in
		}
	}
	if from == "" {
		return 0, false
	}
	axis, x, y := at[from], g.shape(from), g.shape(n.out(0))
	switch n.GetOpType() {
	case "Transpose":
		return transposedAxis(n, axis, len(x)), true
	case "Unsqueeze":
		axes, _ := g.ints(n.in(1))
		for _, a := range slices.Sorted(slices.Values(axes)) {
			if a < 0 {
				a += int64(len(y))
			}
			if int(a) <= axis {
				axis++
			}
		}
		return axis, true
	case "Squeeze":
		axes, _ := g.ints(n.in(1))
		from := axis
		for _, a := range axes {
			if (int(a)+len(x))%len(x) < from {
				axis--
			}
		}
		return axis, true
	case "Reshape", "Flatten":
		to, ok := g.ints(n.in(1))
		at := renamedAxis(n, axis, x, y)
		if open := slices.Index(to, -1); ok && open >= 0 && at >= 0 && at < len(to) && to[at] > 1 { // the batch went into the size that is left open
			at = open
		}
		return at, true
	case "Gather":
		if k := int(n.attrInt("axis", 0)); len(y) < len(x) && (k+len(x))%len(x) < axis {
			axis--
		}
		return axis, true
	case "Einsum":
		if terms, result, why := g.labels(n); why == "" {
			return strings.IndexByte(result, terms[slices.Index(n.Input, from)][axis]), true
		}
		return axis, true
	case "MatMul", "Add", "Sub", "Mul", "Div", "Sum", "Where", "Min", "Max", "Pow": // aligned at the last axis
		return axis + max(len(y)-len(x), 0), true
	}
	if whereItIs[n.GetOpType()] {
		return axis + max(len(y)-len(x), 0), true
	}
	if len(y) < len(x) { // a reduction that drops axes, which come after the batch
		return min(axis, max(len(y)-1, 0)), true
	}
	return axis, true
}

func transposedAxis(n *node, axis, rank int) int {
	a := attribute(n.NodeProto, "perm")
	if a == nil {
		return rank - 1 - axis
	}
	for to, p := range a.Ints {
		if int(p) == axis {
			return to
		}
	}
	return -1
}

// renamedAxis finds the axis of the new shape that has as many elements before it as the batch had.
func renamedAxis(n *node, axis int, x, y []int64) int {
	if axis >= len(x) {
		return -1
	}
	before, passed := size(x[:axis]), int64(1)
	for i, d := range y {
		if passed == before && (d > 1 || i == len(y)-1 || i >= axis || n.GetOpType() == "Flatten") {
			return i
		}
		passed *= d
	}
	return -1
}
