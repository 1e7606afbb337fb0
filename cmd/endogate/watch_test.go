package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
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

// The password of a source is read from a file; an address that names no user has none.
func TestWithPassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte("a/b'c\n"), 0o600))
	address, err := withPassword("rtsp://doctor@10.0.0.7/live", file)
	require.NoError(t, err)
	assert.Equal(t, "rtsp://doctor:a%2Fb%27c@10.0.0.7/live", address)
	for _, bad := range []string{"rtsp://10.0.0.7/live", "clip.mp4", "rtsp://%zz"} {
		_, err := withPassword(bad, file)
		assert.ErrorContains(t, err, "rtsp://USER@HOST/PATH", bad)
	}
}

// A frame is captured by the gateway that watches; what it says the person at the shell reads.
func TestCapture(t *testing.T) {
	var asked string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if asked = r.URL.EscapedPath() + " " + string(body); strings.Contains(asked, "A8") {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"error":{"what":"the picture was not captured","why":"there is no order of that accession number","next":"name another"}}`)
			return
		}
		_, _ = io.WriteString(w, `{"sop_instance_uid":"2.25.1","SOPInstanceUID":"2.25.1","frame":7,"accession_number":"A7"}`)
	}))
	defer s.Close()
	capture := func(more ...string) (int, string, string) {
		return endogate(append([]string{"capture", "--config", filepath.Join(peers.Root(t), "configs/local.yaml"), "--to", strings.TrimPrefix(s.URL, "http://"), "--author", "Dr A"}, more...)...)
	}
	code, said, complaints := capture("room 1", "A7", "--frame", "7")
	require.Equal(t, 0, code, complaints)
	assert.Equal(t, `/api/v1/live/room%201/captures {"accession":"A7","author":"Dr A","frame":7}`, asked)
	assert.Contains(t, said, "Frame 7 of room 1 was captured for A7: 2.25.1")
	code, _, complaints = capture("room1", "A8")
	assert.Equal(t, 1, code)
	assert.Contains(t, complaints, "there is no order of that accession number; name another")
}
