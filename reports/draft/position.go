package draft

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"endogate/inference/analysis"
)

// Hot regions: wide is the part of a picture from which on a place in it says nothing, central how far from the centre,
// in parts of the way to the edge, something still is in it.
const (
	wide    = 0.5
	central = 0.25
)

// position says where in the picture of f the hot region lies, the largest where there are several, and which part of the
// picture all of them cover. It is empty where no region stands out.
func (l *language) position(f Frame) (where string, share float64) {
	best, x, y := 0.0, 0.0, 0.0
	for _, c := range f.Contours {
		area, cx, cy := centroid(c)
		share += area
		if area > best {
			best, x, y = area, cx, cy
		}
	}
	frame := float64(f.Rows) * float64(f.Columns)
	if best == 0 || frame == 0 {
		return "", 0
	}
	share = math.Min(1, share/frame)
	dx, dy := x/float64(f.Columns)*2-1, y/float64(f.Rows)*2-1 // -1..1, right and down
	switch {
	case share > wide:
		return l.say("position-wide"), share
	case math.Hypot(dx, dy) < central:
		return l.say("position-centre"), share
	}
	turn := math.Atan2(dx, -dy) / (2 * math.Pi) // clockwise from the top, in turns
	hour := (int(math.Round(turn*12)) + 12) % 12
	sector := (int(math.Round(turn*8))+8)%8 + 1
	if hour == 0 {
		hour = 12
	}
	return l.say("position", "sector", l.say("sector-"+strconv.Itoa(sector)), "hour", strconv.Itoa(hour)), share
}

// Bounds of an outline: a map is no finer than its layer, and the heatmap itself has all of it.
const (
	maxRegions = 5
	maxPoints  = 64
	maxBoxes   = 20
)

// outline is the contours of f as a document has them: the largest, or the most probable boxes, closed, with no more points than show
// where they are.
func (f Frame) outline() [][][2]float64 {
	if f.Outline == analysis.NetworkBox {
		return f.Contours[:min(len(f.Contours), maxBoxes)]
	}
	contours := slices.Clone(f.Contours)
	slices.SortStableFunc(contours, func(a, b [][2]float64) int {
		large, _, _ := centroid(a)
		other, _, _ := centroid(b)
		return cmp.Compare(other, large)
	})
	var out [][][2]float64
	for _, c := range contours[:min(len(contours), maxRegions)] {
		n := len(c)
		if n > 1 && c[0] == c[n-1] {
			n--
		}
		points := min(n, maxPoints)
		thin := make([][2]float64, 0, points+1)
		for i := range points {
			p := c[i*n/points]
			thin = append(thin, [2]float64{quarter(p[0]), quarter(p[1])})
		}
		if len(thin) > 2 {
			out = append(out, append(thin, thin[0]))
		}
	}
	return out
}

func quarter(v float64) float64 { return math.Round(4*v) / 4 }

func (f Frame) outlined() Frame {
	f.Contours = f.outline()
	return f
}

// centroid is the area of a polygon and the centre of it.
func centroid(p [][2]float64) (area, x, y float64) {
	for i := range p {
		a, b := p[i], p[(i+1)%len(p)]
		cross := a[0]*b[1] - b[0]*a[1]
		area += cross / 2
		x += (a[0] + b[0]) * cross
		y += (a[1] + b[1]) * cross
	}
	if area == 0 {
		return 0, 0, 0
	}
	return math.Abs(area), x / (6 * area), y / (6 * area)
}
