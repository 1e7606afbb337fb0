package admin

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/access"
	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dicomtest"
	web "endogate/dicomnode/dicomweb"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/ledger"
)

// Every route of the services is one here, so that it has a right.
func TestDICOMweb_routes(t *testing.T) {
	var here []string
	names := strings.NewReplacer(":uid", "{study}", ":series", "{series}", ":sop", "{instance}", ":frames", "{frames}", ":path", "{path}")
	for _, r := range newServer(t, newHospital(t)).router().Routes() {
		if strings.HasPrefix(r.Path, dicomweb+"/") && r.Method != http.MethodHead {
			here = append(here, r.Method+" "+names.Replace(r.Path))
		}
	}
	there := web.Routes()
	slices.Sort(here)
	slices.Sort(there)
	assert.Equal(t, there, here)
}

// nothing is what a spool without studies holds.
type nothing struct{ web.Ledger }

func (nothing) SpooledSeries(context.Context, dicom.UID) ([]ledger.SpooledSeries, error) {
	return nil, nil
}

func (nothing) SpooledInstances(context.Context, ledger.SpooledInstances) ([]ledger.SpooledInstance, error) {
	return nil, nil
}

func (nothing) Fate(context.Context, ledger.SpooledInstances) (ledger.Fate, error) {
	return ledger.Fate{}, nil
}

func (nothing) SpooledStudies(context.Context, ledger.SpooledStudies) ([]ledger.SpooledStudy, error) {
	return nil, nil
}

type taken struct{ by []dicom.AETitle }

func (s *taken) Store(_ context.Context, req *dicomnode.StoreRequest) error {
	s.by = append(s.by, req.CallingAE)
	return nil
}

// Who may see whose studies are searches them, a token that may send stands for the calling AE of its name, and nobody else does.
func TestDICOMweb_who(t *testing.T) {
	h := newHouse(t)
	handler := &taken{}
	classes, err := dicom.SelectStorage([]string{string(dicomtest.VLEndoscopicImageStorage)})
	require.NoError(t, err)
	h.server.DICOMweb = &web.Server{Ledger: nothing{}, Log: slog.New(slog.DiscardHandler), Storage: web.Storage{
		Handler: handler, Contexts: dicomnode.StorageContexts(classes), Admit: func() error { return nil }, Stored: func(dimse.Status) {},
	}}
	h.server.Sender = func(title dicom.AETitle, from netip.Addr) bool {
		return title == "SCOPE1" && from == netip.MustParseAddr("192.0.2.1")
	}
	token := func(name string, role access.Role, scope ...access.Right) string {
		text, _, err := h.Store.CreateToken(name, role, scope, time.Hour)
		require.NoError(t, err)
		return "Bearer " + text
	}
	data, header := dicomtest.Endoscopic(dicomtest.Options{})
	var file bytes.Buffer
	require.NoError(t, dicom.WriteFileMeta(&file, dicom.FileMeta{SOPClassUID: header.SOPClassUID, SOPInstanceUID: header.SOPInstanceUID, TransferSyntaxUID: dicom.ExplicitVRLittleEndian}))
	body := "--b\r\nContent-Type: application/dicom\r\n\r\n" + file.String() + string(data) + "\r\n--b--\r\n"
	const kind = `multipart/related; type="application/dicom"; boundary=b`
	for _, row := range []struct {
		name, method, token string
		header              []string
		code                int
	}{
		{"nobody", "GET", "", nil, 401},
		{"a viewer", "GET", token("v", access.Viewer), nil, 403},
		{"an operator", "GET", token("o", access.Operator), nil, 403},
		{"a clinician", "GET", token("c", access.Clinician), nil, 204},
		{"a page of another origin", "GET", token("c", access.Clinician), []string{"Origin", "https://evil.example"}, 403},
		{"nobody sends", "POST", "", []string{"Content-Type", kind}, 401},
		{"a clinician sends", "POST", token("scope1", access.Clinician), []string{"Content-Type", kind}, 403},
		{"a token of no title", "POST", token("scope2", access.Operator, access.Send), []string{"Content-Type", kind}, 403},
		{"a token that may not", "POST", token("scope1", access.Operator, access.Measure), []string{"Content-Type", kind}, 403},
		{"a token of all that its role may", "POST", token("scope1", access.Operator), []string{"Content-Type", kind}, 403},
		{"what a form sends", "POST", token("scope1", access.Operator, access.Send), []string{"Content-Type", "text/plain"}, 403},
		{"a page of another origin sends", "POST", token("scope1", access.Operator, access.Send), []string{"Content-Type", kind, "Origin", "https://evil.example"}, 403},
		{"a token that stands for a title", "POST", token("scope1", access.Operator, access.Send), []string{"Content-Type", kind}, 200},
	} {
		r := httptest.NewRequest(row.method, dicomweb+"/studies", nil)
		if row.method == "POST" {
			r = httptest.NewRequest(row.method, dicomweb+"/studies", strings.NewReader(body))
		}
		r.Host = "127.0.0.1:8080"
		if row.token != "" {
			r.Header.Set("Authorization", row.token)
		}
		for i := 0; i < len(row.header); i += 2 {
			r.Header.Set(row.header[i], row.header[i+1])
		}
		w := httptest.NewRecorder()
		h.server.Handler().ServeHTTP(w, r)
		assert.Equal(t, row.code, w.Code, "%s: %s", row.name, w.Body)
	}
	assert.Equal(t, []dicom.AETitle{"SCOPE1"}, handler.by)
	for _, target := range []string{"//studies", "/studies/", "///studies//"} { // a base URL that ends with a slash: the same, for the same people
		for role, code := range map[access.Role]int{access.Clinician: 204, access.Operator: 403} {
			got, _, _ := h.ask(t, visitor(t), "GET", dicomweb+target, nil, "Authorization", token("d", role))
			assert.Equal(t, code, got, target)
		}
	}
}

// A viewer of a listed origin uses DICOMweb and nothing else, by a token and nothing else; no answer allows credentials, and a browser
// is told nothing of others.
func TestDICOMweb_origins(t *testing.T) {
	h := newHouse(t)
	h.server.DICOMweb = &web.Server{Ledger: nothing{}, Log: slog.New(slog.DiscardHandler)}
	token, _, err := h.Store.CreateToken("c", access.Clinician, nil, time.Hour)
	require.NoError(t, err)
	inside := h.signedIn(t, "clinician")
	const viewer = "https://viewer.example"
	fetched := []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"}
	for _, row := range []struct {
		name, method, target, origin string
		listed, token                bool
		header                       []string
		code                         int
		allowed                      string
	}{
		{"off", "GET", "/studies", viewer, false, true, fetched, 403, ""},
		{"off, asked before", "OPTIONS", "/studies", viewer, false, false, []string{"Access-Control-Request-Method", "GET"}, 405, ""},
		{"listed", "GET", "/studies", viewer, true, true, fetched, 204, viewer},
		{"listed, an older browser", "GET", "/studies", viewer, true, true, nil, 204, viewer},
		{"asked before", "OPTIONS", "/studies/1.2/metadata", viewer, true, false, append([]string{"Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization"}, fetched...), 204, viewer},
		{"who is signed in counts for nothing", "GET", "/studies", viewer, true, false, fetched, 401, viewer},
		{"embedded", "GET", "/studies", viewer, true, true, []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403, ""},
		{"of another name", "GET", "/studies", "https://viewer.example.evil", true, true, fetched, 403, ""},
		{"of another scheme", "GET", "/studies", "http://viewer.example", true, true, fetched, 403, ""},
		{"a file", "GET", "/studies", "null", true, true, fetched, 403, ""},
		{"another, asked before", "OPTIONS", "/studies", "https://evil.example", true, false, []string{"Access-Control-Request-Method", "GET"}, 405, ""},
		{"a form", "POST", "/studies", viewer, true, true, append([]string{"Content-Type", "text/plain"}, fetched...), 403, viewer},
		{"the API", "GET", "/../api/v1/studies", viewer, true, true, fetched, 403, ""},
		{"the API, asked before", "OPTIONS", "/../api/v1/parked/retry", viewer, true, false, []string{"Access-Control-Request-Method", "POST"}, 405, ""},
		{"our own page", "GET", "/studies", "", true, false, []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"}, 204, ""},
	} {
		h.server.Origins = nil
		if row.listed {
			h.server.Origins = []string{"https://other.example", viewer}
		}
		header := row.header
		if row.token {
			header = append([]string{"Authorization", "Bearer " + token}, header...)
		}
		if row.origin != "" {
			header = append([]string{"Origin", row.origin}, header...)
		}
		target := strings.Replace(dicomweb+row.target, dicomweb+"/..", "", 1)
		code, _, answer := h.ask(t, inside, row.method, target, nil, header...)
		assert.Equal(t, row.code, code, row.name)
		assert.Equal(t, row.allowed, answer.Get("Access-Control-Allow-Origin"), row.name)
		assert.Empty(t, answer.Get("Access-Control-Allow-Credentials"), row.name)
		assert.Equal(t, row.listed && strings.HasPrefix(target, dicomweb), slices.Contains(answer.Values("Vary"), "Origin"), row.name)
	}
}

// To find a study is not to have read it: each is in the audit trail, a search with what it is by and not with whom it is for,
// and what was refused as refused.
func TestDICOMweb_trail(t *testing.T) {
	h := newHouse(t)
	h.server.DICOMweb = &web.Server{Ledger: nothing{}, Log: slog.New(slog.DiscardHandler), Storage: web.Storage{Admit: func() error { return nil }}}
	h.server.Sender = func(dicom.AETitle, netip.Addr) bool { return false }
	for _, row := range []struct {
		name, target string
		role         access.Role
		scope        access.Right
		header       []string
	}{
		{"GET", "/studies?PatientName=DOE&00100020=P1&a%20b=DOE", access.Clinician, access.Identify, nil},
		{"GET", "/studies/1.2/series", access.Clinician, access.Identify, nil},
		{"GET", "/studies/1.2", access.Clinician, access.Identify, nil},
		{"GET", "/studies/1.2/metadata", access.Clinician, access.Identify, nil},
		{"POST", "/studies", access.Operator, access.Send, []string{"Content-Type", `multipart/related; type="application/dicom"; boundary=b`}},
	} {
		token, _, err := h.Store.CreateToken("t", row.role, []access.Right{row.scope}, time.Hour)
		require.NoError(t, err)
		h.ask(t, visitor(t), row.name, dicomweb+row.target, nil, append(row.header, "Authorization", "Bearer "+token)...)
	}
	var got []string
	for _, e := range h.trail() {
		last := e.Objects[len(e.Objects)-1]
		got = append(got, strings.TrimSpace(strings.Join([]string{e.ID.Meaning, last.ID, last.Detail["keys"], string(e.Outcome)}, " ")))
		assert.NotContains(t, fmt.Sprint(e), "DOE")
	}
	assert.Equal(t, []string{
		"Query /dicom-web/studies 00100020 PatientName", "Query /dicom-web/studies/:uid/series", "DICOM Instances Accessed /dicom-web/studies/:uid",
		"DICOM Instances Transferred /dicom-web/studies", "DICOM Instances Transferred /dicom-web/studies  4",
	}, got)
}
