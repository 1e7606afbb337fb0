package explain

import (
	"slices"
	"strings"

	"endogate/explain/onnxpb"
)

// vjpGather adds each gradient to where it was read, as a product with a matrix of ones.
func vjpGather(w *walk, n *node, dy []string) ([]string, error) {
	x, indices := w.shape(n.in(0)), w.shape(n.in(1))
	at, err := axis(n, n.attrInt("axis", 0), len(x))
	if err != nil {
		return nil, err
	}
	flat := w.op("Reshape", []string{n.in(1), w.ints(-1)})
	depth, before, among, after := w.intScalar(x[at]), size(x[:at]), size(indices), size(x[at+1:])
	switch batch, ok := w.g.batch()[n.in(0)]; {
	case ok && batch > at:
		after = -1
	case ok && batch == at: // frames are picked from one row of all of them
		among, w.framed = -1, true
		depth = w.op("Gather", []string{w.op("Shape", []string{n.in(0)}), w.intScalar(int64(at))})
	default:
		before = -1
	}
	read := w.op("OneHot", []string{flat, depth, w.floats([]int64{2}, 0, 1)}, intAttr("axis", 0)) // x[at]×indices
	rows := w.op("Reshape", []string{dy[0], w.ints(before, among, after)})
	return unary(w.reshapeLike(w.op("MatMul", []string{read, rows}), n.in(0)))
}

// vjpGatherElements adds each gradient to where it was read.
func vjpGatherElements(w *walk, n *node, dy []string) ([]string, error) {
	x := w.shape(n.in(0))
	at, err := axis(n, n.attrInt("axis", 0), len(x))
	if err != nil {
		return nil, err
	}
	if batch, ok := w.g.batch()[n.in(0)]; !ok || batch != 0 || at == 0 {
		return nil, unsupported(n, "it picks among frames")
	}
	indices := w.op("Expand", []string{n.in(1), w.op("Shape", dy[:1])}) // for each seed
	return unary(w.op("ScatterElements", []string{w.zeros(dy[0], x[1:]...), indices, dy[0]},
		intAttr("axis", int64(at)), stringAttr("reduction", "add")))
}

// vjpGatherND adds each gradient to where it was read. The indices count frames too; those that do not are written out.
func vjpGatherND(w *walk, n *node, dy []string) ([]string, error) {
	if n.attrInt("batch_dims", 0) != 0 {
		return nil, unsupported(n, "its indices are of no known shape")
	}
	w.framed = true
	zeros := w.op("ConstantOfShape", []string{w.op("Shape", n.Input[:1])})
	return unary(w.op("ScatterND", []string{zeros, n.in(1), dy[0]}, stringAttr("reduction", "add")))
}

// vjpScatter: what was written over has no gradient, and what was written has that of its place. The indices count frames too.
func vjpScatter(w *walk, n *node, dy []string) ([]string, error) {
	gather, indices, updates := "GatherND", n.in(1), n.in(2)
	var attrs []*onnxpb.AttributeProto
	if n.GetOpType() == "ScatterElements" {
		gather, attrs = "GatherElements", append(attrs, intAttr("axis", n.attrInt("axis", 0)))
	}
	w.framed = true
	dx := []string{dy[0], "", ""}
	switch reduction := n.attrString("reduction", "none"); reduction {
	case "none":
		zeros := w.op("ConstantOfShape", []string{w.op("Shape", []string{updates})})
		dx[0] = w.op(n.GetOpType(), []string{dy[0], indices, zeros}, attrs...)
	case "add":
	default:
		return nil, unsupported(n, "reduction "+reduction+" has no rule")
	}
	if w.wants(updates) {
		dx[2] = w.op(gather, []string{dy[0], indices}, attrs...)
	}
	return dx, nil
}

// vjpWhere: the condition has no gradient.
func vjpWhere(w *walk, n *node, dy []string) ([]string, error) {
	dx, full, zero := make([]string, 3), w.shape(n.out(0)), w.scalar(0)
	if w.wants(n.in(1)) {
		dx[1] = w.sumTo(w.where(n.in(0), dy[0], zero), full, w.shape(n.in(1)))
	}
	if w.wants(n.in(2)) {
		dx[2] = w.sumTo(w.where(n.in(0), zero, dy[0]), full, w.shape(n.in(2)))
	}
	return dx, nil
}

// vjpExtreme: equal ones share the gradient.
func vjpExtreme(w *walk, n *node, dy []string) ([]string, error) {
	hits, all := make([]string, len(n.Input)), ""
	for i, x := range n.Input {
		hits[i] = w.op("CastLike", []string{w.op("Equal", []string{x, n.out(0)}), dy[0]})
		if all == "" {
			all = hits[i]
		} else {
			all = w.plus(all, hits[i])
		}
	}
	share := w.div(dy[0], all)
	dx := make([]string, len(n.Input))
	for i, x := range n.Input {
		if w.wants(x) {
			dx[i] = w.sumTo(w.mul(hits[i], share), w.shape(n.out(0)), w.shape(x))
		}
	}
	return dx, nil
}

// vjpEinsum: each operand's gradient is the product of the other with dy, under the labels changed about.
func vjpEinsum(w *walk, n *node, dy []string) ([]string, error) {
	equation := strings.ReplaceAll(n.attrString("equation", ""), " ", "")
	left, out, ok := strings.Cut(equation, "->")
	labels := strings.Split(left, ",")
	if !ok || len(labels) != 2 || len(n.Input) != 2 || strings.Contains(equation, ".") {
		return nil, unsupported(n, "only products of two tensors with an explicit result can be differentiated, not "+equation)
	}
	dx := make([]string, 2)
	for i, x := range n.Input {
		if !w.wants(x) {
			continue
		}
		own, other := labels[i], labels[1-i]
		for k, label := range own {
			if strings.ContainsRune(own[:k], label) || !strings.ContainsRune(out+other, label) {
				return nil, unsupported(n, "a label that is repeated or summed in one operand cannot be differentiated: "+equation)
			}
		}
		dx[i] = w.op("Einsum", []string{dy[0], n.Input[1-i]}, stringAttr("equation", out+","+other+"->"+own))
	}
	return dx, nil
}

// vjpDepthToSpace and vjpSpaceToDepth move blocks of places to channels and back.
func vjpDepthToSpace(w *walk, n *node, dy []string) ([]string, error) {
	x, b := w.shape(n.in(0)), n.attrInt("blocksize", 1)
	if b < 1 || len(x) != 4 {
		return nil, unsupported(n, "needs N×C×H×W and a block size")
	}
	blocks := w.op("Reshape", []string{dy[0], w.ints(-1, x[1]/(b*b), x[2], b, x[3], b)})
	perm := []int64{0, 3, 5, 1, 2, 4}
	if n.attrString("mode", "DCR") == "CRD" {
		perm = []int64{0, 1, 3, 5, 2, 4}
	}
	return unary(w.reshapeLike(w.op("Transpose", []string{blocks}, intsAttr("perm", perm...)), n.in(0)))
}

func vjpSpaceToDepth(w *walk, n *node, dy []string) ([]string, error) {
	return unary(w.op("DepthToSpace", dy[:1], intAttr("blocksize", n.attrInt("blocksize", 1)), stringAttr("mode", "DCR")))
}

// floats is the value of a constant tensor of float32.
func (g *graph) floats(name string) ([]float32, bool) {
	t := g.weights[name]
	if t == nil || t.GetDataType() != 1 {
		return nil, false
	}
	if len(t.RawData) == 0 {
		return slices.Clone(t.FloatData), true
	}
	return float32s(t.RawData), true
}
