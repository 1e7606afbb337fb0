package explain

import (
	"cmp"
	"maps"
	"math/bits"
	"slices"
)

// Contours returns the outlines of the regions where m is at least level, the largest first: closed
// polygons (first point == last) of (column, row), where (0, 0) is the top-left corner of the top-left
// cell and (Width, Height) the bottom-right corner of the last (PS3.3 C.18.6). Holes are left out, and
// regions smaller than minArea cells.
//
// Marching squares with linear interpolation between the centres of cells; a saddle joins what its mean
// joins. A region at the border is closed along it.
func Contours(m Map, level float32, minArea float64) [][][2]float64 {
	g := grid{m, level}
	next := g.crossings()
	type region struct {
		outline [][2]float64
		area    float64
	}
	var regions []region
	for _, start := range slices.Sorted(maps.Keys(next)) {
		outline := g.follow(next, start)
		if a := area(outline); a > 0 && a >= minArea { // holes run the other way round
			regions = append(regions, region{outline, a})
		}
	}
	slices.SortStableFunc(regions, func(a, b region) int { return cmp.Compare(b.area, a.area) })
	outlines := make([][][2]float64, len(regions))
	for i, r := range regions {
		outlines[i] = r.outline
	}
	return outlines
}

// grid is a map with a ring around it that is outside of all regions, so that every one is closed.
type grid struct {
	m     Map
	level float32
}

// at returns the value at column x and row y of the ringed map, whose ring is at -1, Width and Height.
func (g grid) at(x, y int) float32 {
	if x < 0 || y < 0 || x >= g.m.Width || y >= g.m.Height {
		return 0
	}
	return g.m.Values[y*g.m.Width+x]
}

// edge names the line between a point of the grid and its right (even) or lower (odd) neighbour.
type edge int

func (g grid) edge(x, y int, down bool) edge {
	e := edge(2 * ((y+1)*(g.m.Width+2) + x + 1))
	if down {
		e++
	}
	return e
}

// The sides of a square, clockwise.
const (
	top = iota
	right
	bottom
	left
)

// steps says, for the corners that are inside (1 top left, 2 top right, 4 bottom right, 8 bottom left),
// from which side to which the outline runs with the inside on its right. 5 and 10 are the saddles.
var steps = [16][][2]int{
	1: {{top, left}}, 2: {{right, top}}, 4: {{bottom, right}}, 8: {{left, bottom}},
	3: {{right, left}}, 6: {{bottom, top}}, 12: {{left, right}}, 9: {{top, bottom}},
	14: {{left, top}}, 13: {{top, right}}, 11: {{right, bottom}}, 7: {{bottom, left}},
	5: {{top, left}, {bottom, right}}, 10: {{right, top}, {left, bottom}},
}

// joined are the steps of a saddle whose middle is inside.
var joined = map[int][][2]int{
	5: {{top, right}, {bottom, left}}, 10: {{left, top}, {right, bottom}},
}

// crossings returns, for each edge that an outline crosses, the edge that it crosses next.
func (g grid) crossings() map[edge]edge {
	next := map[edge]edge{}
	words := (g.m.Width + 2 + 63) / 64
	inside := g.inside(words)
	for y := -1; y < g.m.Height; y++ {
		upper, lower := inside[(y+1)*words:][:words], inside[(y+2)*words:][:words]
		for k := range upper {
			u, l := upper[k], lower[k]
			leftU, leftL := u<<1, l<<1 // the points to the left
			if k > 0 {
				leftU, leftL = leftU|upper[k-1]>>63, leftL|lower[k-1]>>63
			}
			for crossed := (u ^ leftU) | (l ^ leftL) | (u ^ l); crossed != 0; crossed &= crossed - 1 {
				at := bits.TrailingZeros64(crossed)
				corners := leftU>>at&1 | u>>at&1<<1 | l>>at&1<<2 | leftL>>at&1<<3
				g.cross(next, 64*k+at-2, y, int(corners))
			}
		}
	}
	return next
}

// inside says which points of the ringed map are, a bit each, in rows of so many words.
func (g grid) inside(words int) []uint64 {
	inside := make([]uint64, words*(g.m.Height+2))
	Bands(g.m.Height, func(top, bottom int) {
		for y := top; y < bottom; y++ {
			row := inside[(y+1)*words:][:words]
			values := g.m.Values[y*g.m.Width:][:g.m.Width]
			word, free := uint64(0), 63 // the ring's point is the first bit
			for _, v := range values {
				var in uint64
				if v >= g.level {
					in = 1
				}
				if word, free = word>>1|in<<63, free-1; free == 0 {
					row[0], row = word, row[1:]
					word, free = 0, 64
				}
			}
			if len(row) > 0 {
				row[0] = word >> free
			}
		}
	})
	return inside
}

// cross adds the steps through the square whose top left point is (x, y).
func (g grid) cross(next map[edge]edge, x, y, inside int) {
	run := steps[inside]
	if s, saddle := joined[inside]; saddle && (g.at(x, y)+g.at(x+1, y)+g.at(x, y+1)+g.at(x+1, y+1))/4 >= g.level {
		run = s
	}
	sides := [4]edge{g.edge(x, y, false), g.edge(x+1, y, true), g.edge(x, y+1, false), g.edge(x, y, true)}
	for _, s := range run {
		next[sides[s[0]]] = sides[s[1]]
	}
}

// follow takes the outline that crosses start out of next.
func (g grid) follow(next map[edge]edge, start edge) [][2]float64 {
	var outline [][2]float64
	for e := start; ; {
		to, ok := next[e]
		if !ok {
			break
		}
		delete(next, e)
		outline = append(outline, g.point(e))
		e = to
	}
	if len(outline) > 0 {
		outline = append(outline, outline[0])
	}
	return outline
}

// point is where the level lies on an edge, within the map.
func (g grid) point(e edge) [2]float64 {
	i := int(e) / 2
	x, y := i%(g.m.Width+2)-1, i/(g.m.Width+2)-1
	dx, dy := 1, 0
	if e%2 == 1 {
		dx, dy = 0, 1
	}
	part := 0.5 // half way to the ring is the border, where a region at the border ends
	if x >= 0 && y >= 0 && x+dx < g.m.Width && y+dy < g.m.Height {
		a, b := float64(g.at(x, y)), float64(g.at(x+dx, y+dy))
		part = (float64(g.level) - a) / (b - a)
	}
	return [2]float64{float64(x) + 0.5 + part*float64(dx), float64(y) + 0.5 + part*float64(dy)}
}

// area is positive for an outline that runs clockwise, rows counted downwards.
func area(outline [][2]float64) float64 {
	sum := 0.0
	for i := 1; i < len(outline); i++ {
		p, q := outline[i-1], outline[i]
		sum += p[0]*q[1] - q[0]*p[1]
	}
	return sum / 2
}
