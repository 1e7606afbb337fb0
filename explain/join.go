package explain

import (
	"fmt"

	"endogate/explain/onnxpb"

	"google.golang.org/protobuf/proto"
)

// Join makes one network over clips N×T×C×H×W of an encoder of single frames N×C×H×W and a head that looks across T embeddings N×T×D: every
// frame goes through the encoder, and the gradient of the head's answer through both. The embedding of a null frame, whose values are all
// zero, is zero. The input and the layers keep the names that the encoder has for them, outputs those of the head.
func Join(encoder, head []byte, frames int) ([]byte, error) {
	e, err := parse(encoder)
	if err != nil {
		return nil, fmt.Errorf("the encoder: %w", err)
	}
	h, err := parse(head)
	if err != nil {
		return nil, fmt.Errorf("the head: %w", err)
	}
	j := &joint{e: e, h: h, frames: int64(frames)}
	if err := j.check(); err != nil {
		return nil, err
	}
	return j.graph()
}

// joint is two networks on their way to one.
type joint struct {
	e, h                  *graph
	frames                int64
	frame                 []int64 // C, H, W
	embedding             int64   // D
	input, output, across string  // the encoder's ports, and the head's input
}

// check finds what the parts must have in common.
func (j *joint) check() error {
	if len(j.e.inputs) != 1 || len(j.h.inputs) != 1 || len(j.e.model.Graph.Output) != 1 {
		return fmt.Errorf("explain: the encoder has %d inputs and %d outputs, the head %d inputs: each must have one", len(j.e.inputs), len(j.e.model.Graph.Output), len(j.h.inputs))
	}
	if a, b := j.e.opsets(), j.h.opsets(); a[""] != b[""] {
		return fmt.Errorf("explain: the encoder is of operator set %d, the head of %d: export both with the same", j.e.exported, j.h.exported)
	}
	in, out, across := j.e.inputs[0], j.e.model.Graph.Output[0], j.h.inputs[0]
	const float = int32(onnxpb.TensorProto_FLOAT)
	for what, v := range map[string]*onnxpb.ValueInfoProto{"the encoder's input": in, "the head's input": across} {
		if v.GetType().GetTensorType().GetElemType() != float {
			return fmt.Errorf("explain: %s is of ONNX type %d; a network of two parts takes float32 (1)", what, v.GetType().GetTensorType().GetElemType())
		}
	}
	frame, embedding, window := declaredShape(in), declaredShape(out), declaredShape(across)
	switch {
	case len(frame) != 4 || frame[0] >= 0 || size(frame[1:]) < 1:
		return fmt.Errorf("explain: the encoder's input is %v: it must be frames, with an open batch (-1) and fixed colours, rows and columns", frame)
	case len(window) != 3 || window[1] >= 0 && window[1] != j.frames:
		return fmt.Errorf("explain: the head's input is %v: it must be embeddings of %d frames, batch×frames×values", window, j.frames)
	}
	j.frame, j.embedding = frame[1:], window[2]
	if j.embedding < 0 && len(embedding) > 1 {
		j.embedding = embedding[1]
	}
	if j.embedding < 1 || len(embedding) > 1 && embedding[1] > 0 && embedding[1] != j.embedding {
		return fmt.Errorf("explain: the encoder gives %v, the head takes %v: the values of an embedding must be as many, and fixed in one of them", embedding, window)
	}
	j.input, j.output, j.across = in.GetName(), out.GetName(), across.GetName()
	return nil
}

// graph writes both, with what leads from clip to frames and from frames to windows between them.
func (j *joint) graph() ([]byte, error) {
	taken := map[string]bool{j.input: true}
	outputs := map[string]bool{}
	for _, v := range j.h.model.Graph.Output {
		outputs[v.GetName()] = true
	}
	if outputs[j.input] {
		return nil, fmt.Errorf("explain: the encoder's input and an output of the head are both called %q: rename one", j.input)
	}
	unique := func(prefix, name string) string {
		for taken[name] {
			name = prefix + name
		}
		taken[name] = true
		return name
	}
	for name := range outputs {
		taken[name] = true
	}
	frames, window := unique("join/", "join/frames"), unique("join/", "join/window")
	ofEncoder := renamer(map[string]string{j.input: frames}, func(name string) string { return unique("encoder/", name) })
	nodes, weights := j.e.renamed(ofEncoder)
	known := map[string]string{j.across: window}
	for name := range outputs {
		known[name] = name
	}
	later, others := j.h.renamed(renamer(known, func(name string) string { return unique("head/", name) }))
	for _, n := range later {
		n.Name = proto.String("head/" + n.GetName()) // layers are found by their nodes
	}

	add := func(typ string, in []string, out string, attrs ...*onnxpb.AttributeProto) string {
		nodes = append(nodes, &onnxpb.NodeProto{OpType: proto.String(typ), Name: proto.String(out), Input: in, Output: []string{out}, Attribute: attrs})
		return out
	}
	constant := func(t *onnxpb.TensorProto) string {
		weights = append(weights, t)
		return t.GetName()
	}
	vector := func(name string, v ...int64) string {
		return constant(intTensor(unique("join/", name), []int64{int64(len(v))}, v...))
	}
	begin := &onnxpb.NodeProto{
		OpType: proto.String("Reshape"), Name: proto.String(frames), Output: []string{frames},
		Input: []string{j.input, vector("join/frame", append([]int64{-1}, j.frame...)...)},
	}
	nodes = append([]*onnxpb.NodeProto{begin}, nodes...)
	embeddings := add("Reshape", []string{ofEncoder(j.output), vector("join/embedding", -1, j.frames, j.embedding)}, unique("join/", "join/embeddings"))
	flat := add("Reshape", []string{j.input, vector("join/flat", -1, j.frames, size(j.frame))}, unique("join/", "join/values"))
	sum := add("ReduceSum", []string{add("Abs", []string{flat}, unique("join/", "join/sizes")), vector("join/axis", 2)}, unique("join/", "join/sum"), intAttr("keepdims", 1))
	there := add("Greater", []string{sum, constant(floatTensor(unique("join/", "join/zero"), nil, 0))}, unique("join/", "join/there"))
	mask := add("Cast", []string{there}, unique("join/", "join/mask"), intAttr("to", int64(onnxpb.TensorProto_FLOAT)))
	add("Mul", []string{embeddings, mask}, window)

	gp := &onnxpb.GraphProto{
		Name: proto.String("clip"), Node: append(nodes, later...), Initializer: append(weights, others...), Output: j.h.model.Graph.Output,
		Input: []*onnxpb.ValueInfoProto{valueInfo(j.input, int32(onnxpb.TensorProto_FLOAT), append([]int64{-1, j.frames}, j.frame...))},
	}
	domains := j.e.opsets()
	for _, o := range j.h.model.OpsetImport { // those of a head that the encoder has none of
		if _, ok := domains[o.GetDomain()]; !ok {
			j.e.model.OpsetImport = append(j.e.model.OpsetImport, o)
		}
	}
	return j.e.marshal(gp)
}

// renamer gives every name another one, the same every time.
func renamer(known map[string]string, fresh func(name string) string) func(string) string {
	return func(name string) string {
		if name == "" {
			return ""
		}
		if _, ok := known[name]; !ok {
			known[name] = fresh(name)
		}
		return known[name]
	}
}

// renamed are copies of nodes and weights with other names.
func (g *graph) renamed(to func(string) string) (nodes []*onnxpb.NodeProto, weights []*onnxpb.TensorProto) {
	for _, name := range sortedKeys(g.weights) {
		t := g.weights[name]
		weights = append(weights, &onnxpb.TensorProto{
			Name: proto.String(to(name)), Dims: t.Dims, DataType: t.DataType, RawData: t.RawData, FloatData: t.FloatData, Int32Data: t.Int32Data,
			Int64Data: t.Int64Data, DoubleData: t.DoubleData, Uint64Data: t.Uint64Data, StringData: t.StringData,
		})
	}
	for _, n := range g.nodes {
		p := proto.CloneOf(n.NodeProto)
		renameNode(p, to)
		nodes = append(nodes, p)
	}
	return nodes, weights
}

// renameNode renames what a node reads and makes, in its subgraphs too.
func renameNode(p *onnxpb.NodeProto, to func(string) string) {
	for i, name := range p.Input {
		p.Input[i] = to(name)
	}
	for i, name := range p.Output {
		p.Output[i] = to(name)
	}
	for _, a := range p.Attribute {
		for _, sub := range append(a.Graphs, a.G) {
			if sub == nil {
				continue
			}
			for _, v := range append(sub.Input, sub.Output...) {
				v.Name = proto.String(to(v.GetName()))
			}
			for _, t := range sub.Initializer {
				t.Name = proto.String(to(t.GetName()))
			}
			for _, n := range sub.Node {
				renameNode(n, to)
			}
		}
	}
}
