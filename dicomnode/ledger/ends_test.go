package ledger

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCheckAtStart_ends damages the last leaf of every table and index of a ledger as if it were too large to be looked at as a
// whole, and every page above it.
func TestCheckAtStart_ends(t *testing.T) {
	file, _ := worked(t)
	path := filepath.Join(t.TempDir(), "ledger.db")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	l := reopen(t, path)
	problems, err := l.checkAnd(t.Context(), ends)
	require.NoError(t, err)
	require.Empty(t, problems, "a sound one")
	roots, err := query(t.Context(), l.readDB, scanInt, "SELECT rootpage FROM sqlite_schema WHERE rootpage > 0")
	require.NoError(t, err)
	require.Greater(t, len(roots), 90)
	pageSize := int64(file[16])<<8 | int64(file[17])
	for _, root := range roots { // of a ledger with little in it, the root is the leaf at both ends of most
		broken := bytes.Clone(file)
		clear(broken[(root-1)*pageSize : root*pageSize])
		path := filepath.Join(t.TempDir(), "ledger.db")
		require.NoError(t, os.WriteFile(path, broken, 0o600))
		l, err := Open(path)
		if err != nil {
			require.True(t, IsTrouble(err))
			continue
		}
		_, err = l.checkAnd(t.Context(), ends)
		require.NoError(t, err)
		require.ErrorContains(t, l.Trouble(), "endogate ledger rebuild", "page %d", root)
		require.NoError(t, l.Close())
	}
}

// TestCheckAtStart_large does not look at all of a large ledger.
func TestCheckAtStart_large(t *testing.T) {
	file, _ := worked(t)
	path := filepath.Join(t.TempDir(), "ledger.db")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	l := reopen(t, path)
	all, problems, err := l.CheckAtStart(t.Context())
	require.NoError(t, err)
	require.Empty(t, problems)
	require.True(t, all)
	require.NoError(t, os.Truncate(path+"-wal", wholeAtStart))
	all, _, err = l.CheckAtStart(t.Context())
	require.NoError(t, err)
	require.False(t, all)
}
