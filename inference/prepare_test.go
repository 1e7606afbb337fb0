package inference

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"endogate/explain"
	"endogate/inference/analysis"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// noise makes the pixels that testdata/reference.py makes.
func noise(width, height int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	state := uint32(width*1000 + height)
	for i := range width * height {
		for c := range 3 {
			state = state*1664525 + 1013904223
			img.Pix[4*i+c] = uint8(state >> 24)
		}
		img.Pix[4*i+3] = 255
	}
	return img
}

func TestResize_asPIL(t *testing.T) {
	var vectors []struct {
		Filter   Filter
		From, To [2]int
		Pixels   string
	}
	readJSON(t, "testdata/resize.json", &vectors)
	require.Len(t, vectors, 24)
	for _, v := range vectors {
		t.Run(fmt.Sprintf("%s %v to %v", v.Filter, v.From, v.To), func(t *testing.T) {
			img := noise(v.From[0], v.From[1])
			got := (&view{img: img, crop: img.Rect}).resize(v.Filter, v.To[0], v.To[1])
			want, err := hex.DecodeString(v.Pixels)
			require.NoError(t, err)
			assert.Equal(t, want, got)
		})
	}
}

func TestResize_bilinearTakesTwoNeighbours(t *testing.T) {
	// Reducing 8 to 2: the centres are at 1.5 and 5.5 pixels, so pixels 1, 2 and 5, 6 count half each.
	img := image.NewRGBA(image.Rect(0, 0, 8, 1))
	for x, v := range []uint8{0, 100, 50, 0, 0, 200, 0, 255} {
		img.SetRGBA(x, 0, color.RGBA{v, v, v, 255})
	}
	got := (&view{img: img, crop: img.Rect}).resize(Bilinear, 2, 1)
	assert.Equal(t, []uint8{75, 75, 75, 100, 100, 100}, got)
}

func TestResize_flatStaysFlat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		side := rapid.IntRange(1, 40)
		w, h, columns, rows := side.Draw(t, "w"), side.Draw(t, "h"), side.Draw(t, "columns"), side.Draw(t, "rows")
		c := color.RGBA{rapid.Uint8().Draw(t, "r"), rapid.Uint8().Draw(t, "g"), rapid.Uint8().Draw(t, "b"), 255}
		img := image.NewRGBA(image.Rect(0, 0, w, h))
		draw.Draw(img, img.Rect, image.NewUniform(c), image.Point{}, draw.Src)
		got := (&view{img: img, crop: img.Rect}).resize(rapid.SampledFrom(filterNames()).Draw(t, "filter"), columns, rows)
		for i, p := range got {
			if want := []uint8{c.R, c.G, c.B}[i%3]; p != want {
				t.Fatalf("value %d is %d, want %d", i, p, want)
			}
		}
	})
}

func TestCropBorder(t *testing.T) {
	frame := func(width, height int, bright image.Rectangle) *image.RGBA {
		img := image.NewRGBA(image.Rect(0, 0, width, height))
		draw.Draw(img, img.Rect, image.NewUniform(color.RGBA{30, 30, 30, 255}), image.Point{}, draw.Src)
		draw.Draw(img, bright, image.NewUniform(color.RGBA{0, 31, 0, 255}), image.Point{}, draw.Src)
		return img
	}
	crop := CropBorder{Threshold: 30, MinFraction: 0.15, MinSize: 32}
	tests := []struct {
		name          string
		width, height int
		bright        image.Rectangle
		want          image.Rectangle
	}{
		{"border all around", 100, 80, image.Rect(20, 10, 90, 70), image.Rect(20, 10, 90, 70)},
		{"no border", 100, 80, image.Rect(0, 0, 100, 80), image.Rect(0, 0, 100, 80)},
		{"all dark", 100, 80, image.Rectangle{}, image.Rect(0, 0, 100, 80)},
		{"too few rows", 100, 80, image.Rect(20, 10, 90, 41), image.Rect(0, 0, 100, 80)},
		{"just enough rows", 100, 80, image.Rect(20, 10, 90, 42), image.Rect(20, 10, 90, 42)},
		{"too few columns", 100, 80, image.Rect(20, 10, 51, 70), image.Rect(0, 0, 100, 80)},
		{"just the fraction", 100, 200, image.Rect(0, 0, 100, 30), image.Rect(0, 0, 100, 200)}, // 30 of 200: all columns stay, but too few rows
		{"just the fraction of a row", 200, 100, image.Rect(0, 0, 30, 100), image.Rect(0, 0, 200, 100)},
		{"tiny frame", 10, 10, image.Rect(2, 2, 8, 8), image.Rect(0, 0, 10, 10)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			img := frame(tt.width, tt.height, tt.bright)
			v := &view{img: img, crop: img.Rect}
			v.cropBorder(crop)
			assert.Equal(t, tt.want, v.crop)
		})
	}
}

func TestCropBorder_fractionCountsWholeRows(t *testing.T) {
	// Bright in 15 of 100 columns is just enough for a row, 14 is not.
	for _, tt := range []struct {
		bright int
		want   image.Rectangle
	}{{15, image.Rect(0, 20, 100, 100)}, {14, image.Rect(0, 40, 100, 100)}} {
		img := image.NewRGBA(image.Rect(0, 0, 100, 100))
		white := image.NewUniform(color.White)
		draw.Draw(img, image.Rect(0, 40, 100, 100), white, image.Point{}, draw.Src)
		draw.Draw(img, image.Rect(0, 20, tt.bright, 40), white, image.Point{}, draw.Src)
		v := &view{img: img, crop: img.Rect}
		v.cropBorder(CropBorder{Threshold: 30, MinFraction: 0.15, MinSize: 32})
		assert.Equal(t, tt.want, v.crop, "%d bright columns", tt.bright)
	}
}

func TestPrepare_maskBeforeCrop(t *testing.T) {
	// Masked pixels are dark to a crop that comes later.
	img := noise(100, 100)
	b := &Bundle{
		Input:      Input{Rows: 4, Columns: 4, Resize: Nearest, Scale: 1, Std: [3]float64{1, 1, 1}},
		Preprocess: []Step{{MaskBox: &Box{Right: 1, Bottom: 0.4}}, {CropBorder: &CropBorder{Threshold: 0, MinFraction: 0.5, MinSize: 10}}},
	}
	g, err := b.Prepare(img, analysis.Pose{}, make([]float32, b.Input.Len()))
	require.NoError(t, err)
	assert.Equal(t, image.Rect(0, 40, 100, 100), g.Crop)
}

func TestPrepare_layouts(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 2, 1))
	img.SetRGBA(0, 0, color.RGBA{10, 20, 30, 255})
	img.SetRGBA(1, 0, color.RGBA{40, 50, 60, 255})
	in := Input{Rows: 1, Columns: 2, Resize: Nearest, Scale: 0.1, Mean: [3]float64{1, 0, 0}, Std: [3]float64{1, 2, 1}}
	for _, tt := range []struct {
		layout   Layout
		channels Channels
		want     []float32
	}{
		{NCHW, RGB, []float32{0, 3, 1, 2.5, 3, 6}},
		{NHWC, RGB, []float32{0, 1, 3, 3, 2.5, 6}},
		{NCHW, BGR, []float32{2, 5, 1, 2.5, 1, 4}},
		{NHWC, BGR, []float32{2, 1, 1, 5, 2.5, 4}},
	} {
		in.Layout, in.Channels = tt.layout, tt.channels
		dst := make([]float32, 6)
		_, err := (&Bundle{Input: in}).Prepare(img, analysis.Pose{}, dst)
		require.NoError(t, err)
		assert.InDeltaSlice(t, tt.want, dst, 1e-6, "%s %s", tt.layout, tt.channels)
	}
}

func TestPrepare_subImage(t *testing.T) {
	// An image whose bounds do not begin at 0 is prepared like a copy that does.
	b := demoBundle(t)
	whole := noise(120, 100)
	part := whole.SubImage(image.Rect(7, 5, 107, 95)).(*image.RGBA)
	whole0 := image.NewRGBA(image.Rect(0, 0, 100, 90))
	draw.Draw(whole0, whole0.Rect, part, part.Rect.Min, draw.Src)
	got, want := make([]float32, b.Input.Len()), make([]float32, b.Input.Len())
	_, err := b.Prepare(part, analysis.Pose{}, got)
	require.NoError(t, err)
	_, err = b.Prepare(whole0, analysis.Pose{}, want)
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

func TestPrepare_anyFrameAnySteps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &Bundle{Input: Input{
			Rows: rapid.IntRange(1, 20).Draw(t, "inputRows"), Columns: rapid.IntRange(1, 20).Draw(t, "inputColumns"),
			Resize: rapid.SampledFrom(filterNames()).Draw(t, "filter"), Scale: 1, Std: [3]float64{1, 1, 1},
		}}
		for range rapid.IntRange(0, 4).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "crop") {
				b.Preprocess = append(b.Preprocess, Step{CropBorder: &CropBorder{
					Threshold: rapid.Uint8().Draw(t, "threshold"), MinFraction: rapid.Float64Range(0.01, 1).Draw(t, "fraction"), MinSize: rapid.IntRange(1, 9).Draw(t, "size"),
				}})
				continue
			}
			edge := rapid.Float64Range(0, 1)
			b.Preprocess = append(b.Preprocess, Step{MaskBox: &Box{Right: edge.Draw(t, "right"), Bottom: edge.Draw(t, "bottom")}})
		}
		img := noise(rapid.IntRange(1, 60).Draw(t, "columns"), rapid.IntRange(1, 60).Draw(t, "rows"))
		before := append([]uint8(nil), img.Pix...)
		dst := make([]float32, b.Input.Len())
		g, err := b.Prepare(img, analysis.Pose{}, dst)
		if err != nil || g.Crop.Empty() || !g.Crop.In(img.Rect) {
			t.Fatalf("crop %v of %v, %v", g.Crop, img.Rect, err)
		}
		for _, v := range dst {
			if !(v >= 0 && v <= 255) {
				t.Fatalf("%g is no pixel", v)
			}
		}
		ToSource(g, explain.Map{Width: 2, Height: 2, Values: []float32{1, 2, 3, 4}})
		if !bytes.Equal(before, img.Pix) {
			t.Fatal("the frame was changed")
		}
	})
}

// Two bundles that say the same of their preparation make the same of a frame, whatever else differs between them.
func TestPreparation(t *testing.T) {
	with := func(change func(*Bundle)) string {
		b := Bundle{
			Input:      Input{Rows: 20, Columns: 40, Resize: Area, Layout: NCHW, Channels: RGB, Scale: 1, Std: [3]float64{1, 1, 1}},
			Preprocess: []Step{{CropBorder: &CropBorder{Threshold: 9, MinFraction: 0.1, MinSize: 4}}, {MaskBox: &Box{Right: 0.3, Bottom: 0.3}}},
		}
		change(&b)
		return b.Preparation()
	}
	plain := with(func(*Bundle) {})
	assert.Len(t, plain, 64)
	for _, same := range []func(*Bundle){
		func(*Bundle) {},
		func(b *Bundle) { b.Name, b.Digest = "other", "other" },
		func(b *Bundle) { b.Input.Layout, b.Input.Channels, b.Input.Scale, b.Input.Std[0] = NHWC, BGR, 2, 3 }, // comes behind
	} {
		assert.Equal(t, plain, with(same))
	}
	for i, other := range []func(*Bundle){
		func(b *Bundle) { b.Input.Rows, b.Input.Columns = 40, 20 },
		func(b *Bundle) { b.Input.Resize = Nearest },
		func(b *Bundle) { b.Preprocess[0], b.Preprocess[1] = b.Preprocess[1], b.Preprocess[0] },
		func(b *Bundle) { b.Preprocess = b.Preprocess[:1] },
		func(b *Bundle) { b.Preprocess[0].CropBorder.MinFraction = 0.2 },
		func(b *Bundle) { b.Preprocess[1].MaskBox.Right = 0.31 },
	} {
		assert.NotEqual(t, plain, with(other), i)
	}
}

func TestPrepare_refuses(t *testing.T) {
	b := demoBundle(t)
	_, err := b.Prepare(image.NewRGBA(image.Rectangle{}), analysis.Pose{}, make([]float32, b.Input.Len()))
	require.ErrorContains(t, err, "frame has no pixels")
	_, err = b.Prepare(noise(10, 10), analysis.Pose{}, make([]float32, 5))
	require.ErrorContains(t, err, "tensor holds 5 values, the input has 76800")
}

// reference is a frame with what testdata/reference.py got for it.
type reference struct {
	File          string
	Crop          [4]int
	Probabilities map[string]float64
	InputCorner   [3]float32 `json:"input_corner"`
	InputCentre   [3]float32 `json:"input_centre"`
	InputMean     [3]float32 `json:"input_mean"`
}

func TestPrepare_asReference(t *testing.T) {
	b := demoBundle(t)
	var references []reference
	readJSON(t, "testdata/demo.json", &references)
	require.NotEmpty(t, references)
	for _, ref := range references {
		t.Run(ref.File, func(t *testing.T) {
			dst := make([]float32, b.Input.Len())
			g, err := b.Prepare(readPNG(t, filepath.Join("testdata", ref.File)), analysis.Pose{}, dst)
			require.NoError(t, err)
			assert.Equal(t, image.Rect(ref.Crop[0], ref.Crop[1], ref.Crop[2], ref.Crop[3]), g.Crop)
			const plane = 160 * 160
			for c := range 3 {
				mean := 0.0
				for _, x := range dst[c*plane : (c+1)*plane] {
					mean += float64(x) / plane
				}
				assert.InDelta(t, ref.InputCorner[c], dst[c*plane], 1e-5)
				assert.InDelta(t, ref.InputCentre[c], dst[c*plane+80*160+80], 1e-5)
				assert.InDelta(t, ref.InputMean[c], mean, 1e-5)
			}
		})
	}
}

func demoBundle(t testing.TB) *Bundle {
	t.Helper()
	b, err := LoadBundle(demoDir)
	require.NoError(t, err)
	return b
}

func readJSON(t testing.TB, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, into))
}

func readPNG(t testing.TB, path string) *image.RGBA {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	decoded, err := png.Decode(file)
	require.NoError(t, err)
	img := image.NewRGBA(decoded.Bounds())
	draw.Draw(img, img.Rect, decoded, decoded.Bounds().Min, draw.Src)
	return img
}

func BenchmarkPrepare(b *testing.B) {
	bundle := demoBundle(b)
	dst := make([]float32, bundle.Input.Len())
	for _, size := range []image.Point{{720, 576}, {1920, 1080}} {
		img := noise(size.X, size.Y)
		b.Run(size.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := bundle.Prepare(img, analysis.Pose{}, dst); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
