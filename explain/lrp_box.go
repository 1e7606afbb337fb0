package explain

import "slices"

// relevanceBox is the z-box rule of the layer that reads the picture: pixels lie between low and high.
func relevanceBox(w *walk, n *node, data int, low, high string, dy []string) ([]string, error) {
	weights := n.in(1 - data)
	whole, z := w.altered(n, data, n.in(data), weights, "")
	least, zl := w.altered(n, data, low, w.part(weights, false), "")
	most, zh := w.altered(n, data, high, w.part(weights, true), "")
	s := w.div(dy[0], w.stable(w.sub(w.sub(z, zl), zh)))
	sum := ""
	for _, m := range []*node{whole, least, most} {
		grad, err := w.back(m, data, s)
		if err != nil {
			return nil, err
		}
		if grad = w.mul(grad, m.in(data)); sum != "" {
			grad = w.sub(sum, grad)
		}
		sum = grad
	}
	dx := make([]string, len(n.Input))
	dx[data] = sum
	return dx, nil
}

// entry says which input of a node the picture comes in by, where the node only moves it about, or scales and shifts it by
// constants as where the network normalises its input itself; -1 elsewhere.
func (w *walk) entry(n *node) int {
	if n == nil || len(n.Output) != 1 {
		return -1
	}
	data := 0
	switch typ := n.GetOpType(); {
	case slices.Contains([]string{
		"Transpose", "Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Gather", "Pad", "SpaceToDepth",
	}, typ):
	case arranging[typ] && w.varying(n.in(0)) != w.varying(n.in(1)):
		if w.varying(n.in(1)) {
			data = 1
		}
	default:
		return -1
	}
	if from := n.in(data); from != w.compiled.InputName && w.entry(w.g.producer[from]) < 0 {
		return -1
	}
	return data
}

// bounds are the least and greatest picture as a tensor at the entry shows it, "" for others.
func (w *walk) bounds(tensor string) (low, high string) {
	if tensor == w.compiled.InputName {
		if w.compiled.LowName == "" {
			w.compiled.LowName, w.compiled.HighName = w.name("low"), w.name("high")
		}
		return w.forEach(w.compiled.LowName), w.forEach(w.compiled.HighName)
	}
	n := w.g.producer[tensor]
	data := w.entry(n)
	if data < 0 {
		return "", ""
	}
	at := func(bound string) string {
		inputs := slices.Clone(n.Input)
		inputs[data] = bound
		return w.op(n.GetOpType(), inputs, n.Attribute...)
	}
	low, high = w.bounds(n.in(data))
	low, high = at(low), at(high)
	if arranging[n.GetOpType()] {
		low, high = w.op("Min", []string{low, high}), w.op("Max", []string{low, high})
	}
	return low, high
}
