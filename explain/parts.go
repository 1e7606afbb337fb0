package explain

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
)

// moving operators hand on what a detector or a segmentation has computed, one value for another.
var moving = []string{"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Cast", "Transpose", "Slice", "Split", "Gather", "Resize"}

// behind is a tensor laid out as t, in which what a softmax or a sigmoid makes of a part is what it is made of: of an output that is put
// together of boxes and classes, the logits of the classes in their places. It is t itself where there is no such part.
func (g *graph) behind(t string) string {
	made := map[string]string{}
	var look func(t string, depth int) string
	clone := func(n *node, inputs []string) {
		b := newBuilder(g)
		p := proto.CloneOf(n.NodeProto)
		p.Name, p.Input = proto.String(b.name(n.label()+"/behind")), inputs
		for i, out := range p.Output {
			if out != "" {
				p.Output[i] = b.name(out + "/behind")
				made[out] = p.Output[i]
			}
		}
		m := &node{NodeProto: p, index: len(g.nodes), opset: n.opset}
		g.nodes = append(g.nodes, m)
		for _, out := range p.Output {
			if out != "" {
				g.producer[out], g.fresh[out] = m, true
			}
		}
	}
	look = func(t string, depth int) string {
		n := g.producer[t]
		if other, known := made[t]; known {
			return other
		}
		if n == nil || !n.standard() || len(n.Input) == 0 || depth > maxDepth {
			return t
		}
		inputs := slices.Clone(n.Input)
		switch typ := n.GetOpType(); {
		case typ == "Sigmoid" || typ == "Softmax" || typ == "LogSoftmax":
			return n.in(0)
		case typ == "Concat":
			for i, in := range inputs {
				inputs[i] = look(in, depth+1)
			}
		case slices.Contains(moving, typ):
			inputs[0] = look(inputs[0], depth+1)
		}
		if slices.Equal(inputs, n.Input) {
			return t
		}
		clone(n, inputs)
		return made[t]
	}
	return look(t, 0)
}

// choosing operators take some of the values, as of the most probable boxes.
var choosing = []string{"TopK", "GatherElements", "GatherND", "ReduceMax", "GlobalMaxPool"}

// classifiers are the convolutions that make the values of the logits: nothing but operators that move values or choose among them follows them.
func (g *graph) classifiers(logits string) map[string]bool {
	convs, seen, open := map[string]bool{}, map[string]bool{}, []string{logits}
	for len(open) > 0 {
		t := open[len(open)-1]
		open = open[:len(open)-1]
		n := g.producer[t]
		if n == nil || seen[t] || !n.standard() || len(n.Input) == 0 {
			continue
		}
		seen[t] = true
		switch typ := n.GetOpType(); {
		case typ == "Conv":
			convs[n.out(0)] = true
		case typ == "Concat":
			open = append(open, n.Input...)
		case slices.Contains(moving, typ), slices.Contains(choosing, typ), typ == "Sigmoid", typ == "Softmax":
			open = append(open, n.in(0))
		}
	}
	return convs
}

// lastOfParts are the last layers of a network whose output is of many places: of each branch, such as a scale of a detector, the one
// that no other one follows but the convolution that makes the values. None where it does not end in convolutions.
func (g *graph) lastOfParts(h head) []Layer {
	classifiers := g.classifiers(h.logits)
	if len(classifiers) == 0 {
		return nil
	}
	heard := g.heard(h.logits)
	var convs, last []Layer
	for _, l := range g.convLayers(h) {
		if heard[l.Tensor] && !g.follows(classifiers, l) && g.explainable(l.Tensor, h.logits) == nil {
			convs = append(convs, l)
		}
	}
	convs = g.classifying(convs, classifiers, h)
	for i, l := range convs {
		down := g.between([]string{l.Tensor}, h.logits)
		if !slices.ContainsFunc(convs[i+1:], func(other Layer) bool { return down[other.Tensor] && other.Tensor != l.Tensor }) {
			last = append(last, l)
		}
	}
	return last[max(0, len(last)-mostParts):]
}

// classifying are the layers that lead to a convolution which makes values, where there are any: from those on the way to boxes
// alone, which are computed of what their convolutions say, nothing comes back for a class.
func (g *graph) classifying(layers []Layer, classifiers map[string]bool, h head) []Layer {
	var leading []Layer
	for _, l := range layers {
		down := g.between([]string{l.Tensor}, h.logits)
		for conv := range classifiers {
			if down[conv] {
				leading = append(leading, l)
				break
			}
		}
	}
	if len(leading) == 0 {
		return layers
	}
	return leading
}

// mostParts bounds the branches of a network: a detector of five scales has ten.
const mostParts = 16

// follows reports whether a layer is the activation of one of the convolutions.
func (g *graph) follows(convs map[string]bool, l Layer) bool {
	n := g.producer[l.Tensor]
	for n != nil && n.GetOpType() != "Conv" && len(n.Input) > 0 {
		n = g.producer[n.in(0)]
	}
	return n != nil && convs[n.out(0)]
}

// together is the one output that the outputs of branches are: a gradient reaches those that it is of, and the others are zero. They are
// added up at the size of the finest, each where it lies, the share of a cell spread over those that it is as large as.
func (c *compiler) together(parts []Output) Output {
	all := parts[0]
	var layers []Layer
	moved := false
	for _, o := range parts {
		if layers = append(layers, o.Layer); o.Height*o.Width > all.Height*all.Width {
			all.Height, all.Width, all.Extent = o.Height, o.Width, o.Extent
		}
		moved = moved || !c.g.parts && o.Extent != parts[0].Extent
	}
	if moved { // over all of the picture, in cells no larger than the smallest
		all.Extent = Extent{}
		for _, o := range parts {
			e := o.Extent.sides()
			all.Height, all.Width = max(all.Height, int(math.Ceil(float64(o.Height)/(e.Bottom-e.Top)))), max(all.Width, int(math.Ceil(float64(o.Width)/(e.Right-e.Left))))
		}
	}
	sum := ""
	for _, o := range parts {
		x := o.Name
		if !o.AtInput && (moved || o.Height != all.Height || o.Width != all.Width) {
			x = c.spread(x, o, all, moved)
		}
		if sum == "" {
			sum = x
		} else {
			sum = c.plus(sum, x)
		}
	}
	all.Name = c.op("Identity", []string{sum})
	all.Layer = ofParts(layers)
	all.Layer.Height, all.Layer.Width, all.Layer.Extent = all.Height, all.Width, all.Extent
	if why := all.Layer.Instead(); why != "" {
		all.Instead = why
	}
	return all
}

// spread is a map in the cells of another one, laid where it lies.
func (c *compiler) spread(x string, o, all Output, moved bool) string {
	x = c.reshape(x, -1, 1, int64(o.Height), int64(o.Width))
	area := 1.
	if moved {
		l := Layer{Height: o.Height, Width: o.Width, Extent: o.Extent}
		x = c.placed(x, l, Layout{Height: all.Height, Width: all.Width})
		e := o.Extent.sides()
		area = (e.Bottom - e.Top) * (e.Right - e.Left)
	} else {
		rows := c.op("Shape", []string{x}, intAttr("start", 0), intAttr("end", 2))
		sizes := c.op("Concat", []string{rows, c.ints(int64(all.Height), int64(all.Width))}, intAttr("axis", 0))
		x = c.op("Resize", []string{x, "", "", sizes}, stringAttr("mode", "linear"))
	}
	if !c.g.parts { // of parts, one branch alone has a share
		x = c.times(x, float32(float64(o.Height*o.Width)/(float64(all.Height*all.Width)*area)))
	}
	return c.reshape(x, -1, int64(all.Height), int64(all.Width))
}

// AddUp is the sum of maps of branches, each where it lies in the picture, and what their layers are called together.
func AddUp(layers []Layer, maps []Map) (Layer, Map) {
	sum := Map{}
	for _, m := range maps { // over all of the picture, in cells no larger than the smallest
		e := m.Extent.sides()
		sum.Height, sum.Width = max(sum.Height, int(math.Ceil(float64(m.Height)/(e.Bottom-e.Top)))), max(sum.Width, int(math.Ceil(float64(m.Width)/(e.Right-e.Left))))
	}
	sum.Values = make([]float32, sum.Width*sum.Height)
	for _, m := range maps {
		for i, v := range m.Resize(sum.Width, sum.Height).Values {
			sum.Values[i] += v
		}
	}
	l := ofParts(layers)
	l.Height, l.Width, l.Extent = sum.Height, sum.Width, Extent{}
	return l, sum
}

// ofParts is what the last layers of branches are called together.
func ofParts(layers []Layer) Layer {
	l := layers[0]
	if len(layers) == 1 && l.Chosen != "" {
		return l
	}
	var names []string
	for _, other := range layers {
		names = append(names, fmt.Sprintf("%s (%d×%d)", other.Name, other.Height, other.Width))
		l.Fallback = l.Fallback || other.Fallback
	}
	what := "the last convolution of each branch before the one that makes its values: "
	if l.Chosen != "" {
		what = "the last layer of each of the branches that meet only in what they say, their maps added up: "
	}
	l.Chosen = what + strings.Join(names, ", ")
	if len(layers) > 1 {
		l.Name, l.Tensor = LastLayer, ""
	}
	return l
}
