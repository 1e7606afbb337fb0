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

// drawGeometry draws a frame with a crop and a masked box somewhere in it.
func drawGeometry(t *rapid.T) Geometry {
	rows, columns := rapid.IntRange(8, 200).Draw(t, "rows"), rapid.IntRange(8, 200).Draw(t, "columns")
	left, top := rapid.IntRange(0, columns-4).Draw(t, "left"), rapid.IntRange(0, rows-4).Draw(t, "top")
	crop := image.Rect(left, top, rapid.IntRange(left+4, columns).Draw(t, "right"), rapid.IntRange(top+4, rows).Draw(t, "bottom"))
	box := Box{Left: 0, Top: rapid.Float64Range(0, 0.9).Draw(t, "boxTop"), Right: rapid.Float64Range(0, 0.9).Draw(t, "boxRight"), Bottom: 1}
	return Geometry{Rows: rows, Columns: columns, crop: crop, masked: []image.Rectangle{box.in(crop)}}
}

func TestToSource_nothingWhereTheNetworkSawNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGeometry(t)
		w, h := rapid.IntRange(1, 14).Draw(t, "w"), rapid.IntRange(1, 14).Draw(t, "h")
		ones := explain.Map{Width: w, Height: h, Values: make([]float32, w*h)}
		for i := range ones.Values {
			ones.Values[i] = 1
		}
		m := g.ToSource(ones)
		if m.Width != g.Columns || m.Height != g.Rows || len(m.Values) != g.Columns*g.Rows {
			t.Fatalf("map is %dx%d with %d values, frame %dx%d", m.Width, m.Height, len(m.Values), g.Columns, g.Rows)
		}
		for y := range g.Rows {
			for x := range g.Columns {
				at, want := image.Pt(x, y), float32(0)
				if at.In(g.crop) && !at.In(g.masked[0]) {
					want = 1
				}
				if got := m.Values[y*g.Columns+x]; got != want {
					t.Fatalf("(%d,%d) is %g, want %g; crop %v, masked %v", x, y, got, want, g.crop, g.masked[0])
				}
			}
		}
	})
}

func TestToSource_hotCellLiesWhereItCameFrom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGeometry(t)
		g.masked = nil
		side := rapid.IntRange(1, min(14, g.crop.Dx(), g.crop.Dy())).Draw(t, "side") // a layer is coarser than the frame
		hot := image.Pt(rapid.IntRange(0, side-1).Draw(t, "x"), rapid.IntRange(0, side-1).Draw(t, "y"))
		m := explain.Map{Width: side, Height: side, Values: make([]float32, side*side)}
		m.Values[hot.Y*side+hot.X] = 1
		x, y := centreOf(g.ToSource(m))
		// The cell's own part of the crop; a plateau at the border leans outward.
		cellX, cellY := float64(g.crop.Dx())/float64(side), float64(g.crop.Dy())/float64(side)
		left, top := float64(g.crop.Min.X)+float64(hot.X)*cellX, float64(g.crop.Min.Y)+float64(hot.Y)*cellY
		if x < left-1 || x > left+cellX+1 || y < top-1 || y > top+cellY+1 {
			t.Fatalf("hot cell %v of %d lies at (%.1f,%.1f), want within (%.1f,%.1f) and %.1fx%.1f", hot, side, x, y, left, top, cellX, cellY)
		}
	})
}

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
		if err != nil || g.Crop() != inner {
			t.Fatalf("crop is %v, want %v (%v)", g.Crop(), inner, err)
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
	assert.Equal(t, []image.Rectangle{image.Rect(0, 124, 38, 200)}, g.masked)
}
