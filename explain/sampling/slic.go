package sampling

import "math"

// slicIterations suffice for most pictures (Achanta et al. 2012, section 3).
const slicIterations = 10

// Superpixels cuts the picture into connected regions of alike pixels, about as many as asked for (SLIC, Achanta
// et al. 2012, "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods"). It returns the region of
// each pixel, H×W, from 0 to count-1. A greater compactness makes them rounder; 10 is usual.
//
// The paper works on CIELAB. An input has lost its colour space to normalisation, so distances are taken between
// its values, brought to CIELAB's 0 to 100 and averaged over channels and, in a clip, frames. The first centres
// stay on their grid, without the paper's step off edges: the iterations move them anyway.
func Superpixels(p Picture, values []float32, segments int, compactness float64) (labels []int, count int) {
	segments = max(segments, 1)
	s := newSLIC(p, values, segments, compactness)
	for range slicIterations {
		s.assign()
		s.update()
	}
	return joinRegions(s.labels, s.width, s.height, p.cells()/segments/4)
}

// slic is k-means in the plane and in the values of the pixels at once.
type slic struct {
	width, height, depth int
	pixels               []float32 // H×W×depth; squared distances are means over the depth
	step                 float64   // S: the side of a square region
	near                 float64   // m²/S²: what a pixel's distance counts beside colour
	labels               []int
	centres              []centre
	distances            []float64
}

type centre struct {
	x, y   float64
	values []float32
}

func newSLIC(p Picture, values []float32, segments int, compactness float64) *slic {
	s := &slic{width: p.Width, height: p.Height, depth: p.Frames * p.Channels, pixels: slicPixels(p, values)}
	s.step = max(math.Sqrt(float64(p.cells())/float64(segments)), 1)
	s.near = compactness * compactness / (s.step * s.step)
	s.labels, s.distances = make([]int, p.cells()), make([]float64, p.cells())
	across := max(int(math.Round(float64(s.width)/s.step)), 1)
	down := max(int(math.Round(float64(s.height)/s.step)), 1)
	for j := range down {
		for i := range across {
			x, y := (2*i+1)*s.width/(2*across), (2*j+1)*s.height/(2*down)
			s.centres = append(s.centres, centre{float64(x), float64(y), append([]float32(nil), s.pixel(x, y)...)})
		}
	}
	for at := range s.labels { // a pixel out of reach of all centres stays where the grid has it
		s.labels[at] = at/s.width*down/s.height*across + at%s.width*across/s.width
	}
	return s
}

// slicPixels puts the values of each pixel together, scaled so that black and white are 100 apart.
func slicPixels(p Picture, values []float32) []float32 {
	low, high := float32(math.Inf(1)), float32(math.Inf(-1))
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	depth := p.Frames * p.Channels
	scale := float32(0)
	if high > low {
		scale = 100 / (high - low) / float32(math.Sqrt(float64(depth)))
	}
	out := make([]float32, len(values))
	p.rows(func(t, c, y, at, step int) {
		for x := range p.Width {
			out[(y*p.Width+x)*depth+t*p.Channels+c] = (values[at] - low) * scale
			at += step
		}
	})
	return out
}

func (s *slic) pixel(x, y int) []float32 {
	at := (y*s.width + x) * s.depth
	return s.pixels[at : at+s.depth]
}

// assign gives each pixel to the nearest centre, looked for within a step of it.
func (s *slic) assign() {
	for at := range s.distances {
		s.distances[at] = math.Inf(1)
	}
	for k, c := range s.centres {
		for y := max(int(c.y-s.step), 0); y <= min(int(c.y+s.step), s.height-1); y++ {
			for x := max(int(c.x-s.step), 0); x <= min(int(c.x+s.step), s.width-1); x++ {
				dx, dy := float64(x)-c.x, float64(y)-c.y
				d := squared(s.pixel(x, y), c.values) + (dx*dx+dy*dy)*s.near
				if at := y*s.width + x; d < s.distances[at] {
					s.distances[at], s.labels[at] = d, k
				}
			}
		}
	}
}

// update moves each centre to the mean of its pixels; one without any stays.
func (s *slic) update() {
	type sum struct {
		x, y, n float64
		values  []float64
	}
	sums := make([]sum, len(s.centres))
	for k := range sums {
		sums[k].values = make([]float64, s.depth)
	}
	for at, k := range s.labels {
		x, y := at%s.width, at/s.width
		sums[k].x, sums[k].y, sums[k].n = sums[k].x+float64(x), sums[k].y+float64(y), sums[k].n+1
		for i, v := range s.pixel(x, y) {
			sums[k].values[i] += float64(v)
		}
	}
	for k, m := range sums {
		if m.n > 0 {
			s.centres[k] = centre{m.x / m.n, m.y / m.n, scaled(m.values, 1/m.n)}
		}
	}
}

func squared(a, b []float32) float64 {
	sum := float32(0)
	for i, v := range a {
		sum += (v - b[i]) * (v - b[i])
	}
	return float64(sum)
}
