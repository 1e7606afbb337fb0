package admin

import (
	"bufio"
	"context"
	"errors"
	"image"
	"image/jpeg"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/inference/analysis"
	"endogate/reports/draft"
)

// room is an endoscopy room with one signal.
type room struct{}

var (
	sampleSignal = LiveSignal{Name: "room1", Model: "demo", Up: true}
	sampleShot   = analysis.Live{
		Frame: 7, Time: 0.24, At: sampleTime, Probabilities: map[string]float64{"polyp": 0.9}, Heatmap: "polyp", Latency: 20, Dropped: 1,
		Findings: []analysis.Present{{Class: "polyp", Role: analysis.RoleFinding, Probability: 0.8, Threshold: 0.5, Since: 3}},
	}
)

func (room) Signals() []LiveSignal { return []LiveSignal{sampleSignal} }

func (room) Follow(ctx context.Context, name string, do func(LiveEvent) error) error {
	if name != sampleSignal.Name {
		return ErrNotFound
	}
	err := errors.Join(do(LiveEvent{Signal: &sampleSignal}), do(LiveEvent{Frame: &sampleShot}), do(LiveEvent{}))
	<-ctx.Done()
	return err
}

func (room) Picture(name string, heatmap bool) (image.Image, analysis.Live, error) {
	if name != sampleSignal.Name {
		return nil, analysis.Live{}, ErrNotFound
	}
	return image.NewRGBA(image.Rect(0, 0, 64, 48)), sampleShot, nil
}

func (room) Capture(_ context.Context, name, accession string, frame int, by draft.Author, _ string) (LiveCapture, error) {
	if name != sampleSignal.Name || accession != "A1" {
		return LiveCapture{}, ErrNotFound
	}
	if frame != sampleShot.Frame {
		return LiveCapture{}, ErrGone
	}
	return LiveCapture{SOPInstance: dicom.SOPInstance{SOPInstanceUID: "2.25.1"}, Frame: 7, At: sampleTime, AccessionNumber: accession}, nil
}

// What is said of a signal comes as it is said, beyond the time that a request has, and ends with whoever reads or the server.
func TestLive(t *testing.T) {
	s := newServer(t, newHospital(t))
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	ask := func(method, path, body string) *http.Response {
		request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
		require.NoError(t, err)
		request.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		return answer
	}
	stream := ask("GET", "/api/v1/live/room1/events", "")
	require.Equal(t, "text/event-stream", stream.Header.Get("Content-Type"))
	var lines []string
	for in := bufio.NewScanner(stream.Body); len(lines) < 8 && in.Scan(); {
		lines = append(lines, in.Text())
	}
	assert.Equal(t, []string{"event: signal", `data: {"name":"room1","model":"demo","up":true,"why":""}`, "", "event: frame", "id: 7"}, lines[:5])
	assert.Contains(t, lines[5], `"findings":[{"class":"polyp"`)
	assert.Equal(t, ": there", lines[7])
	require.NoError(t, stream.Body.Close())

	picture := ask("GET", "/api/v1/live/room1/picture.jpg?heatmap=no", "")
	_, err := jpeg.Decode(picture.Body)
	require.NoError(t, err)
	assert.Equal(t, "7", picture.Header.Get("X-Endogate-Frame"))
	for _, row := range []struct {
		method, path, body string
		code               int
	}{
		{"GET", "/api/v1/live/none/events", "", 404},
		{"GET", "/api/v1/live/none/picture.jpg", "", 404},
		{"GET", "/api/v1/live/room1/picture.jpg?heatmap=perhaps", "", 400},
		{"POST", "/api/v1/live/room1/captures", `{"accession":"A1","frame":7,"author":"Dr A"}`, 200},
		{"POST", "/api/v1/live/room1/captures", `{"accession":"A1","frame":6,"author":"Dr A"}`, 410},
		{"POST", "/api/v1/live/room1/captures", `{"accession":"A1","frame":-1,"author":"Dr A"}`, 400},
		{"POST", "/api/v1/live/room1/captures", `{"accession":"A2","author":"Dr A"}`, 404},
		{"POST", "/api/v1/live/room1/captures", `{"accession":" "}`, 400},
		{"POST", "/api/v1/live/room1/captures", `A1`, 400},
	} {
		assert.Equal(t, row.code, ask(row.method, row.path, row.body).StatusCode, row.path+row.body)
	}
	open := ask("GET", "/api/v1/live/room1/events", "")
	require.NoError(t, s.Shutdown(context.Background()))
	require.NoError(t, open.Body.Close())
}

// The page shows the picture, what persists and that nobody has verified it, says when the picture is old, and captures a frame by
// button and by key.
func TestPage_live(t *testing.T) {
	b := open(t, newHospital(t))
	b.visit("/#/live", ".card a")
	b.see("#nav-live:not([hidden])")
	b.click(".card a")
	b.see("canvas[data-frame='7']")
	assert.Equal(t, "AI, not verified", b.text(".live-mark"))
	assert.Contains(t, b.text(".live-findings"), "polyp")
	b.until(`document.querySelector(".live-state").textContent.includes("The picture is old")`)
	b.see("canvas.stale")
	for _, scheme := range []string{"dark", "light"} {
		b.scheme(scheme)
		b.accessible("live, " + scheme)
	}
	b.click("#live-capture")
	b.until(`document.querySelector("#live-said").textContent.startsWith("Write the accession number")`)
	b.write("#live-accession", "A1")
	b.click("#live-capture")
	b.until(`document.querySelector("#live-said").textContent === "Frame 7 was captured for A1."`)
	eval[bool](b, `(() => { document.querySelector("#live-said").textContent = ""; document.activeElement.blur(); document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "c", bubbles: true })); return true })()`)
	b.until(`document.querySelector("#live-said").textContent === "Frame 7 was captured for A1."`)
}
