package explain

import (
	"fmt"
	"strings"

	"endogate/explain/onnxpb"

	"google.golang.org/protobuf/proto"
)

// builder adds nodes and constants to a graph under names that nothing else has.
type builder struct {
	g      *graph
	nodes  []*onnxpb.NodeProto
	inits  []*onnxpb.TensorProto
	known  map[string]string        // constants made, by their content
	means  map[string]func() string // see mean
	steps  map[string]string        // see walk.positive
	framed bool                     // the gradient reads frames together: each seed needs one of its own
	count  int
}

func newBuilder(g *graph) *builder {
	return &builder{
		g: g, known: map[string]string{}, means: map[string]func() string{}, steps: map[string]string{},
	}
}

// name makes a tensor name; the first free of want, want_1, ...
func (b *builder) name(want string) string {
	for name := want; ; b.count++ {
		if !b.g.fresh[name] && !b.g.named[name] {
			b.g.fresh[name] = true
			return name
		}
		name = fmt.Sprintf("%s_%d", want, b.count)
	}
}

// op adds a node with one output and returns the output's name.
func (b *builder) op(typ string, inputs []string, attrs ...*onnxpb.AttributeProto) string {
	out := b.name("explain/" + typ)
	b.add(typ, inputs, []string{out}, attrs...)
	return out
}

func (b *builder) add(typ string, inputs, outputs []string, attrs ...*onnxpb.AttributeProto) {
	name := outputs[0]
	if !strings.HasPrefix(name, "explain/") { // a model may have a node of this tensor's name
		name = b.name("explain/" + typ)
	}
	b.nodes = append(b.nodes, &onnxpb.NodeProto{
		OpType: proto.String(typ), Name: proto.String(name), Input: inputs, Output: outputs, Attribute: attrs,
	})
}

// shorthands for the operators that rules are made of
func (b *builder) mul(x, y string) string           { return b.op("Mul", []string{x, y}) }
func (b *builder) div(x, y string) string           { return b.op("Div", []string{x, y}) }
func (b *builder) sub(x, y string) string           { return b.op("Sub", []string{x, y}) }
func (b *builder) plus(x, y string) string          { return b.op("Add", []string{x, y}) }
func (b *builder) neg(x string) string              { return b.op("Neg", []string{x}) }
func (b *builder) where(c, x, y string) string      { return b.op("Where", []string{c, x, y}) }
func (b *builder) times(x string, f float32) string { return b.mul(x, b.scalar(f)) }

// ints is a constant vector of int64.
func (b *builder) ints(v ...int64) string {
	return b.constant(fmt.Sprint("i", v), func(name string) *onnxpb.TensorProto {
		return intTensor(name, []int64{int64(len(v))}, v...)
	})
}

// scalar is a constant float without dimensions.
func (b *builder) scalar(f float32) string { return b.floats(nil, f) }

// intScalar is a constant int64 without dimensions.
func (b *builder) intScalar(v int64) string {
	return b.constant(fmt.Sprint("s", v), func(name string) *onnxpb.TensorProto { return intTensor(name, nil, v) })
}

// oneValue is ConstantOfShape's value attribute for float ones.
func oneValue() *onnxpb.AttributeProto {
	t := floatTensor("", []int64{1}, 1)
	return &onnxpb.AttributeProto{Name: proto.String("value"), Type: onnxpb.AttributeProto_TENSOR.Enum(), T: t}
}

func (b *builder) floats(dims []int64, v ...float32) string {
	return b.constant(fmt.Sprint("f", dims, v), func(name string) *onnxpb.TensorProto {
		return floatTensor(name, dims, v...)
	})
}

func (b *builder) constant(key string, make func(name string) *onnxpb.TensorProto) string {
	if name, ok := b.known[key]; ok {
		return name
	}
	t := make(b.name("explain/const"))
	b.inits = append(b.inits, t)
	b.known[key] = t.GetName()
	return t.GetName()
}

// reshape gives x the given dimensions, the first of which is the batch and left open.
func (b *builder) reshape(x string, dims ...int64) string {
	to := append([]int64(nil), dims...)
	if len(to) > 0 && b.g.seeds() != 1 { // else the runtime is to know it
		to[0] = -1
	}
	return b.op("Reshape", []string{x, b.ints(to...)})
}

// expand broadcasts x to the given dimensions; its first axis is the batch and stays.
func (b *builder) expand(x string, dims []int64) string {
	to := append([]int64(nil), dims...)
	if len(to) > 0 {
		to[0] = 1
	}
	return b.op("Expand", []string{x, b.ints(to...)})
}

// reduceSum sums over axes and keeps them as ones, or not.
func (b *builder) reduceSum(x string, keep bool, axes ...int64) string {
	k := int64(0)
	if keep {
		k = 1
	}
	return b.op("ReduceSum", []string{x, b.ints(axes...)}, intAttr("keepdims", k))
}

// reduceMax is the greatest value over axes, kept as ones: from opset 18 on the axes are an input.
func (b *builder) reduceMax(x string, axes ...int64) string {
	if b.g.opsets()[""] >= 18 {
		return b.op("ReduceMax", []string{x, b.ints(axes...)}, intAttr("keepdims", 1))
	}
	return b.op("ReduceMax", []string{x}, intsAttr("axes", axes...), intAttr("keepdims", 1))
}

// meanOver is the mean over an axis of so many elements.
func (b *builder) meanOver(x string, keep bool, axis, count int64) string {
	return b.times(b.reduceSum(x, keep, axis), 1/float32(count))
}

// sumTo undoes broadcasting: dy has the shape from, the result the shape to.
func (b *builder) sumTo(dy string, from, to []int64) string {
	extra := len(from) - len(to)
	if extra > 0 {
		axes := make([]int64, extra)
		for i := range axes {
			axes[i] = int64(i)
		}
		dy = b.reduceSum(dy, false, axes...)
		from = from[extra:]
	}
	var axes []int64
	for i := range to {
		if to[i] == 1 && from[i] != 1 {
			axes = append(axes, int64(i))
		}
	}
	if len(axes) == 0 {
		return dy
	}
	return b.reduceSum(dy, true, axes...)
}

// transposeLast exchanges the last two axes.
func (b *builder) transposeLast(x string, rank int) string {
	perm := make([]int64, rank)
	for i := range perm {
		perm[i] = int64(i)
	}
	perm[rank-1], perm[rank-2] = perm[rank-2], perm[rank-1]
	return b.op("Transpose", []string{x}, intsAttr("perm", perm...))
}

// forget gives the names back that the builder took.
func (b *builder) forget() {
	for _, n := range b.nodes {
		for _, out := range n.Output {
			if b.g.producer[out] == nil && b.g.weights[out] == nil {
				delete(b.g.fresh, out)
				delete(b.g.shapes, out)
			}
		}
	}
	for _, t := range b.inits {
		delete(b.g.fresh, t.GetName())
	}
}
