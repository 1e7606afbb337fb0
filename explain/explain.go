package explain

import (
	"errors"
	"fmt"
	"slices"

	"endogate/explain/onnxpb"
)

// Options says what to compile.
type Options struct {
	// Targets are what to make; without any, the logits alone.
	Targets []Target
	// Output is the classifier's output; the default is the model's first.
	Output string
	// FromOutput starts at the output itself, where the default is the logits before a final softmax or sigmoid.
	FromOutput bool
	// Parts says that the output is of many places, as boxes and masks are: the logits are laid out as it is, also where a softmax or sigmoid
	// makes only a part of it, and "last" is the last layer of each branch before the convolution that makes the values.
	Parts bool
	// Single compiles for one frame and one seed a run. ONNX Runtime then knows all shapes and keeps its blocked
	// layout through the gradient, which is faster (a fifth of the backward pass); ManySeeds is then false.
	Single bool
	// WeightsApart leaves large weights out of ONNX, which then refers to them as external data in WeightsFile: no
	// second copy of them is made.
	WeightsApart bool
	// InputShape closes axes of the first input that the model leaves open, batch included.
	InputShape []int64
	// Grid says how tokens lie in the picture where the graph does not tell.
	Grid TokenGrid
	// Probe runs the model once to learn its shapes. It is needed.
	Probe Probe
}

// Compiled is a model that explains itself. Its inputs are the model's own, the seed and what the methods need
// besides. The seed, S×Classes, says what to differentiate, as weights of the logits: one-hot for one class, 1 and -1
// for the contrast of two. S is N, the batch of the input; with ManySeeds it may be anything where N is one, so that
// many classes of a frame cost one forward pass.
type Compiled struct {
	ONNX       []byte
	Weights    []Weight // with WeightsApart: what ONNX lacks, by offset; their bytes are the model's
	InputName  string   // the picture
	InputShape []int64  // as declared; -1 where open
	InputType  int32    // ONNX's number of its elements
	SeedName   string   // S×Classes, float32
	OutputName string   // the model's own output
	LogitsName string   // N×Classes, before a final softmax or sigmoid
	Classes    int
	ManySeeds  bool
	Maps       []Output // of Options.Targets, in their order; several for a target of several layers

	// Inputs that some methods need, "" where none does, each shaped as one input (a batch of one): what DeepLIFT
	// compares with, and the least and greatest values that a pixel can have (LRP-αβ).
	BaselineName, LowName, HighName string
}

// Compile differentiates a model. An operator without a rule between the layer and the logits gives an
// *UnsupportedError; ErrNoLayer says that there is no such layer.
func Compile(model []byte, o Options) (*Compiled, error) {
	g, h, err := open(model, o)
	if err != nil {
		return nil, err
	}
	b := newBuilder(g)
	c := &compiler{builder: b, head: h, compiled: &Compiled{
		InputName: g.inputs[0].GetName(), InputShape: declaredShape(g.inputs[0]), InputType: g.inputs[0].GetType().GetTensorType().GetElemType(), OutputName: h.output, SeedName: b.name("seed"),
	}}
	if err := c.seedLogits(); err != nil {
		return nil, err
	}
	if c.compiled.Maps, err = c.maps(o.Targets); err != nil {
		return nil, err
	}
	c.compiled.ManySeeds = !o.Single && !c.framed && c.manySeeds()
	c.compiled.ONNX, err = c.assemble()
	return c.compiled, err
}

// manySeeds reports whether everything the gradient reads of the forward pass has a batch axis of its own,
// and so is broadcast over the seeds.
func (c *compiler) manySeeds() bool {
	varying := c.g.varying()
	for _, n := range c.nodes {
		if typ := n.GetOpType(); typ == "CastLike" || typ == "Shape" {
			continue // reads no values
		}
		for _, in := range n.Input {
			if dims := c.g.shape(in); varying[in] && len(dims) > 0 && dims[0] != 1 {
				return false
			}
		}
	}
	return true
}

// seedLogits declares the logits and shapes the seed like them.
func (c *compiler) seedLogits() error {
	dims := c.g.shape(c.head.logits)
	if slices.Contains(dims, 0) {
		return fmt.Errorf("explain: output %q has shape %v where the picture is empty: how many values it has depends on the picture, so that there is no gradient of them", c.head.output, dims)
	}
	if len(dims) < 1 || size(dims[1:]) < 1 || dims[0] != c.g.shape(c.compiled.InputName)[0] {
		return fmt.Errorf("explain: output %q has shape %v: not one row of classes a frame", c.head.output, dims)
	}
	c.compiled.Classes = int(size(dims[1:]))
	c.compiled.LogitsName, c.seed = c.head.logits, c.compiled.SeedName
	if len(dims) != 2 {
		c.compiled.LogitsName = c.reshape(c.head.logits, -1, int64(c.compiled.Classes))
		c.seed = c.reshape(c.seed, dims...)
	}
	return nil
}

// addLayers completes an error with the layers that can be explained.
func (g *graph) addLayers(err error, h head) error {
	var u *UnsupportedError
	if !errors.As(err, &u) {
		return err
	}
	for _, l := range g.judged(h) {
		if l.Err == nil {
			u.Layers = append(u.Layers, l.Name)
		}
	}
	return err
}

// declaredShape is that of an input or output, -1 where it is open.
func declaredShape(v *onnxpb.ValueInfoProto) []int64 {
	var dims []int64
	for _, d := range v.GetType().GetTensorType().GetShape().GetDim() {
		n := d.GetDimValue()
		if n <= 0 {
			n = -1
		}
		dims = append(dims, n)
	}
	return dims
}

// assemble joins what the outputs need of the model and of its gradients.
func (c *compiler) assemble() ([]byte, error) {
	g, old := c.g, c.g.model.Graph
	outputs := []string{c.compiled.LogitsName}
	for _, v := range old.Output {
		outputs = append(outputs, v.GetName())
	}
	for _, m := range c.compiled.Maps {
		outputs = append(outputs, m.Name)
	}
	outputs = distinct(outputs)
	nodes := make([]*onnxpb.NodeProto, 0, len(g.nodes)+len(c.nodes))
	for _, n := range g.nodes {
		nodes = append(nodes, n.NodeProto)
	}
	nodes, used := needed(append(nodes, c.nodes...), outputs)
	withoutIndices(nodes, used)

	gp := &onnxpb.GraphProto{Name: old.Name, DocString: old.DocString, Node: nodes, Input: g.inputs}
	gp.Input = append(gp.Input[:len(gp.Input):len(gp.Input)],
		valueInfo(c.compiled.SeedName, int32(onnxpb.TensorProto_FLOAT), []int64{g.seeds(), int64(c.compiled.Classes)}))
	for _, name := range []string{c.compiled.BaselineName, c.compiled.LowName, c.compiled.HighName} {
		if name != "" {
			gp.Input = append(gp.Input, valueInfo(name, int32(onnxpb.TensorProto_FLOAT), g.shape(c.compiled.InputName)))
		}
	}
	for _, name := range sortedKeys(g.weights) {
		if used[name] {
			gp.Initializer = append(gp.Initializer, g.weights[name])
		}
	}
	for _, t := range c.inits {
		if used[t.GetName()] {
			gp.Initializer = append(gp.Initializer, t)
		}
	}
	for _, out := range outputs {
		gp.Output = append(gp.Output, &onnxpb.ValueInfoProto{Name: &out})
	}
	c.compiled.Weights = external(gp, g.apart)
	return g.marshal(gp)
}

// needed drops the nodes that no output is made from.
func needed(nodes []*onnxpb.NodeProto, outputs []string) (kept []*onnxpb.NodeProto, used map[string]bool) {
	used = map[string]bool{}
	for _, t := range outputs {
		used[t] = true
	}
	keep := make([]bool, len(nodes))
	for i := len(nodes) - 1; i >= 0; i-- {
		if keep[i] = anyOf(used, nodes[i].Output); keep[i] {
			for _, in := range (&node{NodeProto: nodes[i]}).uses() {
				used[in] = true
			}
		}
	}
	for i, n := range nodes {
		if keep[i] {
			kept = append(kept, n)
		}
	}
	return kept, used
}
