package spool

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
)

// TestRecover_damageAnywhere changes one byte of a spool, anywhere in any of its files: it opens, every entry is there as it was but
// the one that the byte belongs to, and of what is not as it was the spool says so. (What stands in the head of a segment, its index has too.)
func TestRecover_damageAnywhere(t *testing.T) {
	memory := installed.Watched(t)
	base := quickDir(t)
	dir := filepath.Join(base, "whole")
	s, err := Open(dir, Options{InlineLimit: 300})
	require.NoError(t, err)
	s.o.SegmentSize = 4096
	want := map[string][]byte{}
	for n := range 24 {
		data := randomBytes(n % 4 * 130)
		want[mustPut(t, s, data).ID] = data
	}
	require.NoError(t, s.Close())
	whole := takeImage(t, dir)
	changed, lost := 0, 0
	for name, b := range whole {
		if name == "LOCK" {
			continue
		}
		for at := 0; at < len(b); at += installed.Scaled(41, 1) {
			b[at] ^= 0x5A
			torn := filepath.Join(base, "torn")
			whole.write(t, torn)
			s, err := Open(torn, Options{InlineLimit: 300})
			require.NoError(t, err, "%s at %d", name, at)
			sound, said := 0, len(s.Recovered().Damaged)
			if s.Recovered().TornBytes > 0 { // as of a record that was never whole; the ledger knows whether it was
				said++
			}
			for e, err := range s.Entries(0) {
				require.NoError(t, err)
				_, data, err := readAll(s, e.ID)
				if errors.Is(err, ErrCorrupt) {
					said++
					continue
				}
				require.NoError(t, err)
				require.True(t, bytes.Equal(want[e.ID], data), "%s at %d: nothing is shown as it never was", name, at)
				sound++
			}
			require.NoError(t, s.Close())
			b[at] ^= 0x5A
			missing := len(want) - sound
			require.LessOrEqual(t, missing, 1, "%s at %d", name, at)
			require.True(t, missing == 0 || said > 0, "%s at %d: %d are missing, and nothing is said", name, at, missing)
			changed++
			lost += missing
		}
	}
	require.NotZero(t, lost)
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("a byte of the spool changed, %d places in segments and large files: it opens, and names the entry whose byte it was; the others are whole", changed), Kept: len(want), Memory: memory.Memory(),
	})
}
