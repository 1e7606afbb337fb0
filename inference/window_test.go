package inference

import (
	"image"
	"image/color"
	"image/draw"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/dicomnode/dicom"
	"endogate/explain"
	"endogate/inference/analysis"
)

// Whatever the fit, a fixed crop, the orientation and the shape of pixels, a bright spot of the frame as it is stored comes back from what the network
// sees to where it was.
func TestPrepareThenToSource_anyGeometry(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &Bundle{Input: Input{
			Layout: NCHW, Rows: rapid.IntRange(90, 170).Draw(t, "rows"), Columns: rapid.IntRange(90, 170).Draw(t, "columns"), Channels: RGB,
			Resize: rapid.SampledFrom(filterNames()).Draw(t, "resize"), Fit: rapid.SampledFrom([]Fit{Stretch, Letterbox, CenterCrop}).Draw(t, "fit"),
			Scale: 1, Std: [3]float64{1, 1, 1},
		}}
		if b.Input.Fit == CenterCrop && rapid.Bool().Draw(t, "shorter") {
			b.Input.ShorterSide = rapid.IntRange(80, 200).Draw(t, "side")
		}
		orientation := analysis.Orientation(rapid.IntRange(0, 8).Draw(t, "orientation"))
		stored := image.Pt(rapid.IntRange(120, 240).Draw(t, "width"), rapid.IntRange(120, 240).Draw(t, "height"))
		pose := analysis.Pose{Orientation: orientation, Aspect: dicom.NewAspect(rapid.IntRange(1, 16).Draw(t, "high"), rapid.IntRange(1, 16).Draw(t, "wide"))}
		size := stored
		turned := rapid.Bool().Draw(t, "exif")
		if turned {
			b.Preprocess = append(b.Preprocess, Step{Exif: true})
			if orientation.Swaps() {
				size.X, size.Y = size.Y, size.X
			}
		}
		if rapid.Bool().Draw(t, "crop") {
			c := &Crop{Top: rapid.IntRange(0, 30).Draw(t, "top"), Left: rapid.IntRange(0, 30).Draw(t, "left")}
			c.Rows, c.Columns = rapid.IntRange(80, size.Y-c.Top).Draw(t, "cropRows"), rapid.IntRange(80, size.X-c.Left).Draw(t, "cropColumns")
			b.Preprocess = append(b.Preprocess, Step{Crop: c})
		}
		img := image.NewRGBA(image.Rectangle{Max: stored})
		draw.Draw(img, img.Rect, image.NewUniform(color.RGBA{20, 20, 20, 255}), image.Point{}, draw.Src)
		spot := image.Pt(rapid.IntRange(4, stored.X-5).Draw(t, "x"), rapid.IntRange(4, stored.Y-5).Draw(t, "y"))
		draw.Draw(img, image.Rect(-3, -3, 4, 4).Add(spot), image.White, image.Point{}, draw.Src)

		input := make([]float32, b.Input.Len())
		g, err := b.Prepare(img, pose, input)
		if err != nil {
			t.Fatalf("%v", err)
		}
		m := ToSource(g, explain.Map{Width: b.Input.Columns, Height: b.Input.Rows, Values: input[:b.Input.Rows*b.Input.Columns]})
		if m.Width != stored.X || m.Height != stored.Y {
			t.Fatalf("a map of %d x %d", m.Width, m.Height)
		}
		seen := image.Rect(-3, -3, 4, 4).Add(spot)
		for y := seen.Min.Y; y < seen.Max.Y; y++ {
			for x := seen.Min.X; x < seen.Max.X; x++ {
				if m.Values[y*m.Width+x] == 0 {
					return // a part of the spot is cut away
				}
			}
		}
		x, y := centreOfMass(m, 128)
		w := analysis.Window{Right: 1, Bottom: 1}
		if g.Window != nil {
			w = *g.Window
		}
		across, down := float64(g.Crop.Dx())/(w.Right-w.Left)/float64(b.Input.Columns), float64(g.Crop.Dy())/(w.Bottom-w.Top)/float64(b.Input.Rows)
		allowed := max(1.5, 0.5+math.Hypot(across, down)/2) // pixels of the frame: half of one of the input, which may be as large as the spot
		if math.Hypot(x-float64(spot.X)-0.5, y-float64(spot.Y)-0.5) > allowed {
			t.Fatalf("spot at %v came back at (%.1f,%.1f) by %+v", spot, x, y, g)
		}
	})
}

// centreOfMass is that of what is at least level, in pixel corners.
func centreOfMass(m explain.Map, level float32) (x, y float64) {
	n := 0.0
	for i, v := range m.Values {
		if v >= level {
			x, y, n = x+float64(i%m.Width)+0.5, y+float64(i/m.Width)+0.5, n+1
		}
	}
	return x / n, y / n
}

// Sizes and places are those of Ultralytics' LetterBox, and of torchvision's Resize and CenterCrop.
func TestInput_placed(t *testing.T) {
	for _, row := range []struct {
		in       Input
		frame    image.Point
		size, at image.Point
	}{
		{Input{Fit: Letterbox, Rows: 640, Columns: 640}, image.Pt(1280, 1024), image.Pt(640, 512), image.Pt(0, 64)},
		{Input{Fit: Letterbox, Rows: 640, Columns: 640}, image.Pt(576, 720), image.Pt(512, 640), image.Pt(64, 0)},
		{Input{Fit: Letterbox, Rows: 640, Columns: 640}, image.Pt(333, 500), image.Pt(426, 640), image.Pt(107, 0)},
		{Input{Fit: Letterbox, Rows: 96, Columns: 96}, image.Pt(101, 50), image.Pt(96, 48), image.Pt(0, 24)},
		{Input{Fit: CenterCrop, ShorterSide: 256, Rows: 224, Columns: 224}, image.Pt(720, 576), image.Pt(320, 256), image.Pt(-48, -16)},
		{Input{Fit: CenterCrop, ShorterSide: 256, Rows: 224, Columns: 224}, image.Pt(576, 721), image.Pt(256, 320), image.Pt(-16, -48)},
		{Input{Fit: CenterCrop, ShorterSide: 257, Rows: 224, Columns: 224}, image.Pt(500, 500), image.Pt(257, 257), image.Pt(-16, -16)},
		{Input{Fit: CenterCrop, Rows: 224, Columns: 224}, image.Pt(720, 576), image.Pt(280, 224), image.Pt(-28, 0)},
		{Input{Fit: CenterCrop, ShorterSide: 200, Rows: 224, Columns: 224}, image.Pt(400, 400), image.Pt(200, 200), image.Pt(12, 12)},
		{Input{Rows: 10, Columns: 20}, image.Pt(400, 400), image.Pt(20, 10), image.Pt(0, 0)},
	} {
		size, at := row.in.placed(row.frame)
		require.Equal(t, row.size, size, "%+v", row)
		require.Equal(t, row.at, at, "%+v", row)
	}
}

// A crop that does not lie in the frame is no crop of it.
func TestPrepare_cropBeyondTheFrame(t *testing.T) {
	b := demoBundle(t)
	b.Preprocess = []Step{{Crop: &Crop{Top: 5, Left: 5, Rows: 100, Columns: 100}}}
	_, err := b.Prepare(noise(104, 200), analysis.Pose{}, make([]float32, b.Input.Len()))
	require.ErrorContains(t, err, "100 rows and 100 columns from row 5, column 5 on does not lie in what is there, 200 rows and 104 columns")
	require.ErrorIs(t, err, ErrCropped)
	_, err = b.Prepare(noise(105, 105), analysis.Pose{}, make([]float32, b.Input.Len()))
	require.NoError(t, err)
	_, err = b.Prepare(b.BlackFrame(), analysis.Pose{}, make([]float32, b.Input.Len()))
	require.NoError(t, err, "the frame that a model is tried on")
}
