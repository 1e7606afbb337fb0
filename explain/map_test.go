package explain

import (
	"image"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Values of torch.nn.functional.interpolate(arange(6).reshape(1,1,2,3), size=(3,5), mode="bilinear", align_corners=False).
func TestMap_resizeAsTorch(t *testing.T) {
	m := Map{3, 2, []float32{0, 1, 2, 3, 4, 5}, Extent{}}
	want := []float32{
		0.0, 0.4, 1.0, 1.6, 2.0,
		1.5, 1.9, 2.5, 3.1, 3.5,
		3.0, 3.4, 4.0, 4.6, 5.0,
	}
	assert.InDeltaSlice(t, want, m.Resize(5, 3).Values, 1e-6)
}

// The greatest value of a map as large as its picture is known without making it so large.
func TestMap_resizedMax(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Map{Width: rapid.IntRange(1, 9).Draw(t, "width"), Height: rapid.IntRange(1, 9).Draw(t, "height")}
		for range m.Width * m.Height {
			m.Values = append(m.Values, float32(rapid.IntRange(0, 1000).Draw(t, "v"))/7)
		}
		width, height := rapid.IntRange(1, 40).Draw(t, "columns"), rapid.IntRange(1, 40).Draw(t, "rows")
		require.InEpsilon(t, 1+slices.Max(m.Resize(width, height).Values), 1+m.ResizedMax(width, height), 1e-6)
	})
}

func TestMap_nothingToShow(t *testing.T) {
	_, err := Map{2, 1, []float32{0, 0}, Extent{}}.Normalised()
	assert.ErrorIs(t, err, ErrZeroMap)
	for _, v := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
		_, err = Map{2, 1, []float32{1, v}, Extent{}}.Normalised()
		assert.ErrorIs(t, err, ErrNotFinite)
	}
	m, err := Map{2, 1, []float32{-1, 4}, Extent{}}.Normalised()
	require.NoError(t, err)
	assert.Equal(t, []float32{0, 1}, m.Values)
}

func TestContours_square(t *testing.T) {
	m := Map{4, 4, make([]float32, 16), Extent{}}
	for _, i := range []int{5, 6, 9, 10} {
		m.Values[i] = 1
	}
	got := Contours(m, 0.5, 0)
	require.Len(t, got, 1)
	assert.Equal(t, got[0][0], got[0][len(got[0])-1], "closed")
	assert.InDelta(t, 3.5, area(got[0]), 1e-9, "a 2×2 square, its corners cut")
	for _, p := range got[0] {
		assert.True(t, p[0] >= 1 && p[0] <= 3 && p[1] >= 1 && p[1] <= 3, "%v", p)
	}
}

func TestContours_wholeMapIsClosedAlongItsBorder(t *testing.T) {
	m := Map{3, 2, []float32{1, 1, 1, 1, 1, 1}, Extent{}}
	got := Contours(m, 0.9, 0)
	require.Len(t, got, 1)
	for _, p := range got[0] {
		assert.True(t, p[0] == 0 || p[0] == 3 || p[1] == 0 || p[1] == 2, "%v lies on the border", p)
	}
}

func TestContours_saddleAndHole(t *testing.T) {
	apart := Map{2, 2, []float32{1, 0, 0, 1}, Extent{}}
	assert.Len(t, Contours(apart, 0.6, 0), 2, "the mean is below the level")
	assert.Len(t, Contours(apart, 0.5, 0), 1, "the mean joins them")
	ring := Map{3, 3, []float32{1, 1, 1, 1, 0, 1, 1, 1, 1}, Extent{}}
	assert.Len(t, Contours(ring, 0.5, 0), 1, "the hole has no outline")
	assert.Empty(t, Contours(ring, 0.5, 100), "too small")
}

// Every cell at or above the level lies inside an outline, every other outside. The random maps fall off from one
// corner, so that they have no holes.
func TestContours_separateInsideFromOutside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Map{rapid.IntRange(1, 8).Draw(t, "width"), rapid.IntRange(1, 8).Draw(t, "height"), nil, Extent{}}
		for range m.Width * m.Height {
			m.Values = append(m.Values, float32(rapid.IntRange(0, 10).Draw(t, "v"))/10)
		}
		for y := range m.Height {
			for x := range m.Width {
				if x > 0 {
					m.Values[y*m.Width+x] = min(m.Values[y*m.Width+x], m.Values[y*m.Width+x-1])
				}
				if y > 0 {
					m.Values[y*m.Width+x] = min(m.Values[y*m.Width+x], m.Values[(y-1)*m.Width+x])
				}
			}
		}
		const level = 0.45
		outlines := Contours(m, level, 0)
		for y := range m.Height {
			for x := range m.Width {
				inside := false
				for _, o := range outlines {
					inside = inside || contains(o, float64(x)+0.5, float64(y)+0.5)
				}
				if inside != (m.Values[y*m.Width+x] >= level) {
					t.Fatalf("cell %d,%d of %v: inside %v", x, y, m, inside)
				}
			}
		}
	})
}

func contains(outline [][2]float64, x, y float64) bool {
	in := false
	for i := 1; i < len(outline); i++ {
		p, q := outline[i-1], outline[i]
		if (p[1] > y) != (q[1] > y) && x < p[0]+(y-p[1])/(q[1]-p[1])*(q[0]-p[0]) {
			in = !in
		}
	}
	return in
}

func TestOverlay_zeroKeepsTheFrame(t *testing.T) {
	frame := image.NewRGBA(image.Rect(0, 0, 3, 1))
	copy(frame.Pix, []uint8{10, 20, 30, 255, 10, 20, 30, 255, 10, 20, 30, 255})
	colours, err := NamedColourMap("jet")
	require.NoError(t, err)
	out := Overlay(frame, Map{3, 1, []float32{0, 1, 0.5}, Extent{}}, colours, 0.5)
	assert.Equal(t, []uint8{10, 20, 30, 255}, out.Pix[:4])
	assert.Equal(t, []uint8{69, 10, 15, 255}, out.Pix[4:8], "half of dark red (128, 0, 0)")
	assert.Panics(t, func() { Overlay(frame, Map{1, 1, []float32{0}, Extent{}}, colours, 0.5) })
}

// The colours are those of the published tables.
func TestNamedColourMap_published(t *testing.T) {
	for name, want := range map[string]map[int][3]uint8{
		"turbo":   {0: {48, 18, 59}, 37: {71, 120, 240}, 64: {40, 188, 235}, 128: {164, 252, 60}, 201: {243, 99, 21}, 255: {122, 4, 3}},
		"viridis": {0: {68, 1, 84}, 37: {70, 51, 127}, 64: {59, 82, 139}, 128: {33, 145, 140}, 201: {115, 208, 86}, 255: {253, 231, 37}},
		"inferno": {0: {0, 0, 4}, 37: {41, 11, 85}, 64: {87, 16, 110}, 128: {188, 55, 84}, 201: {252, 159, 7}, 255: {252, 255, 164}},
	} {
		m, err := NamedColourMap(name)
		require.NoError(t, err)
		for at, c := range want {
			require.InDelta(t, c[0], m[at].R, 1, "%s %d", name, at)
			require.InDelta(t, c[1], m[at].G, 1, "%s %d", name, at)
			require.InDelta(t, c[2], m[at].B, 1, "%s %d", name, at)
		}
	}
}

func TestNamedColourMap_ends(t *testing.T) {
	for _, name := range ColourMapNames {
		m, err := NamedColourMap(name)
		require.NoError(t, err)
		assert.NotEqual(t, m[0], m[255], name)
	}
	_, err := NamedColourMap("rainbow")
	assert.ErrorContains(t, err, "jet")
}

// What a picture is made on does not show in it: one that was used before, larger or smaller, or none.
func TestOverlayIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(1, 11).Draw(t, "width"), rapid.IntRange(1, 9).Draw(t, "height")
		frame, m := image.NewRGBA(image.Rect(0, 0, w, h)), Map{w, h, make([]float32, w*h), Extent{}}
		copy(frame.Pix, rapid.SliceOfN(rapid.Byte(), len(frame.Pix), len(frame.Pix)).Draw(t, "frame"))
		for i := range m.Values {
			m.Values[i] = rapid.Float32Range(0, 1).Draw(t, "value")
		}
		opacity := rapid.Float64Range(0, 1).Draw(t, "opacity")
		colours, err := NamedColourMap("turbo")
		require.NoError(t, err)
		room := image.NewRGBA(image.Rect(3, 2, rapid.IntRange(3, 14).Draw(t, "right"), rapid.IntRange(2, 12).Draw(t, "bottom")))
		for i := range room.Pix {
			room.Pix[i] = 77
		}
		got := OverlayIn(room, frame, m, colours, opacity)
		require.Equal(t, Overlay(frame, m, colours, opacity), got)
		for i, v := range m.Values { // channel by channel
			step := uint8(v*255 + 0.5)
			share := uint32(opacity * min(float64(step)/255/rampShare, 1) * (1 << 16))
			c := colours[step]
			for k, colour := range []uint8{c.R, c.G, c.B} {
				part := opacity * min(float64(step)/255/rampShare, 1) * (1 << 16)
				want := (uint32(frame.Pix[4*i+k])*(1<<16-share) + uint32(part*float64(colour)) + 1<<15) >> 16
				require.Equal(t, uint8(want), got.Pix[4*i+k])
			}
			require.Equal(t, uint8(255), got.Pix[4*i+3])
		}
	})
}

func BenchmarkOverlay(b *testing.B) {
	frame := image.NewRGBA(image.Rect(0, 0, 1280, 1024))
	m := Map{10, 10, make([]float32, 100), Extent{}}
	for i := range m.Values {
		m.Values[i] = float32(i) / 99
	}
	colours, _ := NamedColourMap("jet")
	b.Run("resize", func(b *testing.B) {
		for b.Loop() {
			m.Resize(1280, 1024)
		}
	})
	large := m.Resize(1280, 1024)
	b.Run("blend", func(b *testing.B) {
		for b.Loop() {
			Overlay(frame, large, colours, 0.4)
		}
	})
	b.Run("contours", func(b *testing.B) {
		for b.Loop() {
			Contours(large, 0.5, 16)
		}
	})
}

// A map is drawn on the part of the picture that it covers: cells beyond the picture are not seen, and where no cell is, it is zero.
func TestMap_extent(t *testing.T) {
	row := func(m Map, width int) []float32 { return m.Resize(width, 1).Values }
	m := Map{4, 1, []float32{1, 2, 3, 4}, Extent{}}
	assert.Equal(t, []float32{1, 2, 3, 4}, row(m, 4))
	m.Extent = Extent{0, -1, 1, 1} // two cells before the picture
	assert.InDeltaSlice(t, []float32{2.75, 3.25, 3.75, 4}, row(m, 4), 1e-6)
	m.Extent = Extent{0, 0.5, 1, 1} // half of it was cropped: four cells
	assert.InDeltaSlice(t, []float32{0, 0, 0, 0, 1, 2, 3, 4}, row(m, 8), 1e-6)
	m.Extent = Extent{0, 0.1, 1, 0.9} // less than a cell is held
	assert.Equal(t, float32(1), row(m, 40)[0])
}
