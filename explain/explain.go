package explain

import (
	"errors"
	"fmt"

	"endogate/explain/onnxpb"
)

// Options says what to compile.
type Options struct {
	// Layer is the layer to explain at: LastLayer (the default), the name of a node or of a
	// tensor, as Layers gives them; or NoLayer for the input gradient alone, or for the logits alone.
	Layer string
	// Method makes the map; GradCAM is the default.
	Method Method
	// Output is the classifier's output; the default is the model's first.
	Output string
	// InputGradient asks for the gradient at the model's first input as well.
	InputGradient bool
	// MapOnly leaves activation and gradient out of the outputs, and what only they need out of the graph.
	MapOnly bool
	// Single compiles for one frame and one seed a run. ONNX Runtime then knows all shapes and keeps its blocked
	// layout through the gradient, which is faster (a fifth of the backward pass); ManySeeds is then false.
	Single bool
	// WeightsApart leaves large weights out of ONNX, which then refers to them as external data in WeightsFile: no
	// second copy of them is made.
	WeightsApart bool
	// InputShape closes axes of the first input that the model leaves open, batch included.
	InputShape []int64
	// Probe runs the model once to learn its shapes. It is needed.
	Probe Probe
}

// NoLayer asks for no layer's activation, gradient and map.
const NoLayer = "none"

// Compiled is a model that explains itself. Its inputs are the model's own and the seed, S×Classes: what to
// differentiate, as weights of the logits (one-hot for one class). S is N, the batch of the input; with
// ManySeeds it may be anything where N is one, so that many classes of a frame cost one forward pass.
type Compiled struct {
	ONNX       []byte
	Weights    []Weight // with WeightsApart: what ONNX lacks, by offset; their bytes are the model's
	InputName  string   // the picture
	InputShape []int64  // as declared; -1 where open
	SeedName   string   // S×Classes, float32
	OutputName string   // the model's own output
	LogitsName string   // N×Classes, before a final softmax or sigmoid
	Classes    int
	ManySeeds  bool

	Layer             Layer
	ActivationName    string // N×Channels×Height×Width; "" with MapOnly
	GradientName      string // S×Channels×Height×Width; "" with MapOnly
	CAMName           string // S×Height×Width, not negative, not normalised
	InputGradientName string // as the input, S for N; "" if not asked for
}

// Compile differentiates a model. An operator without a rule between the layer and the logits gives an
// *UnsupportedError; ErrNoLayer says that there is no such layer.
func Compile(model []byte, o Options) (*Compiled, error) {
	if o.Method == "" {
		o.Method = GradCAM
	}
	post, ok := methods()[o.Method]
	if !ok {
		return nil, fmt.Errorf("explain: unknown method %q", o.Method)
	}
	g, h, err := open(model, o)
	if err != nil {
		return nil, err
	}
	c := &Compiled{InputName: g.inputs[0].GetName(), InputShape: g.declared(), OutputName: h.output}
	var targets []string
	if o.Layer != NoLayer {
		if c.Layer, err = g.findLayer(o.Layer, h); err != nil {
			return nil, err
		}
		targets = append(targets, c.Layer.Tensor)
	}
	if o.InputGradient {
		targets = append(targets, c.InputName)
	}
	w := newWalk(g)
	c.SeedName = w.name("seed")
	seed, err := w.head(c, h)
	if err != nil {
		return nil, err
	}
	grads, err := w.backward(h.logits, seed, targets)
	if err != nil {
		return nil, g.addLayers(err, h)
	}
	if o.InputGradient {
		c.InputGradientName = grads[len(grads)-1]
	}
	if o.Layer != NoLayer {
		c.CAMName = post(w, c.Layer.Tensor, grads[0])
		if !o.MapOnly {
			c.ActivationName, c.GradientName = c.Layer.Tensor, grads[0]
		}
	}
	c.ManySeeds = !o.Single && w.manySeeds()
	c.ONNX, err = w.assemble(c)
	return c, err
}

// manySeeds reports whether everything the gradient reads of the forward pass has a batch axis of its own,
// and so is broadcast over the seeds.
func (w *walk) manySeeds() bool {
	varying := w.g.varying()
	for _, n := range w.nodes {
		if typ := n.GetOpType(); typ == "CastLike" || typ == "Shape" {
			continue // reads no values
		}
		for _, in := range n.Input {
			if dims := w.shape(in); varying[in] && len(dims) > 0 && dims[0] != 1 {
				return false
			}
		}
	}
	return true
}

// head declares the logits and shapes the seed like them.
func (w *walk) head(c *Compiled, h head) (seed string, err error) {
	dims := w.shape(h.logits)
	if len(dims) < 1 || size(dims[1:]) < 1 || dims[0] != w.shape(c.InputName)[0] {
		return "", fmt.Errorf("explain: output %q has shape %v: not one row of classes a frame", h.output, dims)
	}
	c.Classes = int(size(dims[1:]))
	c.LogitsName = h.logits
	seed = c.SeedName
	w.sparse[seed] = true
	if len(dims) != 2 {
		c.LogitsName = w.reshape(h.logits, -1, int64(c.Classes))
		seed = w.reshape(seed, dims...)
	}
	return seed, nil
}

// addLayers completes an error with the layers that can be explained.
func (g *graph) addLayers(err error, h head) error {
	var u *UnsupportedError
	if !errors.As(err, &u) {
		return err
	}
	for _, l := range g.layers(h) {
		if g.explainable(l.Tensor, h.logits) == nil {
			u.Layers = append(u.Layers, l.Name)
		}
	}
	return err
}

// declared is the shape of the first input, -1 where it is open.
func (g *graph) declared() []int64 {
	var dims []int64
	for _, d := range g.inputs[0].GetType().GetTensorType().GetShape().GetDim() {
		n := d.GetDimValue()
		if n <= 0 {
			n = -1
		}
		dims = append(dims, n)
	}
	return dims
}

// assemble joins what the outputs need of the model and of its gradient.
func (w *walk) assemble(c *Compiled) ([]byte, error) {
	g, old := w.g, w.g.model.Graph
	outputs := []string{c.LogitsName}
	for _, v := range old.Output {
		outputs = append(outputs, v.GetName())
	}
	outputs = distinct(append(outputs, c.ActivationName, c.GradientName, c.CAMName, c.InputGradientName))
	nodes := make([]*onnxpb.NodeProto, 0, len(g.nodes)+len(w.nodes))
	for _, n := range g.nodes {
		nodes = append(nodes, n.NodeProto)
	}
	nodes, used := needed(append(nodes, w.nodes...), outputs)

	gp := &onnxpb.GraphProto{Name: old.Name, DocString: old.DocString, Node: nodes, Input: g.inputs}
	gp.Input = append(gp.Input[:len(gp.Input):len(gp.Input)],
		valueInfo(c.SeedName, int32(onnxpb.TensorProto_FLOAT), []int64{g.seeds(), int64(c.Classes)}))
	for _, name := range sortedKeys(g.weights) {
		if used[name] {
			gp.Initializer = append(gp.Initializer, g.weights[name])
		}
	}
	for _, t := range w.inits {
		if used[t.GetName()] {
			gp.Initializer = append(gp.Initializer, t)
		}
	}
	for _, out := range outputs {
		gp.Output = append(gp.Output, &onnxpb.ValueInfoProto{Name: &out})
	}
	c.Weights = external(gp, g.apart)
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
