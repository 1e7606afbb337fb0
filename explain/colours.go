package explain

import (
	"fmt"
	"slices"

	"endogate/explain/onnxpb"

	"google.golang.org/protobuf/proto"
)

// movesBytes are operators that leave values as they are: of bytes they make the same as of the same numbers in float32.
var movesBytes = setOf("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Slice", "Split", "Gather", "Concat", "Expand", "Tile", "SpaceToDepth", "DepthToSpace", "Pad", "Resize")

// wholeNumbers are the types that a picture may have whose values float32 holds exactly, as long as they are colours.
var wholeNumbers = map[int32]bool{
	int32(onnxpb.TensorProto_UINT8): true, int32(onnxpb.TensorProto_INT8): true, int32(onnxpb.TensorProto_UINT16): true, int32(onnxpb.TensorProto_INT16): true,
	int32(onnxpb.TensorProto_INT32): true, int32(onnxpb.TensorProto_INT64): true,
}

// colours is a model whose picture is of whole numbers, on its way to one of float32, so that gradients get to it.
type colours struct {
	graph *onnxpb.GraphProto
	nodes []*onnxpb.NodeProto
	types map[string]int32             // of tensors that are of float32 now: what they were
	made  map[string]*onnxpb.NodeProto // the nodes that made them
	back  map[string]string            // those as they were
}

// picturesInFloat32 makes a picture of whole numbers one of float32, and all that is only moved about of it. Other operators read it as it
// was, behind a CastLike that passes a gradient on, where a Cast to whole numbers has none.
func picturesInFloat32(gp *onnxpb.GraphProto) {
	weights := map[string]bool{}
	for _, t := range gp.Initializer {
		weights[t.GetName()] = true
	}
	at := slices.IndexFunc(gp.Input, func(v *onnxpb.ValueInfoProto) bool { return !weights[v.GetName()] })
	if at < 0 || !wholeNumbers[gp.Input[at].GetType().GetTensorType().GetElemType()] {
		return
	}
	picture := gp.Input[at].GetType().GetTensorType()
	b := &colours{graph: gp, types: map[string]int32{gp.Input[at].GetName(): picture.GetElemType()}, made: map[string]*onnxpb.NodeProto{}, back: map[string]string{}}
	picture.ElemType = proto.Int32(single)
	for _, p := range gp.Node {
		b.add(&node{NodeProto: p})
	}
	gp.Node = b.nodes
}

func (b *colours) add(n *node) {
	typ, to := n.GetOpType(), int32(n.attrInt("to", 0))
	was, made := b.types[n.in(0)], proto.CloneOf(n.NodeProto)
	keep := func(typ int32) {
		for _, out := range n.Output {
			b.types[out], b.made[out] = typ, made
		}
	}
	switch {
	case !slices.ContainsFunc(n.uses(), func(in string) bool { return b.types[in] != 0 }):
	case typ == "Shape", typ == "Size", typ == "Cast" && isFloat(to):
	case typ == "Cast" && counting(to):
		n.OpType, n.Attribute = proto.String("Identity"), nil
		keep(to)
	case n.standard() && movesBytes[typ] && b.moved(n):
		keep(was)
	case (typ == "Add" || typ == "Sub" || typ == "Mul") && (counting(was) || counting(b.types[n.in(1)])):
		keep(max(was, b.types[n.in(1)]))
		for i, in := range n.Input {
			n.Input[i] = b.inFloat32(in)
		}
	default:
		renameNode(n.NodeProto, b.asBefore)
	}
	b.nodes = append(b.nodes, n.NodeProto)
}

// counting reports whether sums and products of colours are within a type.
func counting(typ int32) bool {
	return typ == int32(onnxpb.TensorProto_INT16) || typ == int32(onnxpb.TensorProto_INT32) || typ == int32(onnxpb.TensorProto_INT64)
}

// moved reports whether a node moves nothing but what is of float32 now.
func (b *colours) moved(n *node) bool {
	switch n.GetOpType() {
	case "Concat":
		return !slices.ContainsFunc(n.Input, func(in string) bool { return b.types[in] == 0 })
	case "Resize":
		return b.types[n.in(0)] != 0 && n.attrString("mode", "nearest") == "nearest"
	case "Pad":
		if b.types[n.in(0)] != 0 && n.in(2) != "" {
			n.Input[2] = b.inFloat32(n.in(2))
		}
	}
	return b.types[n.in(0)] != 0
}

// inFloat32 is a tensor of whole numbers in float32.
func (b *colours) inFloat32(name string) string {
	if b.types[name] != 0 {
		return name
	}
	return b.node("Cast", name+"/float32", []string{name}, intAttr("to", int64(single)))
}

// asBefore is a tensor as it was, made as it was: what resizes bytes rounds otherwise where it is written otherwise.
func (b *colours) asBefore(name string) string {
	typ, made := b.types[name], b.made[name]
	switch {
	case typ == 0 || b.back[name] != "":
	case made == nil: // the picture
		like := "explain/" + name + "/type"
		b.graph.Initializer = append(b.graph.Initializer, &onnxpb.TensorProto{Name: &like, DataType: &typ, RawData: make([]byte, elementSize(typ))})
		b.back[name] = b.node("CastLike", name+"/numbers", []string{name, like})
	default:
		p := proto.CloneOf(made)
		for i, in := range p.Input {
			p.Input[i] = b.asBefore(in)
		}
		for i, out := range p.Output {
			p.Output[i] = fmt.Sprintf("explain/%d/%s", len(b.nodes), out)
			b.back[out] = p.Output[i]
		}
		p.Name = proto.String(p.Output[0])
		b.nodes = append(b.nodes, p)
	}
	if typ == 0 {
		return name
	}
	return b.back[name]
}

func (b *colours) node(typ, name string, inputs []string, attrs ...*onnxpb.AttributeProto) string {
	name = fmt.Sprintf("explain/%d/%s", len(b.nodes), name)
	b.nodes = append(b.nodes, &onnxpb.NodeProto{OpType: &typ, Name: &name, Input: inputs, Output: []string{name}, Attribute: attrs})
	return name
}

// counts reports whether a tensor is of whole numbers that were a picture's.
func (g *graph) counts(tensor string) bool {
	for {
		n := g.producer[tensor]
		switch {
		case n == nil:
			return wholeNumbers[g.weights[tensor].GetDataType()]
		case n.GetOpType() == "Cast":
			return !isFloat(int32(n.attrInt("to", 0)))
		case n.GetOpType() == "DequantizeLinear" || len(n.Input) == 0:
			return false
		case n.GetOpType() == "CastLike" || n.GetOpType() == "Where":
			tensor = n.in(1)
		default:
			tensor = n.in(0)
		}
	}
}
