package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/ledger"
)

// A patient that nobody knows is not said to be removed.
func TestPatientErase_unknown(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "c.yaml")
	require.NoError(t, os.WriteFile(config, []byte("data_dir: "+dir+"\nspool: {reserve: 1MiB}\n"), 0o600))
	l, err := ledger.Open(filepath.Join(dir, "ledger.db"))
	require.NoError(t, err)
	require.NoError(t, l.Close())
	for _, tt := range []struct {
		id, says string
		code     int
	}{
		{"NOSUCH", "no such patient", exitFailure},
		{"", "empty", exitUsage},
		{" ", "empty", exitUsage},
	} {
		code, out, complaints := endogate("patient", "erase", "--config", config, tt.id)
		assert.Equal(t, tt.code, code, complaints)
		assert.Contains(t, complaints, tt.says)
		assert.Empty(t, out)
	}
}
