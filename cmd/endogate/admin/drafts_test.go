package admin

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/inference/analysis"
	"endogate/reports/draft"
)

// office is a desk with one draft, of which 1.3 is the newest version. It remembers what it was asked.
type office struct {
	doc   *draft.Document // nil: sampleDraft
	asked []string
	err   error
}

func sampleDraft(version int) draft.Document {
	gateway := draft.Author{Name: "endogate", System: true}
	return draft.Document{
		Schema: draft.Schema, Study: "2.25.1001", Number: 1, Version: version, Standing: draft.Drafted, At: sampleTime, Author: gateway,
		Findings: []draft.Finding{
			{ID: "2.25.7", Model: analysis.Model{Name: sampleModel.Name, Version: sampleModel.Version}, Class: "polyp", Role: analysis.RoleFinding, Code: sampleCodes["polyp"], Site: sampleCodes["colon"], Decision: draft.Proposed, By: gateway, Probability: 0.92, Threshold: 0.5, Flagged: 2, Analysed: 5},
			{ID: "2.25.8", Role: analysis.RoleFinding, Code: dicom.Code{Value: "X", Scheme: "99X", Meaning: evil}, Decision: draft.Rejected, By: draft.Author{Name: evil, Unauthenticated: true}, Text: evil},
		},
		Sections: []draft.Section{
			{Name: "history", Head: "History", Text: draft.ToBeCompleted, By: gateway, Fill: draft.FillPerson},
			{Name: "impression", Head: evil, Text: "Polyp of colon: AI-detected, requires confirmation.\n" + evil, By: gateway, Fill: draft.FillAI},
		},
		KeyImages: []draft.KeyImage{}, Notices: []string{evil},
	}
}

func (o *office) Draft(_ context.Context, study dicom.UID, number, version int) (draft.Document, error) {
	if study != "2.25.1001" || number > 1 || version > 3 {
		return draft.Document{}, fmt.Errorf("%w: no such draft", ErrNotFound)
	}
	if version == 0 {
		version = 3
	}
	if o.doc != nil {
		return *o.doc, o.err
	}
	return sampleDraft(version), o.err
}

func (o *office) History(context.Context, dicom.UID, Page) ([]ledger.Draft, error) {
	return []ledger.Draft{
		{Number: 1, Version: 1, Event: ledger.DraftDrafted, Standing: "draft", Author: "endogate", System: true, At: sampleTime},
		{
			Number: 1, Version: 2, Event: ledger.DraftEdited, Standing: "draft", Author: evil, Unauthenticated: true, At: sampleTime,
			Edit: json.RawMessage(`[{"op":"accept","finding":"2.25.7"}]`),
		},
	}, o.err
}

func (o *office) PDF(context.Context, dicom.UID, int, int) ([]byte, error) {
	return []byte("%PDF-1.4"), o.err
}

func (o *office) did(what string, at draft.Reference, author draft.Author, more any) (draft.Document, error) {
	if at.Version != 3 {
		return draft.Document{}, &ledger.DraftConflictError{
			Number: at.Number, Expected: at.Version, Latest: 3, LatestNumber: 1, LatestAuthor: "Dr. No", LatestAt: sampleTime,
		}
	}
	o.asked = append(o.asked, fmt.Sprintf("%s %d.%d %s %v %v", what, at.Number, at.Version, author.Name, author.Unauthenticated, more))
	return sampleDraft(4), o.err
}

func (o *office) Edit(_ context.Context, _ dicom.UID, at draft.Reference, edits []draft.Edit, author draft.Author) (draft.Document, error) {
	return o.did("edit", at, author, edits[0].Op)
}

func (o *office) Sign(_ context.Context, _ dicom.UID, at draft.Reference, author draft.Author) (draft.Document, error) {
	return o.did("sign", at, author, "")
}

func (o *office) Amend(_ context.Context, _ dicom.UID, at draft.Reference, author draft.Author, reason string) (draft.Document, error) {
	return o.did("amend", at, author, reason)
}

func (o *office) Withdraw(_ context.Context, _ dicom.UID, at draft.Reference, author draft.Author, reason string) (draft.Document, error) {
	return o.did("withdraw", at, author, reason)
}

func (o *office) RetryDraft(_ context.Context, study dicom.UID) error {
	if study != "2.25.1001" {
		return ErrNotFound
	}
	return o.err
}

func (o *office) AgreementCounts(context.Context, AgreementFilter) ([]ledger.AgreementCount, error) {
	return []ledger.AgreementCount{{
		Model: "demo", ModelVersion: "1.2", Route: "endoscopy", Class: "=polyp", Site: dicom.Code{Value: "71854001", Scheme: "SCT", Meaning: "Colon"},
		Accepted: 3, Rejected: 2, Modified: 1,
	}}, o.err
}

func (o *office) Agreements(_ context.Context, f AgreementFilter) ([]ledger.Agreement, int, error) {
	return []ledger.Agreement{{
		Study: "2.25.1001", Finding: "2.25.7", Model: "demo", ModelVersion: "1.2", Class: f.Class, Decision: ledger.Accept, Number: 1, Version: 2,
		Author: "@SUM(1+1)", Unauthenticated: true, At: f.From,
	}}, 1, o.err
}

// change does a request that changes a draft.
func change(s http.Handler, method, target, ifMatch, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost"+target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if ifMatch != "" {
		r.Header.Set("If-Match", ifMatch)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

const draftPath = "/api/v1/studies/2.25.1001/draft"

// TestDraft_reads has versions, and says nothing twice to who has it.
func TestDraft_reads(t *testing.T) {
	s := newServer(t, newHospital(t)).Handler()
	page := fmt.Sprintf(`"%x"`, sha256.Sum256(ask(s, "GET", draftPath+".pdf").Body.Bytes()))
	for _, tt := range []struct {
		target, have string
		status       int
		etag         string
	}{
		{"", "", 200, `"1.3"`},
		{"?number=1&version=2", "", 200, `"1.2"`},
		{"", `"1.3"`, 304, `"1.3"`},
		{"", `W/"1.3"`, 304, `"1.3"`},
		{"", `"1.1", "1.3"`, 304, `"1.3"`},
		{"", "*", 304, `"1.3"`},
		{"", `"1.2"`, 200, `"1.3"`},
		{".pdf", "", 200, page},
		{".pdf", page, 304, page},
		{".pdf", `"1.3"`, 200, page},
		{"?number=2", "", 404, ""},
		{"?number=0", "", 400, ""},
		{"?other=1", "", 400, ""},
	} {
		t.Run(tt.target+tt.have, func(t *testing.T) {
			w := ask(s, "GET", draftPath+tt.target, "If-None-Match", tt.have)
			require.Equal(t, tt.status, w.Code, w.Body)
			require.Equal(t, tt.etag, w.Header().Get("ETag"))
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			if tt.status == 304 {
				require.Empty(t, w.Body.String())
			}
		})
	}
	w := ask(s, "GET", draftPath+".pdf")
	require.Equal(t, "application/pdf", w.Header().Get("Content-Type"))
	require.Equal(t, `inline; filename="report-1.3.pdf"`, w.Header().Get("Content-Disposition"))
	require.Equal(t, http.StatusBadRequest, ask(s, "GET", "/api/v1/studies/.not-a-uid/draft").Code)
}

// TestDraft_changes wants to know of which version, by whom, and nothing that it does not know.
func TestDraft_changes(t *testing.T) {
	edits := `{"author":"Dr. Weiß","edits":[{"op":"accept","finding":"2.25.7"}]}`
	for _, tt := range []struct {
		name, method, path, match, body string
		status                          int
		says                            string // the answer, or what was asked of the desk
	}{
		{"edit", "PATCH", "", `"1.3"`, edits, 200, "edit 1.3 Dr. Weiß true accept"},
		{"edit of whoever", "PATCH", "", `"1.3"`, `{"edits":[{"op":"undo"}]}`, 400, "nobody says who acts"},
		{"edit of no version", "PATCH", "", "", edits, 428, "send its ETag as If-Match"},
		{"edit of an old version", "PATCH", "", `"1.2"`, edits, 412, "version 1.2, and version 1.3 is there by now, of 2026-"},
		{"edit of any version", "PATCH", "", "*", edits, 400, "If-Match is not one version"},
		{"edit of a weak version", "PATCH", "", `W/"1.3"`, edits, 400, "If-Match is not one version"},
		{"edit of two", "PATCH", "", `"1.3", "1.2"`, edits, 400, "If-Match is not one version"},
		{"edit of a version that overflows", "PATCH", "", `"1.99999999999999999999"`, edits, 400, "If-Match is not one version"},
		{"not JSON", "PATCH", "", `"1.3"`, `{"edits":[`, 400, "it cannot be read"},
		{"a field that is not known", "PATCH", "", `"1.3"`, `{"edit":[]}`, 400, "a field that is not known"},
		{"a field of another type", "PATCH", "", `"1.3"`, `{"author":"a","edits":[{"op":"size","size_mm":"5"}]}`, 400, "edits.size_mm has to be a number"},
		{"more behind it", "PATCH", "", `"1.3"`, edits + `{}`, 400, "more in the body"},
		{"a reason of an edit", "PATCH", "", `"1.3"`, `{"author":"a","reason":"why","edits":[{"op":"undo"}]}`, 400, "no meaning here"},
		{"an author of two lines", "PATCH", "", `"1.3"`, `{"author":"a\nb","edits":[{"op":"undo"}]}`, 400, "author's name cannot be used"},
		{"too much", "PATCH", "", `"1.3"`, `{"author":"` + strings.Repeat("a", 2<<20) + `"}`, 413, "send less"},
		{"sign", "POST", "/sign", `"1.3"`, `{"author":"Dr. Weiß"}`, 200, "sign 1.3 Dr. Weiß true "},
		{"sign of no version", "POST", "/sign", "", `{"author":"Dr. Weiß"}`, 428, "If-Match"},
		{"sign with edits", "POST", "/sign", `"1.3"`, edits, 400, "no meaning here"},
		{"amend", "POST", "/amend", `"1.3"`, `{"author":"Dr. Weiß","reason":"the site"}`, 200, "amend 1.3 Dr. Weiß true the site"},
		{"withdraw", "POST", "/withdraw", `"1.3"`, `{"author":"Dr. Weiß","reason":"the patient"}`, 200, "withdraw 1.3 Dr. Weiß true the patient"},
		{"withdraw an old version", "POST", "/withdraw", `"1.1"`, `{"author":"Dr. Weiß","reason":"the patient"}`, 412, "by Dr. No"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHospital(t)
			s := newServer(t, h)
			w := change(s.Handler(), tt.method, draftPath+tt.path, tt.match, tt.body)
			require.Equal(t, tt.status, w.Code, w.Body)
			if tt.status == 200 {
				require.Equal(t, []string{tt.says}, h.office.asked)
				require.Equal(t, `"1.4"`, w.Header().Get("ETag"))
				return
			}
			require.Contains(t, w.Body.String(), tt.says)
			require.Empty(t, h.office.asked)
			if tt.status == 412 {
				require.Equal(t, `"1.3"`, w.Header().Get("ETag"))
			}
		})
	}
}

// TestDraft_guards refuses what a page of another origin could have caused, and takes the author from a header.
func TestDraft_guards(t *testing.T) {
	h := newHospital(t)
	s := newServer(t, h).Handler()
	body := `{"edits":[{"op":"undo"}]}`
	require.Equal(t, http.StatusForbidden, change(s, "PATCH", draftPath, `"1.3"`, body, "Content-Type", "text/plain").Code)
	require.Equal(t, http.StatusForbidden, change(s, "PATCH", draftPath, `"1.3"`, body, "Origin", "http://evil.example").Code)
	require.Equal(t, http.StatusForbidden, change(s, "POST", draftPath+"/sign", `"1.3"`, `{}`, "Sec-Fetch-Site", "cross-site").Code)
	require.Empty(t, h.office.asked)
	require.Equal(t, http.StatusOK, change(s, "PATCH", draftPath, `"1.3"`, body, AuthorHeader, "anna").Code)
	require.Equal(t, []string{"edit 1.3 anna true undo"}, h.office.asked)
}

// TestDraft_faults answers what the desk refuses.
func TestDraft_faults(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		says   string
	}{
		{fmt.Errorf("%w: nobody has signed in", ErrForbidden), 403, "have the configuration allow it"},
		{&draft.EditError{Index: 1, Op: draft.OpAccept, What: "finding is missing"}, 422, "edit 2 (accept): finding is missing"},
		{&draft.StandingError{Do: "edit", Standing: draft.Signed, Next: "amend it first"}, 409, "amend it first"},
		{&draft.InvalidError{Faults: []string{"findings[0]: no code"}}, 422, "findings[0]: no code"},
		{ErrNotFound, 404, "not found"},
		{context.DeadlineExceeded, 504, "took too long"},
		{fmt.Errorf("disk of Doe^Jane is full"), 500, "see the log"},
	} {
		h := newHospital(t)
		h.office.err = tt.err
		w := change(newServer(t, h).Handler(), "PATCH", draftPath, `"1.3"`, `{"author":"a","edits":[{"op":"undo"}]}`)
		require.Equal(t, tt.status, w.Code, w.Body)
		require.Contains(t, w.Body.String(), tt.says)
		require.NotContains(t, w.Body.String(), "Doe^Jane")
	}
}

// TestAgreement_csv is read by a CSV reader, and by no spreadsheet as a formula.
func TestAgreement_csv(t *testing.T) {
	s := newServer(t, newHospital(t)).Handler()
	for target, want := range map[string][][]string{
		"?format=csv": {
			{"model", "model_version", "route", "class", "site", "site_scheme", "site_meaning", "accepted", "rejected", "modified"},
			{"demo", "1.2", "endoscopy", "'=polyp", "71854001", "SCT", "Colon", "3", "2", "1"},
		},
		"?format=csv&list=decisions&class=polyp&from=2026-03-01": {
			{"at", "study", "finding", "number", "version", "model", "model_version", "route", "class", "site", "site_scheme", "site_meaning", "decision", "author", "unauthenticated"},
			{"2026-03-01T00:00:00Z", "2.25.1001", "2.25.7", "1", "2", "demo", "1.2", "", "polyp", "", "", "", "accept", "'@SUM(1+1)", "true"},
		},
	} {
		w := ask(s, "GET", "/api/v1/agreement"+target)
		require.Equal(t, 200, w.Code, w.Body)
		require.Equal(t, "text/csv; charset=utf-8", w.Header().Get("Content-Type"))
		rows, err := csv.NewReader(w.Body).ReadAll()
		require.NoError(t, err)
		require.Equal(t, want, rows)
	}
	require.Equal(t, 400, ask(s, "GET", "/api/v1/agreement?from=yesterday").Code)
	q, err := parse("at=2026-03-01T08:30:00%2B01:00")
	require.NoError(t, err)
	require.Equal(t, time.Date(2026, 3, 1, 7, 30, 0, 0, time.UTC), q.time("at").UTC())
}
