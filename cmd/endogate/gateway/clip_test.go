package gateway_test

import (
	"bytes"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
)

// probing is the drawn clip of a probe in the round opening, in frames 6 to 8, as a multi-frame instance.
func probing(t *testing.T) dicomBytes {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(peers.Root(t), "testdata/models/video/clips/round/*.png"))
	require.NoError(t, err)
	var streams [][]byte
	for _, name := range files {
		f, err := os.Open(name)
		require.NoError(t, err)
		frame, err := png.Decode(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		var stream bytes.Buffer
		require.NoError(t, jpeg.Encode(&stream, frame, &jpeg.Options{Quality: 95}))
		streams = append(streams, stream.Bytes())
	}
	require.Len(t, streams, 11)
	return drawn(dicomtest.Options{
		TransferSyntax: dicom.JPEGBaseline8Bit, JPEG: streams, Rows: 64, Columns: 64,
		More: dicom.Dataset{dicom.SOPClassUID: dicom.Text{string(dicom.MultiFrameTrueColorSecondaryCapture)}},
	})
}

// A multi-frame instance goes to a model that looks across time as a clip: one result of all frames, and the heatmap is of the frame that
// counts most, one of those in which the probe is where it is.
func TestGateway_clip(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ""))
	config, err := os.ReadFile(g.config)
	require.NoError(t, err)
	changed := strings.ReplaceAll(strings.Replace(string(config), "testdata/models/demo", "testdata/models/video", 1), "models: [demo]", "models: [demo-video]")
	require.NoError(t, os.WriteFile(g.config, []byte(changed), 0o600))
	g.start()
	clip := probing(t)
	storeAll(t, g.scp, clip)
	uid := g.studyOf(clip)
	g.waitFor("the report", func() bool { return deliveredReports(g.study(uid)) == 1 })
	var study admin.Study
	g.get("/api/v1/studies/"+string(uid), &study)
	require.Empty(t, g.parked())
	var heatmaps []int
	for _, o := range study.Objects {
		if o.Purpose == "heatmap" {
			heatmaps = append(heatmaps, o.Frame)
		}
	}
	require.Len(t, heatmaps, 1)
	assert.True(t, heatmaps[0] >= 6 && heatmaps[0] <= 8, "of frame %d", heatmaps[0])
	text := reportText(t, scp.Files(t)[string(reportsOf(g.study(uid))[0].SOPInstanceUID)])
	assert.Contains(t, text, "Probe in the round opening")
}
