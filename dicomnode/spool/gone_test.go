package spool

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// read is what Entries yields: who is whole, and of what else how it is named and why.
func read(s *Spool) (whole, lost []Entry, errs []error) {
	for e, err := range s.Entries(0) {
		if err != nil {
			lost, errs = append(lost, e), append(errs, err)
		} else {
			whole = append(whole, e)
		}
	}
	return whole, lost, errs
}

func TestRecover_headerMended(t *testing.T) {
	dir, g, all := sealedSegments(t, func(n int) []byte { return randomBytes(300 + n) })
	for range 2 { // what is mended can be mended again
		overwrite(t, g.path, 9, []byte("damage"))
		s, err := Open(dir, Options{InlineLimit: 1000})
		require.NoError(t, err)
		require.Empty(t, s.Recovered().Damaged)
		require.Equal(t, []string{segmentName(1)}, s.Recovered().Mended)
		requireWhole(t, s, all...)
		require.NoError(t, s.Close())
	}
	s := openSpool(t, dir, Options{InlineLimit: 1000})
	require.Empty(t, s.Recovered().Mended)
	requireWhole(t, s, all...)
}

// TestRecover_segmentGone removes the file of a segment while nobody has the spool: what was in it is named as long as anybody may look for
// it, and is there again with the file.
func TestRecover_segmentGone(t *testing.T) {
	dir, all := indexed(t)
	s := openSpool(t, dir, Options{InlineLimit: 1000})
	g := s.segs[1]
	within := func(e Entry) bool { return e.Seq >= g.first && e.Seq < s.segs[2].first }
	require.NoError(t, s.Close())
	aside := filepath.Join(t.TempDir(), "aside")
	require.NoError(t, os.Rename(g.path, aside))
	for range 2 { // as long as it is not back, or seen to
		s = openSpool(t, dir, Options{InlineLimit: 1000})
		require.Len(t, s.Recovered().Damaged, 1)
		require.Contains(t, s.Recovered().Damaged[0], segmentName(g.first)+": the file is gone")
		whole, lost, errs := read(s)
		for i, e := range lost {
			require.ErrorIs(t, errs[i], ErrCorrupt)
			require.True(t, within(e))
		}
		require.Len(t, append(whole, lost...), len(all))
		require.Equal(t, all[len(all)-1].Seq, s.Last())
		_, err := s.Compact(t.Context())
		require.NoError(t, err)
		require.NoError(t, s.Close())
	}
	require.NoError(t, os.Rename(aside, g.path))
	s = openSpool(t, dir, Options{InlineLimit: 1000})
	require.Empty(t, s.Recovered().Damaged)
	requireWhole(t, s, all...)
	require.NoError(t, s.Close())

	require.NoError(t, os.Remove(g.path))
	s = openSpool(t, dir, Options{InlineLimit: 1000})
	for _, e := range all {
		if within(e) {
			require.NoError(t, s.Release(e.ID))
		}
	}
	require.NoError(t, s.ReleaseNotes(s.segs[2].first-1))
	require.NoError(t, s.Close())
	s = openSpool(t, dir, Options{InlineLimit: 1000})
	require.Empty(t, s.Recovered().Damaged, "nobody needs it any more")
}

// TestEntries_segmentGone removes the file of a segment under a spool that is open: what was in it is lost, as far as it is still in memory
// with all that was known of it, and nothing else is held up. Without the folder itself nothing is known to be lost.
func TestEntries_segmentGone(t *testing.T) {
	s := smallSegments(t)
	var all []Entry
	for len(s.segs) < 3 {
		all = append(all, mustPut(t, s, randomBytes(900)))
	}
	large := mustPut(t, s, randomBytes(3000))
	elsewhere := s.dir + ".away"
	require.NoError(t, os.Rename(s.dir, elsewhere))
	_, lost, errs := read(s)
	require.Len(t, lost, len(all)+1)
	for _, err := range errs {
		require.NotErrorIs(t, err, ErrCorrupt)
	}
	require.NoError(t, os.Rename(elsewhere, s.dir))
	requireWhole(t, s, append(all, large)...)

	require.NoError(t, os.Remove(s.segs[0].path))
	require.NoError(t, os.Remove(s.largePath(large.ID)))
	inFirst := len(s.segs[0].slots)
	for range 2 {
		whole, lost, errs := read(s)
		require.Equal(t, all[:inFirst], lost)
		require.Equal(t, append(all[inFirst:len(all):len(all)], large), whole, "its record is there")
		for _, err := range errs {
			require.ErrorIs(t, err, ErrCorrupt)
		}
		for _, e := range append(lost, large) {
			_, _, err := readAll(s, e.ID)
			require.ErrorIs(t, err, ErrCorrupt)
			_, err = s.Read(e)
			require.ErrorIs(t, err, ErrCorrupt)
		}
		s.recent = recent{} // it is longer ago
		for i := range inFirst {
			all[i] = Entry{ID: all[i].ID, Seq: all[i].Seq}
		}
	}
	for _, e := range all[:inFirst-1] {
		require.NoError(t, s.Release(e.ID))
	}
	for range 2 {
		_, err := s.Compact(t.Context())
		if err != nil {
			require.ErrorIs(t, err, errUnfit)
		}
	}
	freed, err := s.Compact(t.Context())
	require.NoError(t, err, "it is not tried again and again")
	require.Zero(t, freed)
}

// TestEntries_notesLost: where neither index nor segment says what notes there were, one stands for all of them, and the next segment follows.
func TestEntries_notesLost(t *testing.T) {
	dir, all := indexed(t)
	for how, damage := range map[string]func(g *segment) error{
		"gone":   func(g *segment) error { return os.Remove(g.path) },
		"header": func(g *segment) error { overwrite(t, g.path, 9, []byte("damage")); return nil },
	} {
		copied := filepath.Join(t.TempDir(), "spool")
		require.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
		s := openSpool(t, copied, Options{InlineLimit: 1000})
		g := s.segs[1]
		require.True(t, g.away(), how)
		require.NoError(t, damage(g))
		require.NoError(t, os.RemoveAll(s.indexPath(g)))
		var last uint64
		named := 0
		for e, err := range s.Entries(0) {
			require.Greater(t, e.Seq, last, how)
			last = e.Seq
			if err != nil {
				require.ErrorIs(t, err, ErrCorrupt, how)
				named++
			}
			require.True(t, e.ID != "" || e.Kind == Action && err != nil, how)
		}
		require.Equal(t, all[len(all)-1].Seq, last, how)
		require.NotZero(t, named, how)
		if _, err := s.Compact(t.Context()); err != nil {
			require.ErrorIs(t, err, errUnfit, how)
		}
		_, err := s.Compact(t.Context())
		require.NoError(t, err, how)
	}
}

// TestEntries_noteUnread: a note that cannot be read is not passed over as if it had been released.
func TestEntries_noteUnread(t *testing.T) {
	s := smallSegments(t)
	note, err := s.Append(action(), randomBytes(20))
	require.NoError(t, err)
	after := mustPut(t, s, randomBytes(20))
	overwrite(t, s.segs[0].path, s.segs[0].notes[0].off+recordHeaderSize, []byte("damage"))
	whole, lost, errs := read(s)
	require.Equal(t, []Entry{after}, whole)
	require.Equal(t, []Entry{{ID: note.ID, Seq: note.Seq, Kind: Action}}, lost)
	require.ErrorIs(t, errs[0], ErrCorrupt)
	require.NoError(t, s.ReleaseNotes(note.Seq))
	_, lost, _ = read(s)
	require.Empty(t, lost)
}

// TestProbe_logGone: where segments get their names, nothing can be taken in without the folder.
func TestProbe_logGone(t *testing.T) {
	s := smallSegments(t)
	require.NoError(t, s.Probe())
	require.NoError(t, os.RemoveAll(s.logDir()))
	require.ErrorContains(t, s.Probe(), "nothing can be written")
}

// TestRelease_indexGoesFirst: that a segment was removed because nobody needs it must not look, after a power cut, as if somebody else had removed it.
func TestRelease_indexGoesFirst(t *testing.T) {
	dir, all := indexed(t)
	s := openSpool(t, dir, Options{InlineLimit: 1000})
	g, sync, ordered := s.segs[0], s.o.disk.syncFolder, false
	s.o.disk.syncFolder = func(path string) error {
		_, index := os.Stat(s.indexPath(g))
		_, segment := os.Stat(g.path)
		ordered = ordered || path == s.indexDir() && os.IsNotExist(index) && segment == nil
		return sync(path)
	}
	require.FileExists(t, s.indexPath(g))
	for _, e := range all {
		require.NoError(t, s.Release(e.ID))
	}
	require.NoError(t, s.ReleaseNotes(s.Last()))
	require.NoFileExists(t, s.indexPath(g))
	require.NoFileExists(t, g.path)
	require.True(t, ordered)
}
