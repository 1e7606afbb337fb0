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

	"endogate/configs"
	"endogate/inference/onnx"
)

func demoModels(t *testing.T) *Models {
	t.Helper()
	if _, err := onnx.FindLibrary(""); err != nil {
		t.Skip("ONNX Runtime's library is missing: make setup")
	}
	cfg := configs.Default()
	cfg.Models = []configs.Model{{Dir: "../../../testdata/models/demo"}}
	m, err := OpenModels(context.Background(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func TestRouteHeatmaps(t *testing.T) {
	m := demoModels(t)
	route := configs.Route{Name: "r", Models: []string{"demo-colon"}, Heatmaps: []configs.Heatmap{
		{Method: "gradcam++", Layer: "/layer3/layer3.1/conv2/Conv"}, {Method: "guided-gradcam"}, {Method: "lrp-epsilon"},
	}}
	h, err := newRouteHeatmaps([]configs.Route{route, {Name: "other"}}, m)
	require.NoError(t, err)
	require.False(t, h.Wanted("other"))
	require.True(t, h.Wanted("r"))
	require.Equal(t, 1, m.sessions.Stats().Sessions, "compiled before the first frame")
	raw, err := os.ReadFile("../../../testdata/frames/dyed-lifted-polyps-1.jpg")
	require.NoError(t, err)
	picture, err := jpeg.Decode(bytes.NewReader(raw))
	require.NoError(t, err)
	frame := image.NewRGBA(picture.Bounds())
	draw.Draw(frame, frame.Rect, picture, image.Point{}, draw.Src)
	maps, notes, err := h.Make(context.Background(), "r", "demo-colon", "polyp", frame)
	require.NoError(t, err)
	require.Empty(t, notes)
	require.Len(t, maps, 3)
	for i, method := range []string{"gradcam++", "guided-gradcam", "lrp-epsilon"} {
		require.Equal(t, method, maps[i].Explain.Method)
		require.Equal(t, frame.Rect.Dx(), maps[i].Map.Width)
		greatest, err := maps[i].Map.Max()
		require.NoError(t, err)
		require.InDelta(t, 1, greatest, 1e-6)
	}
	require.Equal(t, "/layer3/layer3.1/conv2/Conv", maps[0].Explain.Layer)
	require.EqualValues(t, 1, m.sessions.Stats().Loads)

	second := configs.Route{Name: "second", Models: []string{"demo-colon"}, Heatmaps: []configs.Heatmap{{Method: "lrp-epsilon"}, {Method: "gradient"}}}
	both, err := newRouteHeatmaps([]configs.Route{route, second}, m)
	require.NoError(t, err)
	loads := m.sessions.Stats().Loads
	for range 2 {
		for name, want := range map[string]int{"r": 3, "second": 2} {
			maps, _, err := both.Make(context.Background(), name, "demo-colon", "polyp", frame)
			require.NoError(t, err)
			require.Len(t, maps, want)
		}
	}
	require.Equal(t, loads, m.sessions.Stats().Loads, "routes do not push each other's session out")

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
		_, err := newRouteHeatmaps([]configs.Route{route}, m)
		require.ErrorContains(t, err, c.says)
	}
}

// The command writes an overlay, the raw map and an object for each method, and a contact sheet.
