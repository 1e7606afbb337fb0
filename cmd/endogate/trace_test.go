package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
)

// TestTrace_besideTheGateway reads a ledger that a gateway has open.
func TestTrace_besideTheGateway(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "endogate.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, "data_dir: %q\n", filepath.Join(dir, "data")), 0o600))
	trace := func(name string) (string, string, int) {
		var out, errs strings.Builder
		code := execute(context.Background(), []string{"trace", "--config", config, name}, console{&out, &errs})
		return out.String(), errs.String(), code
	}
	_, complaint, code := trace("1.2")
	require.NotZero(t, code)
	require.Contains(t, complaint, "ledger.db")

	require.NoError(t, os.MkdirAll(filepath.Join(dir, "data"), 0o700))
	l, err := ledger.Open(filepath.Join(dir, "data", "ledger.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	_, err = l.Receive(t.Context(), []ledger.Receipt{{
		ID: "e1", Seq: 1, At: time.Now(), Header: dicom.Header{SOPInstance: dicom.SOPInstance{
			SOPClassUID: "1.2.840.10008.5.1.4.1.1.77.1.1", SOPInstanceUID: "1.2.3.1", SeriesInstanceUID: "1.2.3", StudyInstanceUID: "1.2",
		}},
	}}, 1)
	require.NoError(t, err)
	out, complaint, code := trace("1.2")
	require.Zero(t, code, complaint)
	require.Contains(t, out, "parked\n  1 of 1 instances not analysed\n")
	require.Contains(t, out, "1.2.3.1")
	var found, trail strings.Builder
	require.Zero(t, execute(t.Context(), []string{"find", "--config", config, "1.2"}, console{&found, &found}), found.String())
	require.Contains(t, found.String(), "1 of 1 studies")
	require.Zero(t, execute(t.Context(), []string{"audit", "search", "--config", config, "Query"}, console{&trail, &trail}), trail.String())
	require.Regexp(t, `(?s)endogate find, found: 1; Study Instance UID 1\.2 .*endogate trace, found: 1; Study Instance UID 1\.2 `, trail.String())
	_, complaint, code = trace("Novak")
	require.NotZero(t, code)
	for _, said := range []string{"ledger.db", "Study Instance UID", "SOP Instance UID", "accession number", "patient ID"} {
		require.Contains(t, complaint, said)
	}
	require.NotContains(t, complaint, "Novak", "it may be a patient")
	_, err = l.TakeMessage(t.Context(), ledger.Inbound{
		Message: ledger.Message{Entry: "m1", Application: "RIS", ControlID: "1", Digest: "d", Type: "ORM^O01", Answer: ledger.Answer{Protocol: "hl7", Code: "AA"}, At: time.Now()},
		Orders:  []ledger.OrderChange{{Patch: []byte(`{"accession":"A77","study_uid":"1.77","priority":"STAT","patient":{"identifier":{"id":"Novak"}}}`)}},
	})
	require.NoError(t, err)
	for _, name := range []string{"A77", "1.77"} {
		out, complaint, code = trace(name)
		require.Zero(t, code, complaint)
		require.Contains(t, out, "order  accession A77  study 1.77  STAT open  from RIS")
		require.Contains(t, out, "no images of it yet")
		require.NotContains(t, out, "Novak")
	}
	_, err = l.Position(t.Context())
	require.NoError(t, err, "the gateway goes on")
}
