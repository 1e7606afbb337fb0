//go:build bench

package bench_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
)

const examinationFrames = 60

// TestDraft sends an examination of 60 frames that show something, and measures from the last result of the model to the
// report draft, which is there when the API has it: report and key objects made, key images chosen, and all of it durable.
func TestDraft(t *testing.T) {
	to := newSink(t)
	ended := make(chan struct{})
	defer close(ended)
	go func() { // nobody waits for the heatmaps
		for {
			select {
			case <-to.arrivals:
			case <-ended:
				return
			}
		}
	}()
	bundle := filepath.Join(peers.Root(t), "testdata", "models", "demo")
	tpl := readTemplate(t, filepath.Join(peers.Root(t), "testdata", "instances", "study1-01-polyp-0dad158b.dcm"))
	var rows [][]string
	done := 0
	for _, way := range []struct{ name, names, more string }{
		{"nobody but the archive", "sink", ""},
		{"a RIS, by HL7 with the PDF", "sink, ris", `, {name: ris, kind: hl7, address: "127.0.0.1:9"}`}, // that is down: the message is made all the same
	} {
		gateway := endogate(t, filepath.Join(folder(t), "endogate"), fmt.Sprintf(`models: [{dir: %q}]
routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [%s]}]
destinations: [{name: sink, kind: dicom, ae_title: SINK, address: %q}%s]
exam: {quiet: 1s}
`, bundle, way.names, to.addr, way.more))
		var took series
		done = eachRound(t, func(int) { took = append(took, milliseconds(drafted(t, gateway, tpl))) })
		rows = append(rows, []string{way.name, took.String()})
		gateway.process.Kill()
	}
	table(fmt.Sprintf("From the last result of an examination of %d frames to its draft, %d rounds", examinationFrames, done),
		[]string{"who gets it", "ms"}, rows)
}

// drafted returns how long the draft of an examination is behind its last result.
func drafted(t *testing.T, gateway receiver, tpl template) time.Duration {
	t.Helper()
	study, objects := tpl.study(examinationFrames)
	if _, err := send(t.Context(), gateway, tpl, objects, 1); err != nil {
		t.Fatal(err)
	}
	path := gateway.web + "/api/v1/studies/" + string(study)
	for deadline := time.Now().Add(5 * time.Minute); !there(t, path+"/draft"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("there is no draft after five minutes")
		}
	}
	seen := time.Now()
	return seen.Sub(lastAnalysed(t, path, study))
}

func there(t *testing.T, url string) bool {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// lastAnalysed is when the last frame of a study was analysed.
func lastAnalysed(t *testing.T, path string, study dicom.UID) (last time.Time) {
	t.Helper()
	var answer struct {
		Timeline []struct {
			Step string    `json:"step"`
			At   time.Time `json:"at"`
		} `json:"timeline"`
	}
	if err := getJSON(path, &answer); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range answer.Timeline {
		if e.Step == "analysed" {
			last, n = e.At, n+1
		}
	}
	if n != examinationFrames {
		t.Fatalf("%d of %d frames of study %s are analysed", n, examinationFrames, study)
	}
	return last
}
