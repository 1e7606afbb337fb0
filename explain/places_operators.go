package explain

import (
	"math"
	"slices"
	"strings"
)

// A placer works out the places of a node's outputs from those of its inputs.
type placer func(g *graph, n *node, in []places) []places

// placing has the operators that are not elementwise; one that is in neither has no places.
var placing map[string]placer

func init() {
	placing = map[string]placer{
		"Transpose": placeTranspose,
		"Reshape":   placeReshape, "Flatten": placeReshape, "Squeeze": placeReshape, "Unsqueeze": placeReshape,
		"Slice": placeSlice, "Split": placeSplit, "Gather": placeGather, "GatherElements": placeElements, "Concat": placeConcat, "Pad": placePad,
		"Expand": placeExpand, "Tile": placeTile,
		"MatMul": placeMatMul, "Gemm": placeGemm, "Einsum": placeEinsum,
		"Conv": placeWindows, "MaxPool": placeWindows, "AveragePool": placeWindows, "LpPool": placeWindows,
		"ConvTranspose": placeTransposed, "MaxUnpool": placeTransposed, "Resize": placeResize,
		"DepthToSpace": placeBlocks, "SpaceToDepth": placeBlocks,
		"GlobalAveragePool": placeGlobal, "GlobalMaxPool": placeGlobal, "GlobalLpPool": placeGlobal,
		"QuantizeLinear": placeFirst, "DynamicQuantizeLinear": placeFirst, "DequantizeLinear": placeFirst, "Softmax": placeFirst, "LogSoftmax": placeFirst, "Hardmax": placeFirst,
		"LayerNormalization": placeFirst, "GroupNormalization": placeFirst, "InstanceNormalization": placeFirst, "RMSNormalization": placeFirst,
		"BatchNormalization": placeFirst, "LpNormalization": placeFirst, "Dropout": placeFirst, "Clip": placeFirst, "Pow": placeFirst,
		"CumSum": placeFirst, "Trilu": placeFirst, "CastLike": placeFirst, "PRelu": placeFirst, "Round": placeFirst, "Floor": placeFirst, "Ceil": placeFirst, "Sign": placeFirst,
	}
	for typ := range whereItIs {
		if placing[typ] == nil && typ != "Cast" {
			placing[typ] = placeElementwise
		}
	}
	for _, typ := range []string{"Mean", "Sum", "Max", "Min", "L1", "L2", "SumSquare", "LogSumExp", "LogSum", "Prod"} {
		placing["Reduce"+typ] = placeReduce
	}
}

func placeFirst(_ *graph, _ *node, in []places) []places { return in[:1] }

// placeElementwise aligns shapes at their last axes.
func placeElementwise(g *graph, n *node, in []places) []places {
	rank := len(g.shape(n.out(0)))
	var out places
	for _, p := range in {
		for i, c := range p {
			if c != nil {
				if out[i] = merged(out[i], c.ranked(rank)).normal(); out[i] != nil && out[i].mixed {
					return nil
				}
			}
		}
	}
	return []places{out}
}

// transposed moves axes.
func (c *position) transposed(perm []int) *position {
	t := (&numbers{dims: c.dims, v: c.v}).transposed(perm)
	return &position{dims: t.dims, v: t.v}
}

func placeTranspose(g *graph, n *node, in []places) []places {
	perm := permutation(n, len(g.shape(n.in(0))))
	return []places{in[0].each(func(c *position) *position { return c.transposed(perm) })}
}

func placeReshape(g *graph, n *node, in []places) []places {
	x, y := g.shape(n.in(0)), g.shape(n.out(0))
	return []places{in[0].each(func(c *position) *position { return c.reshaped(x, y) })}
}

// cut is what a slice takes of each axis; nil where all of it.
func (g *graph) cut(n *node) ([][]int64, bool) {
	x := g.shape(n.in(0))
	taken := make([][]int64, len(x))
	in := make([]*numbers, 5)
	for i := 1; i < 5; i++ {
		if n.in(i) != "" {
			if in[i] = g.constant(n.in(i)); in[i] == nil {
				return nil, false
			}
		}
	}
	for i := range in[1].v {
		at, step := i, 1.
		if in[3] != nil {
			at = int(in[3].v[i])
		}
		if at < 0 {
			at += len(x)
		}
		if in[4] != nil {
			step = in[4].v[i]
		}
		taken[at] = sliced(x[at], in[1].v[i], in[2].v[i], step)
	}
	return taken, true
}

func placeSlice(g *graph, n *node, in []places) []places {
	taken, ok := g.cut(n)
	if !ok {
		return nil
	}
	return []places{in[0].each(func(c *position) *position {
		for at, from := range taken {
			if from != nil || c.dims[at] > 1 && g.shape(n.out(0))[at] == 0 {
				c = c.pick(at, from)
			}
		}
		return c
	})}
}

func placeSplit(g *graph, n *node, in []places) []places {
	at, from := bound(n.attrInt("axis", 0), len(g.shape(n.in(0)))), int64(0)
	var out []places
	for _, t := range n.Output {
		count := g.shape(t)[at]
		out = append(out, in[0].each(func(c *position) *position { return c.pick(at, span(from, from+count)) }))
		from += count
	}
	return out
}

// span lists the integers from one to before another.
func span(from, to int64) []int64 {
	var v []int64
	for i := from; i < to; i++ {
		v = append(v, i)
	}
	return v
}

func placeGather(g *graph, n *node, in []places) []places {
	x := g.shape(n.in(0))
	at := bound(n.attrInt("axis", 0), len(x))
	index := g.constant(n.in(1))
	return []places{in[0].each(func(c *position) *position {
		insert := slices.Repeat([]int64{1}, len(g.shape(n.in(1))))
		if c.dims[at] > 1 {
			if index == nil {
				return nil
			}
			var from []int64
			for _, f := range index.v {
				if f < 0 {
					f += float64(x[at])
				}
				from = append(from, int64(f))
			}
			c, insert = c.pick(at, from), index.dims
		}
		return &position{dims: slices.Concat(c.dims[:at], insert, c.dims[at+1:]), v: c.v}
	})}
}

// placeElements: what is chosen along an axis that places do not depend on, such as the greatest of some channels, lies where all of it did.
func placeElements(g *graph, n *node, in []places) []places {
	x, y := g.shape(n.in(0)), g.shape(n.out(0))
	at := bound(n.attrInt("axis", 0), len(x))
	return []places{in[0].each(func(c *position) *position {
		if c.dims[at] > 1 {
			return &position{mixed: true}
		}
		for i := range x {
			if i != at && y[i] < x[i] { // the first of them
				c = c.pick(i, span(0, y[i]))
			}
		}
		return c
	})}
}

// placeConcat puts what lies somewhere beside what lies nowhere, such as a class token; along channels, where others lie
// somewhere, what lies nowhere lies there too.
func placeConcat(g *graph, n *node, in []places) []places {
	y := g.shape(n.out(0))
	at := bound(n.attrInt("axis", 0), len(y))
	var out places
	for k := range out {
		var common *position // of those that do not depend on the axis
		labelled := false
		to := slices.Repeat([]int64{1}, len(y))
		for _, p := range in {
			if c := p[k]; c != nil {
				to = broadcast(to, c.dims)
				if labelled = labelled || c.dims[at] > 1; c.dims[at] == 1 {
					common = merged(common, c)
				}
			}
		}
		if common == nil && !labelled {
			continue
		}
		if common != nil && common.mixed { // views of the picture beside each other
			common, labelled = nil, true
		}
		if !labelled { // channels of one place
			out[k] = common.normal()
			continue
		}
		all := &position{dims: slices.Clone(to)}
		all.dims[at] = y[at]
		var parts []*numbers
		for i, p := range in {
			dims := slices.Clone(to)
			dims[at] = g.shape(n.in(i))[at]
			c := p[k]
			if c == nil && common != nil {
				c = common
			}
			if c == nil {
				c = &position{dims: slices.Repeat([]int64{1}, len(y)), v: []float64{math.NaN()}}
			}
			part := c.expand(dims)
			parts = append(parts, &numbers{dims: part.dims, v: part.v})
		}
		whole := foldConcat(&node{NodeProto: n.NodeProto}, parts)
		all.v = whole.v
		out[k] = all.normal()
	}
	return []places{out}
}

func placePad(g *graph, n *node, in []places) []places {
	x, y := g.shape(n.in(0)), g.shape(n.out(0))
	pads, ok := g.integers(n.in(1))
	axes, known := g.integers(n.in(3))
	if n.in(3) == "" {
		axes, known = span(0, int64(len(x))), true
	}
	if !ok || !known {
		return nil
	}
	return []places{in[0].each(func(c *position) *position {
		for i, a := range axes {
			if a < 0 {
				a += int64(len(x))
			}
			first := float64(pads[i])
			c = c.resampled(int(a), y[a], func(i int64) float64 { return float64(i) - first })
		}
		return c
	})}
}

func placeExpand(g *graph, n *node, in []places) []places {
	rank := len(g.shape(n.out(0)))
	return []places{in[0].each(func(c *position) *position { return c.ranked(rank) })}
}

func placeTile(g *graph, n *node, in []places) []places {
	x, y := g.shape(n.in(0)), g.shape(n.out(0))
	return []places{in[0].each(func(c *position) *position {
		for at := range x {
			c = c.pick(at, slices.Repeat(span(0, x[at]), int(y[at]/x[at])))
		}
		return c
	})}
}

// placeReduce: what is left lies at the mean.
func placeReduce(g *graph, n *node, in []places) []places {
	x, y := g.shape(n.in(0)), g.shape(n.out(0))
	var axes []int64
	if a := attribute(n.NodeProto, "axes"); a != nil {
		axes = a.Ints
	} else if n.in(1) != "" {
		var ok bool
		if axes, ok = g.integers(n.in(1)); !ok {
			return nil
		}
	}
	if len(axes) == 0 {
		if n.attrInt("noop_with_empty_axes", 0) != 0 {
			return in[:1]
		}
		axes = span(0, int64(len(x)))
	}
	kept := slices.Clone(x)
	var over []int
	for _, a := range axes {
		at := bound(a, len(x))
		over, kept[at] = append(over, at), 1
	}
	return []places{in[0].each(func(c *position) *position { return c.mean(over...).reshaped(kept, y) })}
}

// placeMatMul: rows lie where those of the first operand do, columns where those of the second; of both, as in an
// attention's scores, the first counts: the queries.
func placeMatMul(g *graph, n *node, in []places) []places {
	rank := len(g.shape(n.out(0)))
	if len(g.shape(n.in(0))) < 2 || len(g.shape(n.in(1))) < 2 {
		return nil
	}
	for i, summed := range []int{rank - 1, rank - 2} {
		if out := in[i].each(func(c *position) *position { return c.ranked(rank).mean(summed) }); !out.none() {
			return []places{out}
		}
	}
	return nil
}

func placeGemm(_ *graph, n *node, in []places) []places {
	if n.attrInt("transA", 0) != 0 {
		return nil
	}
	return []places{in[0].each(func(c *position) *position { return c.mean(1) })}
}

// placeEinsum: an output axis lies where that of the first operand with places does.
func placeEinsum(g *graph, n *node, in []places) []places {
	equation := strings.ReplaceAll(n.attrString("equation", ""), " ", "")
	left, right, ok := strings.Cut(equation, "->")
	if !ok || strings.Contains(left, "...") {
		return nil
	}
	for i, term := range strings.Split(left, ",") {
		if in[i].none() {
			continue
		}
		out := in[i].each(func(c *position) *position {
			var sum []int
			for at, letter := range term {
				if !strings.ContainsRune(right, letter) {
					sum = append(sum, at)
				}
			}
			c = c.mean(sum...)
			var perm []int
			for _, letter := range right {
				if at := strings.IndexRune(term, letter); at >= 0 {
					perm = append(perm, at)
				}
			}
			t := c.transposed(append(perm, sum...))
			dims, k := make([]int64, 0, len(right)), 0
			for _, letter := range right {
				if !strings.ContainsRune(term, letter) {
					dims = append(dims, 1)
					continue
				}
				dims, k = append(dims, t.dims[k]), k+1
			}
			return &position{dims: dims, v: t.v}
		})
		if !out.none() {
			return []places{out}
		}
	}
	return nil
}

// placeWindows: a window lies at its centre.
func placeWindows(g *graph, n *node, in []places) []places {
	x, y := g.shape(n.in(0)), g.shape(n.out(0))
	kernel := g.shape(n.in(1))
	if n.GetOpType() == "Conv" {
		kernel = kernel[2:]
	} else {
		kernel = attribute(n.NodeProto, "kernel_shape").GetInts()
	}
	v, err := newWalk(newBuilder(g)).window(n, x, y, kernel)
	if err != nil {
		return nil
	}
	row, column := in[0][rowAt], in[0][columnAt]
	raster := len(kernel) == 1 && row != nil && column != nil && row.dims[2] > 1 && column.dims[2] > 1 // tokens row by row
	if raster && (v.strides[0] != 1 || y[2] != x[2] && v.begin[0] != v.reach(0)-1) {
		return nil
	}
	return []places{in[0].each(func(c *position) *position {
		if n.GetOpType() == "Conv" {
			c = c.mean(1)
		}
		if raster { // each beside its neighbours, or behind those before it
			return c.lines(2, y[2], func(line []float64) []float64 {
				out := slices.Repeat([]float64{math.NaN()}, int(y[2]))
				copy(out, line)
				return out
			})
		}
		for i := range kernel {
			c = c.resampled(i+2, y[i+2], func(o int64) float64 {
				return float64(o*v.strides[i]-v.begin[i]) + float64((kernel[i]-1)*v.dilations[i])/2
			})
		}
		return c
	})}
}

// placeTransposed: an output lies where the centre of the window does that would have read it.
func placeTransposed(g *graph, n *node, in []places) []places {
	x, y := g.shape(n.in(0)), g.shape(n.out(0))
	kernel := g.shape(n.in(1))[2:]
	if n.GetOpType() == "MaxUnpool" {
		kernel = attribute(n.NodeProto, "kernel_shape").GetInts()
	}
	v, err := newWalk(newBuilder(g)).window(n, y, x, kernel)
	if err != nil {
		return nil
	}
	return []places{in[0].each(func(c *position) *position {
		if n.GetOpType() == "ConvTranspose" {
			c = c.mean(1)
		}
		for i := range kernel {
			c = c.resampled(i+2, y[i+2], func(o int64) float64 {
				return (float64(o+v.begin[i]) - float64((kernel[i]-1)*v.dilations[i])/2) / float64(v.strides[i])
			})
		}
		return c
	})}
}

// placeResize: what one cell becomes lies around it.
func placeResize(g *graph, n *node, in []places) []places {
	x, y := g.shape(n.in(0)), g.shape(n.out(0))
	mode := n.attrString("coordinate_transformation_mode", "half_pixel")
	nearest := n.attrString("mode", "nearest") == "nearest"
	if mode == "tf_crop_and_resize" {
		return nil
	}
	return []places{in[0].each(func(c *position) *position {
		for at := range x {
			scale := float64(y[at]) / float64(x[at])
			c = c.resampled(at, y[at], func(o int64) float64 {
				switch {
				case mode == "align_corners" && y[at] > 1:
					return float64(o) * float64(x[at]-1) / float64(y[at]-1)
				case mode == "asymmetric" && !nearest:
					return float64(o) / scale
				}
				return (float64(o)+0.5)/scale - 0.5
			})
		}
		return c
	})}
}

// placeBlocks: blocks of pixels become channels, or channels blocks of pixels.
func placeBlocks(g *graph, n *node, in []places) []places {
	y, block := g.shape(n.out(0)), float64(n.attrInt("blocksize", 1))
	if n.GetOpType() == "DepthToSpace" {
		block = 1 / block
	}
	return []places{in[0].each(func(c *position) *position {
		c = c.mean(1)
		for at := 2; at < len(y); at++ {
			c = c.resampled(at, y[at], func(o int64) float64 { return (float64(o)+0.5)*block - 0.5 })
		}
		return c
	})}
}

func placeGlobal(_ *graph, _ *node, in []places) []places {
	return []places{in[0].each(func(c *position) *position {
		for at := 2; at < len(c.dims); at++ {
			c = c.mean(at)
		}
		return c
	})}
}
