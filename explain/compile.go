package explain

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Target is one thing to compile: a method, at a layer where it depends on one.
type Target struct {
	Method Method
	// Layer is LastLayer (or ""), the name of a node or of a tensor, as Layers gives them, or AllLayers or BlockLayers,
	// which stand for several. Methods that depend on no layer leave it out.
	Layer string
}

// Output is the output of a [Compiled] model that a target became.
type Output struct {
	Method Method
	Layer  Layer // zero where the method depends on none
	Name   string
	// AtInput: the output is shaped as the input, with S for N. Otherwise it is S·Frames×Height×Width (Frames of each
	// seed together), or S×Frames×Height×Width where time is an axis of the layer.
	AtInput               bool
	Frames, Height, Width int
	Extent                Extent // of the maps, where they are not at the input
	Prefix                int    // of AttentionWeights: tokens before those of patches or frames
	Note                  string // what a reader of the map has to know, "" for nothing
	Instead               string // why this is not the method or the layer that was asked for, "" where it is
}

// need is a gradient that a method reads: of a tensor, under a set of rules.
type need struct {
	rules  variant
	tensor string
}

// compiler makes the outputs of a model, with one walk for each set of rules, whatever the number of layers.
type compiler struct {
	*builder
	compiled *Compiled
	head     head
	seed     string // shaped as the logits
	attended []attention
}

// target is a method at a layer, being compiled.
type target struct {
	MethodInfo
	layer Layer
	reads []need
	parts bool // one of several layers that are shown together with the next target
}

// maps compiles all targets.
func (c *compiler) maps(wanted []Target) ([]Output, error) {
	targets, err := c.resolve(wanted)
	if err != nil {
		return nil, err
	}
	grads, err := c.walkAll(targets)
	if err != nil {
		return nil, err
	}
	var outputs, parts []Output
	for _, t := range targets {
		read := make([]string, len(t.reads))
		for i, n := range t.reads {
			read[i] = grads[n.key()]
		}
		o := Output{Method: t.Method, Layer: t.layer, AtInput: t.AtInput, Frames: max(t.layer.Frames, 1), Height: t.layer.Height, Width: t.layer.Width, Extent: t.layer.Extent}
		if len(c.attended) > 0 && !t.AtInput && !t.AtLayer {
			a := c.attended[0]
			o.Height, o.Width, o.Frames = a.grid()
			o.Extent, o.Prefix = a.extent, a.prefix
			if t.Method == AttentionWeights {
				o.Height, o.Width, o.Frames = a.tokens, a.tokens, len(c.attended)
			}
		}
		for _, n := range t.reads {
			if (n.rules.name == guided.name || n.rules.name == deconvnet.name) && !c.rectified() {
				o.Instead = "the network has no ReLU: this is the plain gradient"
			}
		}
		if why := t.layer.Instead(); why != "" {
			o.Instead = why
		}
		o.Name = c.op("Identity", []string{t.make(c, t, read)}) // an output of its own, whatever it is made of
		if parts = append(parts, o); t.parts {
			continue
		}
		if len(parts) > 1 {
			o = c.together(parts)
		}
		outputs, parts = append(outputs, o), nil
	}
	return outputs, nil
}

// rectified reports whether there is a rectifier between input and logits, which guided backpropagation and deconvnet need.
func (c *compiler) rectified() bool {
	on := c.g.between([]string{c.compiled.InputName}, c.head.logits)
	return slices.ContainsFunc(c.g.nodes, func(n *node) bool {
		return guided.rules[n.GetOpType()] != nil && n.standard() && on[n.out(0)]
	})
}

// resolve turns the targets asked for into methods at layers, with the gradients they read.
func (c *compiler) resolve(wanted []Target) ([]*target, error) {
	var all []*target
	for _, want := range wanted {
		info, ok := LookupMethod(want.Method)
		if !ok {
			return nil, fmt.Errorf("explain: unknown method %q; there are: %s", want.Method, methodNames())
		}
		if info.Runs {
			return nil, fmt.Errorf("explain: %s is made of many runs of the network; it has no graph of its own", want.Method)
		}
		layers := []Layer{{}}
		if info.AtLayer {
			var err error
			if layers, err = c.g.findLayers(want.Layer, c.head); err != nil {
				return nil, err
			}
		}
		together := want.Layer == "" || want.Layer == LastLayer
		for i, l := range layers {
			t := &target{MethodInfo: info, layer: l, parts: together && !info.Raw && i < len(layers)-1}
			var err error
			if t.reads, err = info.needs(c, t); err != nil {
				return nil, err
			}
			all = append(all, t)
		}
	}
	return all, nil
}

func methodNames() string {
	var names []string
	for _, m := range Methods() {
		names = append(names, string(m.Method))
	}
	return strings.Join(names, ", ")
}

// key tells gradients apart.
func (n need) key() string { return n.rules.name + "\n" + n.tensor }

// walkAll makes every gradient that the targets read, by one walk for each set of rules.
func (c *compiler) walkAll(targets []*target) (map[string]string, error) {
	var order []variant
	tensors := map[string][]string{}
	for _, t := range targets {
		for _, n := range t.reads {
			if tensors[n.rules.name] == nil {
				order = append(order, n.rules)
			}
			tensors[n.rules.name] = distinct(append(tensors[n.rules.name], n.tensor))
		}
	}
	grads := map[string]string{}
	for _, v := range order {
		w := newWalk(c.builder)
		w.variant, w.compiled = v, c.compiled
		w.sparse[c.seed] = true
		from, seed := c.head.logits, c.seed
		if v.start != nil {
			from, seed = v.start(w, from, seed)
		}
		made, err := w.backward(from, seed, tensors[v.name])
		if err != nil {
			return nil, c.g.addLayers(err, c.head)
		}
		for i, t := range tensors[v.name] {
			grads[need{v, t}.key()] = made[i]
		}
	}
	return grads, nil
}

// variant is a set of rules: a walk under it looks up an operator here first and in the table then.
type variant struct {
	name  string
	masks bool // a gradient is zero wherever a Relu's output was
	rules map[string]rule
	other func(w *walk, n *node, dy []string) ([]string, error)  // for what rules does not have; nil: the table
	start func(w *walk, logits, seed string) (from, with string) // nil: the seed at the logits
}

// plain is the gradient.
var plain = variant{name: "gradient", masks: true}

// guided lets only positive gradients pass active ReLUs; deconvnet asks only for the former.
var (
	guided    = variant{name: "guided", masks: true, rules: map[string]rule{"Relu": positive(vjpRelu, vjpRelu), "Clip": positive(vjpClip, vjpClip)}}
	deconvnet = variant{name: "deconvnet", rules: map[string]rule{"Relu": positive(vjpIdentity, vjpRelu), "Clip": positive(vjpIdentity, vjpClip)}}
)

// positive hands a rule what is positive of the gradient; what belongs to a gate keeps its own rule.
func positive(r, own rule) rule {
	return func(w *walk, n *node, dy []string) ([]string, error) {
		if w.gating(n) {
			return own(w, n, dy)
		}
		up := w.op("Relu", dy[:1])
		if gated := w.gated[dy[0]]; gated == dy[0] {
			w.gated[up] = up
		} else if gated != "" {
			w.gated[up] = w.op("Relu", []string{gated})
		}
		return r(w, n, []string{up})
	}
}

// What the methods read.

func layerGradient(_ *compiler, t *target) ([]need, error) {
	return []need{{plain, t.layer.Tensor}}, nil
}

func inputGradient(v variant) func(c *compiler, _ *target) ([]need, error) {
	return func(c *compiler, _ *target) ([]need, error) { return []need{{v, c.compiled.InputName}}, nil }
}

func guidedAndLayer(c *compiler, t *target) ([]need, error) {
	return []need{{guided, c.compiled.InputName}, {plain, t.layer.Tensor}}, nil
}

// layerMaximum is a walk of its own for each layer: from its channel-wise maximum to the input.
func layerMaximum(c *compiler, t *target) ([]need, error) {
	if t.layer.Tensor == "" {
		return nil, errors.New("explain: layer saliency needs a layer")
	}
	v := variant{name: "maximum of " + t.layer.Tensor, masks: true, start: func(w *walk, _, _ string) (string, string) {
		a := t.layer.Tensor
		var axes []int64
		for _, at := range t.layer.grid.channelAxes {
			axes = append(axes, int64(at))
		}
		greatest := w.reduceMax(a, axes...)
		hit := w.op("CastLike", []string{w.op("Equal", []string{a, greatest}), a})
		return a, w.div(hit, w.reduceSum(hit, true, axes...)) // equal maxima share it
	}}
	return []need{{v, c.compiled.InputName}}, nil
}

// What the methods make of it.

func only(_ *compiler, _ *target, grads []string) string { return grads[0] }

func timesInput(c *compiler, _ *target, grads []string) string {
	return c.mul(grads[0], c.compiled.InputName)
}

// itself is the layer's activation, asGrid whatever was read of it.
func itself(c *compiler, t *target, _ []string) string {
	return t.layer.grid.onGrid(newWalk(c.builder), t.layer.Tensor, t.layer.dims)
}

func asGrid(c *compiler, t *target, grads []string) string {
	return t.layer.grid.onGrid(newWalk(c.builder), grads[0], t.layer.dims)
}

func nothing(*compiler, *target) ([]need, error) { return nil, nil }
