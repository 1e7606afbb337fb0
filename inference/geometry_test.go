package inference

import (
	"image"
	"image/color"
	"image/draw"
	"math"
	"testing"

	"endogate/explain"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// centreOf is the mean place, in pixel corners, of the pixels that have the map's maximum.
func centreOf(m explain.Map) (x, y float64) {
	top, n := float32(0), 0.0
	for _, v := range m.Values {
		top = max(top, v)
	}
	for i, v := range m.Values {
		if v == top {
			x, y, n = x+float64(i%m.Width)+0.5, y+float64(i/m.Width)+0.5, n+1
		}
	}
	return x / n, y / n
}

func TestPrepareThenToSource_brightSpotComesBack(t *testing.T) {
	// A frame with a dark border and one bright spot is prepared for the network; what the network sees, taken
	// as a map, must have its maximum at the spot again.
	b := demoBundle(t)
	b.Input.Scale, b.Input.Mean, b.Input.Std = 1, [3]float64{}, [3]float64{1, 1, 1}
	rapid.Check(t, func(t *rapid.T) {
		const width, height = 180, 150
		inner := image.Rect(rapid.IntRange(0, 40).Draw(t, "left"), rapid.IntRange(0, 30).Draw(t, "top"),
			rapid.IntRange(120, width).Draw(t, "right"), rapid.IntRange(100, height).Draw(t, "bottom"))
		img := image.NewRGBA(image.Rect(0, 0, width, height))
		draw.Draw(img, img.Rect, image.Black, image.Point{}, draw.Src)
		draw.Draw(img, inner, image.NewUniform(color.RGBA{90, 60, 50, 255}), image.Point{}, draw.Src)
		// Somewhere in the upper half, which no box masks.
		spot := image.Pt(rapid.IntRange(inner.Min.X, inner.Max.X-1).Draw(t, "x"), rapid.IntRange(inner.Min.Y, inner.Min.Y+inner.Dy()/2).Draw(t, "y"))
		draw.Draw(img, image.Rect(-1, -1, 2, 2).Add(spot).Intersect(inner), image.White, image.Point{}, draw.Src)

		input := make([]float32, b.Input.Len())
		g, err := b.Prepare(img, input)
		if err != nil || g.Crop != inner {
			t.Fatalf("crop is %v, want %v (%v)", g.Crop, inner, err)
		}
		x, y := centreOf(g.ToSource(explain.Map{Width: b.Input.Columns, Height: b.Input.Rows, Values: input[:b.Input.Rows*b.Input.Columns]}))
		if math.Hypot(x-float64(spot.X)-0.5, y-float64(spot.Y)-0.5) > 2 {
			t.Fatalf("spot at %v came back at (%.1f,%.1f)", spot, x, y)
		}
	})
}

func TestPrepare_maskedBoxOfTheDemo(t *testing.T) {
	b := demoBundle(t)
	g, err := b.Prepare(noise(100, 200), make([]float32, b.Input.Len()))
	require.NoError(t, err)
	assert.Equal(t, []image.Rectangle{image.Rect(0, 124, 38, 200)}, g.Masked)
}
