package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/ledger"
	"endogate/inference"
	"endogate/inference/analysis"
)

// A detector all the way: boxes in the frame's own pixels on the API, a heatmap of each with its map, measurement groups with their places in
// a report that DCMTK reads, frames counted once, and the live explanation of the best box.
func TestGateway_detector(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ""))
	bundle := filepath.Join(t.TempDir(), "demo")
	require.NoError(t, os.Mkdir(bundle, 0o755))
	network, err := os.ReadFile(filepath.Join(peers.Root(t), "inference/ask/testdata/yolo.onnx"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(bundle, inference.NetworkFile), network, 0o600))
	manifest := `name: detector
version: 1.0.0
kind: still
intended_use: test
manufacturer: test
input: {name: images, layout: NCHW, size: [64, 64], channels: RGB, resize: bilinear-antialias, fit: letterbox, scale: 0.00392156862745098, mean: [0, 0, 0], std: [1, 1, 1]}
output: {name: output0, activation: none, kind: boxes, boxes: {most: 3}}
explain: {method: hirescam, layer: last}
classes:
`
	for i := range 3 {
		manifest += fmt.Sprintf("  - {name: c%d, threshold: 0.02, role: finding, finding: {code: \"68496003\", scheme: SCT, meaning: Polyp of colon}}\n", i)
	}
	require.NoError(t, os.WriteFile(filepath.Join(bundle, inference.ManifestFile), []byte(manifest), 0o600))
	g.replace(filepath.Join(peers.Root(t), "testdata/models/demo"), bundle)
	g.replace("segment_size: 8MiB", "segment_size: 8MiB, retention: 1h")
	g.start()
	instance := readPart10(t, sample(t, "study1-01*")[0])
	storeAll(t, g.scp, instance)
	uid := g.studyOf(instance)
	g.waitFor("the study to be delivered", func() bool { return g.study(uid).Status == ledger.StudyDone })

	study := g.study(uid)
	frame := study.Instances[0].Analyses[0].Frames[0]
	require.Len(t, frame.Findings, 5, "the three most probable, and the best of each class")
	require.Equal(t, 1, study.FindingCount, "of frames")
	files, heatmaps := scp.Files(t), map[string]bool{}
	for _, f := range frame.Findings {
		assert.Equal(t, analysis.NetworkBox, f.Outline)
		require.Len(t, f.Contours, 1)
		for _, p := range f.Contours[0] {
			assert.True(t, p[0] >= 0 && p[0] <= float64(frame.Columns) && p[1] >= 0 && p[1] <= float64(frame.Rows))
		}
		heatmaps[string(f.Heatmap)] = true
		assert.Contains(t, peers.Run(t, "dcmdump", "+L", "+P", "ImageComments", files[string(f.Heatmap)]), "box by the network, not the border of a lesion")
	}
	require.Len(t, heatmaps, 5, "a heatmap of each box")
	report := peers.Run(t, "dsrdump", "+Pl", files[string(reportsOf(study)[0].SOPInstanceUID)])
	for _, want := range []string{"box 1, box by the network", "Image Region", "It is not the border of a lesion", "in 1 of the 1 analysed frames"} {
		assert.Contains(t, report, want)
	}

	response, err := http.Get(fmt.Sprintf("http://%s/api/v1/studies/%s/instances/%s/frames/1/explanation.json", g.web, uid, instance.uid))
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode, string(body))
	var e admin.Explanation
	require.NoError(t, json.Unmarshal(body, &e))
	require.Len(t, e.Regions, 5)
	for i, f := range frame.Findings {
		assert.Equal(t, f.Contours, e.Regions[i].Contours)
	}
}
