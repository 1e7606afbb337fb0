package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"endogate/cmd/endogate/installed"
	"endogate/cmd/endogate/peers"
	"endogate/dicomnode/dicom"
	"endogate/inference/onnx"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// endogate runs a command line and returns its exit status and what it printed.
func endogate(args ...string) (code int, out, complaints string) {
	var o, e strings.Builder
	code = execute(context.Background(), args, console{&o, &e})
	return code, o.String(), e.String()
}

// lockedBuffer takes what a command prints that runs beside the test.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// beside runs a command until the test ends; it has to end well then.
func beside(t *testing.T, args ...string) *lockedBuffer {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	out, ended := new(lockedBuffer), make(chan int, 1)
	go func() { ended <- execute(ctx, args, console{out, out}) }()
	t.Cleanup(func() {
		stop()
		assert.Zero(t, <-ended, "%v\n%s", args, out)
	})
	return out
}

// The commands as a person uses them together: a gateway, a stand-in PACS, echo, send, trace, and the report as text.
func TestCommands_together(t *testing.T) {
	if _, err := onnx.FindLibrary(""); err != nil {
		installed.Lacking(t, "%v; make setup brings it", err)
	}
	dir := t.TempDir()
	address := func() string { return fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t)) }
	scp, pacs := address(), address()
	config, archived := filepath.Join(dir, "endogate.yaml"), filepath.Join(dir, "pacs")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `data_dir: %q
dicom: {listen: %q, peers: [{ae_title: SCOPE1, hosts: [127.0.0.0/8]}]}
http: {listen: %q}
spool: {reserve: 64MiB}
models: [{dir: %q}]
routes: [{name: endoscopy, match: {modality: [ES]}, models: [demo], destinations: [pacs]}]
destinations: [{name: pacs, kind: dicom, ae_title: ARCHIVE, address: %q}]
exam: {quiet: 1s}
log: {level: warn}
`, filepath.Join(dir, "data"), scp, address(), filepath.Join(peers.Root(t), "testdata/models/demo"), pacs), 0o600))
	instances, err := filepath.Glob(filepath.Join(peers.Root(t), "testdata/instances/study1-0[12]*.dcm"))
	require.NoError(t, err)
	require.Len(t, instances, 2)

	beside(t, "archive", archived, "--listen", pacs)
	gateway := beside(t, "serve", "--config", config)
	peers.Wait(t, time.Minute, "the gateway to answer", func() bool {
		code, _, _ := endogate("echo", "--to", scp, "--called", "ENDOGATE", "--calling", "SCOPE1")
		return code == 0
	})
	code, _, complaints := endogate("send", "--to", scp, "--called", "ENDOGATE", "--calling", "NOBODY", instances[0])
	assert.Equal(t, exitFailure, code)
	assert.Contains(t, complaints, "rejected")
	assert.Contains(t, complaints, "calling AE title not recogni")
	code, out, complaints := endogate(append([]string{"send", "--to", scp, "--called", "ENDOGATE", "--calling", "SCOPE1"}, instances...)...)
	require.Zero(t, code, complaints)
	assert.Equal(t, 2, strings.Count(out, "success"), out)

	var report string
	peers.Wait(t, time.Minute, "the report at the PACS", func() bool {
		files, err := dicomFiles([]string{archived})
		if err != nil {
			return false // nothing yet
		}
		for _, f := range files {
			if f.meta.SOPClassUID == dicom.Comprehensive3DSRStorage {
				report = f.path
			}
		}
		return report != ""
	})
	files, err := dicomFiles([]string{report})
	require.NoError(t, err)
	dataset, err := files[0].open()
	require.NoError(t, err)
	defer dataset.Close()
	ts, _ := dicom.LookupTransferSyntax(files[0].meta.TransferSyntaxUID)
	var text strings.Builder
	require.NoError(t, writeReport(&text, dataset, ts))
	for _, line := range []string{"PARTIAL, UNVERIFIED, PRELIMINARY", "Finding: Polyp of colon", "Image Region: closed polyline of ", "Probability: 0."} {
		assert.Contains(t, text.String(), line)
	}

	code, out, complaints = endogate("trace", "--config", config, "A20260001")
	require.Zero(t, code, complaints)
	assert.Contains(t, out, "delivered")
	assert.Equal(t, 2, strings.Count(out, "  instance  "), out)
	assert.Equal(t, 1, strings.Count(gateway.String(), "\n"), "warned of more than the unknown peer: %s", gateway)
}

// A gateway that is full says so, and the sender's user reads it.
func TestSend_rejected(t *testing.T) {
	dir := t.TempDir()
	scp := fmt.Sprintf("127.0.0.1:%d", peers.FreePort(t))
	config := filepath.Join(dir, "endogate.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `data_dir: %q
dicom: {listen: %q, peers: [{ae_title: "*", hosts: [127.0.0.0/8]}]}
http: {listen: "127.0.0.1:%d"}
spool: {reserve: 1048576GiB}
log: {level: error}
`, filepath.Join(dir, "data"), scp, peers.FreePort(t)), 0o600))
	beside(t, "serve", "--config", config)
	var complaints string
	peers.Wait(t, time.Minute, "the gateway to answer", func() bool {
		var code int
		code, _, complaints = endogate("send", "--to", scp, "--called", "ENDOGATE", filepath.Join(peers.Root(t), "testdata/instances"))
		require.Equal(t, exitFailure, code)
		return !strings.Contains(complaints, "connection refused")
	})
	assert.Contains(t, complaints, "rejected")
	assert.Contains(t, complaints, "transient")
	assert.Contains(t, complaints, "limit exceeded")
}

// What a full disk cuts off of what a command prints is no success, whichever command it is.
func TestExecute_outputIsCutOff(t *testing.T) {
	message := filepath.Join(t.TempDir(), "m.hl7")
	require.NoError(t, os.WriteFile(message, []byte("MSH|^~\\&|RIS\r"), 0o600))
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer func() { _ = full.Close() }()
	for _, args := range [][]string{{"version"}, {"hl7", "show", message}, {"settings"}} {
		var complaints strings.Builder
		require.Equal(t, exitFailure, execute(t.Context(), args, console{full, &complaints}), args)
		require.Contains(t, complaints.String(), "no space left on device", args)
	}
}

// A folder that has something in it is left alone: what lies there may be the one good backup, and nobody is told to remove it.
func TestBackup_folderIsTaken(t *testing.T) {
	dir, data := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(data, "node-id"), []byte("n\n"), 0o600))
	t.Setenv("ENDOGATE_DATA_DIR", data)
	code, _, complaints := endogate("backup", dir)
	require.Equal(t, exitFailure, code)
	require.Contains(t, complaints, "is not empty: name a new one")
	require.NotContains(t, complaints, "remove it")
}

// What somebody mistypes is said with what to do, and changes nothing.
func TestExecute_mistyped(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, test := range []struct {
		code int
		want string
		args []string
	}{
		{0, "Usage: endogate send", []string{"help", "send"}},
		{exitUsage, "endogate --help says how it is used", []string{"serv"}},
		{exitUsage, "endogate model compare --help says how it is used", []string{"model", "compare", "a"}},
		{exitUsage, "an argument is empty", []string{"find", ""}},
		{exitUsage, "an argument is empty", []string{"trace", " "}},
		{exitUsage, "an argument is empty", []string{"retract", "--reason", "", "--model", "m"}},
		{exitUsage, "--entry 5", []string{"audit", "export", "--from", "5"}},
		{exitUsage, "neither a time such as", []string{"audit", "export", "--from", "yesterday"}},
		{exitUsage, "the earlier one is --from", []string{"audit", "search", "--from", "2026-12-02", "--before", "2026-12-01"}},
		{exitUsage, "1 or more", []string{"audit", "search", "--limit", "0"}},
		{exitUsage, "neither a time such as", []string{"screen", "start", "--from", "x", "--to", "y"}},
		{exitUsage, "write HOST:PORT", []string{"status", "--to", "http://127.0.0.1:8080"}},
		{exitFailure, "give --config", []string{"user", "list"}},
		{exitFailure, "give --config", []string{"user", "add", "anna", "--role", "viewer"}},
		{exitFailure, "give --config", []string{"token", "list"}},
		{exitFailure, "give --config", []string{"audit", "search"}},
		{exitFailure, "give --config", []string{"audit", "export"}},
		{exitUsage, "is no AE title", []string{"archive", "pacs", "--ae", "LONGER THAN SIXTEEN"}},
	} {
		code, out, complaints := endogate(test.args...)
		assert.Equal(t, test.code, code, test.args)
		assert.Contains(t, out+complaints, test.want, test.args)
	}
	made, err := os.ReadDir(".")
	require.NoError(t, err)
	assert.Empty(t, made, "a data folder where somebody forgot --config")
}
