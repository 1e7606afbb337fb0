package reports

import "math"

const (
	// maxPoints bounds a contour: viewers draw every point, and a heat map is no finer than its layer.
	maxPoints = 128
	// maxRegions bounds the regions of one finding; the largest stay. The heatmap shows all of them.
	maxRegions = 5
	// maxBoxes bounds those of one class in one frame.
	maxBoxes = 100
)

// simplify thins a closed polygon (first point == last) with Douglas and Peucker's method, raising the tolerance until
// at most maxPoints are left, and keeps it inside columns x rows. It returns nil when no area is left.
func simplify(polygon [][2]float64, columns, rows int) [][2]float64 {
	points := distinct(polygon, columns, rows)
	for tolerance := 0.25; len(points) > 4; tolerance *= 2 {
		thin := thinned(points, tolerance)
		if len(thin) < 4 {
			break
		}
		points = thin
		if len(points) <= maxPoints {
			break
		}
	}
	if len(points) < 4 || math.Abs(area(points)) < 1 {
		return nil
	}
	return points
}

// distinct clamps to the image, rounds to what FL and a reader need, drops repeated points and closes the polygon.
func distinct(polygon [][2]float64, columns, rows int) [][2]float64 {
	var out [][2]float64
	for _, p := range polygon {
		p = [2]float64{round(p[0], columns), round(p[1], rows)}
		if len(out) == 0 || out[len(out)-1] != p {
			out = append(out, p)
		}
	}
	if n := len(out); n > 1 && out[0] != out[n-1] {
		out = append(out, out[0])
	}
	return out
}

// round returns v in quarters of a pixel, exact in FL, between 0 and limit. NaN becomes 0.
func round(v float64, limit int) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return math.Max(0, math.Min(float64(limit), math.Round(4*v)/4))
}

// thinned splits the ring at the point farthest from its start, so that the two chains have ends of their own.
func thinned(ring [][2]float64, tolerance float64) [][2]float64 {
	far, best := 0, 0.0
	for i, p := range ring {
		if d := math.Hypot(p[0]-ring[0][0], p[1]-ring[0][1]); d > best {
			far, best = i, d
		}
	}
	if far == 0 {
		return ring
	}
	first := chain(ring[:far+1], tolerance)
	return append(first[:len(first)-1:len(first)-1], chain(ring[far:], tolerance)...)
}

// chain keeps the ends and every point that lies farther than tolerance from the line that would replace it.
func chain(points [][2]float64, tolerance float64) [][2]float64 {
	keep := make([]bool, len(points))
	keep[0], keep[len(points)-1] = true, true
	open := [][2]int{{0, len(points) - 1}}
	for len(open) > 0 {
		from, to := open[len(open)-1][0], open[len(open)-1][1]
		open = open[:len(open)-1]
		at, far := 0, tolerance
		for i := from + 1; i < to; i++ {
			if d := distance(points[i], points[from], points[to]); d > far {
				at, far = i, d
			}
		}
		if at > 0 {
			keep[at] = true
			open = append(open, [2]int{from, at}, [2]int{at, to})
		}
	}
	var out [][2]float64
	for i, p := range points {
		if keep[i] {
			out = append(out, p)
		}
	}
	return out
}

// distance is that of p to the segment from a to b.
func distance(p, a, b [2]float64) float64 {
	dx, dy := b[0]-a[0], b[1]-a[1]
	t := 0.0
	if l := dx*dx + dy*dy; l > 0 {
		t = math.Max(0, math.Min(1, ((p[0]-a[0])*dx+(p[1]-a[1])*dy)/l))
	}
	return math.Hypot(p[0]-a[0]-t*dx, p[1]-a[1]-t*dy)
}

// area is the signed area of a closed polygon in square pixels.
func area(polygon [][2]float64) float64 {
	sum := 0.0
	for i := 1; i < len(polygon); i++ {
		a, b := polygon[i-1], polygon[i]
		sum += a[0]*b[1] - b[0]*a[1]
	}
	return sum / 2
}
