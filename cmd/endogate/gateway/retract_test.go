package gateway_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/gateway"
	"endogate/cmd/endogate/peers"
	"endogate/configs"
	"endogate/hl7"
)

// retract asks for a retraction and returns the status and the answer.
func (g *testGateway) retract(body string) (int, string) {
	g.t.Helper()
	response, err := http.Post("http://"+g.web+"/api/v1/retract", "application/json", strings.NewReader(body))
	require.NoError(g.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(g.t, err)
	return response.StatusCode, string(text)
}

// TestGateway_retracted: what a person takes back is taken back everywhere, though the gateway is killed at once: the
// archive gets a report that says so and a note of what it has of it, the RIS and the FHIR server a message, the study a
// draft; a ledger made of the spool knows it.
func TestGateway_retracted(t *testing.T) {
	t.Parallel()
	to := startReporters(t)
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("s3cret-token\n"), 0o600))
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, fmt.Sprintf(`routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [pacs, ris, emr]}]
destinations:
  - {name: pacs, kind: dicom, ae_title: STORESCP, address: %q, rejection_notes: true}
  - {name: ris, kind: hl7, address: %q}
  - {name: emr, kind: fhir, url: %q, token_file: %q}
exam: {quiet: 3s}
reports: {unauthenticated_sign: true}
`, scp.Addr, to.ris.Addr, to.emr.URL+"/fhir", token))
	g.apart = true
	g.start()
	files := sample(t, "study1-0*")
	g.send(files...)
	first := g.waitDraft(sampleStudy, `"1.1"`)
	require.NotEmpty(t, first.Shown())
	require.Len(t, first.Examination.Instances, len(files))
	sent := func(n int) { // to the RIS and the FHIR server, and all that goes to the archive
		t.Helper()
		g.waitFor(fmt.Sprintf("message %d", n), func() bool { return len(to.ris.Got()) >= n && len(to.sent()) >= n })
		g.waitDelivered(1)
	}
	sent(1)
	before := scp.Files(t)

	const what = `"author":"Dr. Weiß","model":"demo-colon","version":"1.0.0","reason":"trained on the wrong labels"`
	status, would := g.retract(`{"dry_run":true,` + what + `}`)
	require.Equal(t, http.StatusOK, status, would)
	require.Contains(t, would, `"reports":1,`)
	require.Contains(t, would, fmt.Sprintf(`"delivered":%d,`, len(before)))
	status, done := g.retract(`{` + what + `}`)
	require.Equal(t, http.StatusOK, status, done)
	require.Equal(t, strings.Replace(would, `"dry_run":true`, `"dry_run":false`, 1), done)
	g.process.Kill()
	g.start()

	next := g.waitDraft(sampleStudy, `"1.2"`)
	require.Empty(t, next.Shown())
	require.Len(t, next.Findings, len(first.Findings))
	require.Contains(t, next.Notices, "The result of demo-colon 1.0.0 was retracted: trained on the wrong labels")
	sent(2)
	m, err := hl7.Parse(to.ris.Got()[1], hl7.Options{})
	require.NoError(t, err)
	taken := 0
	for _, s := range m.Segments() {
		if s.Name == "OBX" && s.Get("3.1") == "121071" {
			require.Contains(t, []string{"W", "X", "D"}, s.Get("11"), "a finding that was taken back")
			taken++
		}
	}
	require.Positive(t, taken)
	require.Contains(t, to.sent()[1], `"status":"entered-in-error"`)

	var report, note string
	for uid, path := range scp.Files(t) {
		if before[uid] != "" {
			continue
		}
		switch out := peers.Run(t, "dcmdump", "+L", path); {
		case strings.Contains(out, "113037"):
			note = out
		case strings.Contains(out, "AI RESULT WITHDRAWN"):
			report = out
		}
	}
	require.Contains(t, report, "PredecessorDocumentsSequence")
	for uid := range before {
		require.Contains(t, note, "["+uid+"]", "all that the archive has")
	}
	for _, i := range first.Examination.Instances {
		require.NotContains(t, note, "["+string(i.Instance.SOPInstanceUID)+"]", "and no image of the modality")
	}
	require.NotContains(t, g.Log(), "Weiß")
	for _, i := range g.study(sampleStudy).Instances {
		require.Equal(t, "trained on the wrong labels", i.Analyses[0].Retracted)
	}
	var by []string
	for _, e := range g.study(sampleStudy).Timeline {
		if e.Step == "results-retracted" {
			by = append(by, e.By+": "+e.Detail)
		}
	}
	require.Len(t, by, 1)
	require.Contains(t, by[0], "person Dr. Weiß (unauthenticated): demo-colon on endoscopy")

	g.process.Stop()
	books := g.books()
	cfg, err := configs.Load(g.config)
	require.NoError(t, err)
	_, err = gateway.RebuildLedger(t.Context(), cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Equal(t, books, g.books())
}
