package spool

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPurge takes what was released off the disk, however little it is, and nothing else, also over a restart.
func TestPurge(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{InlineLimit: 1000})
	require.NoError(t, err)
	keep := func(words string) string {
		e, err := s.Append(Entry{Kind: Message, Record: []byte(`{}`)}, []byte(words))
		require.NoError(t, err)
		return e.ID
	}
	has := func(words string) bool {
		files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
		require.NoError(t, err)
		for _, name := range files {
			b, err := os.ReadFile(name)
			require.NoError(t, err)
			if bytes.Contains(b, []byte(words)) {
				return true
			}
		}
		return false
	}
	var kept []string
	for range 20 {
		kept = append(kept, keep("kept"))
	}
	secret := keep("secret")
	large := keep(strings.Repeat("secret too", 1000))
	require.NoError(t, s.Release(secret, large))
	require.True(t, has("secret"), "released is not gone")
	left, err := s.Purge(t.Context())
	require.NoError(t, err)
	require.Empty(t, left)
	require.True(t, has("secret"), "its segment is being written")
	s.BeginSegment()
	last := keep("last")
	left, err = s.Purge(t.Context())
	require.NoError(t, err)
	require.Empty(t, left)
	require.False(t, has("secret"))
	require.NoError(t, s.Close())
	s, err = Open(dir, Options{InlineLimit: 1000})
	require.NoError(t, err)
	for _, id := range append(kept, last) {
		require.True(t, s.Has(id))
	}
	require.False(t, s.Has(secret))
	require.NoError(t, s.Close())
}
