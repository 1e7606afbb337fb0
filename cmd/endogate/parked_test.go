package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/configs"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/intake"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
)

// parkedFolder is the data folder of a gateway that does not run, with instances that no route has work for.
func parkedFolder(t *testing.T, studies ...string) (config string) {
	t.Helper()
	dir := t.TempDir()
	config = filepath.Join(dir, "c.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, "data_dir: %s\nspool: {reserve: 0}\n", filepath.Join(dir, "data")), 0o600))
	cfg, err := configs.Load(config)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(cfg.DataDir, 0o700))
	store, err := spool.Open(cfg.SpoolDir(), spool.Options{})
	require.NoError(t, err)
	l, err := ledger.Open(cfg.LedgerFile())
	require.NoError(t, err)
	_, err = l.Keep(t.Context(), intake.Journal{Spool: store, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	for i, study := range studies {
		w, err := store.Create()
		require.NoError(t, err)
		_, err = w.Commit(spool.Entry{Kind: spool.Received, At: time.Now(), Header: dicom.Header{SOPInstance: dicom.SOPInstance{
			SOPClassUID: "1.2.840.10008.5.1.4.1.1.77.1.1", SOPInstanceUID: dicom.UID(fmt.Sprintf("1.2.3.%d", i)), SeriesInstanceUID: "1.2.3", StudyInstanceUID: dicom.UID(study),
		}}})
		require.NoError(t, err)
	}
	follow := &intake.Follower{Spool: store, Ledger: l, Jobs: func() {}, Deliveries: func() {}, Log: slog.New(slog.DiscardHandler)}
	require.NoError(t, follow.CatchUp(t.Context()))
	require.NoError(t, l.Close())
	require.NoError(t, store.Close())
	return config
}

// TestParked_atRest: what waits for a person is seen and given up while the gateway does not run, and a ledger that is made
// anew from the spool knows of it.
func TestParked_atRest(t *testing.T) {
	config := parkedFolder(t, "1.2", "1.2", "1.5")
	run := func(args ...string) (int, string) {
		code, out, complaints := endogate(append([]string{"--config", config}, args...)...)
		return code, out + complaints
	}
	_, list := run("parked", "list")
	require.Contains(t, list, "3 of 3 items")
	require.Contains(t, list, "no route matches")
	code, said := run("parked", "discard", "--study", "1.2", "--dry-run")
	require.Zero(t, code, said)
	require.Contains(t, said, "2 items would be discarded")
	_, list = run("parked", "list")
	require.Contains(t, list, "3 of 3 items")
	code, said = run("parked", "retry", "--all")
	require.Zero(t, code, said)
	require.Contains(t, said, "0 items put back in the queue; 3 items stay, each of which is a decision of its own")
	code, said = run("parked", "discard", "--study", "1.2")
	require.Zero(t, code, said)
	require.Contains(t, said, "2 items discarded")
	code, said = run("ledger", "rebuild")
	require.Zero(t, code, said)
	_, list = run("parked", "list")
	require.Contains(t, list, "1 of 1 items")
	id := strings.Fields(list[strings.Index(list, "instance-"):])[0]
	code, said = run("parked", "retry", id)
	assert.Equal(t, exitFailure, code)
	assert.Contains(t, said, "send it again")
	code, said = run("parked", "discard", id)
	require.Zero(t, code, said)
	code, said = run("parked", "discard", "--kind", "instance")
	assert.Equal(t, exitFailure, code)
	assert.Contains(t, said, "nothing that is parked matches")

	for _, wrong := range [][]string{{"parked", "retry"}, {"parked", "discard", "job-1", "--all"}, {"parked", "discard", "job-1", "--dry-run"}, {"parked", "list", "--kind", "mail"}} {
		code, _ := run(wrong...)
		assert.Equal(t, exitUsage, code, wrong)
	}
}

// TestParked_ofARunningGateway: where a gateway has the data folder it is asked.
func TestParked_ofARunningGateway(t *testing.T) {
	config := parkedFolder(t, "1.2")
	cfg, err := configs.Load(config)
	require.NoError(t, err)
	store, err := spool.Open(cfg.SpoolDir(), spool.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	code, _, complaints := endogate("--config", config, "parked", "discard", "--all")
	assert.Equal(t, exitFailure, code)
	assert.Contains(t, complaints, "no gateway answers at 127.0.0.1:8080")

	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.String())
		assert.NotEmpty(t, r.Header.Get("X-Endogate-Action"))
		_, _ = fmt.Fprint(w, `{"matched": 3, "done": 2, "kept": 0, "failed": 1, "dry_run": false}`)
	}))
	defer s.Close()
	code, out, complaints := endogate("--config", config, "parked", "retry", "--destination", "pacs", "--to", strings.TrimPrefix(s.URL, "http://"))
	require.Zero(t, code, complaints)
	assert.Contains(t, out, "2 items put back in the queue; 1 item was not parked any more")
	code, _, complaints = endogate("--config", config, "parked", "discard", "job-e7.demo", "--to", strings.TrimPrefix(s.URL, "http://"))
	require.Zero(t, code, complaints)
	assert.Equal(t, []string{"POST /api/v1/parked/retry?destination=pacs&dry_run=false", "POST /api/v1/parked/job-e7.demo/discard"}, asked)
}
