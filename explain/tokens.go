package explain

import (
	"math"
	"slices"
)

// attention is a matrix of attention on the way to the logits: N×heads×T×T, or with N and heads as one axis.
type attention struct {
	node          *node
	tensor        string
	tokens        int
	prefix        int // tokens before those of the grid: the class token, registers
	height, width int // of the grid of patches; 0 where tokens are no patches, or those of a window
	extent        Extent
	frames        int // of the clip, where tokens are those; else 0
}

// grid is that of what is shown of an attention: one cell for a frame, where tokens are frames.
func (a attention) grid() (height, width, frames int) {
	if a.height > 0 {
		return a.height, a.width, 1
	}
	return 1, 1, a.frames
}

// places is how many of the tokens are patches or frames.
func (a attention) places() int {
	height, width, frames := a.grid()
	return height * width * frames
}

// attentions lists the softmaxes over T×T, from the input up.
func (g *graph) attentions(h head) []attention {
	up := g.leadingTo(h.logits)
	var all []attention
	for _, n := range g.nodes {
		dims := g.shape(n.out(0))
		rank := len(dims)
		if n.GetOpType() != "Softmax" || !up[n.out(0)] || rank < 3 || dims[rank-1] != dims[rank-2] || dims[rank-1] < 2 {
			continue
		}
		a := attention{node: n, tensor: n.out(0), tokens: int(dims[rank-1])}
		if g.patches(&a); a.height == 0 {
			g.framesOf(&a)
		}
		all = append(all, a)
	}
	return all
}

// patches finds out which tokens of an attention are those of a grid: rows of the matrix that lie somewhere in the picture.
func (g *graph) patches(a *attention) {
	p := g.placesOf()[a.tensor]
	v := &lattice{}
	first, count := 0, 0
	if p.none() {
		if s := g.stated; s.Rows*s.Columns > 1 && s.Tokens+s.Rows*s.Columns == a.tokens {
			a.prefix, a.height, a.width = s.Tokens, s.Rows, s.Columns
		}
		return
	}
	dims := g.shape(a.tensor)
	queries := len(dims) - 2
	for _, c := range p {
		if c == nil {
			continue
		}
		if c.axis() != queries {
			return // windows
		}
		first = slices.IndexFunc(c.v, func(f float64) bool { return !math.IsNaN(f) })
	}
	v.axes = []int{queries}
	if why := g.layOut(v, p, dims); why != "" || v.frames > 1 {
		return
	}
	if count = v.rows * v.columns; slices.Equal(v.order, span(int64(first), int64(first+count))) {
		a.prefix, a.height, a.width, a.extent = first, v.rows, v.columns, v.extent
	}
}

// framesOf finds out whether the tokens of an attention are the frames of a clip: one for each, and at most a class token before them,
// none of which lies at a row or column of its own.
func (g *graph) framesOf(a *attention) {
	in, _ := LayoutOf(g.shape(g.inputs[0].GetName()))
	p := g.placesOf()[a.tensor]
	if before := a.tokens - in.Frames; in.Frames > 1 && (before == 0 || before == 1) && p[rowAt] == nil && p[columnAt] == nil {
		a.prefix, a.frames = before, in.Frames
	}
}

// tokenLayers lists the normalised tokens that each attention over the picture reads: where a class token is what is read after
// the last of them, it alone would get a gradient beyond.
func (g *graph) tokenLayers(h head) []Layer {
	var layers []Layer
	for _, a := range g.attentions(h) {
		reads := g.leadingTo(a.tensor)
		for _, n := range slices.Backward(g.nodes[:a.node.index]) {
			t := n.out(0)
			if !g.normalises(n) || !reads[t] || len(g.shape(t)) < 3 {
				continue
			}
			if l, err := g.layer(n, t); err == nil {
				layers = append(layers, l)
			}
			break
		}
	}
	return layers
}

// normalises reports whether a node ends a layer normalisation: the operator, or what it is written as before opset 17,
// (x-mean)/deviation·scale + bias.
func (g *graph) normalises(n *node) bool {
	if typ := n.GetOpType(); typ == "LayerNormalization" || typ == "RMSNormalization" {
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
