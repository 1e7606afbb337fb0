package explain

import (
	"fmt"
	"slices"

	"endogate/explain/onnxpb"

	"google.golang.org/protobuf/proto"
)

const (
	oldestOpset = 7  // before it, broadcasting was an attribute
	ruleOpset   = 17 // what older models are raised to: ScatterElements can add since 16
	newestOpset = 25
	irVersion   = 8 // that of opset 17
)

// upgrade raises a model's operators to ruleOpset where it is older; newer ones stay, since the
// rules use only operators that read the same from 17 on.
func upgrade(g *graph) error {
	b := newBuilder(g)
	for _, v := range g.model.Graph.GetNode() {
		for _, out := range v.Output {
			g.fresh[out] = true
		}
	}
	opset := g.opsets()[""]
	switch {
	case opset >= oldestOpset && opset < ruleOpset:
		nodes, err := upgradeNodes(b, g.model.Graph.Node, opset)
		if err != nil {
			return err
		}
		g.model.Graph.Node = nodes
		setOpset(g.model)
	case opset < oldestOpset || opset > newestOpset:
		return fmt.Errorf("explain: opset %d: only %d to %d can be explained; export the model again", opset, oldestOpset, newestOpset)
	}
	for _, t := range b.inits {
		g.weights[t.GetName()] = t
	}
	clear(g.fresh) // link takes the names again
	if g.model.GetIrVersion() < irVersion {
		g.model.IrVersion = proto.Int64(irVersion)
	}
	return nil
}

// reads reports whether a node reads one of the tensors, or the model gives it.
func (g *graph) reads(tensors []string) bool {
	given := slices.ContainsFunc(g.model.Graph.Output, func(v *onnxpb.ValueInfoProto) bool { return slices.Contains(tensors, v.GetName()) })
	return given || slices.ContainsFunc(g.model.Graph.Node, func(p *onnxpb.NodeProto) bool {
		return slices.ContainsFunc((&node{NodeProto: p}).uses(), func(in string) bool { return in != "" && slices.Contains(tensors, in) })
	})
}

func setOpset(m *onnxpb.ModelProto) {
	for _, o := range m.OpsetImport {
		if o.GetDomain() == "" || o.GetDomain() == "ai.onnx" {
			o.Version = proto.Int64(ruleOpset)
		}
	}
}

func upgradeNodes(b *builder, nodes []*onnxpb.NodeProto, opset int64) ([]*onnxpb.NodeProto, error) {
	var out []*onnxpb.NodeProto
	for _, p := range nodes {
		n := &node{NodeProto: p, opset: opset}
		for _, a := range p.Attribute {
			for _, sub := range append(a.Graphs, a.G) {
				if sub == nil {
					continue
				}
				inner, err := upgradeNodes(b, sub.Node, opset)
				if err != nil {
					return nil, err
				}
				sub.Node = inner
			}
		}
		b.nodes = nil
		if n.standard() {
			if err := upgradeNode(b, n); err != nil {
				return nil, err
			}
		}
		out = append(out, b.nodes...)
		if n.OpType != nil {
			out = append(out, p)
		}
	}
	return out, nil
}

// upgradeNode rewrites what changed between the node's operator set and ruleOpset.
func upgradeNode(b *builder, n *node) error {
	switch typ := n.GetOpType(); {
	case typ == "BatchNormalization" && n.opset < 14:
		dropAttribute(n.NodeProto, "momentum")
		if a := dropAttribute(n.NodeProto, "spatial"); (a != nil && a.GetI() == 0) || b.g.reads(n.Output[1:]) {
			return unsupported(n, "only the inference form over channels is known")
		}
		n.Output = n.Output[:1]
	case typ == "Clip" && n.opset < 11:
		low, high := dropAttribute(n.NodeProto, "min"), dropAttribute(n.NodeProto, "max")
		n.Input = append(n.Input[:1:1], optionalScalar(b, low), optionalScalar(b, high))
	case typ == "Dropout" && n.opset < 12:
		dropAttribute(n.NodeProto, "ratio")
	case typ == "Pad" && n.opset < 11:
		pads, value := dropAttribute(n.NodeProto, "pads"), dropAttribute(n.NodeProto, "value")
		n.Input = append(n.Input[:1:1], b.ints(pads.GetInts()...), b.scalar(value.GetF()))
	case typ == "ReduceSum" && n.opset < 13, typ == "Squeeze" && n.opset < 13, typ == "Unsqueeze" && n.opset < 13:
		attrToInput(b, n, "axes")
	case typ == "Split" && n.opset < 13:
		attrToInput(b, n, "split")
	case typ == "Slice" && n.opset < 10:
		starts, ends := dropAttribute(n.NodeProto, "starts"), dropAttribute(n.NodeProto, "ends")
		n.Input = append(n.Input[:1:1], b.ints(starts.GetInts()...), b.ints(ends.GetInts()...))
		attrToInput(b, n, "axes")
	case typ == "TopK" && n.opset < 10:
		k := dropAttribute(n.NodeProto, "k")
		n.Input = append(n.Input[:1:1], b.ints(k.GetI()))
	case typ == "Scatter":
		n.OpType = proto.String("ScatterElements")
	case typ == "Upsample", typ == "Resize" && n.opset < 11:
		upgradeResize(b, n)
	case (typ == "Softmax" || typ == "LogSoftmax" || typ == "Hardmax") && n.opset < 13:
		return flattenSoftmax(b, n)
	case typ == "Scan" && n.opset < 9:
		return unsupported(n, "too old a form; export the model again")
	}
	return nil
}

func attrToInput(b *builder, n *node, name string) {
	a := dropAttribute(n.NodeProto, name)
	if a != nil {
		n.Input = append(n.Input[:len(n.Input):len(n.Input)], b.ints(a.Ints...))
	}
}

func optionalScalar(b *builder, a *onnxpb.AttributeProto) string {
	if a == nil {
		return ""
	}
	return b.scalar(a.GetF())
}

// flattenSoftmax spells out what Softmax meant before opset 13: all axes from its own on were one.
func flattenSoftmax(b *builder, n *node) error {
	if len(n.Input) != 1 || len(n.Output) != 1 {
		return unsupported(n, "needs one input and one output")
	}
	axis := n.attrInt("axis", 1)
	dropAttribute(n.NodeProto, "axis")
	n.Attribute = append(n.Attribute, intAttr("axis", -1))
	x, y := n.Input[0], n.Output[0]
	flat := b.op("Flatten", []string{x}, intAttr("axis", axis))
	soft := b.name("explain/" + n.GetOpType())
	b.nodes = append(b.nodes, &onnxpb.NodeProto{
		OpType: n.OpType, Name: n.Name, Input: []string{flat}, Output: []string{soft}, Attribute: n.Attribute,
	})
	dims := b.op("Shape", []string{x})
	b.add("Reshape", []string{soft, dims}, []string{y})
	n.OpType = nil // replaced by the above
	return nil
}

// upgradeResize writes the old Upsample and Resize, which sampled at x·scale, as Resize of opset 11.
func upgradeResize(b *builder, n *node) {
	scales := n.in(1)
	if a := dropAttribute(n.NodeProto, "scales"); a != nil {
		scales = b.floats([]int64{int64(len(a.Floats))}, a.Floats...)
	}
	n.OpType = proto.String("Resize")
	n.Input = []string{n.in(0), "", scales}
	n.Attribute = append(n.Attribute,
		stringAttr("coordinate_transformation_mode", "asymmetric"), stringAttr("nearest_mode", "floor"))
}
