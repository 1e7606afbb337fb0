package explain

import (
	"math"
	"slices"

	"endogate/explain/onnxpb"
)

// pooled is the window of a pooling.
func (w *walk) pooled(n *node) (window, error) {
	x := w.shape(n.in(0))
	kernel, err := n.attrInts("kernel_shape", len(x)-2, 1)
	if err != nil {
		return window{}, err
	}
	return w.window(n, x, w.shape(n.out(0)), kernel)
}

// pools reports whether a node slides a window without weights.
func (n *node) pools() bool {
	return n.standard() && slices.Contains([]string{"AveragePool", "LpPool", "MaxPool"}, n.GetOpType())
}

// spellOut writes the pads that auto_pad and ceil_mode stand for into each pooling, as its shapes bear them out: the runtime's
// inference of shapes counts windows that its pooling leaves out, and a graph that builds on both does not load.
func (g *graph) spellOut() {
	b, nodes := newBuilder(g), []*node(nil)
	for _, n := range g.nodes {
		b.nodes = nil
		short := n.attrString("auto_pad", "NOTSET") != "NOTSET" || n.attrInt("ceil_mode", 0) != 0
		if short && n.pools() && len(g.shape(n.in(0))) > 2 {
			if v, err := newWalk(b).pooled(n); err == nil {
				v.spellOut(b, n)
			}
		}
		if len(b.nodes) == 0 {
			b.nodes = []*onnxpb.NodeProto{n.NodeProto}
		}
		for _, p := range b.nodes {
			m := n
			if p != n.NodeProto {
				m = &node{NodeProto: p, opset: n.opset}
			}
			if out := m.out(0); out != "" {
				g.producer[out] = m
			}
			m.index = len(nodes)
			nodes = append(nodes, m)
		}
	}
	g.nodes = nodes
	for _, t := range b.inits {
		g.weights[t.GetName()], g.shapes[t.GetName()] = t, t.Dims
	}
}

// spellOut gives a pooling the window's pads. What cannot be said so becomes a Pad of its own: pads as large as the kernel, which dilations
// may need and the runtime refuses, and those of which a mean counts only some.
func (v window) spellOut(b *builder, n *node) {
	average, counts := n.GetOpType() == "AveragePool", n.attrInt("count_include_pad", 0) != 0
	ends, apart := make([]int64, len(v.end)), false
	for i, e := range v.end {
		ends[i] = max(e, 0)
		apart = apart || e >= v.kernel[i] || counts && e > v.declared[i]
	}
	if apart && n.out(1) != "" {
		return // its indices are of the tensor without pads
	}
	for _, name := range []string{"auto_pad", "ceil_mode", "pads"} {
		dropAttribute(n.NodeProto, name)
	}
	if !apart {
		n.Attribute = append(n.Attribute, intsAttr("pads", append(slices.Clone(v.begin), ends...)...))
		b.nodes = append(b.nodes, n.NodeProto)
		return
	}
	n.Attribute = append(n.Attribute, stringAttr("auto_pad", "VALID")) // else the runtime makes the Pad pads again
	x, y, fill := b.g.shape(n.in(0)), b.g.shape(n.out(0)), float32(0)
	if n.GetOpType() == "MaxPool" {
		fill = -math.MaxFloat32
	}
	around := slices.Concat([]int64{0, 0}, v.begin, []int64{0, 0}, ends)
	n.Input[0] = b.op("Pad", []string{n.in(0), b.ints(around...), b.scalar(fill)})
	padded := slices.Clone(x)
	for i := range ends {
		padded[i+2] += v.begin[i] + ends[i]
	}
	b.g.shapes[n.in(0)] = padded
	b.nodes = append(b.nodes, n.NodeProto)
	if average {
		v.recount(b, n, counts, x, y)
	}
}

// recount makes a mean that divides by the size of its kernel one that divides by what it counts.
func (v window) recount(b *builder, n *node, counts bool, x, y []int64) {
	result := n.Output[0]
	for i, k := range v.kernel {
		counted := v.counted(i, counts, x, y)
		for o := range counted {
			counted[o] = float32(k) / counted[o]
		}
		from := b.name("explain/AveragePool")
		b.g.shapes[from] = y
		last := b.nodes[len(b.nodes)-1]
		last.Output[0] = from
		b.add("Mul", []string{from, b.floats(onAxis(i, y), counted...)}, []string{result})
	}
}

// counted is how many elements of each window along an axis a mean counts: of the pads, none or those declared.
func (v window) counted(i int, pads bool, x, y []int64) []float32 {
	first, last := int64(0), x[i+2]
	if pads {
		first, last = -v.begin[i], x[i+2]+v.declared[i]
	}
	counted := make([]float32, y[i+2])
	for o := range counted {
		at := int64(o)*v.strides[i] - v.begin[i]
		from, to := max(ceilDiv(first-at, v.dilations[i]), 0), min(ceilDiv(last-at, v.dilations[i]), v.kernel[i])
		counted[o] = float32(max(to-from, 0))
	}
	return counted
}

// onAxis is the shape of what has a value for each place along a spatial axis of y, and broadcasts along the others.
func onAxis(i int, y []int64) []int64 {
	dims := slices.Repeat([]int64{1}, len(y))
	dims[i+2] = y[i+2]
	return dims
}
