package inference

import (
	"image"
	"math"
)

// Quality is what statistics of a picture say of how well it shows the inside of an organ. docs/video.md has how the
// limits were found.
type Quality struct {
	Sharpness float64 // variance of the Laplacian of the luminance (Pech-Pacheco et al. 2000), seen at 256 columns
	Light     float64 // mean luminance of the field of view, 0..255
	Glare     float64 // part of it that is overexposed
	Colour    float64 // part of it that is no grey: mucosa, dye and light of a narrow band have a colour
	View      float64 // part of the frame that is no black border
}

// Limits of a frame that counts.
const (
	leastSharpness = 12.0
	leastLight     = 35.0
	mostGlare      = 0.35
	leastColour    = 0.25
	leastView      = 0.10
)

// Poor says in a word or two why a frame is discounted; "" where it counts.
func (q Quality) Poor() string {
	switch {
	case q.View < leastView || q.Light < leastLight:
		return "too dark"
	case q.Glare > mostGlare:
		return "overexposed"
	case q.Colour < leastColour:
		return "out of the body"
	case q.Sharpness < leastSharpness:
		return "blurred"
	}
	return ""
}

const (
	qualityColumns = 256
	borderLevel    = 16 // of luminance, up to which a pixel is taken for border
	glareLevel     = 245
	leastChroma    = 0.2 // of the brightest of a pixel's colours
)

// Assess measures a picture.
func Assess(img *image.RGBA) Quality {
	size := img.Rect.Size()
	step := max(1, (size.X+qualityColumns-1)/qualityColumns)
	columns, rows := size.X/step, size.Y/step
	if columns < 3 || rows < 3 {
		return Quality{}
	}
	light := make([]float64, columns*rows)
	var q Quality
	var seen, glare, colour, sum float64
	for y := range rows {
		for x := range columns {
			r, g, b := mean(img, x*step, y*step, step)
			l := 0.299*r + 0.587*g + 0.114*b // ITU-R BT.601
			light[y*columns+x] = l
			if l <= borderLevel {
				continue
			}
			seen++
			sum += l
			if l >= glareLevel {
				glare++
			}
			if most := max(r, g, b); most-min(r, g, b) > leastChroma*most {
				colour++
			}
		}
	}
	if seen == 0 {
		return q
	}
	q.View, q.Light, q.Glare, q.Colour = seen/float64(columns*rows), sum/seen, glare/seen, colour/seen
	q.Sharpness = sharpness(light, columns, rows)
	return q
}

// sharpness leaves out what touches the border of the field of view, which is sharp whatever it shows.
func sharpness(light []float64, columns, rows int) float64 {
	var n, sum, squares float64
	for y := 1; y < rows-1; y++ {
	next:
		for x := 1; x < columns-1; x++ {
			at := y*columns + x
			for _, d := range [...]int{0, -1, 1, -columns, columns} {
				if l := light[at+d]; l <= borderLevel || l >= glareLevel {
					continue next
				}
			}
			v := light[at-1] + light[at+1] + light[at-columns] + light[at+columns] - 4*light[at]
			n, sum, squares = n+1, sum+v, squares+v*v
		}
	}
	if n == 0 {
		return 0
	}
	return math.Max(0, squares/n-(sum/n)*(sum/n))
}

// mean is the colour of a square of the picture.
func mean(img *image.RGBA, left, top, side int) (r, g, b float64) {
	var sum [3]int
	for y := range side {
		row := img.Pix[(top+y)*img.Stride+4*left:][:4*side]
		for x := 0; x < len(row); x += 4 {
			sum[0] += int(row[x])
			sum[1] += int(row[x+1])
			sum[2] += int(row[x+2])
		}
	}
	n := float64(side * side)
	return float64(sum[0]) / n, float64(sum[1]) / n, float64(sum[2]) / n
}
