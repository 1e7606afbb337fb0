package inference

import (
	"bytes"
	"encoding/csv"
	"image"
	"image/draw"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"

	"endogate/cmd/endogate/installed"
	"endogate/explain"
	"endogate/inference/analysis"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// demoModel is the demo model on ONNX Runtime.
func demoModel(t testing.TB) *BundleModel {
	t.Helper()
	library, err := onnx.FindLibrary("")
	if err != nil {
		installed.Lacking(t, "%v; make setup brings it", err)
	}
	runtime, err := onnx.Open(library)
	require.NoError(t, err)
	b := demoBundle(t)
	bytes, err := b.Network()
	require.NoError(t, err)
	network, err := runtime.OpenNetwork(bytes, onnx.NetworkOptions{Layer: b.Explain.Layer})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, network.Close()) })
	m, err := NewModel(t.Context(), b, opened(t, b, network), nil)
	require.NoError(t, err)
	return m
}

func TestDemo_probabilitiesAsReference(t *testing.T) {
	m := demoModel(t)
	var references []reference
	readJSON(t, "testdata/demo.json", &references)
	for _, ref := range references {
		t.Run(ref.File, func(t *testing.T) {
			a, err := m.Infer(t.Context(), still(1, readPNG(t, filepath.Join("testdata", ref.File))), Wishes{})
			require.NoError(t, err)
			require.Len(t, a.Result.Scores, len(ref.Probabilities))
			for class, p := range a.Result.Scores {
				assert.InDelta(t, ref.Probabilities[class], p, 1e-3, class)
			}
		})
	}
}

func TestDemo_frames(t *testing.T) {
	m := demoModel(t)
	known, right, findings, inside := 0, 0, 0, 0
	for _, row := range frameIndex(t) {
		img := readJPEG(t, filepath.Join("../testdata", row[0]))
		a, err := m.Infer(t.Context(), still(1, img), Wishes{})
		require.NoError(t, err)
		best := ""
		for class, p := range a.Result.Scores {
			if best == "" || p > a.Result.Scores[best] {
				best = class
			}
		}
		if row[2] != "" {
			known++
			if best == row[2] {
				right++
			}
		}
		for _, m := range a.Maps {
			shown, err := Shown(a.Geometry, Raw(m))
			require.NoError(t, err, row[0])
			requireDarkCorner(t, a.Geometry, shown)
			if row[3] != "" {
				findings++
				if maximumInMask(t, shown, filepath.Join("../testdata", row[3])) {
					inside++
				}
			}
		}
	}
	t.Logf("%d of %d frames of known class are right; of %d polyps found the maximum lies inside the mask in %d", right, known, findings, inside)
	require.Equal(t, 53, known)
	assert.GreaterOrEqual(t, right, 45)
	assert.GreaterOrEqual(t, float64(inside), 0.65*float64(findings))
}

// still is a sample of one frame.
func still(frame int, img *image.RGBA) analysis.Sample {
	return analysis.Sample{Span: analysis.Still(frame), Frames: []*image.RGBA{img}}
}

// requireDarkCorner holds the map to zero in the masked box and outside of the crop.
func requireDarkCorner(t *testing.T, g analysis.Geometry, m explain.Map) {
	t.Helper()
	lit := 0
	for y := range g.Rows {
		for x := range g.Columns {
			at := image.Pt(x, y)
			if (!at.In(g.Crop) || at.In(g.Masked[0])) && m.Values[y*g.Columns+x] != 0 {
				lit++
			}
		}
	}
	require.Zero(t, lit)
}

func maximumInMask(t *testing.T, m explain.Map, path string) bool {
	t.Helper()
	mask := readPNG(t, path)
	require.Equal(t, image.Pt(m.Width, m.Height), mask.Rect.Size())
	x, y := centreOf(m)
	return mask.RGBAAt(int(x), int(y)).R > 127
}

func frameIndex(t testing.TB) [][]string {
	t.Helper()
	text, err := os.ReadFile("../testdata/frames/index.csv")
	require.NoError(t, err)
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	require.NoError(t, err)
	return rows[1:]
}

func readJPEG(t testing.TB, path string) *image.RGBA {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	decoded, err := jpeg.Decode(file)
	require.NoError(t, err)
	img := image.NewRGBA(decoded.Bounds())
	draw.Draw(img, img.Rect, decoded, image.Point{}, draw.Src)
	return img
}

func BenchmarkInfer(b *testing.B) {
	m := demoModel(b)
	for _, name := range []string{"polyp-1.jpg", "cecum-1.jpg"} {
		img := readJPEG(b, filepath.Join("../testdata/frames", name))
		b.Run(name+" "+img.Rect.Size().String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Infer(b.Context(), still(1, img), Wishes{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
