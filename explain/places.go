package explain

import (
	"math"
	"slices"
)

// largestPlaces bounds the elements of an array of coordinates.
const largestPlaces = 1 << 21

// The coordinates of a place.
const (
	frameAt = iota
	rowAt
	columnAt
	coordinates
)

// A position says where each element of a tensor lies along one axis of the picture, as the index of a frame, row or column
// of the input. It has the tensor's rank, and an extent of one along axes that it does not depend on. What lies nowhere, such as
// a class token, is not a number.
type position struct {
	dims  []int64
	v     []float64
	mixed bool // elements were put together that lie in different places: none of them lies anywhere any more
}

// places are a tensor's coordinates; nil where they are the same for all of it, or unknown.
type places [coordinates]*position

func (p places) none() bool { return p == places{} }

// each makes places of each coordinate: none where one of them is mixed.
func (p places) each(f func(*position) *position) places {
	var out places
	for i, c := range p {
		if c != nil {
			if out[i] = f(c).normal(); out[i] != nil && out[i].mixed {
				return places{}
			}
		}
	}
	return out
}

// placesOf follows the picture's rows and columns through the graph: a tensor that is not in the map has no places. Operators
// that move elements move their coordinates; windows have that of their centre; what is summed over has the mean.
func (g *graph) placesOf() map[string]places {
	if g.placed != nil {
		return g.placed
	}
	g.placed, g.lost = map[string]places{}, map[string]*node{}
	picture := g.inputs[0].GetName()
	g.placed[picture] = inputPlaces(g.shape(picture))
	for _, n := range g.nodes {
		if conv := g.convolved[n.out(0)]; conv != nil {
			n = conv
		}
		in := make([]places, len(n.Input))
		some := false
		for i, t := range n.Input {
			if !g.coordinates[t] { // what is read is where they say, not where they lie
				in[i] = g.placed[t]
			}
			some = some || !in[i].none()
		}
		if !some || !n.standard() || g.shape(n.out(0)) == nil {
			g.inheritLoss(n, some)
			continue
		}
		for i, p := range g.placesAfter(n, in) {
			if i < len(n.Output) && n.Output[i] != "" {
				if p = p.each(func(c *position) *position { return c.fitting(g.shape(n.Output[i])) }); !p.none() {
					g.placed[n.Output[i]] = p
				}
			}
		}
		if g.placed[n.out(0)].none() {
			g.inheritLoss(n, true)
		}
	}
	return g.placed
}

// fitting is the position itself where it is one of a tensor of that shape: a model can contradict itself.
func (c *position) fitting(shape []int64) *position {
	if c.mixed {
		return c
	}
	if len(c.dims) != len(shape) || size(c.dims) != int64(len(c.v)) {
		return nil
	}
	for i, d := range c.dims {
		if d != 1 && d != shape[i] {
			return nil
		}
	}
	return c
}

// inheritLoss remembers at which node the places of a tensor were lost, to tell why it has none.
func (g *graph) inheritLoss(n *node, here bool) {
	for _, out := range n.Output {
		if here {
			g.lost[out] = n
			continue
		}
		for _, in := range n.Input {
			if lost := g.lost[in]; lost != nil {
				g.lost[out] = lost
			}
		}
	}
}

// placesAfter runs a placer, which takes for granted that a node is what its operator says.
func (g *graph) placesAfter(n *node, in []places) (out []places) {
	defer func() {
		if recover() != nil {
			out = nil
		}
	}()
	if f := placing[n.GetOpType()]; f != nil {
		return f(g, n, in)
	}
	if op, ok := n.known(); ok && op.pointwise {
		return placeElementwise(g, n, in)
	}
	return nil
}

// inputPlaces are those of the picture itself.
func inputPlaces(shape []int64) places {
	l, ok := LayoutOf(shape)
	axes := [coordinates]int{-1, 2, 3}
	switch {
	case len(shape) == 3: // a line
		axes = [coordinates]int{-1, -1, 2}
	case !ok:
		return places{}
	case l.ChannelsLast:
		axes[rowAt], axes[columnAt] = 1, 2
	case len(shape) == 5 && l.FramesFirst:
		axes = [coordinates]int{1, 3, 4}
	case len(shape) == 5:
		axes = [coordinates]int{2, 3, 4}
	}
	var p places
	for i, axis := range axes {
		if axis >= 0 {
			c := &position{dims: slices.Repeat([]int64{1}, len(shape))}
			c.dims[axis] = shape[axis]
			for k := range shape[axis] {
				c.v = append(c.v, float64(k))
			}
			p[i] = c.normal()
		}
	}
	return p
}

// same reports whether two coordinates are one.
func same(a, b float64) bool {
	return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) < 1e-6
}

// normal collapses axes along which nothing changes; nil where nothing does at all.
func (c *position) normal() *position {
	if c == nil || c.mixed {
		return c
	}
	if int64(len(c.v)) > largestPlaces {
		return nil
	}
	for at, d := range c.dims {
		if d > 1 && c.constantAlong(at) {
			c = c.pick(at, []int64{0})
		}
	}
	if len(c.v) < 2 {
		return nil
	}
	return c
}

func (c *position) constantAlong(at int) bool {
	run, whole := size(c.dims[at+1:]), size(c.dims[at:])
	for before := int64(0); before < int64(len(c.v)); before += whole {
		for i := before + run; i < before+whole; i++ {
			if !same(c.v[i], c.v[before+(i-before)%run]) {
				return false
			}
		}
	}
	return true
}

// pick takes places along an axis; all are one where the coordinate does not depend on it.
func (c *position) pick(at int, from []int64) *position {
	if c.dims[at] == 1 {
		return c
	}
	n := (&numbers{dims: c.dims, v: c.v}).along(at, from)
	return &position{dims: n.dims, v: n.v}
}

// expand spells the coordinate out for a shape.
func (c *position) expand(to []int64) *position {
	if slices.Equal(c.dims, to) {
		return c
	}
	if size(to) > largestPlaces {
		panic("too large")
	}
	out := &position{dims: slices.Clone(to), v: make([]float64, size(to))}
	at := spread(c.dims, to)
	for i := range out.v {
		out.v[i] = c.v[at(int64(i))]
	}
	return out
}

// ranked puts axes of one before the others.
func (c *position) ranked(rank int) *position {
	return &position{dims: slices.Concat(slices.Repeat([]int64{1}, rank-len(c.dims)), c.dims), v: c.v}
}

// mean is that over some axes, of what lies somewhere. What is left along others is mixed where neighbours of no block or window were
// put together, as a picture and its mirror image are.
func (c *position) mean(axes ...int) *position {
	out := c.over(axes, func(line []float64) float64 {
		sum := 0.
		for _, v := range line {
			sum += v
		}
		return sum / float64(len(line))
	})
	if out == c || size(out.dims) == 1 {
		return out
	}
	least, most := c.over(axes, slices.Min[[]float64]), c.over(axes, slices.Max[[]float64])
	narrow, wide := math.Inf(1), 0.
	for i := range least.v {
		if d := most.v[i] - least.v[i]; !math.IsNaN(d) {
			narrow, wide = min(narrow, d), max(wide, d)
		}
	}
	const taps = 9 // of a window that was spread out as channels
	step := out.spacing()
	if alone := math.IsInf(step, 1); wide > samePlace && (alone || wide > step+samePlace && (wide > taps*step || wide-narrow > step)) {
		return &position{mixed: true}
	}
	return out
}

// over makes one of the elements along some axes that lie somewhere; of none, not a number.
func (c *position) over(axes []int, one func(line []float64) float64) *position {
	for _, at := range axes {
		if c.dims[at] == 1 {
			continue
		}
		c = c.lines(at, 1, func(line []float64) []float64 {
			if line = slices.DeleteFunc(slices.Clone(line), math.IsNaN); len(line) == 0 {
				return []float64{math.NaN()}
			}
			return []float64{one(line)}
		})
	}
	return c
}

// reshaped gives the coordinate of a tensor of shape x to one of shape y with the same elements.
func (c *position) reshaped(x, y []int64) *position {
	var to, full []int64 // of c; c spelled out where axes are split or joined
	full = slices.Clone(c.dims)
	for i, j := 0, 0; i < len(x) || j < len(y); {
		i0, j0 := i, j
		before, after := int64(1), int64(1)
		if i < len(x) {
			before, i = x[i], i+1
		}
		if j < len(y) {
			after, j = y[j], j+1
		}
		for before != after {
			if before < after {
				before, i = before*x[i], i+1
			} else {
				after, j = after*y[j], j+1
			}
		}
		if size(c.dims[i0:i]) == 1 {
			to = append(to, slices.Repeat([]int64{1}, j-j0)...)
			continue
		}
		copy(full[i0:i], x[i0:i])
		to = append(to, y[j0:j]...)
	}
	return &position{dims: to, v: c.expand(full).v}
}

// lines hands every line along an axis to f, which returns another; all of one length.
func (c *position) lines(at int, count int64, f func([]float64) []float64) *position {
	out := &position{dims: slices.Clone(c.dims)}
	out.dims[at] = count
	out.v = make([]float64, size(out.dims))
	run, old := size(c.dims[at+1:]), c.dims[at]
	line := make([]float64, old)
	for before := range size(c.dims[:at]) {
		for k := range run {
			for i := range old {
				line[i] = c.v[(before*old+i)*run+k]
			}
			for i, v := range f(line) {
				out.v[(before*count+int64(i))*run+k] = v
			}
		}
	}
	return out
}

// even makes a line of evenly spaced places what it is: cells that were made several of one, one after the other as by a pixel
// shuffle, lie beside each other. False where they are not evenly spaced.
func even(line []float64) ([]float64, bool) {
	runs := 1
	for i := 1; i < len(line); i++ {
		if !same(line[i], line[i-1]) {
			runs++
		}
	}
	if runs < 2 || len(line)%runs != 0 {
		return line, false
	}
	each := len(line) / runs
	first, step := line[0], (line[len(line)-1]-line[0])/float64(runs-1)
	out := make([]float64, len(line))
	for i, v := range line {
		if want := first + float64(i/each)*step; !(math.Abs(v-want) <= 0.51*math.Abs(step)) { // the last windows of ceil_mode are short
			return line, false
		}
		out[i] = v + (float64(i%each)-float64(each-1)/2)/float64(each)*step
	}
	return out, true
}

// resampled moves an axis to count places, of which the i-th lies at place(i) of the former.
func (c *position) resampled(at int, count int64, place func(i int64) float64) *position {
	if c == nil || c.dims[at] == 1 {
		return c
	}
	moved := count != c.dims[at]
	for i := int64(0); i < count && !moved; i++ {
		moved = math.Abs(place(i)-float64(i)) > 1e-9
	}
	if !moved {
		return c
	}
	return c.lines(at, count, func(line []float64) []float64 {
		out := make([]float64, count)
		line, ok := even(line)
		for i := range out {
			if out[i] = math.NaN(); ok {
				out[i] = interpolated(line, place(int64(i)))
			}
		}
		return out
	})
}

// interpolated is a line's value between its elements, and beyond them as it goes on.
func interpolated(line []float64, at float64) float64 {
	low := min(max(int(math.Floor(at)), 0), len(line)-2)
	return line[low] + (line[low+1]-line[low])*(at-float64(low))
}

// merged is where the elements of an operator of several inputs lie: where the inputs do that lie somewhere. Those of one place
// within a cell of each other have the mean, those of resized maps that are a few cells beside the first are where that is; what lies in
// different places is mixed.
func merged(a, b *position) *position {
	switch {
	case a == nil || b != nil && b.mixed:
		return b
	case b == nil || a.mixed:
		return a
	}
	to := broadcast(a.dims, b.dims)
	a, b = a.expand(to), b.expand(to)
	out := &position{dims: to, v: make([]float64, len(a.v))}
	tolerance := -1.
	for i, v := range a.v {
		switch other := b.v[i]; {
		case math.IsNaN(v):
			v = other
		case math.IsNaN(other) || same(v, other):
		default:
			if tolerance < 0 {
				tolerance = max(a.spacing(), b.spacing())
			}
			switch {
			case math.Abs(v-other) <= tolerance:
				v = (v + other) / 2
			case !a.beside(b):
				return &position{mixed: true}
			}
		}
		out.v[i] = v
	}
	return out
}

// beside reports whether another coordinate is the same line of even steps, at most a few further: windows lie at their centre, and a
// map that they made smaller lies so much further when it is as large again.
func (c *position) beside(b *position) bool {
	const few = 4
	at := c.axis()
	if at < 0 || at != b.axis() || len(c.v) != len(b.v) {
		return false
	}
	last := len(c.v) - 1
	step, other := (c.v[last]-c.v[0])/float64(last), (b.v[last]-b.v[0])/float64(last)
	for i := range c.v {
		if !(math.Abs(c.v[i]-b.v[i]) <= few*math.Abs(step)) {
			return false
		}
	}
	return math.Abs(step-other) <= math.Abs(step)/16
}

// spacing is the least distance between two places.
func (c *position) spacing() float64 {
	v := slices.Clone(c.v)
	slices.Sort(v)
	least := math.Inf(1)
	for i := 1; i < len(v); i++ {
		if d := v[i] - v[i-1]; d > 1e-6 {
			least = min(least, d)
		}
	}
	return least
}
