package explain

import "slices"

// attention is a matrix of attention on the way to the logits: N×heads×T×T, or with N and heads as one axis.
type attention struct {
	node          *node
	tensor        string
	tokens        int
	prefix        int // tokens before those of the grid: the class token
	height, width int // of the grid of patches; 0 where tokens are no patches
}

// attentions lists the softmaxes over T×T, from the input up.
func (g *graph) attentions(h head, convs []Layer) []attention {
	up := g.leadingTo(h.logits)
	var all []attention
	for _, n := range g.nodes {
		dims := g.shape(n.out(0))
		rank := len(dims)
		if n.GetOpType() != "Softmax" || !up[n.out(0)] || rank < 3 || dims[rank-1] != dims[rank-2] || dims[rank-1] < 2 {
			continue
		}
		a := attention{node: n, tensor: n.out(0), tokens: int(dims[rank-1])}
		for _, l := range slices.Backward(convs) { // the patches are what a convolution made
			if extra := a.tokens - l.Height*l.Width; extra >= 0 && extra <= 2 {
				a.prefix, a.height, a.width = extra, l.Height, l.Width
				break
			}
		}
		all = append(all, a)
	}
	return all
}

// tokenLayers lists the normalised tokens that each attention over patches reads: what follows the last of them
// mixes patches no more, and the class token alone would get a gradient.
func (g *graph) tokenLayers(h head, convs []Layer) []Layer {
	var layers []Layer
	batch := g.batch()
	for _, a := range g.attentions(h, convs) {
		if a.height == 0 {
			continue
		}
		reads := g.leadingTo(a.tensor)
		for _, n := range slices.Backward(g.nodes[:a.node.index]) {
			t := n.out(0)
			dims := g.shape(t)
			if !g.normalises(n) || !reads[t] || len(dims) != 3 {
				continue
			}
			at := batch[t]
			if at > 1 || int(dims[1-at]) != a.tokens {
				break
			}
			layers = append(layers, Layer{
				Name: n.label(), Tensor: t, Channels: int(dims[2]), Frames: int(dims[at]), Height: a.height, Width: a.width,
				tokens: true, prefix: a.prefix, batch: at,
			})
			break
		}
	}
	return layers
}

// channelAxis is where a layer's channels lie.
func (l Layer) channelAxis() int64 {
	if l.tokens {
		return 2
	}
	return 1
}

// onGrid lays tokens back on the grid of their patches: N×Channels×Height×Width.
func (l Layer) onGrid(w *walk, tensor string) string {
	if !l.tokens {
		return tensor
	}
	if l.batch == 1 {
		tensor = w.op("Transpose", []string{tensor}, intsAttr("perm", 1, 0, 2))
	}
	patches := w.op("Slice", []string{tensor, w.ints(int64(l.prefix)), w.ints(int64(l.prefix + l.Height*l.Width)), w.ints(1)})
	grid := w.reshape(w.op("Transpose", []string{patches}, intsAttr("perm", 0, 2, 1)), -1, int64(l.Channels), int64(l.Height), int64(l.Width))
	w.g.shapes[grid] = []int64{int64(l.Frames), int64(l.Channels), int64(l.Height), int64(l.Width)}
	return grid
}

// normalises reports whether a node ends a layer normalisation: the operator, or what it is written as before opset 17,
// (x-mean)/deviation·scale + bias.
func (g *graph) normalises(n *node) bool {
	if n.GetOpType() == "LayerNormalization" {
		return true
	}
	for _, typ := range []string{"Add", "Mul", "Div"} {
		if n == nil || n.GetOpType() != typ {
			return false
		}
		next := g.producer[n.in(0)]
		if next == nil {
			next = g.producer[n.in(1)]
		}
		n = next
	}
	return n != nil && n.GetOpType() == "Sub"
}
