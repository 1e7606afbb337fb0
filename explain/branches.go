package explain

import (
	"fmt"
	"slices"
)

// lastLayers are what "last" stands for: one layer; or, where networks or views of the picture stand side by side and meet only in what they
// say, as in an ensemble or behind a mirror image, that of each of them.
func (g *graph) lastLayers(h head) ([]Layer, error) {
	g.failing(h.logits) // whose errors count for branches as well
	if all := g.lastOfBranches(h, map[string][]Layer{}); len(all) > 1 {
		for i := range all {
			all[i].Err = g.explainable(all[i].Tensor, h.logits)
			all[i].Chosen = "one of several branches"
		}
		if !slices.ContainsFunc(all, func(l Layer) bool { return l.Err != nil }) {
			return all, nil
		}
	}
	l, err := g.lastLayer(h)
	return []Layer{l}, err
}

// lastOfBranches are the last layers of the branches that meet before the logits, where none of them is made of another one and nothing
// of the picture gets past them; else none.
func (g *graph) lastOfBranches(h head, known map[string][]Layer) []Layer {
	if found, ok := known[h.logits]; ok || len(known) > 2*mostParts { // of so many branches, and where they come together
		return found
	}
	known[h.logits] = nil
	layers := g.layers(h)
	last, _, passes := g.wanted(h, layers)
	if passes == allOfIt && g.trunk(h) {
		known[h.logits] = []Layer{last}
		return known[h.logits]
	}
	var all []Layer
	for _, t := range g.branches(h) {
		of := g.lastOfBranches(head{h.output, t}, known)
		if len(of) == 0 {
			all = nil
			break
		}
		for _, l := range of {
			if !slices.ContainsFunc(all, func(o Layer) bool { return o.Tensor == l.Tensor }) {
				all = append(all, l)
			}
		}
	}
	if len(all) > mostParts || len(all) > 1 && !g.unrelated(all) {
		all = nil
	}
	if len(all) == 0 && passes != aPart {
		all = []Layer{last}
	}
	known[h.logits] = all
	return all
}

// branches are what comes together at the last node before the logits at which several things that are made of the picture do, where that
// lies nowhere in it any more.
func (g *graph) branches(h head) []string {
	for t := h.logits; ; {
		n := g.producer[t]
		if n == nil {
			return nil
		}
		if _, err := g.gridOf(t); err == nil {
			return nil
		}
		var in []string
		for i, name := range n.differentiable() {
			if g.varying()[name] && !g.weighs(n, i) && !slices.Contains(in, name) {
				in = append(in, name)
			}
		}
		if len(in) != 1 {
			return in
		}
		t = in[0]
	}
}

// trunk reports whether everything passes a tensor over the picture that something learnt has made.
func (g *graph) trunk(h head) bool {
	return slices.ContainsFunc(g.passed(h), func(t string) bool {
		_, err := g.gridOf(t)
		return err == nil && g.learnt(t)
	})
}

// learnt reports whether something with weights leads to a tensor.
func (g *graph) learnt(tensor string) bool {
	up := g.leadingTo(tensor)
	return slices.ContainsFunc(g.nodes, func(n *node) bool { return anyOf(up, n.Output) && g.learns(n) })
}

// learns reports whether a node multiplies with weights.
func (g *graph) learns(n *node) bool {
	return g.varying()[n.in(0)] != g.varying()[n.in(1)] && (n.GetOpType() == "Conv" || learnsPlaces[n.GetOpType()])
}

// unrelated reports whether no layer is made of another one.
func (g *graph) unrelated(layers []Layer) bool {
	for i, l := range layers {
		up := g.leadingTo(l.Tensor)
		for k, other := range layers {
			if i != k && up[other.Tensor] {
				return false
			}
		}
	}
	return true
}

// whole reports whether nothing of the picture reaches the logits but through a layer or as what weighs it.
func (g *graph) whole(h head, layer Layer) bool {
	open := map[string]bool{h.logits: true}
	for _, n := range slices.Backward(g.nodes) {
		for _, out := range n.Output {
			if !open[out] || out == layer.Tensor {
				continue
			}
			for i, in := range n.differentiable() {
				if in != "" && !g.weighs(n, i) {
					open[in] = true
				}
			}
		}
	}
	return !open[g.inputs[0].GetName()]
}

// trunkOf is the last tensor on the same rows and columns as a layer that everything passes, where only a part of it passes the layer: what a
// convolution weighs, as of descriptors that are added up by the words that they are near to, or what branches read that meet nowhere in the
// picture. Nil where there is none, or more that was learnt lies behind it than before.
func (g *graph) trunkOf(h head, layer Layer) *Layer {
	var found *Layer
	for _, t := range g.passed(h) {
		n := g.producer[t]
		if n == nil || n.index > g.producer[layer.Tensor].index || !g.sameExtent(t, layer.Tensor) {
			continue
		}
		if l, err := g.layer(n, t); err == nil && g.learnt(t) {
			found = &l
		}
	}
	if found == nil {
		return nil
	}
	behind, before := 0, 0
	on, up := g.between([]string{found.Tensor}, layer.Tensor), g.leadingTo(found.Tensor)
	for _, n := range g.nodes {
		switch {
		case !g.learns(n):
		case anyOf(up, n.Output):
			before++
		case anyOf(on, n.Output):
			behind++
		}
	}
	if behind > 1 && behind >= before {
		return nil
	}
	return found
}

// normed is the last normalisation of places that are read for the logits: behind the last convolution, or before it where that is one of
// tokens. Nil where there is none.
func (g *graph) normed(h head, heard map[string]bool, last Layer) *Layer {
	up, from := g.leadingTo(h.logits), g.producer[last.Tensor].index
	if len(last.dims) == 3 {
		from = 0
	}
	for _, n := range slices.Backward(g.nodes) {
		if t := n.out(0); n.index > from && up[t] && heard[t] && g.normalises(n) && g.learnt(t) {
			if l, err := g.layer(n, t); err == nil && l.Height > 1 && l.Width > 1 {
				return &l
			}
		}
	}
	return nil
}

// partly says of a layer that more of the picture is read than it has.
func partly(l Layer) string {
	return fmt.Sprintf("%s (%d×%d): the last convolution over the picture, which only a part of what the network reads passes: what else it reads is not in the map", l.Name, l.Height, l.Width)
}
