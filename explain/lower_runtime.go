package explain

import (
	"math"
	"slices"
	"strings"

	"endogate/explain/onnxpb"

	"google.golang.org/protobuf/proto"
)

// ownOperators are those that ONNX Runtime's optimizer and tools write into models in place of the standard's, of its own domain
// but for one: github.com/microsoft/onnxruntime, docs/ContribOperators.md.
var ownOperators = map[string]lowering{
	"com.microsoft.FusedConv":   lowerFused("Conv", 3),
	"com.microsoft.FusedGemm":   lowerFused("Gemm", 3),
	"com.microsoft.FusedMatMul": lowerFusedMatMul,

	"com.microsoft.Gelu":      func(b *builder, n *node) string { return b.comesTo(n, b.gelu(n.in(0))) },
	"com.microsoft.BiasGelu":  func(b *builder, n *node) string { return b.comesTo(n, b.gelu(b.plus(n.in(0), n.in(1)))) },
	"com.microsoft.FastGelu":  lowerFastGelu,
	"com.microsoft.QuickGelu": lowerQuickGelu,

	"SimplifiedLayerNormalization":                   lowerRootMeanSquare,
	"com.microsoft.SkipLayerNormalization":           lowerSkipNorm,
	"com.microsoft.SkipSimplifiedLayerNormalization": lowerSkipNorm,

	"com.microsoft.Attention":          lowerOwnAttention,
	"com.microsoft.MultiHeadAttention": lowerMultiHead,
	"com.microsoft.RotaryEmbedding":    lowerOwnRotary,
}

// kind is the name of a node's operator, with its domain where that is not the standard's.
func (n *node) kind() string {
	if n.standard() {
		return n.GetOpType()
	}
	return n.GetDomain() + "." + n.GetOpType()
}

// comesTo says what a node's first output is.
func (b *builder) comesTo(n *node, x string) (why string) {
	b.named(x, n.out(0))
	return ""
}

// fusedActivations are what is written into other operators, with the names of their numbers in the order of activation_params.
var fusedActivations = map[string][]string{
	"Relu": nil, "Sigmoid": nil, "Tanh": nil, "Softplus": nil, "Softsign": nil, "HardSwish": nil, "Clip": {"min", "max"},
	"LeakyRelu": {"alpha"}, "Elu": {"alpha"}, "ThresholdedRelu": {"alpha"}, "HardSigmoid": {"alpha", "beta"}, "Selu": {"alpha", "gamma"},
}

// lowerFused is an operator of so many inputs, with a sum and an activation behind it. It keeps the node's name: layers are
// called after it.
func lowerFused(typ string, inputs int) lowering {
	return func(b *builder, n *node) string {
		var own []*onnxpb.AttributeProto
		for _, a := range n.Attribute {
			if !strings.HasPrefix(a.GetName(), "activation") {
				own = append(own, a)
			}
		}
		y := b.op(typ, n.Input[:min(inputs, len(n.Input))], own...)
		b.nodes[len(b.nodes)-1].Name = proto.String(n.label())
		if z := n.in(inputs); z != "" {
			y = b.plus(y, z)
		}
		return b.activated(n, y)
	}
}

// activated gives n's output what its activation makes of x.
func (b *builder) activated(n *node, x string) (why string) {
	typ := n.attrString("activation", "")
	if typ == "" {
		return b.comesTo(n, x)
	}
	names, ok := fusedActivations[typ]
	if !ok {
		return "its activation " + typ + " has no rule"
	}
	params := slices.Clone(attribute(n.NodeProto, "activation_params").GetFloats())
	for _, name := range names {
		if a := attribute(n.NodeProto, "activation_"+name); a != nil {
			params = append(params, a.GetF())
		}
	}
	if len(params) != len(names) {
		return "its activation " + typ + " needs " + strings.Join(names, " and ")
	}
	inputs, attrs := []string{x}, []*onnxpb.AttributeProto(nil)
	for i, name := range names {
		if typ == "Clip" {
			inputs = append(inputs, b.scalar(params[i]))
		} else {
			attrs = append(attrs, floatAttr(name, params[i]))
		}
	}
	b.add(typ, inputs, n.Output[:1], attrs...)
	return ""
}

func lowerFusedMatMul(b *builder, n *node) string {
	operands := slices.Clone(n.Input[:2])
	for i, name := range []string{"A", "B"} {
		rank := len(b.g.shape(operands[i]))
		switch {
		case n.attrInt("transBatch"+name, 0) != 0:
			return "its batch is transposed"
		case n.attrInt("trans"+name, 0) != 0 && rank > 1:
			operands[i] = b.transposeLast(operands[i], rank)
		}
	}
	y := b.op("MatMul", operands)
	if alpha := n.attrFloat("alpha", 1); alpha != 1 {
		y = b.times(y, alpha)
	}
	return b.comesTo(n, y)
}

// gelu is x·Φ(x).
func (b *builder) gelu(x string) string {
	return b.times(b.mul(x, b.plus(b.op("Erf", []string{b.times(x, float32(1/math.Sqrt2))}), b.scalar(1))), 0.5)
}

// lowerFastGelu is the approximation of gelu by tanh.
func lowerFastGelu(b *builder, n *node) string {
	x := n.in(0)
	if n.in(1) != "" {
		x = b.plus(x, n.in(1))
	}
	cubic := b.mul(x, b.plus(b.times(b.mul(x, x), 0.044715), b.scalar(1)))
	t := b.op("Tanh", []string{b.times(cubic, float32(math.Sqrt(2/math.Pi)))})
	return b.comesTo(n, b.times(b.mul(x, b.plus(t, b.scalar(1))), 0.5))
}

func lowerQuickGelu(b *builder, n *node) string {
	x := n.in(0)
	return b.comesTo(n, b.mul(x, b.op("Sigmoid", []string{b.times(x, n.attrFloat("alpha", 1.702))})))
}

// rootMeanSquare divides by the root of the mean square over the last axis.
func (b *builder) rootMeanSquare(x, scale string, width int64, epsilon float32) string {
	square := b.plus(b.meanOver(b.mul(x, x), true, -1, width), b.scalar(epsilon))
	return b.mul(b.div(x, b.op("Sqrt", []string{square})), scale)
}

func lowerRootMeanSquare(b *builder, n *node) string {
	x := b.g.shape(n.in(0))
	if at, err := axis(n, n.attrInt("axis", -1), len(x)); err != nil || at != len(x)-1 || n.out(1) != "" {
		return "it normalises more than the last axis, or is asked for what it divides by"
	}
	return b.comesTo(n, b.rootMeanSquare(n.in(0), n.in(1), x[len(x)-1], n.attrFloat("epsilon", 1e-5)))
}

// lowerSkipNorm normalises a sum, which is an output as well.
func lowerSkipNorm(b *builder, n *node) string {
	if n.out(1) != "" || n.out(2) != "" {
		return "it is asked for its mean or variance"
	}
	simplified := n.GetOpType() == "SkipSimplifiedLayerNormalization"
	bias, x := n.in(4), b.g.shape(n.in(0))
	if simplified {
		bias = n.in(3)
	}
	sum := b.plus(n.in(0), n.in(1))
	if bias != "" {
		sum = b.plus(sum, bias)
	}
	b.named(sum, n.out(3))
	epsilon := n.attrFloat("epsilon", 1e-12)
	if simplified {
		return b.comesTo(n, b.rootMeanSquare(sum, n.in(2), x[len(x)-1], epsilon))
	}
	inputs := []string{sum, n.in(2)}
	if n.in(3) != "" {
		inputs = append(inputs, n.in(3))
	}
	return b.comesTo(n, b.op("LayerNormalization", inputs, intAttr("axis", -1), floatAttr("epsilon", epsilon)))
}

// lowerOwnAttention projects tokens to queries, keys and values, one after the other in one matrix, and attends.
func lowerOwnAttention(b *builder, n *node) string {
	x, weight := b.g.shape(n.in(0)), b.g.shape(n.in(1))
	switch {
	case n.in(4) != "" || n.in(6) != "" || n.out(1) != "" || n.attrInt("do_rotary", 0) != 0:
		return "it has keys of before or turns its tokens"
	case len(x) != 3 || len(weight) != 2:
		return "its operands are not tokens and a matrix"
	}
	third := weight[1] / 3
	widths := []int64{third, third, third}
	if own := attribute(n.NodeProto, "qkv_hidden_sizes").GetInts(); len(own) == 3 {
		widths = own
	}
	all := b.op("MatMul", n.Input[:2])
	if n.in(2) != "" {
		all = b.plus(all, n.in(2))
	}
	var operands [3]string
	from := int64(0)
	for i, width := range widths {
		operands[i] = b.last(all, from, from+width, 1)
		b.g.shapes[operands[i]] = []int64{x[0], x[1], width}
		from += width
	}
	return b.attends(n, operands, n.in(3), n.in(5))
}

// lowerMultiHead attends with queries, keys and values that are projected already, but for a bias.
func lowerMultiHead(b *builder, n *node) string {
	if n.in(6) != "" || n.in(7) != "" || n.out(1) != "" {
		return "it has keys of before"
	}
	var operands [3]string
	from := int64(0)
	for i := range operands {
		x := b.g.shape(n.in(i))
		if len(x) != 3 {
			return "its queries, keys and values are packed, or have heads of their own"
		}
		if operands[i] = n.in(i); n.in(3) != "" {
			operands[i] = b.plus(n.in(i), b.last(n.in(3), from, from+x[2], 1))
			b.g.shapes[operands[i]] = x
		}
		from += x[2]
	}
	return b.attends(n, operands, n.in(4), n.in(5))
}

// attends writes attention of an operator of ONNX Runtime's own out, with keys that are masked and a term that is added to the
// products, as the standard's.
func (b *builder) attends(n *node, operands [3]string, mask, term string) (why string) {
	if mask != "" {
		masked, why := b.maskedKeys(n, mask, b.g.shape(operands[1]))
		if why != "" {
			return why
		}
		if term != "" {
			masked = b.plus(masked, term)
		}
		term = masked
	}
	heads := n.attrInt("num_heads", 0)
	attrs := []*onnxpb.AttributeProto{
		intAttr("q_num_heads", heads), intAttr("kv_num_heads", heads), intAttr("is_causal", n.attrInt("unidirectional", 0)), floatAttr("scale", n.attrFloat("scale", 0)),
	}
	return lowerAttention(b, &node{opset: n.opset, NodeProto: &onnxpb.NodeProto{
		Name: n.Name, OpType: n.OpType, Input: append(operands[:], term), Output: n.Output[:1], Attribute: attrs,
	}})
}

// maskedKeys is what is added to the products of a mask: 1 for keys that count, for each frame or each query of it, or where they
// end (and start).
func (b *builder) maskedKeys(n *node, mask string, keys []int64) (term, why string) {
	var shown string
	switch dims := b.g.shape(mask); {
	case len(dims) == 1 && (dims[0] == keys[0] || dims[0] == 2*keys[0] && keys[0] == 1):
		places := b.ints(span(0, keys[1])...)
		at := b.op("Cast", []string{mask}, intAttr("to", int64(onnxpb.TensorProto_INT64)))
		if dims[0] == keys[0] {
			shown = b.op("Less", []string{places, b.op("Reshape", []string{at, b.ints(-1, 1, 1, 1)})})
		} else {
			shown = b.op("And", []string{b.op("Less", []string{places, b.part(at, 0, 0, 1, 1)}), b.op("GreaterOrEqual", []string{places, b.part(at, 0, 1, 2, 1)})})
		}
	case len(dims) == 2 || len(dims) == 3:
		axes := []int64{1, 2}[:4-len(dims)]
		shown = b.op("Greater", []string{b.op("Unsqueeze", []string{b.op("Cast", []string{mask}, intAttr("to", int64(single))), b.ints(axes...)}), b.scalar(0)})
	default:
		return "", "its mask is of a form that is not known"
	}
	return b.where(shown, b.scalar(0), b.scalar(n.attrFloat("mask_filter_value", -10000))), ""
}
