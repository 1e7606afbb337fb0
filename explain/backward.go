package explain

import (
	"fmt"
	"slices"

	"endogate/explain/onnxpb"

	"google.golang.org/protobuf/proto"
)

// walk is one reverse-mode differentiation: from the logits down to the targets and no further.
type walk struct {
	*builder
	on      map[string]bool // tensors between the targets and the logits, both included
	targets map[string]bool
	grads   map[string][]string // gradients that have arrived at a tensor, still to be added

	// what is known of gradients, to save work
	sparse map[string]bool   // has a column for each class, nearly all of them zero
	gated  map[string]string // the same gradient, zero already where the Relu that it arrives at was zero

	split map[string]*split // the same gradient in phases

	variant variant
	alias   map[string]string // tensors that stand for one of the model's
	twins   map[string]string // the model's tensors for the baseline

	compiled *Compiled // to be told of further inputs
}

func newWalk(b *builder) *walk {
	return &walk{
		builder: b, sparse: map[string]bool{}, gated: map[string]string{}, split: map[string]*split{},
		variant: plain, alias: map[string]string{}, twins: map[string]string{},
	}
}

// wants reports whether the gradient of a tensor is needed.
func (w *walk) wants(tensor string) bool {
	return tensor != "" && (w.on[tensor] || w.on[w.alias[tensor]])
}

// varying reports whether a tensor depends on the model's inputs.
func (w *walk) varying(tensor string) bool { return w.g.varying()[tensor] }

// rule finds the rule for a node: the variant's, or the table's.
func (w *walk) rule(n *node) (rule, bool) {
	op, ok := n.known()
	if !ok || op.vjp == nil {
		return nil, false
	}
	if r, ok := w.variant.rules[n.GetOpType()]; ok {
		return r, true
	}
	if w.variant.other != nil {
		return w.variant.other, true
	}
	return op.vjp, true
}

// reshapeLike gives a gradient the shape of a tensor of the model, whatever the batch.
func (w *walk) reshapeLike(x, tensor string) string {
	to := slices.Clone(w.shape(tensor))
	if at, ok := w.g.batch()[tensor]; ok && w.g.seeds() != 1 {
		to[at] = -1
	}
	return w.op("Reshape", []string{x, w.ints(to...)})
}

// expandLike broadcasts a gradient to the shape of a tensor of the model, whatever the batch.
func (w *walk) expandLike(x, tensor string) string {
	to := slices.Clone(w.shape(tensor))
	if at, ok := w.g.batch()[tensor]; ok && w.g.seeds() != 1 {
		to[at] = 1 // broadcast: whatever x has stays
	}
	return w.op("Expand", []string{x, w.ints(to...)})
}

// shape is that of a tensor of the model for one frame.
func (w *walk) shape(tensor string) []int64 { return w.g.shape(tensor) }

// between is the set of tensors through which a gradient flows from the output to the targets.
func (g *graph) between(targets []string, output string) map[string]bool {
	down := map[string]bool{}
	for _, t := range targets {
		down[t] = true
	}
	for _, n := range g.nodes {
		if anyOf(down, n.differentiable()) {
			for i, out := range n.Output {
				if i == 0 || !counts[n.GetOpType()] {
					down[out] = true
				}
			}
		}
	}
	up := g.leadingTo(output)
	for t := range down {
		if !up[t] || t == "" {
			delete(down, t)
		}
	}
	return down
}

// counts are the operators whose outputs behind the first are places, which have no slope.
var counts = map[string]bool{"TopK": true, "MaxPool": true, "Unique": true}

// leadingTo is the set of tensors that a gradient from the output reaches.
func (g *graph) leadingTo(output string) map[string]bool {
	up := map[string]bool{output: true}
	for i := len(g.nodes) - 1; i >= 0; i-- {
		if n := g.nodes[i]; anyOf(up, n.Output) {
			for _, in := range n.differentiable() {
				up[in] = true
			}
		}
	}
	return up
}

// region lists the nodes a gradient has to pass, in the order of the graph.
func (g *graph) region(on map[string]bool) []*node {
	var nodes []*node
	for _, n := range g.nodes {
		if anyOf(on, n.Output) && anyOf(on, n.differentiable()) {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// backward differentiates output, whose gradient is seed, and returns the targets' gradients.
func (w *walk) backward(output, seed string, targets []string) ([]string, error) {
	w.on = w.g.between(targets, output)
	w.targets = map[string]bool{}
	for _, t := range targets {
		w.targets[t] = true
	}
	w.grads = map[string][]string{output: {seed}}
	nodes := w.g.region(w.on)
	for i := len(nodes) - 1; i >= 0; i-- {
		if err := w.step(nodes[i]); err != nil {
			return nil, err
		}
	}
	grads := make([]string, len(targets))
	for i, t := range targets {
		grads[i] = w.gradient(t)
		if grads[i] == "" {
			return nil, fmt.Errorf("explain: no gradient reaches %s%s", t, w.g.cutOff(output))
		}
	}
	return grads, nil
}

// cutOff names what rounds or compares on the way to an output.
func (g *graph) cutOff(output string) string {
	up := g.leadingTo(output)
	for _, n := range slices.Backward(g.nodes) {
		if anyOf(up, n.Output) && len(n.differentiable()) == 0 && g.varying()[n.out(0)] {
			return fmt.Sprintf(": node %q (%s) has no slope", n.label(), n.GetOpType())
		}
	}
	return ""
}

// step passes the gradients of a node's outputs on to its inputs.
func (w *walk) step(n *node) error {
	n = w.clip(n)
	vjp, ok := w.rule(n)
	if !ok {
		return w.g.without(n)
	}
	if err := w.shapesKnown(n); err != nil {
		return err
	}
	dy := make([]string, len(n.Output))
	arrived := false
	for i, out := range n.Output {
		dy[i] = w.gradient(out)
		arrived = arrived || dy[i] != ""
	}
	if !arrived {
		return nil
	}
	dx, err := apply(vjp, w, n, dy)
	if err != nil {
		return err
	}
	for i, grad := range dx {
		if grad != "" && w.wants(n.Input[i]) {
			w.grads[n.Input[i]] = append(w.grads[n.Input[i]], grad)
		}
	}
	return nil
}

// clip reads a Min or a Max with a constant as the Clip that it is, so that the rules of activations hold.
func (w *walk) clip(n *node) *node {
	typ := n.GetOpType()
	if !n.standard() || (typ != "Min" && typ != "Max") || len(n.Input) != 2 || len(n.Output) != 1 {
		return n
	}
	for i, bound := range n.Input {
		if _, ok := w.g.float(bound); !ok || !slices.Equal(w.shape(n.Input[1-i]), w.shape(n.Output[0])) {
			continue
		}
		inputs := []string{n.Input[1-i], bound, ""}
		if typ == "Min" {
			inputs[1], inputs[2] = "", bound
		}
		return &node{NodeProto: &onnxpb.NodeProto{OpType: proto.String("Clip"), Name: n.Name, Input: inputs, Output: n.Output}, index: n.index, opset: n.opset}
	}
	return n
}

// apply runs a rule. A rule takes for granted that a node has the inputs, ranks and attributes of its
// operator; a model for which that is not so contradicts itself and is refused, not a reason to stop the program.
func apply(vjp rule, w *walk, n *node, dy []string) (dx []string, err error) {
	defer func() {
		if r := recover(); r != nil {
			dx, err = nil, unsupported(n, fmt.Sprint("malformed: ", r))
		}
	}()
	return vjp(w, n, dy)
}

// shapesKnown guards the rules: each finds the shapes of what it reads.
func (w *walk) shapesKnown(n *node) error {
	if len(n.Input) == 0 || len(n.Output) == 0 {
		return unsupported(n, "has no input or no output")
	}
	for _, t := range append(n.Input[:len(n.Input):len(n.Input)], n.Output[0]) {
		if t != "" && w.shape(t) == nil && w.g.weights[t] == nil {
			return unsupported(n, "the shape of "+t+" is unknown")
		}
	}
	return nil
}

// gradient is the sum of what has arrived at a tensor, "" where nothing has.
func (w *walk) gradient(tensor string) string {
	arrived := w.grads[tensor]
	if len(arrived) > 1 {
		sum := arrived[0]
		for _, g := range arrived[1:] {
			sum = w.plus(sum, g)
		}
		w.sumMean(sum, arrived)
		arrived = []string{sum}
		w.grads[tensor] = arrived
	}
	if len(arrived) == 0 {
		return ""
	}
	return arrived[0]
}
