package explain

import (
	"fmt"
	"strings"
)

// head is the end of a classifier.
type head struct {
	output string // the model's own output
	logits string // where the seed acts: before a final softmax or sigmoid
}

// findHead takes the named output, or the first one, and looks behind a final softmax or sigmoid,
// also through operators that only rename axes, clamp or round; with itself, the output is taken as it is.
func (g *graph) findHead(output string, itself bool) (head, error) {
	outputs := g.model.Graph.Output
	if len(outputs) == 0 {
		return head{}, fmt.Errorf("explain: the model has no output")
	}
	h := head{output: outputs[0].GetName()}
	if output != "" {
		h.output = output
	}
	if g.producer[h.output] == nil {
		var names []string
		for _, v := range outputs {
			names = append(names, v.GetName())
		}
		return head{}, fmt.Errorf("explain: the model has no output %q; there are: %s", h.output, strings.Join(names, ", "))
	}
	h.logits = h.output
	if itself {
		return h, nil
	}
	for t := h.output; ; {
		n := g.producer[t]
		if n == nil || !n.standard() || len(n.Input) == 0 {
			return h, nil
		}
		switch n.GetOpType() {
		case "Softmax", "LogSoftmax", "Sigmoid":
			h.logits = n.in(0)
			return h, nil
		case "Div", "Reciprocal":
			if logits := g.softmaxed(n); logits != "" {
				h.logits = logits
			} else if logits := g.sigmoided(n); logits != "" {
				h.logits = logits
			}
			return h, nil
		case "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Cast", "Clip", "QuantizeLinear", "DequantizeLinear":
			t = n.in(0)
		default:
			return h, nil
		}
	}
}

// softmaxed is what a division makes a softmax of: exponentials by their sum, of what may have been brought below its greatest first.
func (g *graph) softmaxed(n *node) string {
	e, sum := g.producer[n.in(0)], g.producer[n.in(1)]
	if n.GetOpType() != "Div" || e == nil || sum == nil || e.GetOpType() != "Exp" || sum.GetOpType() != "ReduceSum" || sum.in(0) != n.in(0) {
		return ""
	}
	if less := g.producer[e.in(0)]; less != nil && less.GetOpType() == "Sub" {
		if most := g.producer[less.in(1)]; most != nil && most.GetOpType() == "ReduceMax" && most.in(0) == less.in(0) {
			return less.in(0)
		}
	}
	return e.in(0)
}

// sigmoided is what a quotient makes a sigmoid of: one by one and exponentials of the negative.
func (g *graph) sigmoided(n *node) string {
	one := func(t string) bool {
		v, ok := g.float(t)
		return ok && v == 1
	}
	sum := g.producer[n.in(len(n.Input)-1)]
	if sum == nil || sum.GetOpType() != "Add" || len(n.Input) > 1 && !one(n.in(0)) {
		return ""
	}
	for i := range 2 {
		e := g.producer[sum.in(i)]
		if e == nil || e.GetOpType() != "Exp" || !one(sum.in(1-i)) {
			continue
		}
		if minus := g.producer[e.in(0)]; minus != nil && minus.GetOpType() == "Neg" {
			return minus.in(0)
		}
	}
	return ""
}

func layerNames(layers []Layer) string {
	names := make([]string, len(layers))
	for i, l := range layers {
		names[i] = l.Name
	}
	return strings.Join(names, ", ")
}
