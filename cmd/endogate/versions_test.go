package main

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/gateway"
	"endogate/cmd/endogate/installed"
	"endogate/configs"
	"endogate/dicomnode/ledger"
	"endogate/inference"
	"endogate/inference/onnx"
)

// TestModel_versions: what a running gateway says of a model's versions is printed, for persons and for programs, and one of them put in force.
func TestModel_versions(t *testing.T) {
	config := parkedFolder(t)
	var asked []string
	fails := false
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.String())
		switch {
		case r.Method == http.MethodGet:
			_, _ = fmt.Fprintf(w, `{"versions": [{"version": "0.9.0", "digest": "%064d", "folder": "/m/0.9", "in_force": true, "configured": false, "since": "2026-11-30T08:00:00Z", "by": "person anna", "reason": ""},
				{"version": "1.0.0", "digest": "%064d", "folder": "/m/1.0", "in_force": false, "configured": true, "by": "", "reason": ""}]}`, 9, 1)
		case fails:
			w.WriteHeader(http.StatusAccepted)
			_, _ = fmt.Fprint(w, `{"id": "t", "state": "failed", "reason": "refused: nothing has changed: no network"}`)
		default:
			w.WriteHeader(http.StatusAccepted)
			_, _ = fmt.Fprintf(w, `{"id": "t", "state": "done", "result": {"version": %q, "digest": "%064d", "folder": "/m/1.0", "in_force": true, "configured": true, "since": "2026-11-30T09:00:00Z", "by": "person anna", "reason": ""}}`, r.URL.Query().Get("version"), 1)
		}
	}))
	defer s.Close()
	run := func(args ...string) (int, string, string) {
		return endogate(append(args, "--config", config, "--to", strings.TrimPrefix(s.URL, "http://"))...)
	}
	code, out, complaints := run("model", "versions", "demo")
	require.Zero(t, code, complaints)
	require.Regexp(t, `0\.9\.0 +0{12} +in force +2026-11-30 08:00:00 by person anna +/m/0\.9`, out)
	require.Regexp(t, `1\.0\.0 +0{12} +as configured +never in force +/m/1\.0`, out)
	code, out, complaints = run("model", "versions", "demo", "--json")
	require.Zero(t, code, complaints)
	var answer struct{ Versions []map[string]any }
	require.NoError(t, json.Unmarshal([]byte(out), &answer))
	require.Equal(t, "0.9.0", answer.Versions[0]["version"])

	code, out, complaints = run("model", "rollback", "demo", "1.0.0")
	require.Zero(t, code, complaints)
	require.Contains(t, out, "in force, as configured")
	code, out, complaints = run("model", "rollback", "demo", "--as-configured", "--json")
	require.Zero(t, code, complaints)
	var one map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &one))
	require.Equal(t, "1.0.0", one["version"])
	require.Equal(t, []string{
		"GET /api/v1/models/demo/versions", "GET /api/v1/models/demo/versions", "POST /api/v1/models/demo/rollback?version=1.0.0", "GET /api/v1/models/demo/versions",
		fmt.Sprintf("POST /api/v1/models/demo/rollback?digest=%064d&version=1.0.0", 1),
	}, asked)
	fails = true
	code, _, complaints = run("model", "rollback", "demo", "0.7.0")
	require.Equal(t, exitFailure, code)
	require.Contains(t, complaints, "nothing has changed: no network")
	for _, wrong := range [][]string{{"model", "rollback", "demo"}, {"model", "rollback", "demo", "1.0.0", "--as-configured"}} {
		code, _, _ := run(wrong...)
		assert.Equal(t, exitUsage, code, wrong)
	}
}

// TestModel_rollbackAtRest: where no gateway runs, what a person has put in force is taken back in its data folder.
func TestModel_rollbackAtRest(t *testing.T) {
	config := parkedFolder(t)
	cfg, err := configs.Load(config)
	require.NoError(t, err)
	l, err := ledger.Open(cfg.LedgerFile())
	require.NoError(t, err)
	chosen := ledger.BundleVersion{Name: "demo", Version: "1.0", Digest: "d10", Dir: "/m/demo", OverVersion: "2.0", OverDigest: "d20"}
	require.NoError(t, l.PutInForce(t.Context(), []ledger.BundleVersion{chosen}, time.Unix(1_700_000_000, 0)))
	require.NoError(t, l.Close())
	code, _, complaints := endogate("model", "rollback", "demo", "--as-configured", "--config", config)
	require.Zero(t, code, complaints)
	require.Contains(t, complaints, "demo is as configured from the next start on")
	code, out, complaints := endogate("audit", "search", "as configured", "--config", config)
	require.Zero(t, code, complaints)
	require.Contains(t, out, "endogate model rollback")
	code, _, complaints = endogate("model", "rollback", "demo", "--as-configured", "--config", config)
	require.Equal(t, exitFailure, code)
	require.Contains(t, complaints, "model demo is as configured")
	code, _, complaints = endogate("model", "rollback", "demo", "1.0", "--config", config, "--to", "127.0.0.1:1")
	require.Equal(t, exitFailure, code, "that is a gateway's to try")
	require.NotEmpty(t, complaints)
}

// TestDoctor_versions: doctor tries the version that is in force, as route try does, and says who has put it there; a ledger of an earlier release, whose gateway of
// this one has not started yet, is no fault.
func TestDoctor_versions(t *testing.T) {
	if _, err := onnx.FindLibrary(""); err != nil {
		installed.Lacking(t, "%v; make setup brings it", err)
	}
	cfg := configs.Default()
	cfg.DataDir = t.TempDir()
	demo, err := filepath.Abs("../../testdata/models/demo")
	require.NoError(t, err)
	cfg.Models = []configs.Model{{Dir: demo}}
	look := func() (string, error) {
		for _, check := range (doctorCmd{}).checks(cfg) {
			if check.name == "models and routes" {
				return check.look(t.Context())
			}
		}
		return "", fmt.Errorf("no such check")
	}
	packed, err := os.Open("../../dicomnode/ledger/testdata/0001.db.gz")
	require.NoError(t, err)
	defer packed.Close()
	from, err := gzip.NewReader(packed)
	require.NoError(t, err)
	old, err := io.ReadAll(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(cfg.LedgerFile(), old, 0o600))
	said, err := look()
	require.NoError(t, err)
	require.Equal(t, "demo-colon loaded and tried", said)

	l, err := ledger.Open(cfg.LedgerFile())
	require.NoError(t, err)
	other := filepath.Join(t.TempDir(), "demo-0.9")
	require.NoError(t, os.Mkdir(other, 0o700))
	manifest, err := os.ReadFile(filepath.Join(demo, "model.yaml"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(other, "model.yaml"), []byte(strings.Replace(string(manifest), "version: 1.0.0", "version: 0.9.0", 1)), 0o600))
	require.NoError(t, os.Symlink(filepath.Join(demo, "model.onnx"), filepath.Join(other, "model.onnx")))
	bundle, err := inference.LoadBundle(demo)
	require.NoError(t, err)
	digest := bundle.Digest
	chosen := ledger.BundleVersion{Name: "demo-colon", Version: "0.9.0", Digest: digest, Dir: other, OverVersion: "1.0.0", OverDigest: digest, Since: time.Unix(1_700_000_000, 0), By: ledger.Actor{Kind: ledger.ActorPerson, Name: "anna"}}
	require.NoError(t, l.PutInForce(t.Context(), []ledger.BundleVersion{chosen}, time.Unix(1_700_000_000, 0)))
	require.NoError(t, l.Close())
	said, err = look()
	require.NoError(t, err)
	require.Contains(t, said, "demo-colon is 0.9.0 in place of 1.0.0, which is configured: person anna")
	require.NoError(t, os.Remove(filepath.Join(other, "model.yaml")))
	_, err = look()
	require.ErrorContains(t, err, "which person anna has put in force in place of 1.0.0")
	_, err = gateway.TryRoute(t.Context(), cfg, nil, "")
	require.ErrorContains(t, err, "which person anna has put in force in place of 1.0.0")
}
