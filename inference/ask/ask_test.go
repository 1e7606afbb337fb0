package ask

import (
	"image"
	"image/draw"
	"image/jpeg"
	"os"
	"testing"

	"endogate/cmd/endogate/installed"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/require"
)

func demo(t *testing.T, cache *onnx.Cache) *Model {
	t.Helper()
	if _, err := onnx.FindLibrary(""); err != nil {
		installed.Lacking(t, "%v; make setup brings it", err)
	}
	b, err := inference.LoadBundle("../../testdata/models/demo")
	require.NoError(t, err)
	m, err := Open("", b, Options{Cache: cache})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func polyp(t *testing.T) *image.RGBA {
	t.Helper()
	file, err := os.Open("../../testdata/frames/polyp-1.jpg")
	require.NoError(t, err)
	defer file.Close()
	picture, err := jpeg.Decode(file)
	require.NoError(t, err)
	frame := image.NewRGBA(picture.Bounds())
	draw.Draw(frame, frame.Rect, picture, image.Point{}, draw.Src)
	return frame
}

func TestAsk(t *testing.T) {
	m, frame := demo(t, nil), polyp(t)
	for _, c := range []struct {
		q             Question
		subject, says string
	}{
		{Question{}, "polyp", ""},
		{Question{Class: Top, Against: "normal-mucosa"}, "polyp rather than normal-mucosa", ""},
		{Question{Class: "normal-mucosa"}, "normal-mucosa", ""},
		{Question{Class: "tea"}, "", `demo-colon has no class "tea"; it has polyp, `},
		{Question{Against: "polyp"}, "", "polyp rather than itself: name another class"},
	} {
		a, err := m.Ask(t.Context(), frame, c.q)
		if c.says != "" {
			var wrong Error
			require.ErrorAs(t, err, &wrong)
			require.ErrorContains(t, err, c.says)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.subject, a.Subject())
		require.InDelta(t, 0.9, a.Probabilities[0], 0.1)
	}
	_, err := ReadMethods([]string{"gradcam", "tea-leaves"})
	require.ErrorContains(t, err, `method "tea-leaves" is unknown; there are gradcam`)
}

// Methods of one run and of many answer in one go, at the manifest's layer, each with its picture; what was asked once stays
// loaded beside what else is asked.
func TestPaint(t *testing.T) {
	cache := onnx.NewCache(0)
	m, frame := demo(t, cache), polyp(t)
	colours, err := explain.NamedColourMap("jet")
	require.NoError(t, err)
	p := &Painter{Colours: colours, Opacity: 0.5}
	done := 0
	ask := func(methods ...explain.Method) (paintings []Painting) {
		a, err := m.Ask(t.Context(), frame, Question{Methods: methods})
		require.NoError(t, err)
		progress := func(_ explain.Method, n, _ int) { done = n }
		require.NoError(t, m.Paint(t.Context(), a, p, progress, func(one Answer, painted Painting) error {
			require.Equal(t, methods[len(paintings)], one.Method)
			size := int64(1)
			for _, d := range one.Shape(a) {
				size *= d
			}
			require.Len(t, one.Values, int(size))
			require.NotNil(t, painted.Picture)
			require.Empty(t, painted.Note)
			paintings = append(paintings, painted)
			return nil
		}))
		require.Greater(t, a.Sheet("polyp-1", paintings).Rect.Dy(), 100)
		return paintings
	}
	painted := ask(explain.GradCAM, explain.Gradient, explain.IntegratedGradients)
	require.Equal(t, "Grad-CAM", painted[0].Title)
	require.NotEmpty(t, painted[0].Layer)
	require.Contains(t, painted[2].Remark, "shares add up")
	require.Equal(t, painted[2].Remark, painted[2].tile().Words.Remark)
	require.Positive(t, done)

	ask(explain.GuidedBackprop)
	loads := cache.Stats().Loads
	for range 2 {
		ask(explain.GradCAM, explain.Gradient, explain.IntegratedGradients)
		ask(explain.GuidedBackprop)
	}
	require.Equal(t, loads, cache.Stats().Loads)
}
