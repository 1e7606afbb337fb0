package peers

import (
	"image"
	"image/color"
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/image/draw"
)

// gradient is a picture whose colours say where a pixel is.
func gradient(w, h int, turn bool) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			r, g := uint8(255*x/w), uint8(255*y/h)
			if turn {
				r, g = g, r
			}
			m.Set(x, y, color.RGBA{R: r, G: g, B: 80, A: 255})
		}
	}
	return m
}

func TestFitDistance(t *testing.T) {
	picture := gradient(300, 200, false)
	canvas := image.NewRGBA(image.Rect(0, 0, 1000, 500)) // as high as fits: 750 x 500 in the middle
	draw.Draw(canvas, canvas.Bounds(), image.Black, image.Point{}, draw.Src)
	assert.True(t, uniform(canvas))
	assert.Greater(t, fitDistance(canvas, picture), 50.0, "black is taken for the picture")

	draw.BiLinear.Scale(canvas, image.Rect(125, 0, 875, 500), picture, picture.Bounds(), draw.Src, nil)
	assert.False(t, uniform(canvas))
	assert.Less(t, fitDistance(canvas, picture), 3.0)
	assert.Greater(t, fitDistance(canvas, gradient(300, 200, true)), float64(sameDistance), "another picture is taken for it")
}
