package draft

import (
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	xdraw "golang.org/x/image/draw"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
)

var polyps = []string{"polyp-0dad158b.jpg", "polyp-32295c17.jpg", "polyp-2e0a9648.jpg"}

// real are frames of real examinations, by name.
func real(t testing.TB) map[string]*image.RGBA {
	t.Helper()
	files, err := filepath.Glob("../../testdata/frames/*.jpg")
	require.NoError(t, err)
	require.Greater(t, len(files), 50)
	frames := map[string]*image.RGBA{}
	for i, file := range files {
		if i%4 != 0 && !slices.Contains(polyps, filepath.Base(file)) {
			continue // every fourth is enough to measure by
		}
		f, err := os.Open(file)
		require.NoError(t, err)
		img, err := jpeg.Decode(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		rgba := image.NewRGBA(image.Rect(0, 0, img.Bounds().Dx(), img.Bounds().Dy()))
		draw.Draw(rgba, rgba.Rect, img, img.Bounds().Min, draw.Src)
		frames[filepath.Base(file)] = rgba
	}
	return frames
}

func scaled(img *image.RGBA, w, h int) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	xdraw.CatmullRom.Scale(out, out.Rect, img, img.Rect, draw.Src, nil)
	return out
}

// blurry is out of focus: what is finer than four pixels is lost.
func blurry(img *image.RGBA) *image.RGBA {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	return scaled(scaled(img, w/4, h/4), w, h)
}

func lit(img *image.RGBA, gain float64) *image.RGBA {
	out := image.NewRGBA(img.Rect)
	for i, v := range img.Pix {
		out.Pix[i] = uint8(min(255, gain*float64(v)))
	}
	return out
}

// On every real frame: out of focus it is less sharp, too dark or too bright it is less well exposed, at another size it is
// as sharp and looks alike, moved a little it looks alike, and no two of them do.
func TestMeasure_realFrames(t *testing.T) {
	frames := real(t)
	var measured []Quality
	for name, img := range frames {
		before := slices.Clone(img.Pix)
		q := Measure(img)
		require.Equal(t, before, img.Pix)
		w, h := img.Rect.Dx(), img.Rect.Dy()
		half, moved := Measure(scaled(img, w/2, h/2)), image.NewRGBA(img.Rect)
		draw.Draw(moved, moved.Rect, img, image.Pt(6, 4), draw.Src)

		unsharp := Measure(blurry(img))
		assert.Less(t, unsharp.Sharpness, q.Sharpness-0.2, name)
		assert.InDelta(t, q.Sharpness, half.Sharpness, 0.1, name)
		assert.Less(t, Measure(lit(img, 0.08)).Exposure, q.Exposure/2, name)
		assert.Less(t, Measure(lit(img, 6)).Exposure, q.Exposure-0.05, name)
		for what, other := range map[string]Quality{"half": half, "moved": Measure(moved), "blurry": unsharp} {
			assert.Less(t, q.Distance(other), alike, "%s %s", name, what)
		}
		for _, other := range measured {
			assert.Greater(t, q.Distance(other), 1.5*alike, name)
		}
		measured = append(measured, q)
	}
}

func TestMeasure_anyPicture(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(0, 40).Draw(t, "w"), rapid.IntRange(0, 40).Draw(t, "h")
		at := image.Pt(rapid.IntRange(-9, 9).Draw(t, "x"), rapid.IntRange(-9, 9).Draw(t, "y"))
		img, same := image.NewRGBA(image.Rect(0, 0, w, h)), image.NewRGBA(image.Rect(0, 0, w, h).Add(at))
		copy(img.Pix, rapid.SliceOfN(rapid.Byte(), 0, 4*w*h).Draw(t, "pixels"))
		copy(same.Pix, img.Pix)
		q := Measure(img)
		require.Equal(t, q, Measure(same), "where the bounds begin does not matter")
		require.True(t, q.Sharpness >= 0 && q.Sharpness <= 1 && q.Exposure >= 0 && q.Exposure <= 1)
		require.Zero(t, q.Distance(q))
	})
}

// Of frames of one finding those are chosen that are sharp and differ, and nothing that looks like one of them.
func TestNew_keyImagesOfRealFrames(t *testing.T) {
	frames := real(t)
	var shown []*image.RGBA
	for _, name := range polyps { // each out of focus, then as it is, then once more a moment later
		moved := image.NewRGBA(frames[name].Rect)
		draw.Draw(moved, moved.Rect, frames[name], image.Pt(5, 3), draw.Src)
		shown = append(shown, blurry(frames[name]), frames[name], moved)
	}
	in := sample()
	in.Exams = in.Exams[:1]
	in.Exams[0].Instances = nil
	for n := range shown {
		p := 0.9
		if n%3 == 0 {
			p = 0.93 // the network is a little surer of those out of focus
		}
		in.Exams[0].Instances = append(in.Exams[0].Instances, still(n+1, map[string]float64{"polyp": p}))
	}
	asked := 0
	in.Quality = func(i dicom.SOPInstance, _ analysis.Span) (Quality, error) {
		asked++
		for n := range shown {
			if i.SOPInstanceUID == dicom.UID(fmt.Sprintf("%s.1.%d", study, n+1)) {
				return Measure(shown[n]), nil
			}
		}
		return Quality{}, os.ErrNotExist
	}
	in.KeyImages = 5
	d := made(t, in)
	var chosen []int
	for _, k := range d.KeyImages {
		chosen = append(chosen, (k.Frame.Number-1)/3)
		assert.NotZero(t, (k.Frame.Number-1)%3, "one that is out of focus")
		assert.Contains(t, k.Why, "Chosen for probability, sharpness (")
	}
	assert.ElementsMatch(t, []int{0, 1, 2}, chosen, "one of each, however many are asked for")
	assert.Equal(t, len(shown), asked, "each is decoded once")

	in.Quality = nil
	in.KeyImages = 0
	assert.Len(t, made(t, in).KeyImages, 3)
}

func TestPosition(t *testing.T) {
	en := Default().language("en")
	box := func(x, y, w, h float64) [][2]float64 {
		return [][2]float64{{x, y}, {x + w, y}, {x + w, y + h}, {x, y + h}, {x, y}}
	}
	for want, contours := range map[string][][][2]float64{
		"":                                 nil,
		"at the top, at 12 o'clock":        {box(90, 0, 20, 20)},
		"in the upper right, at 2 o'clock": {box(170, 20, 20, 20)},
		"at the right, at 3 o'clock":       {box(180, 40, 20, 20)},
		"in the lower right, at 4 o'clock": {box(170, 60, 20, 20)},
		"at the bottom, at 6 o'clock":      {box(90, 80, 20, 20)},
		"in the lower left, at 8 o'clock":  {box(10, 60, 20, 20)},
		"at the left, at 9 o'clock":        {box(0, 40, 20, 20)},
		"in the upper left, at 10 o'clock": {box(0, 0, 5, 5), box(10, 20, 20, 20)},
		"in the centre":                    {box(95, 45, 20, 20)},
		"over most of it":                  {box(0, 0, 150, 100)},
	} {
		got, share := en.position(Frame{Rows: 100, Columns: 200, Contours: contours})
		if contours == nil {
			assert.Empty(t, got)
			continue
		}
		assert.Equal(t, want, got)
		assert.Positive(t, share)
	}
	degenerate, share := en.position(Frame{Rows: 1, Columns: 1, Contours: [][][2]float64{{}, {{1, 1}}, {{0, 0}, {0, 0}}}})
	assert.Empty(t, degenerate)
	assert.Zero(t, share)
}

// An outline is closed, small, and where the contour was.
func TestOutline(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var contours [][][2]float64
		for i := range rapid.IntRange(0, 8).Draw(t, "regions") {
			x, y, r := rapid.Float64Range(50, 500).Draw(t, "x"), rapid.Float64Range(50, 400).Draw(t, "y"), rapid.Float64Range(5, 40).Draw(t, "r")
			var c [][2]float64
			for k := range rapid.IntRange(3, 600).Draw(t, fmt.Sprint("points ", i)) {
				a := float64(k) / 600 * 2 * math.Pi * 600 / 601
				c = append(c, [2]float64{x + r*math.Cos(a), y + r*math.Sin(a)})
			}
			contours = append(contours, append(c, c[0]))
		}
		thin := Frame{Contours: contours}.outline()
		require.LessOrEqual(t, len(thin), maxRegions)
		for _, c := range thin {
			require.LessOrEqual(t, len(c), maxPoints+1)
			require.Equal(t, c[0], c[len(c)-1])
			for _, p := range c {
				require.Equal(t, p, [2]float64{quarter(p[0]), quarter(p[1])})
			}
		}
	})
}

func BenchmarkMeasure(b *testing.B) {
	img := image.NewRGBA(image.Rect(0, 0, 1920, 1080))
	for b.Loop() {
		Measure(img)
	}
}
