package gateway_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"image/jpeg"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	"endogate/hl7/mllp"
	"endogate/inference/analysis"
)

// TestGateway_live has a signal watched, followed and looked at, and a frame of it captured for an order: it goes the way of what
// comes by C-STORE.
func TestGateway_live(t *testing.T) {
	t.Parallel()
	installed.Require(t, "ffmpeg")
	root := peers.Root(t)
	clip := filepath.Join(t.TempDir(), "clip.mp4")
	require.NoError(t, os.WriteFile(clip, dicomtest.Stream(t, "mp4", "-loop", "1", "-framerate", "10", "-t", "120", "-i", filepath.Join(root, "testdata", "frames", "polyp-050ffdb1.jpg"),
		"-vf", "scale=320:240", "-c:v", "libx264", "-preset", "ultrafast"), 0o600))
	pacs := &requests{of: map[dicom.UID][]string{}}
	address := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	serveHandler(t, "PACS", address, pacs)
	listener := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	g := newGateway(t, routeTo("PACS", address, "")+fmt.Sprintf("hl7: {listen: %q, senders: [{application: RIS, hosts: [127.0.0.0/8]}]}\nlive: [{name: room1, source: %q, calling_ae: ROOM1}]\n", listener, clip))
	g.start()
	client := &mllp.Client{Address: listener}
	defer func() { _ = client.Close() }()
	answer, err := client.Exchange(t.Context(), []byte(strings.Join([]string{
		`MSH|^~\&|RIS|NORTH|GATE|ENDO|20260301080000||ORM^O01^ORM_O01|m1|P|2.5.1`, "PID|1||P7||Müller^Jörg||19700203|M", "ORC|NW|PLA7",
		"OBR|1|PLA7||73761001^Colonoscopy^SCT||||||||||||||A7", "ZDS|2.25.777", "",
	}, "\r")))
	require.NoError(t, err)
	require.Contains(t, string(answer), "MSA|AA")

	stream, err := http.Get("http://" + g.web + "/api/v1/live/room1/events")
	require.NoError(t, err)
	defer func() { _ = stream.Body.Close() }()
	var said analysis.Live
	in := bufio.NewScanner(stream.Body)
	for framed := false; len(said.Findings) == 0 && in.Scan(); {
		if in.Text() == "event: frame" {
			framed = true
		} else if data, ok := strings.CutPrefix(in.Text(), "data: "); ok && framed {
			require.NoError(t, json.Unmarshal([]byte(data), &said))
			framed = false
		}
	}
	require.NotEmpty(t, said.Findings)
	assert.Equal(t, "polyp", said.Findings[0].Class)
	var signals struct{ Signals []admin.LiveSignal }
	g.get("/api/v1/live", &signals)
	assert.Equal(t, []admin.LiveSignal{{Name: "room1", Model: "demo-colon", Up: true}}, signals.Signals)
	look := func() int {
		picture, err := http.Get("http://" + g.web + "/api/v1/live/room1/picture.jpg")
		require.NoError(t, err)
		defer func() { _ = picture.Body.Close() }()
		shown, err := jpeg.Decode(picture.Body)
		require.NoError(t, err)
		assert.Equal(t, 320, shown.Bounds().Dx())
		seen, err := strconv.Atoi(picture.Header.Get("X-Endogate-Frame"))
		require.NoError(t, err)
		return seen
	}
	capture := func(accession string, seen int) (int, string) {
		answer, err := http.Post("http://"+g.web+"/api/v1/live/room1/captures", "application/json", strings.NewReader(fmt.Sprintf(`{"accession":%q,"frame":%d,"author":"Dr A"}`, accession, seen)))
		require.NoError(t, err)
		defer func() { _ = answer.Body.Close() }()
		text, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer.StatusCode, string(text)
	}
	// A machine that is busy may take longer for these steps than a frame can be captured for: whoever is told so looks and captures again.
	var seen, code int
	var text string
	again := func(accession string) func() bool {
		return func() bool {
			seen = look()
			code, text = capture(accession, seen)
			return code != http.StatusGone
		}
	}
	g.waitFor("a capture for an order that is none", again("none"))
	assert.Equal(t, http.StatusNotFound, code, text)
	g.waitFor("a capture", again("A7"))
	require.Equal(t, http.StatusOK, code, text)
	var made admin.LiveCapture
	require.NoError(t, json.Unmarshal([]byte(text), &made))
	assert.Equal(t, dicom.UID("2.25.777"), made.StudyInstanceUID)
	assert.Equal(t, seen, made.Frame, "the frame that was seen, not the newest")
	g.waitFor("the capture to be analysed and reported", func() bool { return pacs.last(made.StudyInstanceUID) == "PLA7" })
	study := g.study(made.StudyInstanceUID)
	require.Len(t, study.Instances, 1)
	assert.Equal(t, []string{"P7", "A7"}, []string{study.PatientID, study.AccessionNumber})
	assert.Equal(t, "Müller^Jörg", study.PatientName)
	one := study.Instances[0]
	assert.Equal(t, []any{made.SOPInstanceUID, "ROOM1", ""}, []any{one.SOPInstanceUID, one.CallingAE, one.Remarks})
	require.Len(t, one.Analyses, 1)
	assert.Equal(t, "polyp", one.Analyses[0].Frames[0].Findings[0].Class)
	assert.NotContains(t, g.Log(), "Müller")
}
