package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/gateway"
	"endogate/cmd/endogate/peers"
	"endogate/configs"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/reports/draft"
)

// answered is an answer of the API of drafts.
type answered struct {
	status int
	etag   string
	body   []byte
}

func (a answered) document(t *testing.T) (doc draft.Document) {
	t.Helper()
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	require.NoError(t, json.Unmarshal(a.body, &doc))
	return doc
}

// desk does a request about the draft of a study.
func (g *testGateway) desk(method string, study dicom.UID, path, match string, body any) answered {
	g.t.Helper()
	text, err := json.Marshal(body)
	require.NoError(g.t, err)
	request, err := http.NewRequest(method, "http://"+g.web+"/api/v1/studies/"+string(study)+"/draft"+path, bytes.NewReader(text))
	require.NoError(g.t, err)
	request.Header.Set("Content-Type", "application/json")
	if match != "" {
		request.Header.Set("If-Match", match)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(g.t, err)
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	require.NoError(g.t, err)
	return answered{response.StatusCode, response.Header.Get("ETag"), got}
}

func (g *testGateway) draft(study dicom.UID, query string) answered {
	g.t.Helper()
	return g.desk(http.MethodGet, study, query, "", nil)
}

// waitDraft waits for the newest version of a study's draft to be the one that etag names.
func (g *testGateway) waitDraft(study dicom.UID, etag string) draft.Document {
	g.t.Helper()
	var last answered
	g.waitFor("draft "+etag, func() bool {
		last = g.draft(study, "")
		return last.etag == etag
	})
	return last.document(g.t)
}

// waitDrafted waits for each study to have a draft: the last step of what comes of an examination by itself.
func (g *testGateway) waitDrafted() {
	g.t.Helper()
	g.waitFor("each study to be drafted", func() bool {
		return !slices.ContainsFunc(g.studies(), func(s admin.StudySummary) bool { return g.draft(s.StudyInstanceUID, "").etag == "" })
	})
}

type (
	author struct {
		Author string `json:"author"`
	}
	edited struct {
		author
		Edits []draft.Edit `json:"edits"`
	}
	reasoned struct {
		author
		Reason string `json:"reason"`
	}
)

// TestGateway_draft goes from images to a signed report and beyond: a gateway that is killed between the steps has each of
// them, one frame comes late, and a ledger made of the spool has the same.
func TestGateway_draft(t *testing.T) {
	t.Parallel()
	scp := peers.StartStoreSCP(t)
	g := newGateway(t, routeTo("STORESCP", scp.Addr, "")+"reports: {unauthenticated_sign: true, viewer: \"https://viewer.example/{study}\"}\n")
	g.apart = true
	g.start()
	files := sample(t, "study1-0*")
	g.send(files[:len(files)-1]...)
	doc := g.waitDraft(sampleStudy, `"1.1"`)
	require.NoError(t, doc.Validate())
	require.NotEmpty(t, doc.Findings)
	require.NotEmpty(t, doc.KeyImages)
	require.NotEmpty(t, doc.KeyImages[0].Why)
	require.NotEmpty(t, doc.KeyImages[0].Frame.Heatmap.SOPInstanceUID)
	require.Equal(t, "Müller^Jørgen", doc.Patient.Name)
	require.False(t, doc.Examination.StartedAt.IsZero())
	for _, m := range doc.Disclosure.Models {
		require.True(t, m.Report.Valid(), "the structured report that it speaks of")
	}

	g.process.Kill()
	g.start()
	require.Equal(t, doc, g.waitDraft(sampleStudy, `"1.1"`))
	weiss := author{"Dr. Weiß"}
	accept := edited{weiss, []draft.Edit{{Op: draft.OpAccept, Finding: doc.Findings[0].ID}}}
	require.Equal(t, http.StatusPreconditionRequired, g.desk(http.MethodPatch, sampleStudy, "", "", accept).status)
	accepted := g.desk(http.MethodPatch, sampleStudy, "", `"1.1"`, accept)
	require.Equal(t, draft.Accepted, accepted.document(t).Findings[0].Decision)
	require.Equal(t, `"1.2"`, accepted.etag)
	conflict := g.desk(http.MethodPatch, sampleStudy, "", `"1.1"`, accept)
	require.Equal(t, http.StatusPreconditionFailed, conflict.status)
	require.Contains(t, string(conflict.body), "version 1.1, and version 1.2 is there by now")
	g.process.Kill()
	g.start()
	require.Equal(t, accepted.document(t), g.waitDraft(sampleStudy, `"1.2"`))

	page := g.draft(sampleStudy, ".pdf")
	require.Equal(t, http.StatusOK, page.status, string(page.body))
	require.True(t, bytes.HasPrefix(page.body, []byte("%PDF-")))
	require.Contains(t, string(page.body), "(https://viewer.example/"+sampleStudy+")")
	signed := g.desk(http.MethodPost, sampleStudy, "/sign", `"1.2"`, weiss)
	require.Equal(t, draft.Signed, signed.document(t).Standing)
	require.False(t, signed.document(t).Signature.Verified)
	require.True(t, signed.document(t).Signature.By.Unauthenticated)
	g.process.Kill()
	g.start()
	require.Equal(t, signed.document(t), g.waitDraft(sampleStudy, `"1.3"`))
	signedPage := g.draft(sampleStudy, ".pdf?number=1&version=3")
	require.Equal(t, http.StatusOK, signedPage.status, string(signedPage.body))

	g.send(files[len(files)-1])
	late := g.waitDraft(sampleStudy, `"2.1"`)
	require.Equal(t, [2]int{1, 3}, [2]int{late.Predecessor.Number, late.Predecessor.Version})
	var study json.RawMessage
	g.get("/api/v1/studies/"+string(sampleStudy), &study)
	require.Contains(t, string(study), `"`+string(late.Predecessor.Report)+`"`, "as it was made")
	require.Contains(t, string(study), `"`+string(late.Predecessor.Alternate)+`"`)
	require.NotEmpty(t, late.Notices)
	require.JSONEq(t, string(signed.body), string(g.draft(sampleStudy, "?number=1&version=3").body), "what was signed stays")
	rejected := g.desk(http.MethodPatch, sampleStudy, "", `"2.1"`, edited{weiss, []draft.Edit{{Op: draft.OpReject, Finding: doc.Findings[0].ID}}})
	require.Equal(t, draft.Rejected, rejected.document(t).Findings[0].Decision)
	undone := g.desk(http.MethodPatch, sampleStudy, "", `"2.2"`, edited{weiss, []draft.Edit{{Op: draft.OpUndo}}})
	require.Equal(t, late.Findings, undone.document(t).Findings)
	amending := g.desk(http.MethodPost, sampleStudy, "/amend", `"1.3"`, reasoned{weiss, "the site is wrong"})
	require.Equal(t, `"1.4"`, amending.etag, string(amending.body))
	require.Equal(t, http.StatusOK, g.desk(http.MethodPost, sampleStudy, "/withdraw", `"1.4"`, reasoned{weiss, "wrong patient"}).status)
	require.Equal(t, http.StatusConflict, g.desk(http.MethodPatch, sampleStudy, "", `"1.5"`, accept).status)

	var agreement struct{ Agreement []ledger.AgreementCount }
	g.get("/api/v1/agreement?model=demo-colon", &agreement)
	require.Len(t, agreement.Agreement, 1)
	require.Equal(t, 1, agreement.Agreement[0].Accepted)
	require.Contains(t, g.text("/api/v1/agreement?format=csv"), "demo-colon")
	var steps []string
	for _, e := range g.study(sampleStudy).Timeline {
		if strings.HasPrefix(e.Detail, "draft ") {
			version, _, _ := strings.Cut(strings.TrimPrefix(e.Detail, "draft "), ",")
			steps = append(steps, fmt.Sprintf("%s %s by %s", version, e.Step, e.By))
		}
	}
	const person = "a person (no sign-in)"
	require.Equal(t, []string{
		"1.1 drafted by system desk", "1.2 edited by " + person, "1.3 signed by " + person, "2.1 drafted by system desk", "2.2 edited by " + person, "2.3 edited by " + person,
		"1.4 amending by " + person, "1.5 withdrawn by " + person,
	}, steps)
	g.waitDelivered(1)
	assert.NotContains(t, g.Log(), "Weiß")
	assert.NotContains(t, g.Log(), "Müller")

	g.process.Stop()
	before := g.books()
	require.Len(t, before.Drafts, 8)
	require.NotEmpty(t, before.Agreements)
	cfg, err := configs.Load(g.config)
	require.NoError(t, err)
	_, err = gateway.RebuildLedger(t.Context(), cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Equal(t, before, g.books())

	g.replace("viewer.example", "elsewhere.example") // what pages say is another thing now
	g.start()
	require.Contains(t, string(g.draft(sampleStudy, ".pdf?number=2&version=1").body), "elsewhere.example")
	again := g.draft(sampleStudy, ".pdf?number=1&version=3")
	require.Equal(t, http.StatusOK, again.status)
	require.Equal(t, signedPage.etag, again.etag)
	require.True(t, bytes.Equal(signedPage.body, again.body), "what was signed has the same bytes for ever")
}
