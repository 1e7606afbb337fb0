package explain

import (
	"endogate/explain/onnxpb"

	"google.golang.org/protobuf/proto"
)

// node is a NodeProto with its place in the graph.
type node struct {
	*onnxpb.NodeProto
	index int
	opset int64 // of the node's domain
	from  *node // of the model, which it was written out from
}

// exported is the node as whoever exported the model knows it.
func (n *node) exported() *node {
	if n.from != nil {
		return n.from
	}
	return n
}

func (n *node) label() string {
	if n.GetName() != "" || len(n.Output) == 0 {
		return n.GetName()
	}
	return n.Output[0]
}

// standard reports whether the node is of the ONNX standard's own domain.
func (n *node) standard() bool { return n.GetDomain() == "" || n.GetDomain() == "ai.onnx" }

// in is the name of the i-th input, "" where it is left out.
func (n *node) in(i int) string {
	if i < len(n.Input) {
		return n.Input[i]
	}
	return ""
}

// out is the name of the i-th output, "" where it is left out.
func (n *node) out(i int) string {
	if i < len(n.Output) {
		return n.Output[i]
	}
	return ""
}

func attribute(n *onnxpb.NodeProto, name string) *onnxpb.AttributeProto {
	for _, a := range n.Attribute {
		if a.GetName() == name {
			return a
		}
	}
	return nil
}

func dropAttribute(n *onnxpb.NodeProto, name string) *onnxpb.AttributeProto {
	for i, a := range n.Attribute {
		if a.GetName() == name {
			n.Attribute = append(n.Attribute[:i:i], n.Attribute[i+1:]...)
			return a
		}
	}
	return nil
}

func (n *node) attrInt(name string, def int64) int64 {
	if a := attribute(n.NodeProto, name); a != nil {
		return a.GetI()
	}
	return def
}

func (n *node) attrFloat(name string, def float32) float32 {
	if a := attribute(n.NodeProto, name); a != nil {
		return a.GetF()
	}
	return def
}

func (n *node) attrString(name, def string) string {
	if a := attribute(n.NodeProto, name); a != nil {
		return string(a.GetS())
	}
	return def
}

// attrInts is a list attribute of exactly count numbers; def fills it where it is absent.
func (n *node) attrInts(name string, count int, def int64) ([]int64, error) {
	a := attribute(n.NodeProto, name)
	if a == nil || len(a.Ints) == 0 {
		v := make([]int64, count)
		for i := range v {
			v[i] = def
		}
		return v, nil
	}
	if len(a.Ints) != count {
		return nil, unsupported(n, "attribute "+name+" has a wrong length")
	}
	return a.Ints, nil
}

func intAttr(name string, v int64) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: proto.String(name), Type: onnxpb.AttributeProto_INT.Enum(), I: proto.Int64(v)}
}

func floatAttr(name string, v float32) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: proto.String(name), Type: onnxpb.AttributeProto_FLOAT.Enum(), F: proto.Float32(v)}
}

func stringAttr(name, v string) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: proto.String(name), Type: onnxpb.AttributeProto_STRING.Enum(), S: []byte(v)}
}

func intsAttr(name string, v ...int64) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: proto.String(name), Type: onnxpb.AttributeProto_INTS.Enum(), Ints: v}
}
