package explain

import (
	"fmt"
	"slices"

	"endogate/explain/onnxpb"

	"google.golang.org/protobuf/proto"
)

// mostFactors of a product are written out.
const mostFactors = 64

// leastPower is what the sum of powers is at least: a root has no slope at zero.
const leastPower = 1e-30

// part is places from to before end of an axis, every step-th.
func (b *builder) part(x string, axis, from, end, step int64) string {
	return b.op("Slice", []string{x, b.ints(from), b.ints(end), b.ints(axis), b.ints(step)})
}

// last is a part of the last axis.
func (b *builder) last(x string, from, end, step int64) string { return b.part(x, -1, from, end, step) }

// lowerLpPool is the p-th root of a mean of |x|ᵖ, times as many as there are.
func lowerLpPool(b *builder, n *node) string {
	x, p := b.g.shape(n.in(0)), n.attrFloat("p", 2)
	if a := attribute(n.NodeProto, "p"); a != nil && a.I != nil {
		p = float32(a.GetI())
	}
	power := b.op("Abs", n.Input[:1])
	switch {
	case p == 2:
		power = b.mul(n.in(0), n.in(0))
	case p < 1:
		return fmt.Sprintf("its p is %g", p)
	case p != 1:
		power = b.op("Pow", []string{power, b.scalar(p)})
	}
	sum := ""
	if n.GetOpType() == "GlobalLpPool" {
		axes := make([]int64, len(x)-2)
		for i := range axes {
			axes[i] = int64(i + 2)
		}
		sum = b.reduceSum(power, true, axes...)
	} else {
		kernel := attribute(n.NodeProto, "kernel_shape").GetInts()
		dilated := slices.ContainsFunc(attribute(n.NodeProto, "dilations").GetInts(), func(d int64) bool { return d != 1 })
		if n.attrInt("ceil_mode", 0) != 0 || dilated && n.opset < 19 {
			return "its windows are dilated, or reach beyond the padding"
		}
		attrs := slices.DeleteFunc(slices.Clone(n.Attribute), func(a *onnxpb.AttributeProto) bool {
			return a.GetName() == "p" || a.GetName() == "dilations" && !dilated
		})
		sum = b.times(b.op("AveragePool", []string{power}, append(attrs, intAttr("count_include_pad", 1))...), float32(size(kernel)))
	}
	if p == 1 {
		b.named(sum, n.out(0))
		return ""
	}
	sum = b.op("Max", []string{sum, b.scalar(leastPower)})
	if p == 2 {
		b.named(b.op("Sqrt", []string{sum}), n.out(0))
	} else {
		b.named(b.op("Pow", []string{sum, b.scalar(1 / p)}), n.out(0))
	}
	return ""
}

// lowerPower: an exponent that depends on the picture is that of e, times a logarithm. Of bases below zero, such powers are no numbers.
func lowerPower(b *builder, n *node) string {
	base := n.in(0)
	known, constant := b.g.floats(base)
	switch {
	case !b.g.varying()[n.in(1)]:
		return ""
	case !constant:
		base = b.op("Max", []string{base, b.scalar(leastPower)})
	case slices.ContainsFunc(known, func(v float32) bool { return v <= 0 }):
		return "its base is not above zero, and its exponent depends on the picture"
	}
	b.named(b.op("Exp", []string{b.mul(n.in(1), b.op("Log", []string{base}))}), n.out(0))
	return ""
}

// lowerCompress reads what is kept, where that is known.
func lowerCompress(b *builder, n *node) string {
	kept := b.g.constant(n.in(1))
	switch {
	case kept == nil:
		return "what it keeps depends on the picture"
	case attribute(n.NodeProto, "axis") == nil:
		return "it keeps values of all axes as one"
	}
	var at []int64
	for i, v := range kept.v {
		if v != 0 {
			at = append(at, int64(i))
		}
	}
	b.named(b.op("Gather", []string{n.in(0), b.ints(at...)}, intAttr("axis", n.attrInt("axis", 0))), n.out(0))
	return ""
}

// lowerOwnRotary has the standard's operands in another order, and need not say how many heads there are.
func lowerOwnRotary(b *builder, n *node) string {
	x, ids, cache := b.g.shape(n.in(0)), b.g.shape(n.in(1)), b.g.shape(n.in(2))
	switch {
	case n.attrFloat("scale", 1) != 1 || n.attrInt("is_packed_batching", 0) != 0:
		return "its positions are scaled or packed"
	case len(x) < 3 || len(cache) != 2:
		return "its input has neither three axes nor four, or its cache not two"
	}
	positions := n.in(1)
	if len(ids) == 1 { // of the first
		steps := span(0, x[len(x)-2])
		positions = b.plus(b.reshape(positions, 1, 1), b.integers([]int64{1, int64(len(steps))}, steps...))
	}
	attrs := slices.Clone(n.Attribute)
	if len(x) == 3 && n.attrInt("num_heads", 0) == 0 {
		attrs = append(slices.DeleteFunc(attrs, func(a *onnxpb.AttributeProto) bool { return a.GetName() == "num_heads" }), intAttr("num_heads", x[2]/(2*cache[1])))
	}
	return lowerRotary(b, &node{opset: n.opset, NodeProto: &onnxpb.NodeProto{Input: []string{n.in(0), n.in(2), n.in(3), positions}, Output: n.Output, Attribute: attrs}})
}

// lowerRotary turns pairs of places by the angles of their positions.
func lowerRotary(b *builder, n *node) string {
	x, shape := n.in(0), b.g.shape(n.in(0))
	heads, flat := n.attrInt("num_heads", 0), len(shape) == 3
	switch {
	case flat && heads < 1:
		return "it does not say how many heads its three axes hold"
	case flat:
		x = b.op("Reshape", []string{x, b.ints(0, 0, heads, shape[2]/heads)})
		shape = []int64{shape[0], shape[1], heads, shape[2] / heads}
	case len(shape) == 4:
		x = b.op("Transpose", []string{x}, intsAttr("perm", 0, 2, 1, 3))
	default:
		return "its input has neither three axes nor four"
	}
	width := shape[3]
	turned := n.attrInt("rotary_embedding_dim", 0)
	if turned == 0 {
		turned = width
	}
	angle := func(cache string) string {
		if n.in(3) != "" {
			cache = b.op("Gather", []string{cache, n.in(3)}, intAttr("axis", 0))
		}
		return b.op("Unsqueeze", []string{cache, b.ints(2)})
	}
	cos, sin := angle(n.in(1)), angle(n.in(2))
	var first, second string
	interleaved := n.attrInt("interleaved", 0) != 0
	if interleaved {
		first, second = b.last(x, 0, turned, 2), b.last(x, 1, turned, 2)
	} else {
		first, second = b.last(x, 0, turned/2, 1), b.last(x, turned/2, turned, 1)
	}
	re := b.sub(b.mul(cos, first), b.mul(sin, second))
	im := b.plus(b.mul(sin, first), b.mul(cos, second))
	y := ""
	if interleaved {
		pairs := b.op("Concat", []string{b.op("Unsqueeze", []string{re, b.ints(-1)}), b.op("Unsqueeze", []string{im, b.ints(-1)})}, intAttr("axis", -1))
		y = b.op("Reshape", []string{pairs, b.ints(0, 0, 0, turned)})
	} else {
		y = b.op("Concat", []string{re, im}, intAttr("axis", -1))
	}
	if turned < width {
		y = b.op("Concat", []string{y, b.last(x, turned, width, 1)}, intAttr("axis", -1))
	}
	if flat {
		b.named(b.op("Reshape", []string{y, b.ints(0, 0, heads*width)}), n.out(0))
	} else {
		b.named(b.op("Transpose", []string{y}, intsAttr("perm", 0, 2, 1, 3)), n.out(0))
	}
	return ""
}

// lowerGridSample reads the places about each point of the grid and weights them.
func lowerGridSample(b *builder, n *node) string {
	x, grid := b.g.shape(n.in(0)), b.g.shape(n.in(1))
	mode, padding, corners := n.attrString("mode", "linear"), n.attrString("padding_mode", "zeros"), n.attrInt("align_corners", 0) != 0
	switch {
	case len(x) != 4 || len(grid) != 4:
		return "only pictures can be sampled, not volumes"
	case mode != "linear" && mode != "bilinear" && mode != "nearest":
		return "its mode " + mode + " has no rule"
	case padding != "zeros" && padding != "border":
		return "its padding mode " + padding + " has no rule"
	}
	b.guide(n.in(1))
	points := grid[1] * grid[2]
	flat := b.op("Reshape", []string{n.in(0), b.ints(0, x[1], x[2]*x[3])})
	coordinate := func(i, extent int64) string {
		v := b.op("Reshape", []string{b.last(n.in(1), i, i+1, 1), b.ints(0, 1, points)})
		if corners {
			v = b.times(b.plus(v, b.scalar(1)), float32(extent-1)/2)
		} else {
			v = b.sub(b.times(b.plus(v, b.scalar(1)), float32(extent)/2), b.scalar(0.5))
		}
		if padding == "border" {
			v = b.op("Clip", []string{v, b.scalar(0), b.scalar(float32(extent - 1))})
		}
		return v
	}
	col, row := coordinate(0, x[3]), coordinate(1, x[2])
	read := func(col, row string) string { return b.standing(flat, col, row, []int64{1, x[1], points}, x[2], x[3]) }
	y := ""
	if mode == "nearest" {
		y = read(b.op("Round", []string{col}), b.op("Round", []string{row}))
	} else {
		y = b.between(col, row, read)
	}
	b.named(b.op("Reshape", []string{y, b.ints(0, x[1], grid[1], grid[2])}), n.out(0))
	return ""
}

// guide notes that a tensor says where another is read.
func (b *builder) guide(tensor string) {
	if b.g.coordinates == nil {
		b.g.coordinates = map[string]bool{}
	}
	b.g.coordinates[tensor] = true
}

// standing is what stands at whole places of pictures whose rows lie one behind the other on the last axis, zero beyond them.
func (b *builder) standing(flat, col, row string, dims []int64, rows, columns int64) string {
	at := func(v string, extent int64) (within, seen string) {
		within = b.op("Clip", []string{v, b.scalar(0), b.scalar(float32(extent - 1))})
		return within, b.op("Cast", []string{b.op("Equal", []string{v, within})}, intAttr("to", 1))
	}
	c, inColumns := at(col, columns)
	r, inRows := at(row, rows)
	index := b.op("Cast", []string{b.plus(b.times(r, float32(columns)), c)}, intAttr("to", 7))
	values := b.op("GatherElements", []string{flat, b.op("Expand", []string{index, b.ints(dims...)})}, intAttr("axis", int64(len(dims)-1)))
	return b.mul(values, b.mul(inColumns, inRows))
}

// between weights what stands at the four whole places about each.
func (b *builder) between(col, row string, read func(col, row string) string) string {
	left, top := b.op("Floor", []string{col}), b.op("Floor", []string{row})
	right, below := b.plus(left, b.scalar(1)), b.plus(top, b.scalar(1))
	across, down := b.sub(col, left), b.sub(row, top)
	rest := func(v string) string { return b.sub(b.scalar(1), v) }
	upper := b.plus(b.mul(read(left, top), rest(across)), b.mul(read(right, top), across))
	lower := b.plus(b.mul(read(left, below), rest(across)), b.mul(read(right, below), across))
	return b.plus(b.mul(upper, rest(down)), b.mul(lower, down))
}

// lowerDeformConv reads each place of a kernel where its offset says, weighted by its mask, and multiplies. It lies where a
// convolution would.
func lowerDeformConv(b *builder, n *node) string {
	x, weight, offset := b.g.shape(n.in(0)), b.g.shape(n.in(1)), b.g.shape(n.in(2))
	if len(x) != 4 || len(weight) != 4 || len(offset) != 4 {
		return "only pictures can be convolved so, not volumes"
	}
	v, err := newWalk(b).window(n, x, offset, weight[2:])
	if err != nil {
		return err.Error()
	}
	b.guide(n.in(2))
	groups, parts := n.attrInt("group", 1), n.attrInt("offset_group", 1)
	taps, points := weight[2]*weight[3], offset[2]*offset[3]
	regular := func(axis int) string { // where a convolution reads along one axis
		var at []float32
		for tap := range taps {
			for point := range points {
				k, o := []int64{tap / weight[3], tap % weight[3]}[axis], []int64{point / offset[3], point % offset[3]}[axis]
				at = append(at, float32(o*v.strides[axis]-v.begin[axis]+k*v.dilations[axis]))
			}
		}
		return b.floats([]int64{taps * points}, at...)
	}
	offsets := b.op("Reshape", []string{n.in(2), b.ints(0, parts*taps, 2, points)})
	read := func(axis int64) string {
		along := b.op("Reshape", []string{b.part(offsets, 2, axis, axis+1, 1), b.ints(0, parts, 1, taps*points)})
		return b.plus(along, regular(int(axis)))
	}
	flat := b.op("Reshape", []string{n.in(0), b.ints(0, parts, x[1]/parts, x[2]*x[3])})
	y := b.between(read(1), read(0), func(col, row string) string {
		return b.standing(flat, col, row, []int64{1, 1, x[1] / parts, taps * points}, x[2], x[3])
	})
	if mask := n.in(4); mask != "" {
		y = b.mul(y, b.op("Reshape", []string{mask, b.ints(0, parts, 1, taps*points)}))
	}
	y = b.op("Reshape", []string{y, b.ints(0, groups, x[1]/groups*taps, points)})
	kernels := b.op("Reshape", []string{n.in(1), b.ints(groups, weight[0]/groups, x[1]/groups*taps)})
	y = b.op("Reshape", []string{b.op("MatMul", []string{kernels, y}), b.ints(0, weight[0], offset[2], offset[3])})
	if bias := n.in(3); bias != "" {
		y = b.plus(y, b.op("Reshape", []string{bias, b.ints(-1, 1, 1)}))
	}
	b.comesTo(n, y)
	b.nodes[len(b.nodes)-1].Name = proto.String(n.label())
	if b.g.convolved == nil {
		b.g.convolved = map[string]*node{}
	}
	b.g.convolved[n.out(0)] = &node{index: n.index, opset: n.opset, NodeProto: &onnxpb.NodeProto{
		OpType: proto.String("Conv"), Name: n.Name, Input: n.Input[:2], Output: n.Output,
		Attribute: slices.DeleteFunc(slices.Clone(n.Attribute), func(a *onnxpb.AttributeProto) bool { return a.GetName() == "offset_group" }),
	}}
	return ""
}

// lowerScan writes the steps of a scan out.
func lowerScan(b *builder, n *node) string {
	body := attribute(n.NodeProto, "body").GetG()
	scanned := int(n.attrInt("num_scan_inputs", 0))
	states := len(n.Input) - scanned
	if scanned < 1 || states < 0 || len(body.GetInput()) != len(n.Input) || len(body.GetOutput()) < states {
		return "its body does not fit it"
	}
	list := func(name string, i int) int64 {
		if v := attribute(n.NodeProto, name).GetInts(); i < len(v) {
			return v[i]
		}
		return 0
	}
	steps := int64(0)
	axes := make([]int64, scanned)
	for i := range axes {
		shape := b.g.shape(n.in(states + i))
		at, err := axis(n, list("scan_input_axes", i), len(shape))
		if err != nil {
			return "an axis is out of range"
		}
		axes[i], steps = int64(at), shape[at]
	}
	if steps < 1 || steps > mostSteps || steps*int64(len(body.GetNode())) > mostNodes {
		return fmt.Sprintf("it has %d steps: from 1 to %d can be differentiated", steps, mostSteps)
	}
	state := n.Input[:states]
	out := make([][]string, len(body.GetOutput())-states)
	for step := range steps {
		to := map[string]string{}
		for i, v := range state {
			to[body.Input[i].GetName()] = v
		}
		for i, at := range axes {
			place := step
			if list("scan_input_directions", i) != 0 {
				place = steps - 1 - step
			}
			to[body.Input[states+i].GetName()] = b.op("Squeeze", []string{b.part(n.in(states+i), at, place, place+1, 1), b.ints(at)})
		}
		outputs := make([]string, len(body.GetOutput()))
		for i := range outputs {
			outputs[i] = b.name(fmt.Sprintf("%s/step%d/%s", n.label(), step, body.Output[i].GetName()))
		}
		if why := b.inline(body, n, to, outputs); why != "" {
			return why
		}
		state = outputs[:states]
		for i := range out {
			out[i] = append(out[i], b.op("Unsqueeze", []string{outputs[states+i], b.ints(list("scan_output_axes", i))}))
		}
	}
	for i, name := range n.Output {
		if i < states {
			b.named(state[i], name)
		} else if name != "" {
			parts := out[i-states]
			if list("scan_output_directions", i-states) != 0 {
				slices.Reverse(parts)
			}
			b.add("Concat", parts, []string{name}, intAttr("axis", list("scan_output_axes", i-states)))
		}
	}
	return ""
}

// lowerTopK reads the greatest where they stand.
func lowerTopK(b *builder, n *node) string {
	if n.out(0) == "" || slices.ContainsFunc(b.g.nodes, func(m *node) bool { // written so already
		return m.GetOpType() == "GatherElements" && m.in(1) == n.out(1) && m.in(0) == n.in(0)
	}) {
		return ""
	}
	indices := n.out(1)
	if indices == "" {
		indices = b.name("explain/TopK")
	}
	b.add("TopK", n.Input, []string{b.name("explain/TopK"), indices}, n.Attribute...)
	b.add("GatherElements", []string{n.in(0), indices}, []string{n.out(0)}, intAttr("axis", n.attrInt("axis", -1)))
	return ""
}

// lowerGatherND of the same frames: of rows of places that are counted on. One that counts frames too has a rule.
func lowerGatherND(b *builder, n *node) string {
	batches := int(n.attrInt("batch_dims", 0))
	if batches == 0 {
		return ""
	}
	x, indices := b.g.shape(n.in(0)), b.g.shape(n.in(1))
	depth := int(indices[len(indices)-1])
	dims, rest := x[batches:batches+depth], x[batches+depth:]
	strides := make([]int64, depth)
	for i, stride := depth-1, int64(1); i >= 0; i-- {
		strides[i], stride = stride, stride*dims[i]
	}
	back := b.op("Less", []string{n.in(1), b.intScalar(0)})
	index := b.where(back, b.plus(n.in(1), b.ints(dims...)), n.in(1))
	index = b.reduceSum(b.mul(index, b.ints(strides...)), false, -1)
	count := size(indices[batches : len(indices)-1])
	among := func(more ...int64) []int64 { return append(append([]int64{0}, x[1:batches]...), more...) }
	index = b.op("Reshape", []string{index, b.ints(among(count, 1)...)})
	ones := slices.Repeat([]int64{1}, batches)
	index = b.op("Expand", []string{index, b.ints(append(ones, count, size(rest))...)})
	flat := b.op("Reshape", []string{n.in(0), b.ints(among(size(dims), size(rest))...)})
	y := b.op("GatherElements", []string{flat, index}, intAttr("axis", int64(batches)))
	b.named(b.op("Reshape", []string{y, b.ints(among(append(slices.Clone(indices[batches:len(indices)-1]), rest...)...)...)}), n.out(0))
	return ""
}

// reduced reads the axes of a reduction that is written out, all of them where it names none.
func (b *builder) reduced(n *node) (axes []int64, why string) {
	axes = slices.Clone(attribute(n.NodeProto, "axes").GetInts())
	if n.in(1) != "" {
		v, ok := b.g.integers(n.in(1))
		if !ok {
			return nil, "its axes are not constant"
		}
		axes = slices.Clone(v)
	}
	rank := len(b.g.shape(n.in(0)))
	for i := range axes {
		at, err := axis(n, axes[i], rank)
		if err != nil {
			return nil, "an axis is out of range"
		}
		axes[i] = int64(at)
	}
	if len(axes) == 0 && n.attrInt("noop_with_empty_axes", 0) == 0 {
		for i := range rank {
			axes = append(axes, int64(i))
		}
	}
	return axes, ""
}

// lowerReduceProd multiplies place by place.
func lowerReduceProd(b *builder, n *node) string {
	axes, why := b.reduced(n)
	if why != "" {
		return why
	}
	y, x := n.in(0), b.g.shape(n.in(0))
	for _, at := range axes {
		if x[at] > mostFactors {
			return fmt.Sprintf("it multiplies %d factors: up to %d can be differentiated", x[at], mostFactors)
		}
		product := b.part(y, at, 0, 1, 1)
		for i := int64(1); i < x[at]; i++ {
			product = b.mul(product, b.part(y, at, i, i+1, 1))
		}
		y = product
	}
	if n.attrInt("keepdims", 1) == 0 && len(axes) > 0 {
		y = b.op("Squeeze", []string{y, b.ints(axes...)})
	}
	b.named(y, n.out(0))
	return ""
}

// lowerReduceLogSum is the logarithm of a sum.
func lowerReduceLogSum(b *builder, n *node) string {
	axes, why := b.reduced(n)
	if why == "" && len(axes) > 0 {
		b.named(b.op("Log", []string{b.reduceSum(n.in(0), n.attrInt("keepdims", 1) != 0, axes...)}), n.out(0))
	} else if why == "" {
		b.named(b.op("Log", n.Input[:1]), n.out(0))
	}
	return why
}

// lowerAffineGrid turns and shifts a regular grid over a picture.
func lowerAffineGrid(b *builder, n *node) string {
	dims, ok := b.g.integers(n.in(1))
	if !ok || len(dims) != 4 {
		return "its size is not constant, or not that of a picture"
	}
	rows, columns := dims[2], dims[3]
	at := func(i, extent int64) float32 {
		if n.attrInt("align_corners", 0) != 0 {
			return 2*float32(i)/float32(max(extent-1, 1)) - 1
		}
		return (2*float32(i)+1)/float32(extent) - 1
	}
	points := rows * columns
	grid := make([]float32, 3*points)
	for i := range points {
		grid[i], grid[points+i], grid[2*points+i] = at(i%columns, columns), at(i/columns, rows), 1
	}
	turned := b.op("MatMul", []string{n.in(0), b.floats([]int64{3, points}, grid...)})
	b.named(b.op("Reshape", []string{b.transposeLast(turned, 3), b.ints(0, rows, columns, 2)}), n.out(0))
	return ""
}
