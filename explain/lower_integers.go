package explain

import (
	"fmt"
	"slices"

	"endogate/explain/onnxpb"

	"google.golang.org/protobuf/proto"
)

// integerOperators compute in integers what the float network that was quantised did: they are written out as its operators, between
// a DequantizeLinear of each operand and a QuantizeLinear of what comes of them.
var integerOperators = map[string]lowering{
	"ConvInteger":   lowerInteger("Conv"),
	"MatMulInteger": lowerInteger("MatMul"),

	"QLinearConv":   lowerQLinear("Conv", 2, 0),
	"QLinearMatMul": lowerQLinear("MatMul", 2, -1),

	"com.microsoft.MatMulIntegerToFloat":  lowerScaledInteger,
	"com.microsoft.DynamicQuantizeMatMul": lowerScaledInteger,
	"com.microsoft.MatMulNBits":           lowerMatMulBits,

	"com.microsoft.QGemm":                    lowerQLinear("Gemm", 2, 0),
	"com.microsoft.QLinearAdd":               lowerQLinear("Add", 2, 0),
	"com.microsoft.QLinearMul":               lowerQLinear("Mul", 2, 0),
	"com.microsoft.QLinearSigmoid":           lowerQLinear("Sigmoid", 1, 0),
	"com.microsoft.QLinearLeakyRelu":         lowerQLinear("LeakyRelu", 1, 0),
	"com.microsoft.QLinearSoftmax":           lowerQLinear("Softmax", 1, 0),
	"com.microsoft.QLinearAveragePool":       lowerQLinear("AveragePool", 1, 0),
	"com.microsoft.QLinearGlobalAveragePool": lowerQLinear("GlobalAveragePool", 1, 0),
	"com.microsoft.QLinearConcat":            lowerQLinearConcat,
}

// dequantised is an operand in floats; along is the axis of scales that are several.
func (b *builder) dequantised(x, scale, zero string, along int64) string {
	inputs := []string{x, scale}
	if zero != "" {
		inputs = append(inputs, zero)
	}
	return b.op("DequantizeLinear", inputs, intAttr("axis", along))
}

// quantised gives n's output what x is in integers.
func (b *builder) quantised(n *node, x, scale, zero string) {
	inputs := []string{x, scale}
	if zero != "" {
		inputs = append(inputs, zero)
	}
	b.add("QuantizeLinear", inputs, n.Output[:1])
}

// lowerQLinear is an operator of one or two operands, each with its scale and zero point; those of the second, its weights, may be
// several along an axis. A bias is in units of both scales: that of QLinearConv comes last, that of QGemm before the output's scale.
func lowerQLinear(typ string, operands int, along int64) lowering {
	return func(b *builder, n *node) string {
		var own []*onnxpb.AttributeProto
		for _, a := range n.Attribute {
			switch name := a.GetName(); {
			case name == "channels_last" && a.GetI() != 0:
				return "its channels are last"
			case name != "channels_last" && name != "opset":
				own = append(own, a)
			}
		}
		var inputs []string
		for i := range operands {
			at := int64(0)
			if i > 0 {
				at = along
			}
			if typ == "Gemm" && i > 0 && n.attrInt("transB", 0) == 0 {
				at = 1
			}
			if x := b.g.shape(n.in(3 * i)); at < 0 {
				at += int64(len(x))
			}
			inputs = append(inputs, b.dequantised(n.in(3*i), n.in(3*i+1), n.in(3*i+2), at))
		}
		out, bias := 3*operands, ""
		switch typ {
		case "Conv":
			bias = n.in(out + 2)
		case "Gemm":
			bias, out = n.in(out), out+1
		case "Softmax":
			if n.attrInt("opset", 13) < 13 && n.attrInt("axis", -1) != -1 && n.attrInt("axis", -1) != int64(len(b.g.shape(n.in(0)))-1) {
				return "it is of an older form; export the model again"
			}
		}
		if bias != "" {
			unit := b.mul(n.in(1), n.in(4))
			inputs = append(inputs, b.mul(b.op("Cast", []string{bias}, intAttr("to", int64(single))), unit))
		}
		y := b.op(typ, inputs, own...)
		b.nodes[len(b.nodes)-1].Name = proto.String(n.label()) // layers are called after it
		b.quantised(n, y, n.in(out), n.in(out+1))
		return ""
	}
}

func lowerQLinearConcat(b *builder, n *node) string {
	var parts []string
	for operand := range slices.Chunk(n.Input[2:], 3) {
		parts = append(parts, b.dequantised(operand[0], operand[1], operand[2], 0))
	}
	b.quantised(n, b.op("Concat", parts, n.Attribute...), n.in(0), n.in(1))
	return ""
}

// lowerInteger is a product of integers, whose scales are multiplied to it later: steps are counted, not what they stand for.
func lowerInteger(typ string) lowering {
	return func(b *builder, n *node) string {
		x := b.dequantised(n.in(0), b.scalar(1), n.in(2), 0)
		weight := b.op("Cast", n.Input[1:2], intAttr("to", int64(single)))
		if zero := n.in(3); zero != "" {
			if typ == "Conv" && size(b.g.shape(zero)) != 1 {
				return "its weights have several zero points"
			}
			weight = b.sub(weight, b.op("Cast", []string{zero}, intAttr("to", int64(single))))
		}
		b.add(typ, []string{x, weight}, n.Output[:1], n.Attribute...)
		b.nodes[len(b.nodes)-1].Name = proto.String(n.label()) // layers are called after it
		return ""
	}
}

// lowerScaledInteger is a product of integers with its scales and a bias: MatMulIntegerToFloat, and DynamicQuantizeMatMul, whose
// first operand is rounded there.
func lowerScaledInteger(b *builder, n *node) string {
	x, scale, zero, weight, bias := n.in(0), n.in(2), n.in(4), []string{n.in(1), n.in(3), n.in(5)}, n.in(6)
	if n.GetOpType() == "DynamicQuantizeMatMul" {
		x, scale, zero = b.name("explain/rounded"), b.name("explain/scale"), b.name("explain/zero")
		b.add("DynamicQuantizeLinear", n.Input[:1], []string{x, scale, zero})
		weight, bias = n.Input[1:min(4, len(n.Input))], n.in(4)
	}
	if size(b.g.shape(n.in(2))) != 1 && scale == n.in(2) {
		return "its first operand has several scales"
	}
	of := &node{NodeProto: &onnxpb.NodeProto{Input: weight}}
	y := b.op("MatMul", []string{b.dequantised(x, scale, zero, 0), b.dequantised(weight[0], weight[1], of.in(2), int64(len(b.g.shape(weight[0]))-1))})
	b.nodes[len(b.nodes)-1].Name = proto.String(n.label())
	if bias != "" {
		y = b.plus(y, bias)
	}
	return b.comesTo(n, y)
}

// mostUnpacked are the rows of a unit matrix that unpacks weights: 256 MiB of it.
const mostUnpacked = 8192

// lowerMatMulBits multiplies by weights of a few bits, which the operator itself unpacks: they are what it makes of a unit matrix.
func lowerMatMulBits(b *builder, n *node) string {
	if !b.g.varying()[n.in(0)] { // the unit matrix
		return ""
	}
	width := n.attrInt("K", 0)
	if width < 1 || width > mostUnpacked {
		return fmt.Sprintf("it reads %d values of each token, and at most %d are written out", width, mostUnpacked)
	}
	zeros := b.op("ConstantOfShape", []string{b.ints(width, width)})
	inputs := slices.Clone(n.Input)
	inputs[0] = b.op("EyeLike", []string{zeros})
	if len(inputs) > 5 {
		inputs[5] = "" // the bias
	}
	weight := b.op(n.GetOpType(), inputs, n.Attribute...)
	b.nodes[len(b.nodes)-1].Domain = n.Domain
	y := b.op("MatMul", []string{n.in(0), weight})
	b.nodes[len(b.nodes)-1].Name = proto.String(n.label())
	if n.in(5) != "" {
		y = b.plus(y, n.in(5))
	}
	return b.comesTo(n, y)
}
