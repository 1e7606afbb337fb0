package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A limit on the size of files stops a start wherever it is met first: the lock, the ledger, its migration, the first segment. What to do is said each time.
func TestServe_fileSizeLimit(t *testing.T) {
	if dir := os.Getenv("ENDOGATE_TEST_SERVE_IN"); dir != "" {
		os.Exit(execute(t.Context(), []string{"serve", "--config", filepath.Join(dir, "endogate.yaml")}, console{os.Stdout, os.Stderr}))
	}
	for _, kib := range []string{"0", "1", "16", "100", "4096"} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "endogate.yaml"), []byte("data_dir: "+dir+"/data\n"+
			"dicom: {listen: \"127.0.0.1:0\", peers: [{ae_title: \"*\", hosts: [127.0.0.0/8]}]}\nhttp: {listen: \"127.0.0.1:0\"}\n"+
			"routes: [{name: all, match: {modality: [ES]}, destinations: [pacs], forward_source: true}]\n"+
			"spool: {segment_size: 64MiB}\ndestinations: [{name: pacs, kind: dicom, ae_title: PACS, address: \"127.0.0.1:4242\"}]\n"), 0o600))
		cmd := exec.Command("sh", "-c", `ulimit -f "$1"; exec "$0" -test.run TestServe_fileSizeLimit`, os.Args[0], kib)
		cmd.Env = append(os.Environ(), "ENDOGATE_TEST_SERVE_IN="+dir)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		assert.Equal(t, exitFailure, exit.ExitCode(), "%s", out)
		assert.Equal(t, 1, strings.Count(string(out), "raise the limit (ulimit -f"), "limit %s KiB: %s", kib, out)
	}
}
