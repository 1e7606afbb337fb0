package explain

import (
	"fmt"
	"math"
	"slices"
)

// TokenGrid says how tokens lie in the picture where a graph does not tell: some that lie nowhere (a class token, registers)
// before Rows×Columns patches, row by row. The zero value says nothing.
type TokenGrid struct{ Tokens, Rows, Columns int }

// Extent is the part of the input that a grid of cells covers, as fractions of its height and width; it can reach beyond the
// picture. The zero value is all of it: cells are equal parts of the picture, as in PyTorch's interpolate.
type Extent struct{ Top, Left, Bottom, Right float64 }

// Whole reports whether the cells are equal parts of the picture.
func (e Extent) Whole() bool { return e == Extent{} }

// sides are the fractions, also of what is whole.
func (e Extent) sides() Extent {
	if e.Whole() {
		return Extent{Bottom: 1, Right: 1}
	}
	return e
}

// lattice is how the elements of a tensor lie in the picture.
type lattice struct {
	frames, rows, columns int
	channels              int
	extent                Extent
	timeAxis              bool
	plain                 bool    // N×C×H×W, or with time before H; nothing is to be moved
	batch                 int     // axis that N is a factor of
	channelAxes, axes     []int   // of the tensor; those of places
	order                 []int64 // of the cells, frame by frame and row by row, among all places
	views                 int     // grids of their own among them, as of a picture and its mirror image, each with its order: 1 for none
}

// noGrid tells why a tensor cannot be laid over the picture.
type noGrid struct {
	tensor, why string
}

func (e *noGrid) Error() string {
	return fmt.Sprintf("explain: %q has no grid over the picture: %s", e.tensor, e.why)
}

// gridOf finds the grid of a tensor.
func (g *graph) gridOf(tensor string) (*lattice, error) {
	if found, ok := g.grids[tensor]; ok {
		return found.lattice, found.err
	}
	if g.grids == nil {
		g.grids = map[string]foundGrid{}
	}
	v, why := g.findGrid(tensor)
	var err error
	if why != "" {
		v, err = g.statedGrid(tensor), &noGrid{tensor, why}
		if v != nil {
			err = nil
		}
	}
	g.grids[tensor] = foundGrid{v, err}
	return v, err
}

type foundGrid struct {
	lattice *lattice
	err     error
}

// findGrid reads the places of a tensor, or tells why they are no grid.
func (g *graph) findGrid(tensor string) (*lattice, string) {
	p, dims := g.placesOf()[tensor], g.shape(tensor)
	if p.none() || p[rowAt] == nil && p[columnAt] == nil {
		return nil, g.whyNowhere(tensor)
	}
	if len(dims) < 3 {
		return nil, "its places and channels share an axis"
	}
	v := &lattice{batch: -1}
	if at, ok := g.batch()[tensor]; ok {
		v.batch = at
	}
	v.channels = 1
	for at, d := range dims {
		depends := false
		for _, c := range p {
			depends = depends || c != nil && c.dims[at] > 1
		}
		switch {
		case depends:
			v.axes = append(v.axes, at)
		case at != v.batch || d > 1:
			v.channelAxes = append(v.channelAxes, at)
			v.channels *= int(d)
		}
	}
	return v, g.layOut(v, p, dims)
}

// whyNowhere names the node at which a tensor's places were lost.
func (g *graph) whyNowhere(tensor string) string {
	lost := g.lost[tensor]
	switch {
	case lost == nil:
		return "it is not made of the picture's rows and columns"
	case placing[lost.GetOpType()] == nil:
		return fmt.Sprintf("node %q (%s) mixes places in a way that is not known", lost.exported().label(), lost.exported().GetOpType())
	}
	return fmt.Sprintf("node %q (%s) puts together what lies apart in the picture", lost.exported().label(), lost.exported().GetOpType())
}

// place is one element along the axes of places.
type place struct {
	at   [coordinates]float64
	flat int64
}

// layOut sorts the places of a tensor; it tells why they are no grid.
func (g *graph) layOut(v *lattice, p places, dims []int64) string {
	p, ok := g.unmirrored(v, p)
	if !ok {
		return "it has mirror images of the picture beside each other that do not lie in the same places"
	}
	full := slices.Repeat([]int64{1}, len(dims))
	for _, at := range v.axes {
		full[at] = dims[at] // and one along the others
	}
	if size(full) > largestPlaces {
		return "it is too large"
	}
	all := make([]place, size(full))
	for k, c := range p {
		if c == nil {
			continue
		}
		if at := c.axis(); at >= 0 && !p.others(k, at) {
			if line, ok := even(c.v); ok {
				c = &position{dims: c.dims, v: line}
			}
		}
		for i, f := range c.expand(full).v {
			all[i].at[k] = f
		}
	}
	var cells []place
	for i := range all {
		all[i].flat = int64(i)
		if !slices.ContainsFunc(all[i].at[:], math.IsNaN) {
			cells = append(cells, all[i])
		}
	}
	var lines [coordinates][]float64
	for k := range lines {
		lines[k] = distinctPlaces(cells, k)
	}
	frames, rows, columns := len(lines[frameAt]), len(lines[rowAt]), len(lines[columnAt])
	switch {
	case rows*columns < 2:
		return "all of it lies at one place"
	case len(cells) < frames*rows*columns:
		return "its elements lie at no full grid of rows and columns"
	}
	grid := frames * rows * columns
	view := viewOf(full, len(cells)/grid)
	if len(cells)%grid != 0 || view == nil {
		return "its places and channels share an axis"
	}
	v.order = slices.Repeat([]int64{-1}, len(cells))
	for _, c := range cells {
		at := (nearestPlace(lines[frameAt], c.at[frameAt])*rows+nearestPlace(lines[rowAt], c.at[rowAt]))*columns + nearestPlace(lines[columnAt], c.at[columnAt])
		if at += view(c.flat) * grid; at >= len(v.order) || v.order[at] >= 0 {
			return "several of its elements lie at one place"
		}
		v.order[at] = c.flat
	}
	v.frames, v.rows, v.columns, v.views = frames, rows, columns, len(cells)/grid
	v.channels *= v.views
	if v.timeAxis = frames > 1; v.views == 1 {
		g.plain(v, p, dims)
	}
	in, _ := LayoutOf(g.shape(g.inputs[0].GetName()))
	top, bottom, even1 := covered(lines[rowAt], in.Height)
	left, right, even2 := covered(lines[columnAt], in.Width)
	if !even1 || !even2 {
		return "its rows or columns are not evenly spaced"
	}
	if v.extent = (Extent{top, left, bottom, right}); v.extent == (Extent{0, 0, 1, 1}) {
		v.extent = Extent{}
	}
	return ""
}

// unmirrored lays views of the picture along one axis, of which some are mirror images, into the same cells: windows of strided convolutions
// stand to one side of the middle of what they stand for, and after mirroring to the other. False where they are no equal parts of the picture.
func (g *graph) unmirrored(v *lattice, p places) (places, bool) {
	in, _ := LayoutOf(g.shape(g.inputs[0].GetName()))
	for _, at := range v.axes {
		out, up, down, ok := p, false, false, true
		for k, pixels := range []int{rowAt: in.Height, columnAt: in.Width} {
			if c := p[k]; c != nil && k != frameAt && c.dims[at] > 1 && c.dims[at] < size(c.dims) {
				c = c.lines(at, c.dims[at], slices.Clone[[]float64])
				for i := range c.dims[at] {
					line := c.pick(at, []int64{i}).normal()
					if line == nil || line.mixed || line.axis() < 0 {
						ok = false
						break
					}
					first, last := line.v[0], line.v[len(line.v)-1]
					up, down = up || last > first, down || last < first
					sorted := slices.Sorted(slices.Values(line.v))
					from, to, even := covered(sorted, pixels)
					ok = ok && even && from == 0 && to == 1
					part := float64(pixels) / float64(len(sorted))
					c.write(at, i, func(f float64) float64 {
						n, _ := slices.BinarySearch(sorted, f-samePlace)
						return (float64(n)+0.5)*part - 0.5
					})
				}
				out[k] = c
			}
		}
		if up && down {
			return out, ok
		}
	}
	return p, true
}

// write replaces what lies at one index of an axis.
func (c *position) write(at int, index int64, f func(float64) float64) {
	run := size(c.dims[at+1:])
	for i := range c.v {
		if int64(i)/run%c.dims[at] == index {
			c.v[i] = f(c.v[i])
		}
	}
}

// viewOf tells which view of the picture an element belongs to, where so many lie one after the other along the first axis that has as many.
// Nil where none has.
func viewOf(dims []int64, views int) func(flat int64) int {
	if views == 1 {
		return func(int64) int { return 0 }
	}
	at := slices.Index(dims, int64(views))
	if at < 0 {
		return nil
	}
	each := size(dims[at+1:])
	return func(flat int64) int { return int(flat / each % dims[at]) }
}

// axis is the one that a coordinate depends on; -1 where there are several.
func (c *position) axis() int {
	at := slices.IndexFunc(c.dims, func(d int64) bool { return d > 1 })
	if at >= 0 && c.dims[at] != size(c.dims) {
		return -1
	}
	return at
}

// others reports whether another coordinate depends on an axis.
func (p places) others(k, at int) bool {
	for i, c := range p {
		if i != k && c != nil && c.dims[at] > 1 {
			return true
		}
	}
	return false
}

// plain finds out whether a grid's axes are where those of convolutions are, so that nothing has to be moved.
func (g *graph) plain(v *lattice, p places, dims []int64) {
	rank := len(dims)
	for k, axis := range []int{2, rank - 2, rank - 1} {
		if p[k] == nil {
			continue
		}
		at := p[k].axis()
		framesOfBatch := k == frameAt && at == 0 && rank == 4
		if at != axis && !framesOfBatch || k == rowAt && rank < 4 || k == frameAt && rank == 4 && !framesOfBatch {
			return
		}
	}
	for i, at := range v.order {
		if int64(i) != at {
			return
		}
	}
	for _, at := range v.channelAxes {
		if at > 1 && dims[at] > 1 || at == 0 && at != v.batch {
			return
		}
	}
	if len(v.order) < 2 || rank < 3 || rank > 5 || v.batch != 0 || slices.Contains(v.axes, 1) || dims[0] > 1 && !slices.Contains(v.axes, 0) {
		return
	}
	v.plain = true
	if v.timeAxis = rank == 5; rank == 5 {
		v.frames = int(dims[0] * dims[2])
	} else {
		v.frames = int(dims[0])
	}
}

const samePlace = 1e-3 // of a pixel

func distinctPlaces(cells []place, k int) []float64 {
	var v []float64
	for _, c := range cells {
		v = append(v, c.at[k])
	}
	slices.Sort(v)
	return slices.CompactFunc(v, func(a, b float64) bool { return math.Abs(a-b) < samePlace })
}

func nearestPlace(line []float64, v float64) int {
	i, _ := slices.BinarySearch(line, v-samePlace)
	return min(i, len(line)-1)
}

// covered is what cells at these places cover of so many pixels, as fractions; all where each lies within half a cell of where
// equal parts of the picture would: windows of strided convolutions stand that far from the middle of what they stand for, and
// everyone draws them so. False where cells are not evenly spaced.
func covered(line []float64, pixels int) (from, to float64, ok bool) {
	n := float64(len(line))
	if len(line) < 2 || pixels < 1 {
		return 0, 1, true
	}
	first, last := line[0]+0.5, line[len(line)-1]+0.5
	step := (last - first) / (n - 1)
	for i, v := range line {
		if !(math.Abs(v+0.5-first-float64(i)*step) <= 0.51*step) {
			return 0, 0, false
		}
	}
	part := float64(pixels) / n
	if half := 0.5*max(step, part) + samePlace; math.Abs(first-part/2) <= half && math.Abs(last-(float64(pixels)-part/2)) <= half {
		return 0, 1, true
	}
	return (first - step/2) / float64(pixels), (last + step/2) / float64(pixels), true
}

// statedGrid is the grid that the options state, where a tensor has an axis of so many tokens.
func (g *graph) statedGrid(tensor string) *lattice {
	s, dims := g.stated, g.shape(tensor)
	count := s.Tokens + s.Rows*s.Columns
	at, batched := g.batch()[tensor]
	if s.Rows < 1 || s.Columns < 1 || s.Rows*s.Columns < 2 || len(dims) != 3 || !batched || at > 1 || dims[at] != 1 {
		return nil
	}
	axis := 1 - at
	if dims[axis] != int64(count) { // channels first
		if axis = 2; at != 0 || dims[2] != int64(count) {
			return nil
		}
	}
	return &lattice{
		frames: 1, rows: s.Rows, columns: s.Columns, batch: at, axes: []int{axis}, channelAxes: []int{3 - at - axis},
		channels: int(dims[3-at-axis]), order: span(int64(s.Tokens), int64(count)),
	}
}

// places counts the elements along the axes of places.
func (v *lattice) places(dims []int64) int {
	n := 1
	for _, at := range v.axes {
		n *= int(dims[at])
	}
	return n
}

// onGrid lays a tensor, shaped as the grid's but for the batch, over the picture: N×Channels×Height×Width, with time before the height
// where frames lie within the tensor.
func (v *lattice) onGrid(w *walk, tensor string, dims []int64) string {
	if v == nil || v.plain {
		return tensor
	}
	// the batch first, what it was multiplied with as an axis of its own
	to := slices.Clone(dims)
	open := w.g.seeds()
	batch, shift := v.batch, func(axes []int) (moved []int64) {
		for _, at := range axes {
			if at >= v.batch {
				at++
			}
			moved = append(moved, int64(at))
		}
		return moved
	}
	if batch < 0 {
		batch = 0
	}
	to = slices.Insert(to, batch, open)
	perm := append([]int64{int64(batch)}, append(shift(v.channelAxes), shift(v.axes)...)...)
	places := int64(v.places(dims))
	for at := range to { // axes of one that are neither
		if !slices.Contains(perm, int64(at)) {
			perm = append(perm, int64(at))
		}
	}
	x := w.op("Transpose", []string{w.op("Reshape", []string{tensor, w.ints(to...)})}, intsAttr("perm", perm...))
	x = w.op("Reshape", []string{x, w.ints(open, int64(v.channels/max(v.views, 1)), places)})
	first := v.order[0]
	if slices.Equal(v.order, span(first, first+int64(len(v.order)))) {
		if int64(len(v.order)) < places {
			x = w.op("Slice", []string{x, w.ints(first), w.ints(first + int64(len(v.order))), w.ints(2)})
		}
	} else {
		x = w.op("Gather", []string{x, w.ints(v.order...)}, intAttr("axis", 2))
	}
	shape := []int64{1, int64(v.channels), int64(v.rows), int64(v.columns)}
	if v.timeAxis {
		shape = slices.Insert(shape, 2, int64(v.frames))
	}
	x = w.reshape(x, shape...)
	w.g.shapes[x] = shape
	return x
}

// view is what one of several views of the picture has of a tensor on the grid: its channels lie so many apart.
func (v *lattice) view(w *walk, tensor string, i int) string {
	shape := slices.Clone(w.g.shape(tensor))
	x := w.op("Slice", []string{tensor, w.ints(int64(i)), w.ints(shape[1]), w.ints(1), w.ints(int64(v.views))})
	shape[1] /= int64(v.views)
	w.g.shapes[x] = shape
	return x
}
