package draft

import (
	"image"
	"math"
	"math/bits"
)

// Quality is how well something can be seen in a frame, and what it looks like. The zero value is of one that nobody has
// measured.
type Quality struct {
	Sharpness float64   // 0..1, of the edges in the picture
	Exposure  float64   // 0..1, the part of the picture that is neither black nor blown out
	Hash      uint64    // of where it is bright and dark: alike pictures differ in few bits
	Colours   [64]uint8 // how often each of 4 x 4 x 4 colours occurs; 255 is always
}

// Measuring. A picture is reduced to about side pixels, so that noise and size count for little; a pixel is of tissue
// when it is neither nearly black nor blown out, and what lies beside one that is not (the border of the picture, text on
// black, a highlight) is no edge of tissue. Blurred and sharp are the logarithms of the variance of the Laplacian
// (Pech-Pacheco et al., ICPR 2000) that count as 0 and 1: about those of the least and the most sharp of the frames in testdata, measured so.
const (
	side    = 256
	black   = 24
	blown   = 245
	blurred = 1.0
	sharp   = 3.2
)

// Measure looks at the middle of a frame: what an endoscope has around its picture, and writes into it, is no tissue. It
// changes nothing.
func Measure(img *image.RGBA) Quality {
	p := reduce(img)
	if p.w < 3 || p.h < 3 {
		return Quality{}
	}
	q := Quality{Hash: p.hash(), Colours: p.colours()}
	q.Exposure, q.Sharpness = p.exposure(), p.sharpness()
	return q
}

// Distance is how different two pictures look, 0 (the same) to 1.
func (q Quality) Distance(other Quality) float64 {
	structure := math.Min(1, float64(bits.OnesCount64(q.Hash^other.Hash))/32)
	colours, total := 0.0, 0.0
	for i, n := range q.Colours {
		colours += math.Abs(float64(n) - float64(other.Colours[i]))
		total += float64(n) + float64(other.Colours[i])
	}
	if total == 0 {
		return structure
	}
	return (structure + colours/total) / 2
}

func (q Quality) measured() bool { return q != Quality{} }

// picture is the reduced middle of a frame.
type picture struct {
	w, h int
	rgb  [][3]float64
}

// reduce averages boxes of the middle four fifths of img.
func reduce(img *image.RGBA) picture {
	b := img.Bounds()
	b = image.Rect(b.Min.X+b.Dx()/10, b.Min.Y+b.Dy()/10, b.Max.X-b.Dx()/10, b.Max.Y-b.Dy()/10)
	box := max(1, (max(b.Dx(), b.Dy())+side-1)/side)
	p := picture{w: b.Dx() / box, h: b.Dy() / box}
	p.rgb = make([][3]float64, p.w*p.h)
	sums := make([][3]uint32, p.w)
	for y := range p.h {
		clear(sums)
		for dy := range box {
			at := img.PixOffset(b.Min.X, b.Min.Y+y*box+dy)
			row := img.Pix[at : at+4*p.w*box]
			for x := range sums {
				sum := &sums[x]
				for px := row[4*x*box : 4*(x+1)*box]; len(px) >= 4; px = px[4:] {
					sum[0] += uint32(px[0])
					sum[1] += uint32(px[1])
					sum[2] += uint32(px[2])
				}
			}
		}
		for x, sum := range sums {
			for c := range sum {
				p.rgb[y*p.w+x][c] = float64(sum[c]) / float64(box*box)
			}
		}
	}
	return p
}

func (p picture) luma(x, y int) float64 {
	c := p.rgb[y*p.w+x]
	return 0.299*c[0] + 0.587*c[1] + 0.114*c[2]
}

func (p picture) tissue(x, y int) bool {
	c := p.rgb[y*p.w+x]
	brightest := max(c[0], c[1], c[2])
	return brightest > black && min(c[0], c[1], c[2]) < blown
}

func (p picture) exposure() float64 {
	n := 0
	for y := range p.h {
		for x := range p.w {
			if p.tissue(x, y) {
				n++
			}
		}
	}
	return float64(n) / float64(p.w*p.h)
}

func (p picture) sharpness() float64 {
	n, sum, squares := 0.0, 0.0, 0.0
	for y := 1; y < p.h-1; y++ {
		for x := 1; x < p.w-1; x++ {
			if !p.tissue(x, y) || !p.tissue(x-1, y) || !p.tissue(x+1, y) || !p.tissue(x, y-1) || !p.tissue(x, y+1) {
				continue
			}
			v := 4*p.luma(x, y) - p.luma(x-1, y) - p.luma(x+1, y) - p.luma(x, y-1) - p.luma(x, y+1)
			n, sum, squares = n+1, sum+v, squares+v*v
		}
	}
	if n < 100 {
		return 0
	}
	variance := squares/n - sum/n*sum/n
	return math.Max(0, math.Min(1, (math.Log10(variance+1e-9)-blurred)/(sharp-blurred)))
}

// hash compares each of 9 x 8 fields with its neighbour (dHash).
func (p picture) hash() uint64 {
	var fields [8][9]float64
	var counts [8][9]float64
	for y := range p.h {
		for x := range p.w {
			fields[y*8/p.h][x*9/p.w] += p.luma(x, y)
			counts[y*8/p.h][x*9/p.w]++
		}
	}
	var h uint64
	for y := range 8 {
		for x := range 8 {
			h <<= 1
			if fields[y][x]*counts[y][x+1] < fields[y][x+1]*counts[y][x] {
				h |= 1
			}
		}
	}
	return h
}

func (p picture) colours() (out [64]uint8) {
	var counts [64]int
	for _, c := range p.rgb {
		counts[int(c[0])/64*16+int(c[1])/64*4+int(c[2])/64]++
	}
	for i, n := range counts {
		out[i] = uint8(255 * n / len(p.rgb))
	}
	return out
}
