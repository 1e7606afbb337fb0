package explain

import (
	"encoding/binary"
	"math"
	"slices"

	"endogate/explain/onnxpb"
)

// largestConstant is the number of elements up to which constants are worked out.
const largestConstant = 1 << 14

// numbers is a small tensor whose values are known. A number that depends on the batch is not a number.
type numbers struct {
	dims  []int64
	v     []float64
	whole bool // of an integer type or bool
}

// integers is the value of a small tensor that follows from constants and shapes alone, as exporters write the bounds of a slice
// or the pads of a window; false where it depends on the batch or on the picture.
func (g *graph) integers(name string) ([]int64, bool) {
	c := g.constant(name)
	if c == nil {
		return nil, false
	}
	out := make([]int64, len(c.v))
	for i, f := range c.v {
		switch {
		case math.IsNaN(f):
			return nil, false
		case f >= math.MaxInt64:
			out[i] = math.MaxInt64
		case f <= math.MinInt64:
			out[i] = math.MinInt64
		default:
			out[i] = int64(f)
		}
	}
	return out, true
}

// constant is what is known of a tensor's values; nil where it is nothing.
func (g *graph) constant(name string) *numbers {
	if t := g.weights[name]; t != nil && g.values[name] == nil && size(t.Dims) <= largestConstant {
		if c := numbersOf(t); c != nil {
			g.values[name] = c
		}
	}
	return g.values[name]
}

// foldConstants works out what follows from constants and shapes, in the order of the graph.
func (g *graph) foldConstants() {
	g.values = map[string]*numbers{}
	for _, n := range g.nodes {
		if c := g.evaluate(n); c != nil && len(c.v) <= largestConstant && size(c.dims) == int64(len(c.v)) {
			g.values[n.out(0)] = c
		}
	}
}

// evaluate is the first output of a node whose inputs are known. A node that contradicts itself has none.
func (g *graph) evaluate(n *node) (c *numbers) {
	if !n.standard() || n.out(0) == "" {
		return nil
	}
	switch n.GetOpType() {
	case "Shape":
		return g.shapeNumbers(n)
	case "Size":
		if c := g.shapeNumbers(n); c != nil {
			return &numbers{v: []float64{product(c.v)}, whole: true}
		}
		return nil
	}
	f := folds[n.GetOpType()]
	if f == nil {
		return nil
	}
	in := make([]*numbers, len(n.Input))
	for i, t := range n.Input {
		if t == "" {
			continue
		}
		if in[i] = g.constant(t); in[i] == nil {
			return nil
		}
	}
	defer func() {
		if recover() != nil { // the model contradicts itself
			c = nil
		}
	}()
	return f(n, in)
}

// shapeNumbers is the shape of a tensor, open where it is the batch.
func (g *graph) shapeNumbers(n *node) *numbers {
	dims := g.shape(n.in(0))
	if dims == nil {
		return nil
	}
	c := &numbers{whole: true}
	at, batched := g.batch()[n.in(0)]
	for i, d := range dims {
		v := float64(d)
		if batched && at == i && g.openBatch() {
			v = math.NaN()
		}
		c.v = append(c.v, v)
	}
	if n.GetOpType() == "Shape" {
		from, to := bound(n.attrInt("start", 0), len(dims)), bound(n.attrInt("end", int64(len(dims))), len(dims))
		c.v = c.v[min(from, to):to]
	}
	c.dims = []int64{int64(len(c.v))}
	return c
}

// openBatch reports whether the model takes any number of frames.
func (g *graph) openBatch() bool {
	dims := g.inputs[0].GetType().GetTensorType().GetShape().GetDim()
	return len(dims) == 0 || dims[0].GetDimValue() <= 0
}

// bound is an index into so many elements, negative ones from the end.
func bound(i int64, count int) int {
	if i < 0 {
		i += int64(count)
	}
	return int(min(max(i, 0), int64(count)))
}

func product(v []float64) float64 {
	p := 1.
	for _, f := range v {
		p *= f
	}
	return p
}

// numbersOf reads a constant; nil for types that decide no shape, and where there is none.
func numbersOf(t *onnxpb.TensorProto) *numbers {
	if t == nil || t.GetDataLocation() == onnxpb.TensorProto_EXTERNAL {
		return nil
	}
	c := &numbers{dims: t.Dims, whole: true}
	typ := onnxpb.TensorProto_DataType(t.GetDataType())
	raw := t.RawData
	read := func(width int, value func(b []byte) float64) {
		for ; len(raw) >= width; raw = raw[width:] {
			c.v = append(c.v, value(raw))
		}
	}
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	switch typ {
	case onnxpb.TensorProto_INT64:
		read(8, func(b []byte) float64 { return float64(int64(u64(b))) })
		for _, v := range t.Int64Data {
			c.v = append(c.v, float64(v))
		}
	case onnxpb.TensorProto_INT32:
		read(4, func(b []byte) float64 { return float64(int32(u32(b))) })
	case onnxpb.TensorProto_BOOL, onnxpb.TensorProto_UINT8:
		read(1, func(b []byte) float64 { return float64(b[0]) })
	case onnxpb.TensorProto_INT8:
		read(1, func(b []byte) float64 { return float64(int8(b[0])) })
	case onnxpb.TensorProto_FLOAT:
		c.whole = false
		read(4, func(b []byte) float64 { return float64(math.Float32frombits(u32(b))) })
		for _, v := range t.FloatData {
			c.v = append(c.v, float64(v))
		}
	case onnxpb.TensorProto_DOUBLE:
		c.whole = false
		read(8, func(b []byte) float64 { return math.Float64frombits(u64(b)) })
		c.v = append(c.v, t.DoubleData...)
	default:
		return nil
	}
	for _, v := range t.Int32Data {
		c.v = append(c.v, float64(v))
	}
	if int64(len(c.v)) != size(c.dims) {
		return nil
	}
	return c
}

// A fold works out an operator on known inputs; nil for one that is left out.
type fold func(n *node, in []*numbers) *numbers

var folds = map[string]fold{}

func init() {
	same := func(_ *node, in []*numbers) *numbers { return in[0] }
	for typ, f := range map[string]fold{
		"Identity": same, "Cast": foldCast, "CastLike": same, "Flatten": foldReshape, "Squeeze": foldReshape, "Unsqueeze": foldReshape, "Reshape": foldReshape,
		"Concat": foldConcat, "Gather": foldGather, "Slice": foldSlice, "Transpose": foldTranspose, "Expand": foldExpand,
		"ConstantOfShape": foldConstantOfShape, "Range": foldRange, "Where": foldWhere, "ReduceProd": foldReduce(product),
		"ReduceSum": foldReduce(func(v []float64) float64 {
			s := 0.
			for _, f := range v {
				s += f
			}
			return s
		}),
		"ReduceMax": foldReduce(slices.Max[[]float64]), "ReduceMin": foldReduce(slices.Min[[]float64]),
	} {
		folds[typ] = f
	}
	for typ, f := range map[string]func(a float64) float64{
		"Neg": func(a float64) float64 { return -a }, "Abs": math.Abs, "Floor": math.Floor, "Ceil": math.Ceil,
		"Round": math.RoundToEven, "Sqrt": math.Sqrt, "Not": func(a float64) float64 { return 1 - a },
	} {
		folds[typ] = func(_ *node, in []*numbers) *numbers {
			c := &numbers{dims: in[0].dims, whole: in[0].whole}
			for _, v := range in[0].v {
				c.v = append(c.v, f(v))
			}
			return c
		}
	}
	truth := func(f func(a, b float64) bool) func(a, b float64) float64 {
		return func(a, b float64) float64 {
			switch {
			case math.IsNaN(a) || math.IsNaN(b):
				return math.NaN()
			case f(a, b):
				return 1
			}
			return 0
		}
	}
	for typ, f := range map[string]func(a, b float64) float64{
		"Add": func(a, b float64) float64 { return a + b }, "Sub": func(a, b float64) float64 { return a - b },
		"Mul": func(a, b float64) float64 { return a * b }, "Div": func(a, b float64) float64 { return a / b },
		"Mod": func(a, b float64) float64 { return a - b*math.Floor(a/b) }, "Pow": math.Pow, "Min": math.Min, "Max": math.Max,
		"Equal":   truth(func(a, b float64) bool { return a == b }),
		"Greater": truth(func(a, b float64) bool { return a > b }), "GreaterOrEqual": truth(func(a, b float64) bool { return a >= b }),
		"Less": truth(func(a, b float64) bool { return a < b }), "LessOrEqual": truth(func(a, b float64) bool { return a <= b }),
		"And": truth(func(a, b float64) bool { return a != 0 && b != 0 }), "Or": truth(func(a, b float64) bool { return a != 0 || b != 0 }),
	} {
		folds[typ] = func(n *node, in []*numbers) *numbers {
			c := &numbers{dims: broadcast(in[0].dims, in[1].dims), whole: in[0].whole && in[1].whole}
			a, b := spread(in[0].dims, c.dims), spread(in[1].dims, c.dims)
			for i := range size(c.dims) {
				v := f(in[0].v[a(i)], in[1].v[b(i)])
				if c.whole && (n.GetOpType() == "Div" || n.GetOpType() == "Mod" && n.attrInt("fmod", 0) != 0) {
					v = math.Trunc(v)
				}
				if math.IsInf(v, 0) && c.whole {
					return nil // divided by zero
				}
				c.v = append(c.v, v)
			}
			return c
		}
	}
}

// broadcast is the shape of an elementwise operator's output.
func broadcast(a, b []int64) []int64 {
	if len(a) < len(b) {
		a, b = b, a
	}
	out := slices.Clone(a)
	for i, d := range b {
		if k := len(a) - len(b) + i; out[k] == 1 {
			out[k] = d
		}
	}
	return out
}

// spread finds the element of a tensor of shape from that is broadcast to an element of one of shape to.
func spread(from, to []int64) func(i int64) int64 {
	steps, step := make([]int64, len(to)), int64(1)
	for i := len(from) - 1; i >= 0; i-- {
		if k := len(to) - len(from) + i; from[i] != 1 {
			steps[k] = step
			step *= from[i]
		}
	}
	return func(i int64) int64 {
		at := int64(0)
		for k := len(to) - 1; k >= 0; k-- {
			at += i % to[k] * steps[k]
			i /= to[k]
		}
		return at
	}
}

func foldCast(n *node, in []*numbers) *numbers {
	to := onnxpb.TensorProto_DataType(n.attrInt("to", 0))
	c := &numbers{dims: in[0].dims, whole: !isFloat(int32(to))}
	for _, v := range in[0].v {
		if c.whole && !math.IsNaN(v) {
			v = math.Trunc(v)
		}
		if to == onnxpb.TensorProto_BOOL && v != 0 && !math.IsNaN(v) {
			v = 1
		}
		c.v = append(c.v, v)
	}
	return c
}

func foldReshape(n *node, in []*numbers) *numbers {
	x := in[0]
	dims := slices.Clone(x.dims)
	switch n.GetOpType() {
	case "Flatten":
		at := bound(n.attrInt("axis", 1), len(dims))
		dims = []int64{size(dims[:at]), size(dims[at:])}
	case "Squeeze":
		drop := map[int]bool{}
		if len(in) > 1 && in[1] != nil {
			for _, a := range in[1].v {
				drop[bound(int64(a), len(dims))] = true
			}
		}
		dims = dims[:0]
		for i, d := range x.dims {
			if d != 1 || len(drop) > 0 && !drop[i] {
				dims = append(dims, d)
			}
		}
	case "Unsqueeze":
		rank := len(dims) + len(in[1].v)
		var at []int
		for _, a := range in[1].v {
			at = append(at, bound(int64(a), rank))
		}
		slices.Sort(at)
		for _, a := range at {
			dims = slices.Insert(dims, a, 1)
		}
	default:
		open, known := -1, int64(1)
		dims = nil
		for i, f := range in[1].v {
			d := int64(f)
			if d == 0 && n.attrInt("allowzero", 0) == 0 {
				d = x.dims[i]
			}
			if dims = append(dims, d); d < 0 {
				open = i
			} else {
				known *= d
			}
		}
		if open >= 0 {
			dims[open] = int64(len(x.v)) / known
		}
	}
	return &numbers{dims, x.v, x.whole}
}

func foldConcat(n *node, in []*numbers) *numbers {
	at := bound(n.attrInt("axis", 0), len(in[0].dims))
	c := &numbers{dims: slices.Clone(in[0].dims), whole: in[0].whole}
	c.dims[at] = 0
	for _, x := range in {
		c.dims[at] += x.dims[at]
	}
	for before := range size(c.dims[:at]) {
		for _, x := range in {
			run := size(x.dims[at:])
			c.v = append(c.v, x.v[before*run:(before+1)*run]...)
		}
	}
	return c
}

// along takes the places of an axis that are listed.
func (c *numbers) along(at int, places []int64) *numbers {
	out := &numbers{dims: slices.Clone(c.dims), whole: c.whole}
	out.dims[at] = int64(len(places))
	run, whole := size(c.dims[at+1:]), size(c.dims[at:])
	for before := range size(c.dims[:at]) {
		for _, p := range places {
			from := before*whole + p*run
			out.v = append(out.v, c.v[from:from+run]...)
		}
	}
	return out
}

func foldGather(n *node, in []*numbers) *numbers {
	at := bound(n.attrInt("axis", 0), len(in[0].dims))
	var places []int64
	for _, f := range in[1].v {
		if f < 0 {
			f += float64(in[0].dims[at])
		}
		places = append(places, int64(f))
	}
	c := in[0].along(at, places)
	c.dims = slices.Concat(in[0].dims[:at], in[1].dims, in[0].dims[at+1:])
	return c
}

func foldSlice(_ *node, in []*numbers) *numbers {
	c := in[0]
	for i := range in[1].v {
		at, step := i, 1.
		if len(in) > 3 && in[3] != nil {
			at = bound(int64(in[3].v[i]), len(c.dims))
		}
		if len(in) > 4 && in[4] != nil {
			step = in[4].v[i]
		}
		c = c.along(at, sliced(c.dims[at], in[1].v[i], in[2].v[i], step))
	}
	return c
}

// sliced lists the places that a slice takes of an axis.
func sliced(count int64, start, end, step float64) []int64 {
	n := float64(count)
	if start < 0 {
		start += n
	}
	if end < 0 {
		end += n
	}
	var places []int64
	if step > 0 {
		for i := max(start, 0); i < min(end, n); i += step {
			places = append(places, int64(i))
		}
		return places
	}
	for i := min(start, n-1); step < 0 && i > max(end, -1); i += step {
		places = append(places, int64(i))
	}
	return places
}

func foldTranspose(n *node, in []*numbers) *numbers {
	return in[0].transposed(permutation(n, len(in[0].dims)))
}

// transposed moves axes.
func (c *numbers) transposed(perm []int) *numbers {
	out := &numbers{whole: c.whole}
	if len(perm) != len(c.dims) {
		panic("ranks differ")
	}
	steps := make([]int64, len(perm))
	for i, p := range perm {
		out.dims = append(out.dims, c.dims[p])
		steps[i] = size(c.dims[p+1:])
	}
	for i := range size(out.dims) {
		from := int64(0)
		for k := len(perm) - 1; k >= 0; k-- {
			from += i % out.dims[k] * steps[k]
			i /= out.dims[k]
		}
		out.v = append(out.v, c.v[from])
	}
	return out
}

// permutation is a Transpose's perm.
func permutation(n *node, rank int) []int {
	perm := make([]int, rank)
	for i := range perm {
		perm[i] = rank - 1 - i
	}
	if a := attribute(n.NodeProto, "perm"); a != nil && len(a.Ints) == rank {
		for i, p := range a.Ints {
			perm[i] = int(p)
		}
	}
	return perm
}

func foldExpand(_ *node, in []*numbers) *numbers {
	var to []int64
	for _, f := range in[1].v {
		to = append(to, int64(f))
	}
	c := &numbers{dims: broadcast(in[0].dims, to), whole: in[0].whole}
	at := spread(in[0].dims, c.dims)
	for i := range size(c.dims) {
		c.v = append(c.v, in[0].v[at(i)])
	}
	return c
}

func foldConstantOfShape(n *node, in []*numbers) *numbers {
	c, value := &numbers{}, 0.
	if a := attribute(n.NodeProto, "value"); a != nil {
		t := numbersOf(a.T)
		value, c.whole = t.v[0], t.whole
	}
	for _, f := range in[0].v {
		c.dims = append(c.dims, int64(f))
	}
	if count := size(c.dims); count <= largestConstant {
		c.v = slices.Repeat([]float64{value}, int(count))
	}
	return c
}

func foldRange(_ *node, in []*numbers) *numbers {
	c := &numbers{whole: in[0].whole}
	start, end, step := in[0].v[0], in[1].v[0], in[2].v[0]
	count := math.Ceil((end - start) / step)
	if !(count <= largestConstant) {
		return nil
	}
	for i := range int64(max(count, 0)) {
		c.v = append(c.v, start+float64(i)*step)
	}
	c.dims = []int64{int64(len(c.v))}
	return c
}

func foldWhere(_ *node, in []*numbers) *numbers {
	c := &numbers{dims: broadcast(broadcast(in[0].dims, in[1].dims), in[2].dims), whole: in[1].whole}
	at := [3]func(int64) int64{}
	for i := range at {
		at[i] = spread(in[i].dims, c.dims)
	}
	for i := range size(c.dims) {
		v := in[2].v[at[2](i)]
		switch on := in[0].v[at[0](i)]; {
		case math.IsNaN(on):
			v = math.NaN()
		case on != 0:
			v = in[1].v[at[1](i)]
		}
		c.v = append(c.v, v)
	}
	return c
}

// foldReduce reduces a vector to one number.
func foldReduce(f func([]float64) float64) fold {
	return func(n *node, in []*numbers) *numbers {
		if len(in[0].dims) != 1 || len(in[0].v) == 0 {
			return nil
		}
		c := &numbers{v: []float64{f(in[0].v)}, whole: in[0].whole}
		if n.attrInt("keepdims", 1) != 0 {
			c.dims = []int64{1}
		}
		return c
	}
}
