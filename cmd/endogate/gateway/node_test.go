package gateway

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNodeID(t *testing.T) {
	dir := t.TempDir()
	id, err := nodeID(dir)
	require.NoError(t, err)
	assert.Regexp(t, nodePattern, id)
	again, err := nodeID(dir)
	require.NoError(t, err)
	assert.Equal(t, id, again, "it is kept")
	other, err := nodeID(t.TempDir())
	require.NoError(t, err)
	assert.NotEqual(t, id, other)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1, "nothing is left beside it")

	require.NoError(t, os.WriteFile(filepath.Join(dir, nodeFile), []byte("ward-3\n"), 0o600))
	id, err = nodeID(dir)
	require.NoError(t, err)
	assert.Equal(t, "ward-3", id, "a name that a person has given")
}

func TestNodeID_refuses(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{"", "a.b", "a b", "*"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, nodeFile), []byte(text), 0o600))
		_, err := nodeID(dir)
		require.ErrorContains(t, err, "node-id does not hold a name", "%q", text)
	}
	_, err := nodeID(filepath.Join(dir, "missing"))
	require.ErrorContains(t, err, "node: ")
}
