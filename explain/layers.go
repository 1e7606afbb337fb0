package explain

import (
	"fmt"
)

// Names of layers that a model need not spell out.
const (
	LastLayer   = "last"   // the last layer
	AllLayers   = "all"    // every layer that can be explained
	BlockLayers = "blocks" // the last layer of each size, from the input up: conv1 to conv5 of a VGG
)

// Layer is a layer of a model: a convolution's activation, or the tokens that an attention reads.
type Layer struct {
	Name     string // of its convolution or normalisation: the node's name, or its output's where it has none
	Tensor   string // the activation that stands for it
	Channels int
	Frames   int // maps for one input: 1 for stills
	Height   int
	Width    int
	TimeAxis bool  // frames are an axis of the tensor, after the channels; otherwise they are pictures of their own
	Err      error // why it cannot be explained; an *UnsupportedError

	tokens bool // N×tokens×Channels, of which the first, before the grid's, are the class's
	prefix int
	batch  int // axis of N where there are tokens
}

// Layers lists the convolutional layers with a spatial extent that lead to the model's logits, from
// the input up. Of the options all but Targets count.
func Layers(model []byte, o Options) ([]Layer, error) {
	g, h, err := open(model, o)
	if err != nil {
		return nil, err
	}
	layers := g.layers(h)
	for i, l := range layers {
		layers[i].Err = g.explainable(l.Tensor, h.logits)
	}
	return layers, nil
}

// open parses a model, finds its head and learns the shapes of what leads to it.
func open(model []byte, o Options) (*graph, head, error) {
	g, err := parse(model)
	if err != nil {
		return nil, head{}, err
	}
	g.apart = o.WeightsApart
	if o.Single {
		g.closeBatch()
	}
	h, err := g.findHead(o.Output, o.FromOutput)
	if err != nil {
		return nil, head{}, err
	}
	up := g.leadingTo(h.logits)
	var want []string
	for _, n := range g.nodes {
		if anyOf(up, n.Output) {
			want = append(append(want, n.Input...), n.Output...)
		}
	}
	if err := g.probeShapes(o.Probe, o.InputShape, distinct(append(want, h.logits))); err != nil {
		return nil, head{}, err
	}
	g.spellOut()
	return g, h, nil
}

func distinct(names []string) []string {
	seen := map[string]bool{"": true}
	var once []string
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			once = append(once, n)
		}
	}
	return once
}

// layers lists convolutions and tokens; whether they can be explained is not looked at.
func (g *graph) layers(h head) []Layer {
	convs := g.convLayers(h)
	return append(convs, g.tokenLayers(h, convs)...)
}

func (g *graph) convLayers(h head) []Layer {
	up := g.leadingTo(h.logits)
	readers := g.readers(up)
	var layers []Layer
	for _, n := range g.nodes {
		if n.GetOpType() != "Conv" || !up[n.out(0)] || !spatial(g.shape(n.out(0))) {
			continue
		}
		layers = append(layers, g.layer(n, g.activation(n.out(0), up, readers)))
	}
	return layers
}

// layer describes a tensor as the layer of a node.
func (g *graph) layer(n *node, tensor string) Layer {
	dims := g.shape(tensor)
	l := Layer{Name: n.label(), Tensor: tensor, Channels: int(dims[1]), Frames: int(dims[0]), Height: 1, Width: int(dims[len(dims)-1])}
	if len(dims) > 3 {
		l.Height = int(dims[len(dims)-2])
	}
	if len(dims) > 4 {
		l.Frames, l.TimeAxis = int(dims[0]*dims[2]), true
	}
	return l
}

// spatial reports whether a shape is N×C×... with more than one place.
func spatial(dims []int64) bool { return len(dims) >= 3 && size(dims[2:]) > 1 }

// activation follows a convolution's output through the pointwise operators after it, to the last
// tensor that everything it leads to has to pass.
func (g *graph) activation(conv string, up map[string]bool, readers map[string]int) string {
	open := map[string]int{conv: readers[conv]} // readers not yet seen to be pointwise
	last := conv
	for _, n := range g.nodes[g.producer[conv].index+1:] {
		op, ok := n.known()
		if !ok || !op.pointwise || !up[n.out(0)] || !g.sameExtent(conv, n.out(0)) {
			continue
		}
		inside := false
		for _, in := range n.Input {
			if _, ok := open[in]; ok {
				inside = true
				if open[in]--; open[in] == 0 {
					delete(open, in)
				}
			}
		}
		if !inside {
			continue
		}
		open[n.out(0)] = readers[n.out(0)]
		if len(open) == 1 {
			last = n.out(0)
		}
	}
	return last
}

// readers counts how often each tensor is read on the way to the logits.
func (g *graph) readers(up map[string]bool) map[string]int {
	count := map[string]int{}
	for _, n := range g.nodes {
		if anyOf(up, n.Output) {
			for _, in := range n.uses() {
				count[in]++
			}
		}
	}
	return count
}

func (g *graph) sameExtent(a, b string) bool {
	x, y := g.shape(a), g.shape(b)
	if len(x) != len(y) {
		return false
	}
	for i := 2; i < len(x); i++ {
		if x[i] != y[i] {
			return false
		}
	}
	return true
}

// explainable says why no gradient gets from the output to a tensor; nil if one does. It looks at the
// operators only.
func (g *graph) explainable(tensor, output string) error {
	for _, n := range g.region(g.between([]string{tensor}, output)) {
		if op, ok := n.known(); !ok || op.vjp == nil {
			return unsupported(n, "no rule to differentiate it")
		}
	}
	return nil
}

// findLayers resolves the name of a layer, or of several.
func (g *graph) findLayers(name string, h head) ([]Layer, error) {
	if name != AllLayers && name != BlockLayers {
		l, err := g.findLayer(name, h)
		return []Layer{l}, err
	}
	var found []Layer
	for _, l := range g.layers(h) {
		if g.explainable(l.Tensor, h.logits) != nil {
			continue
		}
		last := len(found) - 1
		if name == BlockLayers && last >= 0 && found[last].Height == l.Height && found[last].Width == l.Width && !l.tokens {
			found[last] = l
			continue
		}
		if last < 0 || found[last].Tensor != l.Tensor {
			found = append(found, l)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("explain: %w that can be explained", ErrNoLayer)
	}
	return found, nil
}

// findLayer resolves the name of one layer.
func (g *graph) findLayer(name string, h head) (Layer, error) {
	layers := g.layers(h)
	if name == "" || name == LastLayer {
		if len(layers) == 0 {
			return Layer{}, fmt.Errorf("explain: %w: the model has no convolution with a spatial extent before its logits", ErrNoLayer)
		}
		return layers[len(layers)-1], nil
	}
	for _, l := range layers {
		if l.Name == name || l.Tensor == name {
			return l, nil
		}
	}
	up := g.leadingTo(h.logits)
	for _, n := range g.nodes {
		for _, out := range n.Output {
			if out != name && (n.GetName() != name || out != n.out(0)) {
				continue
			}
			if !up[out] || !spatial(g.shape(out)) {
				return Layer{}, fmt.Errorf("explain: %w: %q is no N×C×H×W tensor on the way to the logits", ErrNoLayer, name)
			}
			return g.layer(n, out), nil
		}
	}
	return Layer{}, fmt.Errorf("explain: %w: %q; there are: %s", ErrNoLayer, name, layerNames(layers))
}
