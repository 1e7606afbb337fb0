package explain

import (
	"math"
	"slices"
)

// heard is the set of tensors on the way to the logits of which more than what lies nowhere in the picture counts there: patches
// beyond the last attention, where a class token alone is read, are not in it.
func (g *graph) heard(logits string) map[string]bool {
	up, placed := g.leadingTo(logits), g.placesOf()
	all := map[string]bool{logits: true}
	for i := len(g.nodes) - 1; i >= 0; i-- {
		n := g.nodes[i]
		for k, in := range n.differentiable() {
			for at, out := range n.Output {
				if !up[out] || in == "" || all[in] {
					continue
				}
				switch {
				case placed[in].none():
					all[in] = true
				case g.carries(n, k, at):
					all[in] = all[out]
				default:
					all[in] = !g.leavesOut(n, at)
				}
			}
		}
	}
	return all
}

// carries reports whether the places of an output are those of an input.
func (g *graph) carries(n *node, input, output int) bool {
	placed := g.placesOf()
	if placed[n.out(output)].none() {
		return false
	}
	typ := n.GetOpType()
	if (typ == "MatMul" || typ == "Einsum") && input > 0 { // the second operand counts where the first has none
		return placed[n.in(0)].none()
	}
	return true
}

// leavesOut reports whether an output without places is one that took only what lies nowhere.
func (g *graph) leavesOut(n *node, output int) bool {
	switch n.GetOpType() {
	case "Slice", "Gather", "Split":
	default:
		return false
	}
	for _, c := range g.placesOf()[n.in(0)] {
		if c != nil && g.takesSome(n, output, c) {
			return false
		}
	}
	return true
}

// takesSome reports whether what a Slice, Gather or Split takes has an element that lies somewhere.
func (g *graph) takesSome(n *node, output int, c *position) (some bool) {
	defer func() {
		if recover() != nil { // the model contradicts itself
			some = true
		}
	}()
	taken := [][]int64{}
	dims := g.shape(n.in(0))
	switch n.GetOpType() {
	case "Slice":
		var ok bool
		if taken, ok = g.cut(n); !ok {
			return true
		}
	case "Gather":
		index, ok := g.integers(n.in(1))
		if !ok {
			return true
		}
		taken = make([][]int64, len(dims))
		at := bound(n.attrInt("axis", 0), len(dims))
		for _, i := range index {
			if i < 0 {
				i += dims[at]
			}
			taken[at] = append(taken[at], i)
		}
	case "Split":
		taken = make([][]int64, len(dims))
		at, from := bound(n.attrInt("axis", 0), len(dims)), int64(0)
		for _, t := range n.Output[:output] {
			from += g.shape(t)[at]
		}
		taken[at] = span(from, from+g.shape(n.out(output))[at])
	}
	for at, from := range taken {
		if from != nil {
			c = c.pick(at, from)
		}
	}
	return slices.ContainsFunc(c.v, func(f float64) bool { return !math.IsNaN(f) })
}
