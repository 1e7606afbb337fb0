package inference

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/explain"
	"endogate/inference/analysis"
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

// A map is shown as it lies over the frame, divided by its greatest value there, also where only its few values are divided.
func TestShown_isNormalised(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame := image.Rect(0, 0, rapid.IntRange(8, 40).Draw(t, "columns"), rapid.IntRange(8, 40).Draw(t, "rows"))
		g := analysis.Geometry{
			Rows: frame.Dy(), Columns: frame.Dx(), Orientation: analysis.Orientation(rapid.IntRange(0, 8).Draw(t, "orientation")),
			Crop: image.Rect(rapid.IntRange(0, 3).Draw(t, "left"), 2, frame.Max.X, frame.Max.Y-1),
		}
		m := explain.Map{Width: rapid.IntRange(1, 7).Draw(t, "width"), Height: rapid.IntRange(1, 7).Draw(t, "height")}
		for range m.Width * m.Height {
			m.Values = append(m.Values, float32(rapid.IntRange(1, 1000).Draw(t, "v"))/7)
		}
		want, err := ToSource(g, m).Normalised()
		require.NoError(t, err)
		shown, err := Shown(g, m)
		require.NoError(t, err)
		require.InDeltaSlice(t, want.Values, shown.Values, 1e-5)
	})
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
		g, err := b.Prepare(img, analysis.Pose{}, input)
		if err != nil || g.Crop != inner {
			t.Fatalf("crop is %v, want %v (%v)", g.Crop, inner, err)
		}
		x, y := centreOf(ToSource(g, explain.Map{Width: b.Input.Columns, Height: b.Input.Rows, Values: input[:b.Input.Rows*b.Input.Columns]}))
		if math.Hypot(x-float64(spot.X)-0.5, y-float64(spot.Y)-0.5) > 2 {
			t.Fatalf("spot at %v came back at (%.1f,%.1f)", spot, x, y)
		}
	})
}

func TestPrepare_maskedBoxOfTheDemo(t *testing.T) {
	b := demoBundle(t)
	g, err := b.Prepare(noise(100, 200), analysis.Pose{}, make([]float32, b.Input.Len()))
	require.NoError(t, err)
	assert.Equal(t, []image.Rectangle{image.Rect(0, 124, 38, 200)}, g.Masked)
}

// drawGeometry draws a frame with a crop and a masked box somewhere in it.
func drawGeometry(t *rapid.T) analysis.Geometry {
	rows, columns := rapid.IntRange(8, 200).Draw(t, "rows"), rapid.IntRange(8, 200).Draw(t, "columns")
	left, top := rapid.IntRange(0, columns-4).Draw(t, "left"), rapid.IntRange(0, rows-4).Draw(t, "top")
	crop := image.Rect(left, top, rapid.IntRange(left+4, columns).Draw(t, "right"), rapid.IntRange(top+4, rows).Draw(t, "bottom"))
	box := image.Rect(left, rapid.IntRange(crop.Min.Y, crop.Max.Y).Draw(t, "boxTop"), rapid.IntRange(left, crop.Max.X).Draw(t, "boxRight"), crop.Max.Y)
	return analysis.Geometry{Rows: rows, Columns: columns, Crop: crop, Masked: []image.Rectangle{box}}
}

func TestToSource_nothingWhereTheNetworkSawNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGeometry(t)
		w, h := rapid.IntRange(1, 14).Draw(t, "w"), rapid.IntRange(1, 14).Draw(t, "h")
		ones := explain.Map{Width: w, Height: h, Values: make([]float32, w*h)}
		for i := range ones.Values {
			ones.Values[i] = 1
		}
		m := ToSource(g, ones)
		if m.Width != g.Columns || m.Height != g.Rows || len(m.Values) != g.Columns*g.Rows {
			t.Fatalf("map is %dx%d with %d values, frame %dx%d", m.Width, m.Height, len(m.Values), g.Columns, g.Rows)
		}
		for y := range g.Rows {
			for x := range g.Columns {
				at, want := image.Pt(x, y), float32(0)
				if at.In(g.Crop) && !at.In(g.Masked[0]) {
					want = 1
				}
				if got := m.Values[y*g.Columns+x]; got != want {
					t.Fatalf("(%d,%d) is %g, want %g; crop %v, masked %v", x, y, got, want, g.Crop, g.Masked[0])
				}
			}
		}
	})
}

func TestToSource_hotCellLiesWhereItCameFrom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := drawGeometry(t)
		g.Masked = nil
		side := rapid.IntRange(1, min(14, g.Crop.Dx(), g.Crop.Dy())).Draw(t, "side") // a layer is coarser than the frame
		hot := image.Pt(rapid.IntRange(0, side-1).Draw(t, "x"), rapid.IntRange(0, side-1).Draw(t, "y"))
		m := explain.Map{Width: side, Height: side, Values: make([]float32, side*side)}
		m.Values[hot.Y*side+hot.X] = 1
		x, y := centreOf(ToSource(g, m))
		// The cell's own part of the crop; a plateau at the border leans outward.
		cellX, cellY := float64(g.Crop.Dx())/float64(side), float64(g.Crop.Dy())/float64(side)
		left, top := float64(g.Crop.Min.X)+float64(hot.X)*cellX, float64(g.Crop.Min.Y)+float64(hot.Y)*cellY
		if x < left-1 || x > left+cellX+1 || y < top-1 || y > top+cellY+1 {
			t.Fatalf("hot cell %v of %d lies at (%.1f,%.1f), want within (%.1f,%.1f) and %.1fx%.1f", hot, side, x, y, left, top, cellX, cellY)
		}
	})
}

func TestShown(t *testing.T) {
	g := analysis.Geometry{Rows: 20, Columns: 20, Crop: image.Rect(5, 5, 15, 15), Masked: []image.Rectangle{image.Rect(5, 5, 10, 15)}}
	with := func(values ...float32) explain.Map { return explain.Map{Width: 2, Height: 1, Values: values} }
	m, err := Shown(g, with(0, 4))
	require.NoError(t, err)
	greatest, err := m.Max()
	require.NoError(t, err)
	require.EqualValues(t, 1, greatest)
	for _, tt := range []struct {
		m    explain.Map
		want error
	}{
		{with(0, 0), explain.ErrZeroMap},
		{with(1, float32(math.NaN())), explain.ErrNotFinite},
		{with(float32(math.Inf(1)), 0), explain.ErrNotFinite},
	} {
		_, err := Shown(g, tt.m)
		require.ErrorIs(t, err, tt.want)
	}
	g.Masked = []image.Rectangle{g.Crop}
	_, err = Shown(g, with(4, 0))
	require.ErrorIs(t, err, ErrUnseen)
}

// Values that were used before do not show.
func TestShownIn(t *testing.T) {
	m := explain.Map{Width: 2, Height: 2, Values: []float32{1, 2, 3, 4}}
	for _, g := range []analysis.Geometry{
		{Rows: 9, Columns: 12, Crop: image.Rect(0, 0, 12, 9)},
		{Rows: 9, Columns: 12, Crop: image.Rect(3, 2, 12, 9)},
		{Rows: 9, Columns: 12, Crop: image.Rect(0, 0, 12, 9), Masked: []image.Rectangle{image.Rect(0, 0, 4, 4)}},
		{Rows: 9, Columns: 12, Crop: image.Rect(1, 0, 11, 9), Orientation: 6},
		{Rows: 9, Columns: 12, Crop: image.Rect(0, 0, 12, 9), Window: &analysis.Window{Left: -0.2, Right: 1.2, Top: -0.5, Bottom: 1}},
	} {
		want, err := Shown(g, m)
		require.NoError(t, err)
		for _, room := range []int{0, 50, 108, 300} {
			used := make([]float32, room)
			for i := range used {
				used[i] = 7
			}
			got, err := ShownIn(used, g, m)
			require.NoError(t, err)
			require.Equal(t, want, got, "%+v, room for %d", g, room)
		}
	}
}

// FuzzShown: whatever a worker elsewhere says, it lies within the frame.
func FuzzShown(f *testing.F) {
	g := analysis.Geometry{Rows: 20, Columns: 30, Crop: image.Rect(2, 3, 28, 19), Masked: []image.Rectangle{image.Rect(2, 10, 5, 19)}}
	finding := analysis.Finding{Class: "polyp", Role: analysis.RoleFinding, Probability: 0.75, Threshold: 0.5}
	var b bytes.Buffer
	require.NoError(f, analysis.Analysis{Parts: []analysis.Part{{
		Result:   analysis.Result{Span: analysis.Still(1), Rows: 20, Columns: 30, Findings: []analysis.Finding{finding}},
		Geometry: g, Maps: []analysis.Map{{Class: "polyp", Width: 2, Height: 1, Values: []float32{0, 4}}},
	}}}.Encode(&b))
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := analysis.Decode(bytes.NewReader(b))
		if err != nil {
			return
		}
		for _, p := range a.Parts {
			for _, m := range p.Maps {
				if p.Geometry.Rows*p.Geometry.Columns < 1<<16 && m.Width*m.Height < 1<<16 {
					_, _ = Shown(p.Geometry, Raw(m))
				}
			}
		}
	})
}
