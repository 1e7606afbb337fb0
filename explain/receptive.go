package explain

// field is the part of the input that a place of a tensor depends on, in rows or columns of the input.
type field struct {
	size, step int64 // step: between neighbouring places
	whole      bool  // what operators other than windows and pointwise ones make of a picture depends on all of it
}

// fields follows the windows of convolutions and pooling from the input up (Araujo et al. 2019, Computing receptive fields): the greatest
// over the ways that lead to a tensor, of its rows or columns, whichever is more. Tensors that do not depend on the input have none.
func (g *graph) fields() map[string]field {
	all := map[string]field{}
	for _, v := range g.inputs {
		all[v.GetName()] = field{size: 1, step: 1}
	}
	for _, n := range g.nodes {
		var out field
		for _, name := range n.uses() {
			if in, ok := all[name]; ok {
				out = out.and(in)
			}
		}
		if out.step == 0 {
			continue
		}
		out = g.behindWindow(n, out)
		for _, name := range n.Output {
			all[name] = out
		}
	}
	return all
}

// and is the field of what depends on both; of different steps, which no grid has, it is everything.
func (f field) and(other field) field {
	if f.step == 0 {
		return other
	}
	return field{max(f.size, other.size), f.step, f.whole || other.whole || f.step != other.step}
}

// behindWindow is the field of the output of a node.
func (g *graph) behindWindow(n *node, f field) field {
	op, known := n.known()
	switch n.GetOpType() {
	case "Conv", "MaxPool", "AveragePool", "LpPool":
		rank := len(g.shape(n.in(0))) - 2
		if rank < 1 {
			break
		}
		kernel, err := n.attrInts("kernel_shape", rank, 0)
		if weights := g.shape(n.in(1)); err == nil && kernel[0] == 0 && len(weights) == rank+2 {
			kernel = weights[2:]
		}
		strides, errStrides := n.attrInts("strides", rank, 1)
		dilations, errDilations := n.attrInts("dilations", rank, 1)
		if err != nil || errStrides != nil || errDilations != nil || kernel[0] == 0 {
			break
		}
		wider, longer := f.size, f.step
		for i := max(rank-2, 0); i < rank; i++ { // the last two axes: rows and columns
			wider, longer = max(wider, f.size+(kernel[i]-1)*dilations[i]*f.step), max(longer, f.step*strides[i])
		}
		return field{wider, longer, f.whole}
	case "BatchNormalization", "Concat", "Pad", "Transpose", "Identity", "Cast", "Dropout", "Slice", "Split":
		return f
	default:
		if known && op.pointwise {
			return f
		}
	}
	f.whole = true
	return f
}

// sees is how many rows or columns of the input a place of a tensor depends on: at most what there is, 0 where that is not known.
func (g *graph) sees(fields map[string]field, tensor string) int {
	var side int64
	for _, v := range g.inputs {
		for _, d := range g.shape(v.GetName()) {
			side = max(side, d)
		}
	}
	f, ok := fields[tensor]
	switch {
	case !ok:
		return 0
	case f.whole:
		return int(side)
	}
	return int(min(f.size, side))
}
