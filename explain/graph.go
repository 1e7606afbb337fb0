package explain

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"endogate/explain/onnxpb"

	"google.golang.org/protobuf/proto"
)

// graph is a model taken apart: nodes in topological order, constants by name.
type graph struct {
	model    *onnxpb.ModelProto
	exported int64 // operator set before the upgrade
	nodes    []*node
	producer map[string]*node
	weights  map[string]*onnxpb.TensorProto // initialisers, Constant nodes included
	inputs   []*onnxpb.ValueInfoProto       // without initialisers
	shapes   map[string][]int64             // one frame, as the probe saw them
	fresh    map[string]bool                // tensor names taken
	named    map[string]bool                // node names taken

	single bool // one frame and one seed a run
	apart  bool // large weights are left out of what is written
	parts  bool // see Options.Parts

	varies  map[string]bool     // see varying
	batched map[string]int      // see batch
	values  map[string]*numbers // see constant
	stated  TokenGrid
	failed  map[*node]error   // see failing
	alike   []alike           // see chosenAlike
	refused map[string]string // why an operator could not be written out, by its node
	placed  map[string]places // see placesOf
	lost    map[string]*node  // where the places of a tensor were lost
	grids   map[string]foundGrid

	coordinates map[string]bool  // tensors that say from where GridSample and DeformConv read
	convolved   map[string]*node // convolutions that lie where what was written out does
}

// parse reads a model, raises it to the operator set that the rules are written for and checks
// that its nodes are in order.
func parse(model []byte) (*graph, error) {
	m, err := unmarshal(model)
	if err != nil {
		return nil, fmt.Errorf("explain: not an ONNX model: %w", err)
	}
	if m.Graph == nil || len(m.Graph.Node) == 0 {
		return nil, errors.New("explain: the model has no graph")
	}
	flatten(m)
	widen(m)
	picturesInFloat32(m.Graph)
	g := &graph{
		model: m, producer: map[string]*node{}, weights: map[string]*onnxpb.TensorProto{},
		values: map[string]*numbers{}, shapes: map[string][]int64{}, fresh: map[string]bool{}, named: map[string]bool{},
	}
	for _, t := range m.Graph.Initializer {
		g.weights[t.GetName()] = t
	}
	for _, v := range m.Graph.Input { // before IR 4 an initialiser was an input as well
		if g.weights[v.GetName()] == nil {
			g.inputs = append(g.inputs, v)
		}
	}
	if len(g.inputs) == 0 {
		return nil, errors.New("explain: the model has no input")
	}
	g.exported = g.opsets()[""]
	if err := upgrade(g); err != nil {
		return nil, err
	}
	return g, g.link()
}

// link indexes the nodes; Constant nodes become initialisers.
func (g *graph) link() error {
	for _, v := range g.inputs {
		g.fresh[v.GetName()] = true
	}
	for name, t := range g.weights {
		g.fresh[name] = true
		g.shapes[name] = t.Dims
	}
	opset := g.opsets()
	for _, p := range g.model.Graph.Node {
		n := &node{NodeProto: p, index: len(g.nodes), opset: opset[p.GetDomain()]}
		if n.standard() { // errors are about the model as it is in its file
			n.opset = g.exported
		}
		if t := constantValue(n); t != nil {
			g.weights[t.GetName()] = t
			g.fresh[t.GetName()] = true
			g.shapes[t.GetName()] = t.Dims
			continue
		}
		g.named[p.GetName()] = true
		for _, in := range n.uses() {
			if in != "" && !g.fresh[in] {
				return fmt.Errorf("explain: node %q: input %q comes from nowhere or from a later node", n.label(), in)
			}
		}
		for _, out := range p.Output {
			if out == "" {
				continue
			}
			if g.fresh[out] {
				return fmt.Errorf("explain: node %q: tensor %q is made twice", n.label(), out)
			}
			g.fresh[out] = true
			g.producer[out] = n
		}
		g.nodes = append(g.nodes, n)
	}
	return nil
}

func (g *graph) opsets() map[string]int64 {
	v := map[string]int64{}
	for _, o := range g.model.OpsetImport {
		v[o.GetDomain()] = o.GetVersion()
	}
	if v[""] == 0 {
		v[""] = v["ai.onnx"]
	}
	return v
}

// uses names every tensor a node reads, those of its subgraphs included.
func (n *node) uses() []string {
	used := n.Input
	for _, a := range n.Attribute {
		for _, sub := range append(a.Graphs, a.G) {
			used = append(used[:len(used):len(used)], outer(sub)...)
		}
	}
	return used
}

// outer names the tensors that a subgraph takes from the graph around it.
func outer(sub *onnxpb.GraphProto) []string {
	own := map[string]bool{}
	for _, v := range sub.GetInput() {
		own[v.GetName()] = true
	}
	for _, t := range sub.GetInitializer() {
		own[t.GetName()] = true
	}
	var names []string
	for _, p := range sub.GetNode() {
		for _, in := range (&node{NodeProto: p}).uses() {
			if in != "" && !own[in] {
				names = append(names, in)
			}
		}
		for _, out := range p.Output {
			own[out] = true
		}
	}
	return names
}

// constantValue is the tensor of a Constant node, named after its output; nil for other nodes.
func constantValue(n *node) *onnxpb.TensorProto {
	if n.GetOpType() != "Constant" || !n.standard() || len(n.Output) != 1 || len(n.Attribute) != 1 {
		return nil
	}
	name, a := n.Output[0], n.Attribute[0]
	switch a.GetName() {
	case "value":
		if a.T == nil {
			return nil
		}
		t := proto.CloneOf(a.T)
		t.Name = proto.String(name)
		return t
	case "value_int":
		return intTensor(name, nil, a.GetI())
	case "value_ints":
		return intTensor(name, []int64{int64(len(a.Ints))}, a.Ints...)
	case "value_float":
		return floatTensor(name, nil, a.GetF())
	case "value_floats":
		return floatTensor(name, []int64{int64(len(a.Floats))}, a.Floats...)
	}
	return nil
}

func intTensor(name string, dims []int64, v ...int64) *onnxpb.TensorProto {
	return &onnxpb.TensorProto{
		Name: proto.String(name), Dims: dims, DataType: proto.Int32(int32(onnxpb.TensorProto_INT64)), Int64Data: v,
	}
}

func floatTensor(name string, dims []int64, v ...float32) *onnxpb.TensorProto {
	return &onnxpb.TensorProto{
		Name: proto.String(name), Dims: dims, DataType: proto.Int32(int32(onnxpb.TensorProto_FLOAT)), FloatData: v,
	}
}

// ints is the value of a constant tensor of int64.
func (g *graph) ints(name string) ([]int64, bool) {
	t := g.weights[name]
	if t == nil || t.GetDataType() != int32(onnxpb.TensorProto_INT64) {
		return nil, false
	}
	if len(t.RawData) == 0 {
		return t.Int64Data, true
	}
	v := make([]int64, len(t.RawData)/8)
	for i := range v {
		for b := 7; b >= 0; b-- {
			v[i] = v[i]<<8 | int64(t.RawData[8*i+b])
		}
	}
	return v, true
}

// float is the value of a constant tensor of one float32.
func (g *graph) float(name string) (float32, bool) {
	t := g.weights[name]
	switch {
	case t == nil || t.GetDataType() != int32(onnxpb.TensorProto_FLOAT) || size(t.Dims) != 1:
		return 0, false
	case len(t.RawData) == 4:
		return math.Float32frombits(binary.LittleEndian.Uint32(t.RawData)), true
	case len(t.FloatData) == 1:
		return t.FloatData[0], true
	}
	return 0, false
}

// shape is that of a tensor for one frame; nil where it was not learnt.
func (g *graph) shape(name string) []int64 { return g.shapes[name] }

// size multiplies dimensions; 0 where it would not fit.
func size(dims []int64) int64 {
	n := int64(1)
	for _, d := range dims {
		if d < 0 || (d > 0 && n > math.MaxInt32*1024/d) {
			return 0
		}
		n *= d
	}
	return n
}

// varying is the set of tensors that depend on the model's inputs.
func (g *graph) varying() map[string]bool {
	if g.varies != nil {
		return g.varies
	}
	v := map[string]bool{}
	g.varies = v
	for _, in := range g.inputs {
		v[in.GetName()] = true
	}
	for _, n := range g.nodes {
		if anyOf(v, n.uses()) {
			for _, out := range n.Output {
				v[out] = true
			}
		}
	}
	return v
}

// oneFrame reports whether the model's batch is fixed at one.
func (g *graph) oneFrame() bool {
	dims := g.inputs[0].GetType().GetTensorType().GetShape().GetDim()
	return len(dims) > 0 && dims[0].GetDimValue() == 1
}

// closeBatch fixes the open batch of every input at one.
func (g *graph) closeBatch() {
	g.single = true
	for i, v := range g.inputs {
		dims := v.GetType().GetTensorType().GetShape().GetDim()
		if len(dims) > 0 && dims[0].GetDimValue() <= 0 {
			g.inputs[i] = proto.CloneOf(v)
			one := &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: 1}
			g.inputs[i].GetType().GetTensorType().Shape.Dim[0] = &onnxpb.TensorShapeProto_Dimension{Value: one}
		}
	}
}

// seeds is the declared number of seeds; -1 where it is open.
func (g *graph) seeds() int64 {
	if g.single && g.oneFrame() {
		return 1
	}
	return -1
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
