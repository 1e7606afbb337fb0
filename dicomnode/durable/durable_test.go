package durable

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "name")
	for _, content := range []string{"first", "second, longer", ""} {
		require.NoError(t, WriteFile(path, []byte(content)))
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, content, string(got))
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)

	require.ErrorIs(t, WriteFile(filepath.Join(dir, "missing", "name"), nil), os.ErrNotExist)
}

func TestWriteFile_keepsWhatWasThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "name")
	require.NoError(t, WriteFile(path, []byte("old")))
	require.NoError(t, os.Mkdir(path+".new", 0o700)) // in the way of the new one
	require.Error(t, WriteFile(path, []byte("new")))
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "old", string(got))
}

func TestSyncFolder(t *testing.T) {
	require.NoError(t, SyncFolder(t.TempDir()))
	require.ErrorIs(t, SyncFolder(filepath.Join(t.TempDir(), "missing")), os.ErrNotExist)
}
