package ask_test

import (
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/inference"
	"endogate/inference/analysis"
)

// regionVectors is what testdata/regions.py wrote of a network.
type regionVectors struct {
	Scores []float64
	Size   int
	Found  []struct {
		Class       int
		Probability float64
		Box         []float64
		Share       float64
		Maps        map[string][]float64
	}
}

// regionFrame is the frame of regions.py.
func regionFrame() *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			v := func(c int) uint8 { return uint8((x*7 + y*13 + c*29 + x*y/3 + 90*((x/16+y/16)%2)) % 256) }
			img.SetRGBA(x, y, color.RGBA{v(0), v(1), v(2), 255})
		}
	}
	return img
}

// A YOLO-like and a DETR-like network and a U-Net give the boxes, masks, probabilities and maps that PyTorch computes.
func TestRegions_againstPyTorch(t *testing.T) {
	for name, tt := range map[string]struct{ input, output, layer string }{
		"yolo": {"images", "{name: output0, activation: none, kind: boxes}", "last"},
		"detr": {"images", "{name: logits, activation: softmax, kind: boxes, boxes: {from: pred_boxes, unit: fractions, background: last}}", "/stem/stem.4/Conv"},
		"unet": {"images", "{name: mask, activation: softmax, kind: mask, mask: {background: first}}", "last"},
	} {
		for _, method := range []string{"gradcam", "hirescam"} {
			t.Run(name+"/"+method, func(t *testing.T) {
				var want regionVectors
				content, err := os.ReadFile("testdata/" + name + ".json")
				require.NoError(t, err)
				require.NoError(t, json.Unmarshal(content, &want))
				network, err := os.ReadFile("testdata/" + name + ".onnx")
				require.NoError(t, err)
				dir := t.TempDir()
				require.NoError(t, os.WriteFile(filepath.Join(dir, inference.NetworkFile), network, 0o600))
				manifest := fmt.Sprintf("name: regions\nversion: 1.0.0\nkind: still\nintended_use: test\nmanufacturer: test\ninput: {name: %s, layout: NCHW, size: [64, 64], channels: RGB, resize: nearest, scale: 0.00392156862745098, mean: [0.45, 0.45, 0.45], std: [0.25, 0.25, 0.25]}\noutput: %s\nexplain: {method: %s, layer: %s}\nclasses:\n", tt.input, tt.output, method, tt.layer)
				for i := range want.Scores {
					manifest += fmt.Sprintf("  - {name: c%d, threshold: 0.5, role: finding, finding: {code: \"68496003\", scheme: SCT, meaning: Polyp of colon}}\n", i)
				}
				require.NoError(t, os.WriteFile(filepath.Join(dir, inference.ManifestFile), []byte(manifest), 0o600))

				part := inferred(t, dir, regionFrame(), 0)
				for i, p := range want.Scores {
					require.InDelta(t, p, part.Result.Scores[fmt.Sprintf("c%d", i)], 1e-5)
				}
				require.Len(t, part.Result.Findings, len(want.Found))
				for _, w := range want.Found {
					at := -1
					for i, f := range part.Result.Findings {
						if f.Class == fmt.Sprintf("c%d", w.Class) && math.Abs(f.Probability-w.Probability) < 1e-5 {
							at = i
						}
					}
					require.GreaterOrEqual(t, at, 0, "%+v", w)
					f := part.Result.Findings[at]
					if w.Box != nil {
						require.Equal(t, analysis.NetworkBox, f.Outline)
						require.InDeltaSlice(t, w.Box, []float64{f.Contours[0][0][0], f.Contours[0][0][1], f.Contours[0][2][0], f.Contours[0][2][1]}, 0.13)
					} else {
						require.Equal(t, analysis.NetworkMask, f.Outline)
						require.InDelta(t, w.Share, f.Share, 1e-3)
					}
					m := part.Maps[at]
					require.Equal(t, [2]int{want.Size, want.Size}, [2]int{m.Width, m.Height})
					requireWithin(t, 1e-4, w.Maps[method], m.Values)
				}
			})
		}
	}
}

// requireWithin holds values to a part of the greatest.
func requireWithin(t *testing.T, tolerance float64, want []float64, got []float32) {
	t.Helper()
	require.Len(t, got, len(want))
	largest := 0.0
	for _, v := range want {
		largest = max(largest, math.Abs(v))
	}
	for i, v := range want {
		require.InDelta(t, v, got[i], tolerance*max(largest, 1e-9), "element %d", i)
	}
}
