package explain

import (
	"fmt"
	"math"

	"endogate/explain/onnxpb"
)

// hidden is a product that softmax makes nothing of, also where all of a row is hidden.
const hidden = -3.4e38

// scaledProducts is an Attention (opset 23 and 24) being written out.
type scaledProducts struct {
	*builder
	n                          *node
	heads, kvHeads             int64
	queries, keys, past        int64
	querySize, keySize, values int64 // of a head
}

// lowerAttention writes Attention as its products: scaled, capped, then masked (onnx/onnx#7867), then normalised.
func lowerAttention(b *builder, n *node) string {
	q, k, v := n.in(0), n.in(1), n.in(2)
	shape, kshape, vshape := b.g.shape(q), b.g.shape(k), b.g.shape(v)
	switch {
	case len(shape) != 3 && len(shape) != 4 || len(kshape) != len(shape) || len(vshape) != len(shape):
		return "its operands are neither of three axes nor of four"
	case (n.in(4) == "") != (n.in(5) == ""):
		return "it has keys of before without their values"
	}
	a := scaledProducts{builder: b, n: n}
	flat := len(shape) == 3
	if flat {
		a.heads, a.kvHeads = n.attrInt("q_num_heads", 0), n.attrInt("kv_num_heads", 0)
		if a.heads < 1 || a.kvHeads < 1 {
			return "it does not say how many heads its three axes hold"
		}
		a.queries, a.keys = shape[1], kshape[1]
		a.querySize, a.keySize, a.values = shape[2]/a.heads, kshape[2]/a.kvHeads, vshape[2]/a.kvHeads
		q, k, v = a.apart(q, a.queries, a.heads, a.querySize), a.apart(k, a.keys, a.kvHeads, a.keySize), a.apart(v, a.keys, a.kvHeads, a.values)
	} else {
		a.heads, a.kvHeads, a.queries, a.keys = shape[1], kshape[1], shape[2], kshape[2]
		a.querySize, a.keySize, a.values = shape[3], kshape[3], vshape[3]
	}
	if n.in(4) != "" { // goes on with keys and values of before
		a.past = b.g.shape(n.in(4))[2]
		k, v = b.op("Concat", []string{n.in(4), k}, intAttr("axis", 2)), b.op("Concat", []string{n.in(5), v}, intAttr("axis", 2))
		a.keys += a.past
	}
	b.named(k, n.out(1))
	b.named(v, n.out(2))
	k, v = a.repeated(k, a.keySize), a.repeated(v, a.values)
	scale := n.attrFloat("scale", 0)
	if scale == 0 {
		scale = float32(1 / math.Sqrt(float64(a.querySize)))
	}
	products := b.times(b.op("MatMul", []string{q, b.transposeLast(k, 4)}), scale)
	capped := products
	if limit := n.attrFloat("softcap", 0); limit != 0 {
		capped = b.times(b.op("Tanh", []string{b.times(products, 1/limit)}), limit)
	}
	masked, why := a.masked(capped)
	if why != "" {
		return why
	}
	shares := b.op("Softmax", []string{masked}, intAttr("axis", -1))
	if n.out(3) != "" {
		mode := n.attrInt("qk_matmul_output_mode", 0)
		if mode < 0 || mode > 3 {
			return fmt.Sprintf("its qk_matmul_output_mode is %d", mode)
		}
		b.named([]string{products, capped, masked, shares}[mode], n.out(3))
	}
	y := b.op("MatMul", []string{shares, v})
	if flat {
		y = b.op("Reshape", []string{b.op("Transpose", []string{y}, intsAttr("perm", 0, 2, 1, 3)), b.ints(0, a.queries, a.heads*a.values)})
	}
	b.named(y, n.out(0))
	return ""
}

// apart gives heads an axis of their own.
func (a *scaledProducts) apart(x string, places, heads, size int64) string {
	return a.op("Transpose", []string{a.op("Reshape", []string{x, a.ints(0, places, heads, size)})}, intsAttr("perm", 0, 2, 1, 3))
}

// repeated gives each head of the queries its keys or values, where one serves several.
func (a *scaledProducts) repeated(x string, size int64) string {
	repeats := a.heads / a.kvHeads
	if repeats < 2 {
		return x
	}
	x = a.op("Reshape", []string{x, a.ints(0, a.kvHeads, 1, a.keys, size)})
	x = a.op("Expand", []string{x, a.ints(1, 1, repeats, 1, 1)})
	return a.op("Reshape", []string{x, a.ints(0, a.heads, a.keys, size)})
}

// masked hides the products of keys that a query does not see: by a mask, by what comes later, by where a sequence ends.
func (a *scaledProducts) masked(products string) (y, why string) {
	n, lengths := a.n, a.n.in(6)
	if lengths != "" && len(a.g.shape(lengths)) != 1 {
		return "", "its lengths of sequences are not a list"
	}
	if mask := n.in(3); mask != "" {
		if a.g.boolean(mask) {
			products = a.where(mask, products, a.scalar(hidden))
		} else {
			products = a.plus(products, mask)
		}
	}
	if n.attrInt("is_causal", 0) != 0 {
		ahead := make([]int64, 0, a.queries*a.keys) // places from query to key
		later := make([]float32, 0, a.queries*a.keys)
		for i := range a.queries {
			for j := range a.keys {
				ahead, later = append(ahead, j-i), append(later, 0)
				if j > i+a.past {
					later[len(later)-1] = hidden
				}
			}
		}
		if lengths != "" && n.in(4) == "" {
			before := a.op("Reshape", []string{a.sub(lengths, a.intScalar(a.queries)), a.ints(-1, 1, 1, 1)})
			products = a.where(a.op("Greater", []string{a.integers([]int64{a.queries, a.keys}, ahead...), before}), a.scalar(hidden), products)
		} else {
			products = a.plus(products, a.floats([]int64{a.queries, a.keys}, later...))
		}
	}
	if lengths != "" {
		places := make([]int64, a.keys)
		for j := range places {
			places[j] = int64(j)
		}
		within := a.op("Less", []string{a.ints(places...), a.op("Reshape", []string{lengths, a.ints(-1, 1, 1, 1)})})
		products = a.where(within, products, a.scalar(hidden))
	}
	return products, ""
}

// integers is a constant of int64.
func (b *builder) integers(dims []int64, v ...int64) string {
	return b.constant(fmt.Sprint("I", dims, v), func(name string) *onnxpb.TensorProto { return intTensor(name, dims, v...) })
}

// conditions are the operators that say whether something holds.
var conditions = map[string]bool{
	"Greater": true, "GreaterOrEqual": true, "Less": true, "LessOrEqual": true, "Equal": true, "Not": true, "And": true, "Or": true, "Xor": true, "IsNaN": true, "IsInf": true,
}

// boolean reports whether a tensor holds what is true or false, by the operators that make it.
func (g *graph) boolean(name string) bool {
	const truth = int32(onnxpb.TensorProto_BOOL)
	for range g.nodes {
		if t := g.weights[name]; t != nil {
			return t.GetDataType() == truth
		}
		n := g.producer[name]
		if n == nil {
			break
		}
		switch typ := n.GetOpType(); {
		case conditions[typ]:
			return true
		case typ == "Cast":
			return n.attrInt("to", 0) == int64(truth)
		case typ == "ConstantOfShape":
			return attribute(n.NodeProto, "value").GetT().GetDataType() == truth
		case typ == "Where":
			name = n.in(1)
		case rearranges[typ]:
			name = n.in(0)
		default:
			return false
		}
	}
	return false
}

// rearranges are the operators whose output has the type of their first input and nothing but its values.
var rearranges = map[string]bool{
	"Identity": true, "Reshape": true, "Transpose": true, "Squeeze": true, "Unsqueeze": true, "Flatten": true, "Expand": true, "Tile": true, "Slice": true,
	"Gather": true, "GatherElements": true, "GatherND": true, "Concat": true, "Split": true, "Trilu": true, "Pad": true, "ScatterND": true, "ScatterElements": true,
}
