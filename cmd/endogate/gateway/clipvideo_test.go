package gateway_test

import (
	"io"
	"net/http"
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
	"endogate/reports/draft"
)

// drawnVideo is the long drawn clip as a video of 320 x 320 pixels at 5 frames a second: the probe is where it is in frames 15 to 17.
func drawnVideo(t *testing.T, more ...string) dicomBytes {
	frames := filepath.Join(peers.Root(t), "testdata/models/video/clips/long/*.png")
	stream := dicomtest.Stream(t, "mp4", append(append([]string{"-framerate", "5", "-pattern_type", "glob", "-i", frames}, more...), "-vf", "scale=320:320:flags=neighbor", "-c:v", "libx264", "-g", "8", "-crf", "8")...)
	return video(t, dicomtest.Options{Frames: 28, Rows: 320, Columns: 320, More: dicom.Dataset{dicom.CineRate: dicom.Ints{5}}}, stream)
}

// acrossTime configures a gateway with a bundle that looks across time, changed by more lines of its manifest.
func acrossTime(t *testing.T, g *testGateway, bundle, more string) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join(peers.Root(t), "testdata/models", bundle))))
	manifest := filepath.Join(dir, "model.yaml")
	text, err := os.ReadFile(manifest)
	require.NoError(t, err)
	text = []byte(strings.ReplaceAll(string(text), "threshold: 0.5", "threshold: 0.9"))
	require.NoError(t, os.WriteFile(manifest, append(text, "\nselect: {every: 1}\n"+more...), 0o600))
	g.replace(filepath.Join(peers.Root(t), "testdata/models/demo"), dir)
	g.replace("models: [demo]", "models: [demo-"+bundle+"]")
}

// A video goes to a model that looks across time in clips: the segment is where the clips are, and the key frames with their heatmaps are
// those in which the probe is where it is.
func TestGateway_videoAcrossTime(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo(scp.AETitle, scp.Addr, ""))
	acrossTime(t, g, "video-pair", "")
	g.start()
	moving := drawnVideo(t)
	storeAll(t, g.scp, moving)
	uid := g.studyOf(moving)
	g.waitFor("the report", func() bool { return deliveredReports(g.study(uid)) == 1 })
	var study admin.Study
	g.get("/api/v1/studies/"+string(uid), &study)
	require.Empty(t, g.parked())
	require.Len(t, study.Videos, 1)
	v := study.Videos[0]
	assert.Equal(t, []any{"done", 28, 28}, []any{v.State, v.Frames, v.Analysed})
	require.Len(t, study.Segments, 1)
	probe := study.Segments[0]
	assert.GreaterOrEqual(t, probe.Probability, 0.9)
	assert.True(t, probe.PeakFrame >= 15 && probe.PeakFrame <= 17, "peak %d", probe.PeakFrame)
	require.NotEmpty(t, v.KeyFrames)
	heatmaps, sheets := map[int]bool{}, []dicom.UID(nil)
	for _, o := range study.Objects {
		if o.Purpose == "heatmap" {
			heatmaps[o.Frame] = true
		}
		if o.Purpose == "heatmap" && o.Span.Count > 1 {
			sheets = append(sheets, o.SOPInstanceUID)
		}
	}
	require.NotEmpty(t, sheets, "attention, frames and maps of a clip")
	files := scp.Files(t)
	for _, uid := range sheets {
		require.Contains(t, files, string(uid), "they are delivered")
	}
	for _, f := range study.Instances[0].Analyses[0].Frames {
		for _, found := range f.Findings {
			assert.Equal(t, found.Heatmap != "", found.Sheet != "", "frame %d", f.Frame)
		}
	}
	for _, k := range v.KeyFrames {
		assert.True(t, heatmaps[k.Frame], "a heatmap of key frame %d", k.Frame)
	}
	assert.Equal(t, "highest attention", v.KeyFrames[0].Reason)
	text := reportText(t, files[string(reportsOf(g.study(uid))[0].SOPInstanceUID)])
	assert.Contains(t, text, "AI segment")
	var doc draft.Document
	g.get("/api/v1/studies/"+string(uid)+"/draft", &doc)
	require.NotEmpty(t, doc.KeyImages)
	for _, k := range doc.KeyImages {
		assert.Contains(t, sheets, k.Frame.Sheet.SOPInstanceUID)
	}
	response, err := http.Get("http://" + g.web + "/api/v1/studies/" + string(uid) + "/draft.pdf")
	require.NoError(t, err)
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode)
	assert.Greater(t, len(page), 100<<10, "with pictures")
	assert.Contains(t, text, "28 of 28 frames analysed (one of every 1, at most 2000), 0 skipped")
	assert.Contains(t, text, "seen in clips of 16 frames, 8 frames apart")
}
