package explain

import (
	"cmp"
	"fmt"
	"slices"
)

// lastLayer is what "last" stands for, and says why.
func (g *graph) lastLayer(h head) (Layer, error) {
	layers := g.judged(h)
	if len(layers) == 0 {
		for _, n := range g.nodes { // rather than that nothing is there, what is in the way
			if _, ok := n.known(); !ok && anyOf(g.leadingTo(h.logits), n.Output) && anyOf(g.varying(), n.Output) {
				return Layer{}, g.without(n)
			}
		}
		return Layer{}, fmt.Errorf("explain: %w: no tensor on the way to the logits lies on a grid over the picture%s", ErrNoLayer, cmp.Or(g.firstLost(h), g.cutOff(h.logits)))
	}
	aside, read := layers[0].Name, g.content(h, g.guides)
	if layers = slices.DeleteFunc(layers, func(l Layer) bool { return !read[l.Tensor] }); len(layers) == 0 {
		return Layer{}, fmt.Errorf("explain: %w: what lies on a grid over the picture, such as %s, only says from where the picture is read (GridSample); beyond that nothing has a place in it", ErrNoLayer, aside)
	}
	want, why, passes := g.wanted(h, layers)
	if want.Err == nil {
		want.Chosen = fmt.Sprintf("%s (%d×%d): %s", want.Name, want.Height, want.Width, why)
		if want.grid.views > 1 {
			want.Chosen += fmt.Sprintf("; it has %d views of the picture, whose maps are added up", want.grid.views)
		}
		if passes == aPart {
			want.Fallback, want.Chosen = true, partly(want)
		}
		if band := g.band(want); band != "" {
			want.Fallback, want.Chosen = true, want.Chosen+"; "+band
		}
		return want, nil
	}
	for _, l := range slices.Backward(layers) {
		if l.Err == nil {
			l.Fallback = true
			l.Chosen = fmt.Sprintf("%s (%d×%d), in place of %s, which cannot be explained", l.Name, l.Height, l.Width, want.Name)
			return l, nil
		}
	}
	return want, nil // which says why it cannot be explained
}

// longCell is how many times as long as wide a cell of the only row or column of a grid is, for which a map over the picture needs a word.
const longCell = 4

// band says what the maps of a layer do not tell whose grid has one row or one column, of a picture that has both; "" where it has both, or its
// cells are not long.
func (g *graph) band(l Layer) string {
	whole, err := g.gridOf(g.inputs[0].GetName())
	if err != nil || min(l.Height, l.Width) != 1 {
		return ""
	}
	switch high, wide := whole.rows*l.Width, whole.columns*l.Height; { // of a cell, both times all cells
	case l.Height == 1 && high >= longCell*wide:
		return "it has no rows: its map tells columns apart alone, and what lies above or below is one to it"
	case l.Width == 1 && wide >= longCell*high:
		return "it has no columns: its map tells rows apart alone, and what lies left or right is one to it"
	}
	return ""
}

// firstLost says at which tensor the picture's rows and columns are a grid no more.
func (g *graph) firstLost(h head) string {
	up := g.leadingTo(h.logits)
	onGrid := func(t string) bool {
		_, err := g.gridOf(t)
		return err == nil
	}
	for _, n := range g.nodes {
		if up[n.out(0)] && slices.ContainsFunc(n.differentiable(), onGrid) && !onGrid(n.out(0)) {
			_, err := g.gridOf(n.out(0))
			return ": " + err.(*noGrid).why
		}
	}
	return ""
}

// passing is how much of what the network reads of the picture passes a layer.
type passing int

const (
	aPart passing = iota
	ahead         // all of it, ahead of the last convolution
	allOfIt
)

// wanted is the last layer, whether or not it can be explained, why, and what passes it.
func (g *graph) wanted(h head, layers []Layer) (last Layer, why string, passes passing) {
	if len(layers) == 0 {
		return Layer{}, "", aPart
	}
	heard, read := g.heard(h.logits), g.content(h, g.guides)
	for t := range heard {
		heard[t] = heard[t] && read[t]
	}
	of := func(l *Layer) Layer {
		for _, one := range slices.Backward(layers) {
			if one.Tensor == l.Tensor {
				return one
			}
		}
		l.Err = g.explainable(l.Tensor, h.logits)
		return *l
	}
	convs, says := slices.DeleteFunc(g.convLayers(h), func(l Layer) bool { return !heard[l.Tensor] }), g.content(h, g.weighs)
	if speaking := slices.DeleteFunc(slices.Clone(convs), func(l Layer) bool { return !says[l.Tensor] }); len(speaking) > 0 {
		convs = speaking
	}
	if last := g.deepest(h, heard, convs); last != nil {
		return of(last), "the last that all of the picture passes, beyond the last convolution", allOfIt
	}
	tokens := slices.DeleteFunc(g.tokenLayers(h), func(l Layer) bool { return !heard[l.Tensor] })
	if len(tokens) > 0 && (len(convs) == 0 || g.producer[tokens[len(tokens)-1].Tensor].index > g.producer[convs[len(convs)-1].Tensor].index) {
		return of(&tokens[len(tokens)-1]), "the patches that the last attention reads; beyond it the class token alone counts", allOfIt
	}
	if len(convs) == 0 {
		return layers[len(layers)-1], "the last that lies on a grid over the picture", allOfIt
	}
	conv := convs[len(convs)-1]
	if joined := g.joined(h, heard, conv); joined != nil {
		return of(joined), "the first that all of the picture passes, beyond the last convolution, which only a part of it does", allOfIt
	}
	if g.whole(h, conv) {
		return of(&conv), "the last convolution over the picture", allOfIt
	}
	if trunk := g.trunkOf(h, conv); trunk != nil {
		return of(trunk), fmt.Sprintf("the last that all of the picture passes; only a part of it passes the last convolution, %s", conv.Name), ahead
	}
	if normed := g.normed(h, heard, conv); normed != nil {
		return of(normed), "the last normalised places that are read; beyond them what lies nowhere in the picture, such as a class token, alone counts", allOfIt
	}
	return of(&conv), "", aPart
}

// content is the set of tensors that the logits are made of, without those that come in only by an input that is aside.
func (g *graph) content(h head, aside func(n *node, input int) bool) map[string]bool {
	made := map[string]bool{h.logits: true}
	for _, n := range slices.Backward(g.nodes) {
		if !anyOf(made, n.Output) {
			continue
		}
		for i, in := range n.differentiable() {
			if in != "" && !aside(n, i) {
				made[in] = true
			}
		}
	}
	return made
}

// guides reports whether an input says where another one is read.
func (g *graph) guides(n *node, input int) bool { return g.coordinates[n.in(input)] }

// weighs reports whether an input guides another one, or is a share or a gate, from 0 to 1, by which another is multiplied, as that of
// attention over places.
func (g *graph) weighs(n *node, input int) bool {
	switch n.GetOpType() {
	case "Mul", "MatMul", "Einsum":
		return len(n.Input) == 2 && g.share(n.in(input)) && !g.share(n.in(1-input)) && g.varying()[n.in(1-input)]
	}
	return g.guides(n, input)
}

// share reports whether a tensor is what a softmax or sigmoid gave, whatever its shape, or its part of all.
func (g *graph) share(tensor string) bool {
	for n := g.producer[tensor]; n != nil && n.standard() && len(n.Input) > 0; n = g.producer[n.in(0)] {
		switch n.GetOpType() {
		case "Softmax", "Sigmoid", "HardSigmoid":
			return true
		case "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Transpose", "Slice", "Split", "Gather", "Identity", "Cast", "Dropout":
		case "Div": // by what all of it comes to
			if sum := g.producer[n.in(1)]; sum == nil || sum.GetOpType() != "ReduceSum" || sum.in(0) != n.in(0) {
				return false
			}
		default:
			return false
		}
	}
	return false
}

// deepest is the last tensor over the picture that everything passes, where something that was learnt works on the picture's places
// beyond the last convolution and counts: transformers that pool over their tokens, in windows or not, and networks whose
// dense layers work on each place. Nil where there is none.
func (g *graph) deepest(h head, heard map[string]bool, convs []Layer) *Layer {
	after, flat := 0, false
	if len(convs) > 0 {
		last := convs[len(convs)-1]
		after, flat = g.producer[last.Tensor].index+1, last.Height > 1 && last.Width > 1
	}
	first, learnt := -1, -1
	varying := g.varying()
	for _, n := range g.nodes[min(after, len(g.nodes)):] {
		if !learnsPlaces[n.GetOpType()] || !heard[n.out(0)] || n.GetOpType() == "ConvTranspose" && !g.readOn(n, heard) {
			continue
		}
		if varying[n.in(0)] && varying[n.in(1)] { // a product of activations
			continue
		}
		if v, err := g.gridOf(n.out(0)); err == nil && (!flat || v.rows > 1 && v.columns > 1) {
			if learnt = n.index; first < 0 {
				first = n.index
			}
		}
	}
	if learnt < 0 {
		return nil
	}
	var found, before *Layer
	for _, t := range g.passed(h) {
		n := g.producer[t]
		if n == nil || n.index < first || !heard[t] {
			continue
		}
		l, err := g.layer(n, t)
		switch {
		case err != nil:
		case n.index >= learnt:
			found = &l
		case len(l.grid.order) == l.grid.places(l.dims): // no class token yet that has read the picture
			before = &l
		}
	}
	if found == nil {
		return before
	}
	return g.unprojected(h, found)
}

// unprojected is what an attention that puts all places together reads, where a layer is that multiplied with the weights of its keys and
// values; else the layer itself.
func (g *graph) unprojected(h head, l *Layer) *Layer {
	n := g.producer[l.Tensor]
	for n != nil && n.GetOpType() != "MatMul" && n.GetOpType() != "Gemm" {
		switch n.GetOpType() {
		case "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Add":
		default:
			return l
		}
		from := n.in(0)
		if g.placesOf()[from].none() {
			from = n.in(1)
		}
		n = g.producer[from]
	}
	if n == nil || !g.pooled(h, l.Tensor) || !slices.Contains(g.passed(h), n.in(0)) {
		return l
	}
	read := g.producer[n.in(0)]
	if read == nil {
		return l
	}
	if of, err := g.layer(read, n.in(0)); err == nil {
		return &of
	}
	return l
}

// pooled reports whether a softmax over the places of a tensor says how much of each is read.
func (g *graph) pooled(h head, tensor string) bool {
	on := g.between([]string{tensor}, h.logits)
	return slices.ContainsFunc(g.nodes, func(n *node) bool { return on[n.out(0)] && g.overPlaces(n) })
}

// overPlaces reports whether a node is a softmax along places alone.
func (g *graph) overPlaces(n *node) bool {
	rank := len(g.shape(n.out(0)))
	if n.GetOpType() != "Softmax" || rank < 1 || bound(n.attrInt("axis", -1), rank) != rank-1 {
		return false
	}
	p := g.placesOf()[n.out(0)]
	return !p.none() && !slices.ContainsFunc(p[:], func(c *position) bool { return c != nil && c.axis() != rank-1 })
}

// joined is the first tensor over the picture that everything passes beyond a convolution of one branch, which may be a gate, a kernel
// or one of several resolutions. Nil where everything passes the convolution, or branches meet nowhere in the picture.
func (g *graph) joined(h head, heard map[string]bool, conv Layer) *Layer {
	passed := g.passed(h)
	if slices.Contains(passed, conv.Tensor) {
		return nil
	}
	for _, t := range passed {
		n := g.producer[t]
		if n == nil || n.index < g.producer[conv.Tensor].index || !heard[t] {
			continue
		}
		if l, err := g.layer(n, g.activation(t, h)); err == nil && l.Height > 1 && l.Width > 1 {
			return &l
		}
	}
	return nil
}

// learnsPlaces are the operators with weights that can work on each place of the picture, besides convolutions.
var learnsPlaces = map[string]bool{"MatMul": true, "Gemm": true, "Einsum": true, "ConvTranspose": true}

// readOn reports whether something with weights reads on beyond n: what n makes is then not what the network says.
func (g *graph) readOn(n *node, heard map[string]bool) bool {
	return slices.ContainsFunc(g.nodes[n.index+1:], func(m *node) bool {
		return (learnsPlaces[m.GetOpType()] || m.GetOpType() == "Conv") && heard[m.out(0)]
	})
}

// passed lists the tensors that everything from the picture to the logits has to pass.
func (g *graph) passed(h head) []string {
	up := g.leadingTo(h.logits)
	readers := g.readers(up)
	picture := g.inputs[0].GetName()
	open := map[string]int{picture: readers[picture]}
	var all []string
	for _, n := range g.nodes {
		if !anyOf(up, n.Output) {
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
		if len(open) == 1 && len(n.Output) > 0 && up[n.out(0)] {
			all = append(all, n.out(0))
		}
	}
	return all
}
