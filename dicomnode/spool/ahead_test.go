package spool

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// whole waits until no segment is being made, and returns the file of the one that is there; nil: none is.
func (a *ahead) whole() *os.File {
	a.making.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.f
}

// TestAhead fills segments: each is the file that was written over before it was needed, all of it.
func TestAhead(t *testing.T) {
	dir := t.TempDir()
	s := smallSegments(t)
	s.MakeAhead()
	s.prepare()
	var all []Entry
	taken := 0
	for len(s.segs) < 4 {
		segments, f := len(s.segs), s.ahead.whole()
		var is os.FileInfo
		if f != nil {
			there, err := os.ReadFile(f.Name())
			require.NoError(t, err)
			require.Equal(t, make([]byte, s.o.SegmentSize), there)
			is, err = f.Stat()
			require.NoError(t, err)
		}
		all = append(all, mustPut(t, s, randomBytes(700)))
		if len(s.segs) == segments {
			continue
		}
		require.NotNil(t, f, "the next segment is there before it is needed")
		taken++
		now, err := os.Stat(s.segs[len(s.segs)-1].path)
		require.NoError(t, err)
		require.True(t, os.SameFile(is, now))
		require.EqualValues(t, s.o.SegmentSize, now.Size())
	}
	require.Equal(t, 4, taken)
	requireWhole(t, s, all...)
	takeImage(t, s.dir).write(t, dir) // with what is of a segment to come, as after a kill
	died := openSpool(t, dir, Options{})
	requireWhole(t, died, all...)
	requireEmpty(t, died.tmpDir())
	require.NoError(t, s.Close())
	requireEmpty(t, s.tmpDir())
	requireWhole(t, openSpool(t, s.dir, Options{}), all...)
}

// TestAhead_notWorthIt makes none where syncs have much to write.
func TestAhead_notWorthIt(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{})
	s.MakeAhead()
	s.prepare()
	require.NotNil(t, s.ahead.whole(), "how much syncs have to write is not known yet")
	for s.commits.active == nil || s.commits.active.end <= s.o.SegmentSize*3/4 {
		mustPut(t, s, bytes.Repeat([]byte{1}, 1<<20))
	}
	require.Nil(t, s.ahead.whole())
}

// TestAhead_diskNearlyFull gives up what was made ahead, and makes none, where the disk has little room.
func TestAhead_diskNearlyFull(t *testing.T) {
	s := smallSegments(t)
	s.MakeAhead()
	s.prepare()
	require.NotNil(t, s.ahead.whole())
	s.o.disk.free = func(string) (room, error) { return room{bytes: 8 * s.o.SegmentSize / 2}, nil }
	e := mustPut(t, s, randomBytes(100))
	require.Nil(t, s.ahead.whole())
	requireEmpty(t, s.tmpDir())
	require.EqualValues(t, s.o.SegmentSize/2, s.commits.active.size)
	s.prepare()
	require.Nil(t, s.ahead.whole())
	requireWhole(t, s, e)
}

// TestAhead_fault leaves it to the commit that needs a segment to say that the disk does not take one.
func TestAhead_fault(t *testing.T) {
	s := smallSegments(t)
	sync := s.o.disk.sync
	s.o.disk.sync = func(*os.File) error { return errDisk }
	s.MakeAhead()
	s.prepare()
	require.Nil(t, s.ahead.whole())
	requireEmpty(t, s.tmpDir())
	_, err := put(s, nil)
	require.ErrorIs(t, err, errDisk)
	s.o.disk.sync = sync
	requireWhole(t, s, mustPut(t, s, nil))
}

// TestCreateMade_inTheLog has what is made in the log where what comes in would have a file.
func TestCreateMade_inTheLog(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{})
	for size, large := range map[int]bool{3 << 20: false, 5 << 20: true} {
		w, err := s.CreateMade()
		require.NoError(t, err)
		_, err = w.Write(make([]byte, size))
		require.NoError(t, err)
		e, err := w.Commit(sampleEntry())
		require.NoError(t, err)
		_, err = os.Stat(filepath.Join(s.largeDir(), e.ID))
		require.Equal(t, large, err == nil, "%d bytes", size)
	}
}
