package explain

import (
	"fmt"
	"slices"
)

// Names of layers that a model need not spell out.
const (
	LastLayer   = "last"   // the last layer
	AllLayers   = "all"    // every layer that can be explained
	BlockLayers = "blocks" // the last layer of each size, from the input up: conv1 to conv5 of a VGG
)

// Layer is a layer of a model: a convolution's activation, the tokens that an attention reads, or another tensor whose elements
// lie on a grid over the picture.
type Layer struct {
	Name     string // of its convolution or normalisation: the node's name, or its output's where it has none
	Tensor   string // the activation that stands for it
	Channels int
	Frames   int // maps for one input: 1 for stills
	Height   int // rows of the grid
	Width    int // columns
	TimeAxis bool
	// Extent is the part of the input that the grid covers: padding and crops within the graph move it. A map of the layer is
	// drawn there.
	Extent Extent
	// Chosen says, of a layer that stands for "last", in a sentence which it is and why.
	Chosen string
	// Fallback says that the layer is not what "last" promises, the last one that sees the picture's rows and columns, or that it has
	// only a part of what is read of them: Chosen says why. A reader of its maps has to know.
	Fallback bool
	Err      error // why it cannot be explained; an *UnsupportedError
	// Sees is how many rows or columns of the input a place of the layer depends on, at most what there is; 0: not looked at.
	Sees int

	grid *lattice
	dims []int64
}

// Instead says why the layer is not the one that was asked for; "" where it is.
func (l Layer) Instead() string {
	if l.Fallback {
		return l.Chosen
	}
	return ""
}

// Layers lists the convolutional layers with a spatial extent that lead to the model's logits, from
// the input up. Of the options all but Targets count.
func Layers(model []byte, o Options) ([]Layer, error) {
	g, h, err := open(model, o)
	if err != nil {
		return nil, err
	}
	return g.judged(h), nil
}

// judged lists the layers, and says of those that cannot be explained why.
func (g *graph) judged(h head) []Layer {
	layers, fields := g.layers(h), g.fields()
	for i, l := range layers {
		layers[i].Err, layers[i].Sees = g.explainable(l.Tensor, h.logits), g.sees(fields, l.Tensor)
	}
	return layers
}

// open parses a model, finds its head and learns the shapes of what leads to it.
func open(model []byte, o Options) (*graph, head, error) {
	g, err := parse(model)
	if err != nil {
		return nil, head{}, err
	}
	g.apart, g.stated = o.WeightsApart, o.Grid
	if o.Single {
		g.closeBatch()
	}
	g.parts = o.Parts
	h, err := g.headOf(o)
	if err != nil {
		return nil, head{}, err
	}
	for range mostNesting {
		if err := g.learnShapes(o, h); err != nil {
			return nil, head{}, err
		}
		g.foldConstants()
		if !g.lower(g.leadingTo(h.logits)) {
			break
		}
		if h, err = g.headOf(o); err != nil { // what was written out may end in a sigmoid
			return nil, head{}, err
		}
	}
	g.spellOut()
	return g, h, g.chosenAlike()
}

func (g *graph) headOf(o Options) (head, error) {
	h, err := g.findHead(o.Output, o.FromOutput)
	if err == nil && g.parts && !o.FromOutput {
		h.logits = g.behind(h.output)
	}
	return h, err
}

// learnShapes learns those of everything that leads to the logits, also where no gradient does, or that constants follow from.
func (g *graph) learnShapes(o Options, h head) error {
	up := map[string]bool{h.logits: true}
	for _, n := range slices.Backward(g.nodes) {
		if anyOf(up, n.Output) {
			for _, in := range n.follows() {
				up[in] = true
			}
		}
	}
	var want []string
	for _, n := range g.nodes {
		if anyOf(up, n.Output) {
			if makesSequence[n.GetOpType()] || n.GetOpType() == "Optional" {
				return unsupported(n, "it makes a list of tensors, and which is not known before the model runs")
			}
			want = append(append(want, n.uses()...), n.Output...)
		}
		if typ := n.GetOpType(); typ == "Shape" || typ == "Size" {
			want = append(want, n.in(0))
		}
	}
	return g.probeShapes(o.Probe, o.InputShape, distinct(append(want, h.logits)))
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

// layers lists what lies on a grid over the picture and has a say in the logits, from the input up: convolutions, tokens that an
// attention reads, and what "last" stands for. Whether they can be explained is not looked at.
func (g *graph) layers(h head) []Layer {
	heard, seen := g.heard(h.logits), map[string]bool{}
	var all []Layer
	add := func(layers []Layer) {
		for _, l := range layers {
			if heard[l.Tensor] && !seen[l.Tensor+"\n"+l.Name] {
				seen[l.Tensor+"\n"+l.Name] = true
				all = append(all, l)
			}
		}
	}
	convs := g.convLayers(h)
	add(convs)
	add(g.tokenLayers(h))
	if last := g.deepest(h, heard, convs); last != nil {
		add([]Layer{*last})
	}
	slices.SortStableFunc(all, func(a, b Layer) int { return g.producer[a.Tensor].index - g.producer[b.Tensor].index })
	return all
}

func (g *graph) convLayers(h head) []Layer {
	up := g.leadingTo(h.logits)
	var layers []Layer
	for _, n := range g.nodes {
		if (n.GetOpType() != "Conv" || !n.standard()) && g.convolved[n.out(0)] == nil || !up[n.out(0)] {
			continue
		}
		if _, err := g.gridOf(n.out(0)); err != nil {
			continue
		}
		if l, err := g.layer(n, g.activation(n.out(0), h)); err == nil {
			layers = append(layers, l)
		}
	}
	return layers
}

// layer describes a tensor as the layer of a node; the error says why it is none.
func (g *graph) layer(n *node, tensor string) (Layer, error) {
	v, err := g.gridOf(tensor)
	if err != nil {
		return Layer{}, err
	}
	return Layer{
		Name: n.label(), Tensor: tensor, Channels: v.channels, Frames: v.frames, Height: v.rows, Width: v.columns, TimeAxis: v.timeAxis,
		Extent: v.extent, grid: v, dims: g.shape(tensor),
	}, nil
}

// activation follows a convolution's output through the pointwise operators after it, norms that are written out and gates that
// are made of all of it included, to the last tensor that everything it leads to has to pass.
func (g *graph) activation(conv string, h head) string {
	up, says := g.leadingTo(h.logits), g.content(h, g.weighs)
	readers := g.readers(up)
	open := map[string]int{conv: readers[conv]} // readers not yet seen to belong to it
	last := conv
	for _, n := range g.nodes[g.producer[conv].index+1:] {
		keeps := g.keepsPlaces(conv, n)
		if !up[n.out(0)] || !keeps && !rearranging[n.GetOpType()] && says[n.out(0)] && !g.gates(conv, n) {
			continue
		}
		inside := false
		for _, in := range n.differentiable() {
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
		for _, out := range n.Output {
			if up[out] {
				open[out] = readers[out]
			}
		}
		if len(open) == 1 && keeps {
			last = n.out(0)
		}
	}
	return last
}

// rearranging operators are what norms over groups of channels are written with, besides pointwise ones.
var rearranging = setOf("Reshape", "Transpose", "Squeeze", "Unsqueeze", "InstanceNormalization")

// keepsPlaces reports whether a node acts on each place of a convolution's output by itself, with axes as those are.
func (g *graph) keepsPlaces(conv string, n *node) bool {
	op, ok := n.known()
	if !ok || !op.pointwise || !g.sameExtent(conv, n.out(0)) {
		return false
	}
	from, _ := g.gridOf(conv)
	to, _ := g.gridOf(n.out(0))
	return to.plain || !from.plain || g.channelsLast(conv, n.out(0))
}

// channelsLast reports whether a tensor is another one with its channels behind rows and columns, as exporters that put a convolution
// between two transpositions write what follows it.
func (g *graph) channelsLast(conv, tensor string) bool {
	v, err := g.gridOf(tensor)
	return err == nil && len(g.shape(conv)) == 4 && len(g.shape(tensor)) == 4 && v.batch == 0 && slices.Equal(v.axes, []int{1, 2})
}

// gates reports whether what a node makes lies at no place of a grid any more, as the factor for each channel does that a squeeze
// and excitation makes.
func (g *graph) gates(conv string, n *node) bool {
	from, err := g.gridOf(conv)
	if _, ok := n.known(); !ok || err != nil || from.rows == 1 || from.columns == 1 {
		return false
	}
	to, err := g.gridOf(n.out(0))
	return err != nil || to.rows == 1 || to.columns == 1
}

// readers counts how often each tensor is read on the way to the logits.
func (g *graph) readers(up map[string]bool) map[string]int {
	count := map[string]int{}
	for _, n := range g.nodes {
		if anyOf(up, n.Output) {
			for _, in := range n.differentiable() {
				count[in]++
			}
		}
	}
	return count
}

// sameExtent reports whether what lies at a place of one tensor lies there in another, wherever its axes are.
func (g *graph) sameExtent(a, b string) bool {
	v, err := g.gridOf(a)
	u, err2 := g.gridOf(b)
	return err == nil && err2 == nil && v.frames == u.frames && v.rows == u.rows && v.columns == u.columns
}

// explainable says why no gradient gets from the output to a tensor; nil if one does.
func (g *graph) explainable(tensor, output string) error {
	failing := g.failing(output)
	for _, n := range g.region(g.between([]string{tensor}, output)) {
		if err := failing[n]; err != nil {
			return err
		}
	}
	return nil
}

// failing tries the rule of every node on the way from the picture to the output, with its own outputs for gradients, and
// returns the errors.
func (g *graph) failing(output string) map[*node]error {
	if g.failed != nil {
		return g.failed
	}
	g.failed = map[*node]error{}
	b := newBuilder(g)
	defer b.forget()
	w := newWalk(b)
	w.on = g.between([]string{g.inputs[0].GetName()}, output)
	w.grads = map[string][]string{}
	for _, n := range g.region(w.on) {
		for _, out := range n.Output {
			if w.on[out] {
				w.grads[out] = []string{out}
			}
		}
		if err := w.step(n); err != nil {
			g.failed[n] = err
		}
	}
	return g.failed
}

// without is the error of a node that has no rule.
func (g *graph) without(n *node) error {
	if why := g.refused[n.label()]; why != "" {
		return unsupported(n, why)
	}
	if n.GetDomain() == "com.microsoft.nchwc" {
		return unsupported(n, "ONNX Runtime's optimizer wrote it for one kind of processor; use the model as it was before that")
	}
	return unsupported(n, "no rule to differentiate it")
}

// findLayers resolves the name of a layer, or of several.
func (g *graph) findLayers(name string, h head) ([]Layer, error) {
	if g.parts && (name == "" || name == LastLayer) {
		if all := g.lastOfParts(h); len(all) > 0 {
			return all, nil
		}
	}
	if name == "" || name == LastLayer {
		return g.lastLayers(h)
	}
	if name != AllLayers && name != BlockLayers {
		l, err := g.findLayer(name, h)
		return []Layer{l}, err
	}
	var found []Layer
	for _, l := range g.judged(h) {
		if l.Err != nil {
			continue
		}
		last := len(found) - 1
		if name == BlockLayers && last >= 0 && found[last].Height == l.Height && found[last].Width == l.Width && l.grid.plain {
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
			why := ""
			l, err := g.layer(n, out)
			switch {
			case !up[out]:
				why = "it does not lead to the logits"
			case err != nil:
				why = err.(*noGrid).why
			case !g.heard(h.logits)[out]:
				why = "what is read of it for the logits are tokens that lie nowhere in the picture, such as the class token"
			default:
				return l, nil
			}
			return Layer{}, fmt.Errorf("explain: %w: %q (%s) has no grid over the picture to explain: %s; %s", ErrNoLayer, name, n.GetOpType(), why, thereAre(layers))
		}
	}
	return Layer{}, fmt.Errorf("explain: %w: %q; %s", ErrNoLayer, name, thereAre(layers))
}

// thereAre lists layers for an error.
func thereAre(layers []Layer) string {
	if len(layers) == 0 {
		return "the network has no layer over the picture"
	}
	return "there are: " + layerNames(layers)
}
