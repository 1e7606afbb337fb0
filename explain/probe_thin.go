package explain

import (
	"slices"

	"endogate/explain/onnxpb"
)

// thin adds nodes that make a tensor of the shape that a costly node makes, and reports whether it did: of the
// channels or terms that a convolution or product with a constant sums over, one is enough.
func (g *graph) thin(b *builder, n *node) bool {
	weight := g.weights[n.in(1)]
	if weight == nil || !n.standard() || weight.GetDataType() != int32(onnxpb.TensorProto_FLOAT) || size(weight.Dims) < largeWeight {
		return false
	}
	one := func(x string, axis int64) string {
		return b.op("Slice", []string{x, b.ints(0), b.ints(1), b.ints(axis)})
	}
	zeros := func(dims ...int64) string { return b.op("ConstantOfShape", []string{b.ints(dims...)}) }
	dims := weight.Dims
	switch n.GetOpType() {
	case "Conv":
		if len(dims) < 3 {
			return false
		}
		thin := b.op("Conv", []string{one(n.in(0), 1), zeros(append([]int64{1, 1}, dims[2:]...)...)})
		last := b.nodes[len(b.nodes)-1]
		for _, a := range n.Attribute {
			if a.GetName() != "group" {
				last.Attribute = append(last.Attribute, a)
			}
		}
		to := slices.Repeat([]int64{1}, len(dims))
		to[1] = dims[0]
		b.add("Expand", []string{thin, b.ints(to...)}, n.Output)
	case "Gemm":
		if n.attrInt("transA", 0) != 0 || len(dims) != 2 {
			return false
		}
		columns := dims[1-n.attrInt("transB", 0)]
		b.add("MatMul", []string{one(n.in(0), 1), zeros(1, columns)}, n.Output)
	case "MatMul":
		if len(dims) != 2 {
			return false
		}
		b.add("MatMul", []string{one(n.in(0), -1), zeros(1, dims[1])}, n.Output)
	default:
		return false
	}
	return true
}
