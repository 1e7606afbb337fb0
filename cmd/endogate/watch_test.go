package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicomtest"
	"endogate/inference/analysis"
)

// moving is a clip of one second that moves over a real polyp.
func moving(t *testing.T) string {
	t.Helper()
	installed.Require(t, "ffmpeg")
	frame := filepath.Join(peers.Root(t), "testdata", "frames", "polyp-050ffdb1.jpg")
	stream := dicomtest.Stream(t, "mp4", "-loop", "1", "-t", "1", "-i", frame, "-vf", "scale=800:-2,zoompan=z='1+0.004*on':d=1:s=640x480:fps=25", "-c:v", "libx264")
	path := filepath.Join(t.TempDir(), "clip.mp4")
	require.NoError(t, os.WriteFile(path, stream, 0o600))
	return path
}

// A file is watched to its end: a line for each frame that was analysed, and the picture of what was found.
func TestWatch(t *testing.T) {
	clip, model, out := moving(t), filepath.Join(peers.Root(t), "testdata", "models", "demo"), t.TempDir()
	code, said, complaints := endogate("watch", clip, "--model", model, "--json", "--out", out)
	require.Equal(t, 0, code, complaints)
	lines := strings.Split(strings.TrimSpace(said), "\n")
	var last analysis.Live
	for i, line := range lines {
		var now analysis.Live
		require.NoError(t, json.Unmarshal([]byte(line), &now), line)
		assert.Greater(t, now.Frame, last.Frame)
		assert.Equal(t, now.Frame, i+1+now.Dropped, "analysed and dropped are all")
		assert.Len(t, now.Probabilities, 5)
		assert.Contains(t, line, `"findings":[`)
		last = now
	}
	assert.Equal(t, 25, last.Frame)
	require.NotEmpty(t, last.Findings, "%+v", last)
	assert.Equal(t, "polyp", last.Findings[0].Class)
	assert.Equal(t, "polyp", last.Heatmap)
	pictures, err := filepath.Glob(filepath.Join(out, "frame-*-polyp.png"))
	require.NoError(t, err)
	assert.Len(t, pictures, 1)

	code, said, complaints = endogate("watch", clip, "--model", model)
	require.Equal(t, 0, code, complaints)
	for _, words := range []string{"AI, not verified", "polyp begins, frame ", " frames analysed, ", "The end, after "} {
		assert.Contains(t, said, words)
	}
}

func TestWatch_refused(t *testing.T) {
	models := filepath.Join(peers.Root(t), "testdata", "models")
	for _, row := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"http://10.0.0.1/live"}, exitUsage, "rtsp:// alone"},
		{[]string{"clip.mp4", "--listen"}, exitUsage, "listening is for RTSP"},
		{[]string{"clip.mp4", "--stall", "0s"}, exitUsage, "--stall"},
		{[]string{"clip.mp4"}, exitUsage, "name a bundle by --model"},
		{[]string{"/no/such.mp4", "--model", filepath.Join(models, "demo")}, exitFailure, "there is no file /no/such.mp4"},
		{[]string{"clip.mp4", "--model", filepath.Join(models, "video")}, exitFailure, "looks across time itself"},
	} {
		code, _, complaints := endogate(append([]string{"watch"}, row.args...)...)
		assert.Equal(t, row.code, code, complaints)
		assert.Contains(t, complaints, row.says)
	}
}
