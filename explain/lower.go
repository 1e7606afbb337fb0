package explain

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"endogate/explain/onnxpb"

	"google.golang.org/protobuf/proto"
)

// Bounds of what an operator may become.
const (
	mostSteps   = 512    // of a recurrent operator
	mostTurns   = 64     // of a Loop
	mostNodes   = 20_000 // of a graph by unrolling
	mostNesting = 8      // of branches in branches
)

// A lowering writes an operator as others that have rules. The text says why it cannot, where it cannot.
type lowering func(b *builder, n *node) (why string)

// lowerings are by node.kind.
var lowerings map[string]lowering

func init() {
	lowerings = map[string]lowering{
		"LSTM": lowerRecurrent, "GRU": lowerRecurrent, "RNN": lowerRecurrent, "Attention": lowerAttention, "If": lowerIf, "Loop": lowerLoop, "Scan": lowerScan,
		"LpPool": lowerLpPool, "GlobalLpPool": lowerLpPool, "ReduceProd": lowerReduceProd, "ReduceLogSum": lowerReduceLogSum, "RotaryEmbedding": lowerRotary,
		"Einsum": lowerEinsum, "GatherND": lowerGatherND, "TopK": lowerTopK, "GridSample": lowerGridSample, "DeformConv": lowerDeformConv, "AffineGrid": lowerAffineGrid,
		"Pow": lowerPower, "Compress": lowerCompress,
	}
	maps.Copy(lowerings, ownOperators)
	maps.Copy(lowerings, integerOperators)
	maps.Copy(lowerings, linearOperators)
}

// lower writes operators that are made of others out, so that the rules of those hold: recurrent ones step by step, attention as
// its products, branches and loops that do not depend on the picture as what they come to. It reports whether there were any.
func (g *graph) lower(up map[string]bool) bool {
	b, nodes, changed := newBuilder(g), []*node(nil), false
	g.refused = map[string]string{}
	for _, n := range g.nodes {
		b.nodes = nil
		f := lowerings[n.kind()]
		if f != nil && anyOf(up, n.Output) {
			if why := lowered(f, b, n); why != "" {
				g.refused[n.label()] = why
				b.nodes = nil
			}
		}
		if len(b.nodes) == 0 {
			nodes = append(nodes, n)
			continue
		}
		changed = true
		for _, p := range b.nodes {
			m := &node{NodeProto: p, opset: b.g.exported, from: n.exported()}
			if t := constantValue(m); t != nil {
				g.weights[t.GetName()], g.shapes[t.GetName()] = t, t.Dims
				continue
			}
			nodes = append(nodes, m)
		}
	}
	if !changed || len(nodes) > mostNodes+len(g.nodes) {
		return false
	}
	for _, t := range b.inits {
		g.weights[t.GetName()], g.shapes[t.GetName()] = t, t.Dims
	}
	for i, n := range nodes {
		n.index = i
		for _, out := range n.Output {
			if out != "" {
				g.producer[out], g.fresh[out] = n, true
			}
		}
	}
	g.nodes, g.varies, g.batched = nodes, nil, nil
	return true
}

// lowered runs a lowering, which takes for granted that a node is what its operator says.
func lowered(f lowering, b *builder, n *node) (why string) {
	defer func() {
		if r := recover(); r != nil {
			why = fmt.Sprint("malformed: ", r)
		}
	}()
	return f(b, n)
}

// named gives an output of the model's to a tensor.
func (b *builder) named(x, output string) {
	if output != "" {
		b.add("Identity", []string{x}, []string{output})
	}
}

// lowerIf takes the branch that a condition which is known chooses; of one that depends on the picture, both, and what the
// condition chooses of what they come to: the branches of an If have nothing but values.
func lowerIf(b *builder, n *node) string {
	c := b.g.constant(n.in(0))
	then, otherwise := attribute(n.NodeProto, "then_branch").GetG(), attribute(n.NodeProto, "else_branch").GetG()
	if c != nil && len(c.v) == 1 && !math.IsNaN(c.v[0]) {
		if c.v[0] != 0 {
			return b.inline(then, n, map[string]string{}, n.Output)
		}
		return b.inline(otherwise, n, map[string]string{}, n.Output)
	}
	var values [2][]string
	for i, branch := range []*onnxpb.GraphProto{then, otherwise} {
		for _, out := range n.Output {
			if out != "" {
				out = b.name(n.label() + "/" + out)
			}
			values[i] = append(values[i], out)
		}
		if why := b.inline(branch, n, map[string]string{}, values[i]); why != "" {
			return why
		}
	}
	for i, out := range n.Output {
		if out != "" {
			b.add("Where", []string{n.in(0), values[0][i], values[1][i]}, []string{out})
			b.g.alike = append(b.g.alike, alike{n, values[0][i], values[1][i]})
		}
	}
	return ""
}

// alike are what the branches of an If came to, which must be of one shape to be chosen from.
type alike struct {
	n               *node
	then, otherwise string
}

// chosenAlike says where branches are not.
func (g *graph) chosenAlike() error {
	for _, a := range g.alike {
		if !slices.Equal(g.shape(a.then), g.shape(a.otherwise)) {
			return unsupported(a.n, "its condition depends on the picture, and its branches come to other shapes")
		}
	}
	return nil
}

// inline writes the nodes of a subgraph, under new names where theirs are taken; inputs maps its inputs. Its outputs get the
// names of outputs, "" for one that nobody reads.
func (b *builder) inline(sub *onnxpb.GraphProto, n *node, inputs map[string]string, outputs []string) string {
	to := inputs
	if len(outputs) > len(sub.GetOutput()) {
		return "its branches have fewer outputs than it has"
	}
	for _, t := range sub.GetInitializer() {
		name := b.name(n.label() + "/" + t.GetName())
		to[t.GetName()] = name
		c := proto.CloneOf(t)
		c.Name = proto.String(name)
		b.g.weights[name], b.g.shapes[name] = c, c.Dims
	}
	for _, p := range sub.GetNode() {
		for _, out := range p.Output {
			if out != "" {
				to[out] = b.name(n.label() + "/" + out)
			}
		}
	}
	for _, p := range sub.GetNode() {
		c := renamed(p, to)
		c.Name = proto.String(b.name(n.label() + "/" + p.GetName()))
		b.nodes = append(b.nodes, c)
	}
	for i, out := range outputs {
		name := sub.Output[i].GetName()
		if as, ok := to[name]; ok {
			name = as
		}
		b.named(name, out)
	}
	return ""
}

// renamed is a node with other names for tensors, those that its subgraphs take from outside included.
func renamed(p *onnxpb.NodeProto, to map[string]string) *onnxpb.NodeProto {
	c := proto.CloneOf(p)
	rename := func(names []string) {
		for i, name := range names {
			if as, ok := to[name]; ok {
				names[i] = as
			}
		}
	}
	rename(c.Input)
	rename(c.Output)
	for _, a := range c.Attribute {
		for _, sub := range append(a.Graphs, a.G) {
			for i, inner := range sub.GetNode() {
				sub.Node[i] = renamed(inner, to)
			}
			for _, v := range sub.GetOutput() {
				if as, ok := to[v.GetName()]; ok {
					v.Name = proto.String(as)
				}
			}
		}
	}
	return c
}

// lowerLoop writes a loop out whose turns are known.
func lowerLoop(b *builder, n *node) string {
	body := attribute(n.NodeProto, "body").GetG()
	turns, ok := b.g.integers(n.in(0))
	carried := len(n.Input) - 2
	switch {
	case !ok || len(turns) != 1:
		return "its number of turns depends on the picture"
	case turns[0] < 1 || turns[0] > mostTurns || turns[0]*int64(len(body.GetNode())) > mostNodes:
		return fmt.Sprintf("it turns %d times: from 1 to %d can be written out", turns[0], mostTurns)
	case len(body.GetInput()) != carried+2 || len(n.Output) > len(body.GetOutput())-1 || len(body.GetOutput()) < carried+1:
		return "its body does not fit it"
	}
	if !b.always(n.in(1)) || !b.goesOn(body) {
		return "its condition depends on the picture"
	}
	state := n.Input[2:]
	scans := make([][]string, max(len(body.GetOutput())-1-carried, 0))
	for turn := range turns[0] {
		to := map[string]string{body.Input[0].GetName(): b.intScalar(turn), body.Input[1].GetName(): b.truth()}
		for i, v := range state {
			to[body.Input[2+i].GetName()] = v
		}
		outputs := make([]string, len(body.GetOutput()))
		for i := 1; i < len(outputs); i++ {
			outputs[i] = b.name(fmt.Sprintf("%s/turn%d/%s", n.label(), turn, body.Output[i].GetName()))
		}
		if why := b.inline(body, n, to, outputs); why != "" {
			return why
		}
		state = outputs[1 : 1+carried]
		for i := range scans {
			scans[i] = append(scans[i], b.op("Unsqueeze", []string{outputs[1+carried+i], b.ints(0)}))
		}
	}
	for i, out := range n.Output {
		if i < carried {
			b.named(state[i], out)
		} else if out != "" {
			b.add("Concat", scans[i-carried], []string{out}, intAttr("axis", 0))
		}
	}
	return ""
}

// truth is a constant true.
func (b *builder) truth() string {
	return b.constant("true", func(name string) *onnxpb.TensorProto {
		return &onnxpb.TensorProto{Name: proto.String(name), DataType: proto.Int32(int32(onnxpb.TensorProto_BOOL)), Int32Data: []int32{1}}
	})
}

// always reports whether a condition is left out or known to hold.
func (b *builder) always(name string) bool {
	c := b.g.constant(name)
	return name == "" || c != nil && len(c.v) == 1 && c.v[0] == 1
}

// goesOn reports whether a body's condition is the one that it gets, or a constant.
func (b *builder) goesOn(body *onnxpb.GraphProto) bool {
	name := body.Output[0].GetName()
	for range body.GetNode() {
		if name == body.Input[1].GetName() {
			return true
		}
		for _, t := range body.GetInitializer() {
			if t.GetName() == name {
				c := numbersOf(t)
				return c != nil && len(c.v) == 1 && c.v[0] == 1
			}
		}
		var made *onnxpb.NodeProto
		for _, p := range body.GetNode() {
			if len(p.Output) > 0 && p.Output[0] == name {
				made = p
			}
		}
		if made == nil {
			return b.always(name)
		}
		if t := constantValue(&node{NodeProto: made}); t != nil {
			c := numbersOf(t)
			return c != nil && len(c.v) == 1 && c.v[0] == 1
		}
		if typ := made.GetOpType(); typ != "Identity" && typ != "Cast" {
			return false
		}
		name = made.Input[0]
	}
	return false
}
