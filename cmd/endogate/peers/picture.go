package peers

import (
	"image"
	"image/color"
	"math"
)

// sameDistance is how far, of 255, a picture scaled by a viewer may be from the same picture scaled by us.
const sameDistance = 12

// uniform tells whether a picture has one colour only, such as a viewport that stayed black.
func uniform(m image.Image) bool {
	b := m.Bounds()
	first := rgb(m.At(b.Min.X, b.Min.Y))
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			if rgb(m.At(x, y)) != first {
				return false
			}
		}
	}
	return true
}

// fitDistance is the mean absolute difference, 0..255, between a picture and what a canvas shows of it,
// drawn as large as fits and centred. It is compared on a grid of small cells, so that resampling hardly counts.
func fitDistance(canvas, picture image.Image) float64 {
	const cells = 48
	c, p := canvas.Bounds(), picture.Bounds()
	scale := math.Min(float64(c.Dx())/float64(p.Dx()), float64(c.Dy())/float64(p.Dy()))
	w, h := scale*float64(p.Dx()), scale*float64(p.Dy())
	left, top := (float64(c.Dx())-w)/2, (float64(c.Dy())-h)/2
	sum := 0.0
	for row := range cells {
		for column := range cells {
			shown := mean(canvas, left+w*float64(column)/cells, top+h*float64(row)/cells, w/cells, h/cells)
			want := mean(picture, float64(p.Dx()*column)/cells, float64(p.Dy()*row)/cells, float64(p.Dx())/cells, float64(p.Dy())/cells)
			for i := range shown {
				sum += math.Abs(shown[i] - want[i])
			}
		}
	}
	return sum / (cells * cells * 3)
}

// mean is the average colour of the pixels of a rectangle, given from the upper left corner of m.
func mean(m image.Image, x, y, w, h float64) (sum [3]float64) {
	b := m.Bounds()
	n := 0.0
	for row := int(y); row < max(int(y+h), int(y)+1); row++ {
		for column := int(x); column < max(int(x+w), int(x)+1); column++ {
			for i, v := range rgb(m.At(b.Min.X+column, b.Min.Y+row)) {
				sum[i] += float64(v)
			}
			n++
		}
	}
	for i := range sum {
		sum[i] /= n
	}
	return sum
}

func rgb(c color.Color) [3]uint8 {
	n := color.NRGBAModel.Convert(c).(color.NRGBA)
	return [3]uint8{n.R, n.G, n.B}
}
