package spool

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
)

// TestScarce fills a real file system: up to the reserve with what comes in, up to the floor with what is made, and on with notes, as a
// ledger writes them. Once what is done is released, its room is given back, out of each segment, with what is left to do that with.
func TestScarce(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Log("nobody may mount here: ", err)
		return
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	memory := installed.Watched(t)
	random := rand.New(rand.NewPCG(1, 2))
	s, err := Open(filepath.Join(dir, "spool"), Options{InlineLimit: 250_000, SegmentSize: 1 << 20, Reserve: 8 << 20})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	kept, rounds := 0, installed.Scaled(2, 9)
	for round := range rounds {
		var held, left []Entry
		fill := func(create func() (*Writer, error)) {
			for {
				w, err := create()
				if errors.Is(err, ErrFull) {
					return
				}
				require.NoError(t, err)
				_, err = w.Write(randomBytes(random.IntN(200_000)))
				require.NoError(t, err)
				e, err := w.Commit(sampleEntry())
				require.NoError(t, err, "round %d: what was begun above the floor fits", round)
				held = append(held, e)
			}
		}
		fill(s.Create)
		require.NoError(t, s.Exhausted(), "the reserve is there")
		fill(s.CreateMade)
		for range 1000 {
			_, err := s.Append(action(), randomBytes(400))
			require.NoError(t, err, "round %d: a note has its place below the floor", round)
		}
		for i, e := range held { // of each segment some is still needed
			if i%9 == round {
				left = append(left, e)
				continue
			}
			require.NoError(t, s.Release(e.ID))
		}
		for range 3 {
			_, _ = s.Compact(t.Context()) // what finds no room finds it after the others
		}
		require.NoError(t, s.Full(), "round %d", round)
		for _, e := range left {
			_, data, err := readAll(s, e.ID)
			require.NoError(t, err)
			require.Equal(t, e.Digest, hexDigest(data))
			require.NoError(t, s.Release(e.ID))
			kept++
		}
		require.NoError(t, s.ReleaseNotes(s.Last()))
	}
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("a disk filled %d times, to the reserve by what comes in, to the floor by what is made, and on by notes; an eighth of each segment is still needed: the room of the rest is given back", rounds),
		Kept:  kept, Memory: memory.Memory(),
	})
}
