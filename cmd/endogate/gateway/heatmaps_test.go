package gateway

import (
	"bytes"
	"context"
	"image"
	"image/draw"
	"image/jpeg"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/configs"
	"endogate/explain"
	"endogate/inference"
	"endogate/inference/analysis"
	"endogate/inference/ask"
	"endogate/inference/onnx"
)

// demoModels loads the demo model for routes, beside models that are loaded.
func demoModels(t *testing.T, beside *Models, routes ...configs.Route) (*Models, error) {
	t.Helper()
	if _, err := onnx.FindLibrary(""); err != nil {
		installed.Lacking(t, "ONNX Runtime's library is missing: make setup")
	}
	cfg := configs.Default()
	cfg.Models = []configs.Model{{Dir: "../../../testdata/models/demo"}}
	cfg.Routes = routes
	m, err := openModels(context.Background(), cfg, nil, beside)
	if err == nil {
		t.Cleanup(func() { require.NoError(t, m.Close()) })
	}
	return m, err
}

func TestRouteHeatmaps(t *testing.T) {
	route := configs.Route{Name: "r", Models: []string{"demo-colon"}, Heatmaps: []configs.Heatmap{
		{Method: "gradcam++", Layer: "/layer3/layer3.1/conv2/Conv"}, {Method: "guided-gradcam"}, {Method: "lrp-epsilon"},
	}}
	other := configs.Route{Name: "other", Models: []string{"demo-colon"}}
	m, err := demoModels(t, nil, route, other)
	require.NoError(t, err)
	wishes := m.heatmaps
	require.Empty(t, wishes["other"])
	require.Len(t, wishes["r"], 3)
	require.Equal(t, 1, m.sessions.routes.Stats().Sessions, "compiled before the first frame")
	raw, err := os.ReadFile("../../../testdata/frames/polyp-1.jpg")
	require.NoError(t, err)
	picture, err := jpeg.Decode(bytes.NewReader(raw))
	require.NoError(t, err)
	frame := image.NewRGBA(picture.Bounds())
	draw.Draw(frame, frame.Rect, picture, image.Point{}, draw.Src)
	sample := analysis.Sample{Span: analysis.Still(1), Frames: []*image.RGBA{frame}}
	part, err := m.models["demo-colon"].Infer(t.Context(), sample, inference.Wishes{Heatmaps: wishes["r"]})
	require.NoError(t, err)
	require.Len(t, part.Maps, 4)
	for i, method := range []string{"gradcam", "gradcam++", "guided-gradcam", "lrp-epsilon"} {
		require.Equal(t, method, part.Maps[i].Method)
		require.Equal(t, i > 0, part.Maps[i].Wished)
		shown, err := inference.Shown(part.Geometry, inference.Raw(part.Maps[i]))
		require.NoError(t, err)
		require.Equal(t, frame.Rect.Dx(), shown.Width)
		greatest, err := shown.Max()
		require.NoError(t, err)
		require.InDelta(t, 1, greatest, 1e-6)
	}
	require.Equal(t, "/layer3/layer3.1/conv2/Conv", part.Maps[1].Layer)
	require.EqualValues(t, 1, m.sessions.routes.Stats().Loads)

	second := configs.Route{Name: "second", Models: []string{"demo-colon"}, Heatmaps: []configs.Heatmap{{Method: "lrp-epsilon"}, {Method: "gradient"}}}
	same, err := demoModels(t, m, other, route)
	require.NoError(t, err)
	require.Same(t, m.loaded["demo-colon"], same.loaded["demo-colon"], "what is wished alike is shared")
	m, err = demoModels(t, m, route, second)
	require.NoError(t, err)
	require.NotSame(t, same.loaded["demo-colon"], m.loaded["demo-colon"], "the other is in use")
	both := m.heatmaps
	loads := m.sessions.routes.Stats().Loads
	for range 2 {
		for name, want := range map[string]int{"r": 4, "second": 3} {
			part, err := m.models["demo-colon"].Infer(t.Context(), sample, inference.Wishes{Heatmaps: both[name]})
			require.NoError(t, err)
			require.Len(t, part.Maps, want)
		}
	}
	require.Equal(t, loads, m.sessions.routes.Stats().Loads, "routes do not push each other's session out")

	live, ok := m.Live("demo-colon")
	require.True(t, ok)
	for range 2 {
		for _, method := range []explain.Method{explain.Gradient, explain.GuidedBackprop} {
			asked, err := live.Ask(t.Context(), frame, ask.Question{Class: "polyp", Methods: []explain.Method{method}})
			require.NoError(t, err)
			answers, err := live.Answers(t.Context(), asked)
			require.NoError(t, err)
			require.Len(t, answers, 1)
		}
	}
	require.Equal(t, loads, m.sessions.routes.Stats().Loads, "nor does what somebody asks")
	require.EqualValues(t, 3, m.sessions.live.Stats().Loads, "classification and two questions")

	for _, c := range []struct {
		heatmap configs.Heatmap
		says    string
	}{
		{configs.Heatmap{Method: "tea-leaves"}, "is unknown; there are gradcam"},
		{configs.Heatmap{Method: "rise"}, "endogate explain"},
		{configs.Heatmap{Method: "gradcam", Layer: "all"}, "one entry for each layer"},
		{configs.Heatmap{Method: "gradcam", Layer: "/nowhere"}, "no such layer"},
		{configs.Heatmap{Method: "attention-rollout"}, "no attention"},
	} {
		route.Heatmaps = []configs.Heatmap{c.heatmap}
		_, err := demoModels(t, nil, route)
		require.ErrorContains(t, err, c.says)
	}
}

// The command writes an overlay, the raw map and an object for each method, and a contact sheet.
