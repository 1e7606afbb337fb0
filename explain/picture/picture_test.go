package picture_test

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"endogate/cmd/endogate/installed"
	"endogate/explain"
	"endogate/explain/picture"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestWriteNPY_bytes(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, picture.WriteNPY(&b, []int64{2}, []float32{1, -0.5}))
	require.Equal(t, 64*2+8, b.Len())
	require.Equal(t, "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", b.String()[:68-1])
	require.Equal(t, []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0xbf}, b.Bytes()[128:])
	require.Error(t, picture.WriteNPY(&b, []int64{2, 2}, make([]float32, 3)))
}

func TestWriteNPY_readByNumPy(t *testing.T) {
	installed.RequirePython(t, "numpy")
	path := t.TempDir() + "/m.npy"
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, picture.WriteNPY(f, []int64{1, 2, 3}, []float32{0, 1, 2, 3, 4, 5.5}))
	require.NoError(t, f.Close())
	out, err := exec.Command(installed.Python, "-c", "import numpy, sys; a = numpy.load(sys.argv[1]); print(a.shape, a.dtype, a[0, 1, 2])", path).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, "(1, 2, 3) float32 5.5\n", string(out))
}

func grey(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(m, m.Rect, image.NewUniform(color.RGBA{100, 100, 100, 255}), image.Point{}, draw.Src)
	return m
}

func TestSigned(t *testing.T) {
	m := explain.Map{Width: 3, Height: 1, Values: []float32{2, 0, -2}}
	out, err := picture.Signed(grey(3, 1), m, 1)
	require.NoError(t, err)
	require.Equal(t, color.RGBA{255, 40, 40, 255}, out.RGBAAt(0, 0))
	require.Equal(t, color.RGBA{60, 60, 60, 255}, out.RGBAAt(1, 0)) // what has no weight is grey
	require.Equal(t, color.RGBA{40, 80, 255, 255}, out.RGBAAt(2, 0))
	beyond, err := picture.Signed(grey(3, 1), m, 2)
	require.NoError(t, err)
	require.Equal(t, out, beyond)
	_, err = picture.Signed(grey(3, 1), explain.Map{Width: 3, Height: 1, Values: make([]float32, 3)}, 1)
	require.ErrorIs(t, err, explain.ErrZeroMap)
	m.Values[1] = float32(math.NaN())
	_, err = picture.Signed(grey(3, 1), m, 1)
	require.ErrorIs(t, err, explain.ErrNotFinite)
}

func TestClip(t *testing.T) {
	values := make([]float32, 1000)
	for i := range values {
		values[i] = 1
	}
	values[0], values[1] = 100, -100
	got := picture.Clip(explain.Map{Width: 1000, Height: 1, Values: values})
	require.Equal(t, float32(1), got.Values[0])
	require.Equal(t, float32(-1), got.Values[1])
}

func TestGuided(t *testing.T) {
	first := []float32{1, -1, 0, 0, 1, -1, 0, 0, 1, -1, 0, 0} // 3×2×2
	a, err := picture.Guided(first, explain.Layout{Channels: 3, Height: 2, Width: 2})
	require.NoError(t, err)
	require.Equal(t, color.RGBA{128, 128, 128, 255}, a.RGBAAt(0, 1)) // zero is grey
	require.Greater(t, a.RGBAAt(0, 0).R, uint8(150))
	require.Less(t, a.RGBAAt(1, 0).R, uint8(100))
	last := []float32{1, 1, 1, -1, -1, -1, 0, 0, 0, 0, 0, 0}
	b, err := picture.Guided(last, explain.Layout{Channels: 3, Height: 2, Width: 2, ChannelsLast: true})
	require.NoError(t, err)
	require.Equal(t, a.Pix, b.Pix)
}

// words are a legend with all that may be in one.
func words(t rapid.TB) picture.Words {
	colours, err := explain.NamedColourMap("jet")
	require.NoError(t, err)
	return picture.Words{
		Class: "polyp", Plain: "polyp", Probability: "p = 0.97", Method: "Grad-CAM at /layer4/layer4.1/conv2/Conv", Model: "demo-colon 1.0.0", Masked: true, Colours: colours,
	}
}

func TestLegend_nothingIsCut(t *testing.T) {
	for _, size := range []image.Point{{64, 64}, {80, 300}, {720, 576}, {1280, 1024}} {
		w := words(t)
		w.Class = strings.Repeat("sessile serrated lesion of the ascending colon, ", 4)
		over := picture.Legend(grey(size.X, size.Y), w)
		require.GreaterOrEqual(t, over.Rect.Dx(), size.X)
		require.Greater(t, over.Rect.Dy(), size.Y)
		require.Equal(t, color.RGBA{100, 100, 100, 255}, over.RGBAAt(size.X-1, size.Y-1))
		for y := range over.Rect.Dy() { // nothing runs into the border
			require.Less(t, over.RGBAAt(over.Rect.Dx()-1, y).G, uint8(101))
		}
		w.Class = "polyp"
		require.Less(t, picture.Legend(grey(size.X, size.Y), w).Rect.Dy(), over.Rect.Dy())
	}
}

// Each scale has a bar of its own colours: the bar of a colour map is wrong for signed and for coloured maps.
func TestLegend_scales(t *testing.T) {
	colours := func(scale picture.Scale) (red, green, blue bool) {
		w := words(t)
		w.Scale = scale
		p := picture.Legend(grey(300, 100), w)
		for y := 100; y < p.Rect.Dy(); y++ {
			for x := range p.Rect.Dx() {
				c := p.RGBAAt(x, y)
				red, green, blue = red || c.R > 150 && c.G < 90 && c.B < 90, green || c.G > 150 && c.R < 140 && c.B < 140, blue || c.B > 150 && c.R < 90 && c.G < 100
			}
		}
		return red, green, blue
	}
	red, green, _ := colours(picture.Weight)
	require.True(t, red && green)
	red, green, blue := colours(picture.ForAgainst)
	require.True(t, red && blue && !green)
	red, green, blue = colours(picture.Channels)
	require.False(t, red || green || blue)
}

func TestSheet(t *testing.T) {
	w := words(t)
	tile := picture.Tile{Title: "a", Caption: "b", Words: &w, Picture: grey(100, 50)}
	one := picture.Sheet("title", []picture.Tile{tile}, 4)
	five := picture.Sheet("title", []picture.Tile{tile, tile, tile, tile, tile}, 4)
	require.Greater(t, five.Rect.Dx(), 3*one.Rect.Dx())
	require.Greater(t, five.Rect.Dy(), one.Rect.Dy())
	require.Greater(t, picture.Sheet(strings.Repeat("title ", 40), []picture.Tile{tile}, 4).Rect.Dy(), one.Rect.Dy(), "a long title takes more lines")
}

func TestLaid(t *testing.T) {
	guided := grey(8, 8)
	laid := picture.Laid(guided, image.Pt(60, 40), image.Rect(10, 0, 50, 40), []image.Rectangle{image.Rect(10, 30, 20, 40)})
	require.Equal(t, image.Rect(0, 0, 60, 40), laid.Rect, "the size and shape of the frame")
	require.Equal(t, color.RGBA{128, 128, 128, 255}, laid.RGBAAt(5, 5))
	require.Equal(t, color.RGBA{100, 100, 100, 255}, laid.RGBAAt(30, 20))
	require.Equal(t, color.RGBA{128, 128, 128, 255}, laid.RGBAAt(15, 35))
}

func TestHatch(t *testing.T) {
	box := image.Rect(0, 60, 80, 120)
	p := grey(200, 120)
	picture.Hatch(p, []image.Rectangle{box})
	changed, inside := 0, 0
	for y := range 120 {
		for x := range 200 {
			if p.RGBAAt(x, y) == (color.RGBA{100, 100, 100, 255}) {
				continue
			}
			changed++
			if image.Pt(x, y).In(box) {
				inside++
			}
		}
	}
	require.Equal(t, changed, inside, "only what was masked")
	require.Greater(t, inside, 500)
	require.Less(t, inside, box.Dx()*box.Dy()/2, "what was masked is still seen")
	word := image.Rectangle{}
	for y := range 120 {
		for x := range 200 {
			if p.RGBAAt(x, y) == (color.RGBA{255, 255, 255, 255}) {
				word = word.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	require.True(t, !word.Empty() && word.In(image.Rect(20, 60, 80, 85)), "the word %v is away from the corner, where legends stand", word)
	before := slices.Clone(p.Pix)
	picture.Hatch(p, nil)
	require.Equal(t, before, p.Pix)
}

// scene is a frame of mucosa with black where rapid draws it, and some of it amid the mucosa.
func scene(t *rapid.T) *image.RGBA {
	w, h := rapid.IntRange(16, 400).Draw(t, "width"), rapid.IntRange(16, 300).Draw(t, "height")
	frame := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(frame, frame.Rect, image.NewUniform(color.RGBA{180, 90, 70, 255}), image.Point{}, draw.Src)
	if rapid.Bool().Draw(t, "monochrome") {
		draw.Draw(frame, frame.Rect, image.NewUniform(color.RGBA{90, 90, 90, 255}), image.Point{}, draw.Src)
	}
	for range rapid.IntRange(0, 3).Draw(t, "boxes") {
		x, y := rapid.IntRange(0, w).Draw(t, "x"), rapid.IntRange(0, h).Draw(t, "y")
		box := image.Rect(x, y, x+rapid.IntRange(1, w).Draw(t, "dx"), y+rapid.IntRange(1, h).Draw(t, "dy"))
		draw.Draw(frame, box, image.Black, image.Point{}, draw.Src)
	}
	if cut := rapid.IntRange(0, min(w, h)/2).Draw(t, "corners"); cut > 0 {
		for y := range h {
			for x := range w {
				if min(x, w-1-x)+min(y, h-1-y) < cut {
					frame.SetRGBA(x, y, color.RGBA{0, 0, 0, 255})
				}
			}
		}
	}
	return frame
}

var classNames = []string{
	"polyp", "dyed-resection-margins", "cecum: landmark image", `image class "normal mucosa"`, "大腸ポリープ（無茎性鋸歯状病変）", "Полип толстой кишки",
	"대장 용종", "Πολύποδας του παχέος εντέρου", "سليلة القولون", "Dickdarmpolyp, gestielt", strings.Repeat("unbreakable", 9),
}

// Mucosa is never covered, and what is said of the legend is in the picture.
func TestInscribe_neverCoversMucosa(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame := scene(t)
		w := words(t)
		w.Class = rapid.SampledFrom(classNames).Draw(t, "class")
		out := image.NewRGBA(frame.Rect)
		copy(out.Pix, frame.Pix)
		said := picture.Inscribe(out, frame, w)
		changed := false
		for i := 0; i < len(frame.Pix); i += 4 {
			if out.Pix[i] == frame.Pix[i] && out.Pix[i+1] == frame.Pix[i+1] && out.Pix[i+2] == frame.Pix[i+2] {
				continue
			}
			changed = true
			require.LessOrEqual(t, max(frame.Pix[i], frame.Pix[i+1], frame.Pix[i+2]), uint8(24), "mucosa is covered")
		}
		require.Equal(t, said != picture.Nothing, changed)
	})
}

func TestInscribe(t *testing.T) {
	full := grey(500, 400)
	band := func(height int) *image.RGBA {
		p := grey(500, 400)
		draw.Draw(p, image.Rect(0, 400-height, 500, 400), image.Black, image.Point{}, draw.Src)
		return p
	}
	lumen := grey(500, 400)
	draw.Draw(lumen, image.Rect(100, 100, 400, 300), image.Black, image.Point{}, draw.Src)
	for _, c := range []struct {
		name  string
		frame *image.RGBA
		class string
		want  picture.Inscribed
	}{
		{"no border", full, "polyp", picture.Nothing},
		{"a lumen is no border", lumen, "polyp", picture.Nothing},
		{"room for all", band(120), "polyp", picture.Whole},
		{"room for one line", band(16), "polyp", picture.Essential},
		{"a long class is shortened", band(30), strings.Repeat("very long class ", 20), picture.Essential},
		{"one word too long is shortened", band(30), strings.Repeat("x", 400), picture.Essential},
		{"too thin", band(5), "polyp", picture.Nothing},
		{"letters that no font has", band(120), "سليلة", picture.Whole},
	} {
		w := words(t)
		w.Class = c.class
		out := image.NewRGBA(c.frame.Rect)
		require.Equal(t, c.want, picture.Inscribe(out, c.frame, w), c.name)
	}
}

func BenchmarkInscribe(b *testing.B) {
	frame := image.NewRGBA(image.Rect(0, 0, 1280, 1024))
	draw.Draw(frame, image.Rect(140, 0, 1280, 1024), image.NewUniform(color.RGBA{180, 90, 70, 255}), image.Point{}, draw.Src)
	out := image.NewRGBA(frame.Rect)
	w := words(b)
	for b.Loop() {
		picture.Inscribe(out, frame, w)
	}
}
