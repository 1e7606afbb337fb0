package explain

import (
	"slices"

	"endogate/explain/onnxpb"

	"google.golang.org/protobuf/proto"
)

// linearOperators are those of the standard's domain for classical models that are a dense layer or come before or after one, as
// scikit-learn's converter writes them behind a network's features.
var linearOperators = map[string]lowering{
	"ai.onnx.ml.Scaler":           lowerScaler,
	"ai.onnx.ml.Normalizer":       lowerNormalizer,
	"ai.onnx.ml.LinearRegressor":  func(b *builder, n *node) string { return lowerLinear(b, n, n.out(0)) },
	"ai.onnx.ml.LinearClassifier": func(b *builder, n *node) string { return lowerLinear(b, n, n.out(1)) },
}

func (n *node) attrFloats(name string) []float32 {
	return slices.Clone(attribute(n.NodeProto, name).GetFloats())
}

func lowerScaler(b *builder, n *node) string {
	offset, scale := n.attrFloats("offset"), n.attrFloats("scale")
	return b.comesTo(n, b.mul(b.sub(n.in(0), b.floats([]int64{int64(len(offset))}, offset...)), b.floats([]int64{int64(len(scale))}, scale...)))
}

func lowerNormalizer(b *builder, n *node) string {
	by := map[string]string{"MAX": "ReduceMax", "L1": "ReduceL1", "L2": "ReduceL2"}[n.attrString("norm", "MAX")]
	if by == "" {
		return "its norm is none of the standard's"
	}
	length := b.op(by, []string{n.in(0)}, intsAttr("axes", -1))
	return b.comesTo(n, b.div(n.in(0), length))
}

// lowerLinear is a row of weights for each value, and what is made of the values.
func lowerLinear(b *builder, n *node, values string) string {
	x, weights := b.g.shape(n.in(0)), n.attrFloats("coefficients")
	after, known := map[string]string{"NONE": "Identity", "LOGISTIC": "Sigmoid", "SOFTMAX": "Softmax"}[n.attrString("post_transform", "NONE")]
	y := b.g.shape(values)
	if len(x) != 2 || len(y) == 0 || !known || int64(len(weights)) != y[len(y)-1]*x[1] {
		return "only one row of weights for each value, as they are or by softmax or sigmoid, is known"
	}
	z := b.op("MatMul", []string{n.in(0), b.op("Transpose", []string{b.floats([]int64{y[len(y)-1], x[1]}, weights...)}, intsAttr("perm", 1, 0))})
	if bias := n.attrFloats("intercepts"); len(bias) > 0 {
		z = b.plus(z, b.floats([]int64{int64(len(bias))}, bias...))
	}
	var attrs []*onnxpb.AttributeProto
	if after == "Softmax" {
		attrs = append(attrs, intAttr("axis", -1))
	}
	b.add(after, []string{z}, []string{values}, attrs...)
	if label := n.out(0); label != values && label != "" {
		c := proto.CloneOf(n.NodeProto)
		c.Output = []string{label, b.name(n.label() + "/values")}
		b.nodes = append(b.nodes, c)
	}
	return ""
}
