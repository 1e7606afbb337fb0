package explain

import (
	"fmt"

	"endogate/explain/onnxpb"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// flatten makes what stands in a model in a roundabout way plain: local functions as their nodes, sparse weights as dense ones,
// sequences and optional values whose parts are known as those parts, nodes in their order.
func flatten(m *onnxpb.ModelProto) {
	inOrder(m.Graph)
	dense(m.Graph, mostDense)
	f := functions{model: m, taken: map[string]bool{}}
	f.inline()
	sequences(m.Graph, m.OpsetImport)
}

// inOrder puts nodes behind those whose results they read, which the standard wants and runtimes can do without.
func inOrder(gp *onnxpb.GraphProto) {
	by, done := map[string]int{}, make([]bool, len(gp.GetNode()))
	for i, p := range gp.GetNode() {
		for _, out := range p.Output {
			by[out] = i
		}
	}
	var ordered []*onnxpb.NodeProto
	var add func(i int)
	add = func(i int) {
		if done[i] {
			return
		}
		done[i] = true
		for _, in := range (&node{NodeProto: gp.Node[i]}).uses() {
			if before, ok := by[in]; ok && in != "" {
				add(before)
			}
		}
		ordered = append(ordered, gp.Node[i])
	}
	for i := range gp.GetNode() {
		add(i)
	}
	if gp != nil {
		gp.Node = ordered
	}
}

// mostWritten is how many bytes the functions of a model may become where they are called.
const mostWritten = 1 << 28

// functions are a model's own operators.
type functions struct {
	model *onnxpb.ModelProto
	taken map[string]bool // names of tensors
	nodes int
	bytes int  // of what was written out, at most
	left  bool // some could not be written out
}

// inline writes calls out as the nodes of their functions. One that is of another operator set than the model stays, as do
// calls beyond the bounds of what is written out.
func (f *functions) inline() {
	if len(f.model.Functions) == 0 {
		return
	}
	note := func(names []string) {
		for _, name := range names {
			f.taken[name] = true
		}
	}
	for _, p := range f.model.Graph.GetNode() {
		note(p.Input)
		note(p.Output)
	}
	f.model.Graph.Node = f.expanded(f.model.Graph.GetNode(), mostNesting)
	if !f.left {
		f.model.Functions = nil
	}
}

// expanded writes the calls among nodes out, to a depth.
func (f *functions) expanded(nodes []*onnxpb.NodeProto, depth int) []*onnxpb.NodeProto {
	var out []*onnxpb.NodeProto
	for _, p := range nodes {
		for _, a := range p.Attribute {
			for _, sub := range append(a.Graphs[:len(a.Graphs):len(a.Graphs)], a.G) {
				if sub != nil {
					sub.Node = f.expanded(sub.Node, depth)
				}
			}
		}
		body := f.called(p)
		if body == nil {
			out = append(out, p)
			continue
		}
		f.nodes += len(body.Node)
		f.bytes += proto.Size(body) + len(body.Node)*proto.Size(p) // its attributes may go to each
		if depth == 0 || f.nodes > mostNodes || f.bytes > mostWritten {
			f.left = true
			out = append(out, p)
			continue
		}
		out = append(out, f.expanded(f.written(p, body), depth-1)...)
	}
	return out
}

// called is the function that a node calls, nil for an operator. Functions of one name, which newer files tell apart by overload, stay.
func (f *functions) called(p *onnxpb.NodeProto) *onnxpb.FunctionProto {
	var found *onnxpb.FunctionProto
	for _, body := range f.model.Functions {
		if body.GetName() != p.GetOpType() || body.GetDomain() != p.GetDomain() {
			continue
		}
		if found != nil || !f.sameOperators(body) {
			f.left = true
			return nil
		}
		found = body
	}
	return found
}

// sameOperators reports whether a function is of the model's own operator sets.
func (f *functions) sameOperators(body *onnxpb.FunctionProto) bool {
	for _, o := range body.OpsetImport {
		for _, own := range f.model.OpsetImport {
			if o.GetDomain() == own.GetDomain() && o.GetVersion() != own.GetVersion() {
				return false
			}
		}
	}
	return true
}

// written are the nodes of a function with the tensors and attributes of one call.
func (f *functions) written(call *onnxpb.NodeProto, body *onnxpb.FunctionProto) []*onnxpb.NodeProto {
	label := (&node{NodeProto: call}).label()
	to := map[string]string{}
	for _, p := range body.GetNode() {
		for _, out := range p.Output {
			if out != "" {
				to[out] = f.name(label + "/" + out)
			}
		}
	}
	for i, name := range body.GetInput() {
		to[name] = (&node{NodeProto: call}).in(i)
	}
	for i, name := range body.GetOutput() {
		if as := (&node{NodeProto: call}).out(i); as != "" {
			to[name] = as
		}
	}
	var nodes []*onnxpb.NodeProto
	defaults := defaultsOf(body)
	for _, p := range body.GetNode() {
		c := renamed(p, to)
		c.Name = proto.String(label + "/" + (&node{NodeProto: p}).label())
		given(c, call, defaults)
		nodes = append(nodes, c)
	}
	return nodes
}

// functionDefaults is the field of a function that has defaults of its attributes, in files of IR version 9 on.
const functionDefaults protowire.Number = 11

func defaultsOf(body *onnxpb.FunctionProto) (defaults []*onnxpb.AttributeProto) {
	_, err := edit(body.ProtoReflect().GetUnknown(), functionDefaults, func(value []byte) ([]byte, error) {
		a := &onnxpb.AttributeProto{}
		err := proto.Unmarshal(value, a)
		defaults = append(defaults, a)
		return nil, err
	})
	if err != nil {
		return nil
	}
	return defaults
}

// given replaces attributes that a function refers to by those of its call, or by defaults.
func given(p, call *onnxpb.NodeProto, defaults []*onnxpb.AttributeProto) {
	var kept []*onnxpb.AttributeProto
	for _, a := range p.Attribute {
		for _, sub := range append(a.Graphs[:len(a.Graphs):len(a.Graphs)], a.G) {
			for _, inner := range sub.GetNode() {
				given(inner, call, defaults)
			}
		}
		if a.GetRefAttrName() == "" {
			kept = append(kept, a)
			continue
		}
		value := attribute(call, a.GetRefAttrName())
		for _, def := range defaults {
			if value == nil && def.GetName() == a.GetRefAttrName() {
				value = def
			}
		}
		if value != nil { // else the operator's own default
			c := proto.CloneOf(value)
			c.Name = a.Name
			kept = append(kept, c)
		}
	}
	p.Attribute = kept
}

// name is want, or want with a number that nothing has.
func (f *functions) name(want string) string {
	name := want
	for i := 1; f.taken[name]; i++ {
		name = fmt.Sprintf("%s_%d", want, i)
	}
	f.taken[name] = true
	return name
}
