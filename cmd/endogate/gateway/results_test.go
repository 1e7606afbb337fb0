package gateway_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/peers"
	"endogate/hl7"
	"endogate/hl7/mllp/mllptest"
)

// reporters is a RIS, and a FHIR server that wants a token.
type reporters struct {
	ris     *mllptest.Receiver
	emr     *httptest.Server
	mu      sync.Mutex
	bundles []string
}

func startReporters(t *testing.T) *reporters {
	r := &reporters{ris: mllptest.Start(t, mllptest.AA)}
	r.emr = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case q.URL.Path == "/fhir/metadata":
			_, _ = io.WriteString(w, `{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1"}`)
		case q.Header.Get("Authorization") != "Bearer s3cret-token":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			r.bundles = append(r.bundles, string(body))
			_, _ = io.WriteString(w, `{"resourceType":"Bundle","type":"transaction-response"}`)
		}
	}))
	t.Cleanup(r.emr.Close)
	return r
}

func (r *reporters) sent() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.bundles...)
}

// TestGateway_results: what becomes of a report reaches archive, RIS and FHIR server, in that order, each in its protocol,
// once although the gateway is killed in between, and nothing else does.
func TestGateway_results(t *testing.T) {
	t.Parallel()
	to := startReporters(t)
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("s3cret-token\n"), 0o600))
	scp := peers.StartStoreSCP(t)
	scp.Kill() // the archive is away: messages wait for what they name
	g := newGateway(t, fmt.Sprintf(`routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [pacs, ris, emr], forward_source: true}]
destinations:
  - {name: pacs, kind: dicom, ae_title: STORESCP, address: %q, pdf: true}
  - {name: ris, kind: hl7, address: %q, application: RIS, facility: HOSP, template: [{field: OBR-24, value: GASTRO}]}
  - {name: emr, kind: fhir, url: %q, token_file: %q}
exam: {quiet: 1s}
reports: {unauthenticated_sign: true, institution_name: Hospital}
`, scp.Addr, to.ris.Addr, to.emr.URL+"/fhir", token))
	g.apart = true
	g.start()
	files := sample(t, "study1-0*")
	g.send(files[:3]...)
	g.waitDraft(sampleStudy, `"1.1"`)
	require.Empty(t, to.ris.Got(), "the archive has not got what it speaks of")
	require.Empty(t, to.sent())
	g.process.Kill()
	scp.Start(t)
	g.start()
	message := func(n int) *hl7.Message {
		t.Helper()
		g.waitFor(fmt.Sprintf("message %d", n), func() bool { return len(to.ris.Got()) >= n && len(to.sent()) >= n })
		require.Len(t, to.ris.Got(), n)
		require.Len(t, to.sent(), n)
		m, err := hl7.Parse(to.ris.Got()[n-1], hl7.Options{})
		require.NoError(t, err)
		return m
	}
	inArchive := func(uid string) bool { _, ok := scp.Files(t)[uid]; return ok }
	drafted := message(1)
	require.Equal(t, []string{"RIS", "HOSP", "Hospital", "GASTRO", "R"},
		[]string{drafted.Get("MSH-5"), drafted.Get("MSH-6"), drafted.Get("MSH-4"), drafted.Get("OBR-24"), drafted.Get("OBR-25")})
	require.Equal(t, "Müller", drafted.Get("PID-5.1"))
	require.True(t, inArchive(drafted.Get("OBX[2]-5")), "the structured report that it names")
	require.Contains(t, to.sent()[0], `"status":"partial"`)
	page := ""
	for _, s := range drafted.Segments() {
		if s.Get("2") == "ED" {
			page = s.Get("5.5")
		}
	}
	paper, err := base64.StdEncoding.DecodeString(page)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(paper), "%PDF-"))

	weiss := author{"Dr. Weiß"}
	require.Equal(t, http.StatusOK, g.desk(http.MethodPost, sampleStudy, "/sign", `"1.1"`, weiss).status)
	signed := message(2)
	require.Equal(t, "P", signed.Get("OBR-25"), "nobody knows who signed")
	require.Contains(t, to.sent()[1], `"status":"preliminary"`)
	require.NotEqual(t, drafted.Get("MSH-10"), signed.Get("MSH-10"))
	require.Equal(t, http.StatusOK, g.desk(http.MethodPost, sampleStudy, "/withdraw", `"1.2"`, reasoned{weiss, "wrong patient"}).status)
	withdrawn := message(3)
	require.Equal(t, "X", withdrawn.Get("OBR-25"))
	require.Contains(t, string(withdrawn.Bytes()), "WITHDRAWN: wrong patient")
	require.Contains(t, to.sent()[2], `"status":"entered-in-error"`)

	classes := map[string]int{}
	for _, path := range scp.Files(t) {
		out := peers.Run(t, "dcmdump", "+P", "0008,0016", path)
		for _, class := range []string{"VLEndoscopicImageStorage", "EncapsulatedPDFStorage", "Comprehensive3DSRStorage"} {
			if strings.Contains(out, class) {
				classes[class]++
			}
		}
	}
	require.Equal(t, map[string]int{"VLEndoscopicImageStorage": 3, "EncapsulatedPDFStorage": 3, "Comprehensive3DSRStorage": 3}, classes,
		"the model's report, what was signed and what withdrew it")
	for _, name := range []string{"ris", "emr"} {
		request, err := http.NewRequest(http.MethodPost, "http://"+g.web+"/api/v1/destinations/"+name+"/echo", strings.NewReader("{}"))
		require.NoError(t, err)
		request.Header.Set(admin.ActionHeader, "test")
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Contains(t, string(text), `"ok":true`)
	}
	for _, secret := range []string{"s3cret-token", "Müller", "Weiß"} {
		require.NotContains(t, g.Log(), secret)
	}
	g.process.Stop()
}
