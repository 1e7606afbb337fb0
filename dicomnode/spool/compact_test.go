package spool

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func compact(t require.TestingT, s *Spool) int64 {
	freed, err := s.Compact(context.Background())
	require.NoError(t, err)
	return freed
}

// TestCompact_heldEntries holds one entry in a hundred: it must not keep the room of the others.
func TestCompact_heldEntries(t *testing.T) {
	dir := quickDir(t)
	s := openSpool(t, dir, Options{SegmentSize: 4 << 20})
	data := randomBytes(40 << 10)
	var held []Entry
	var rest []string
	for i := range 1000 {
		if e := mustPut(t, s, data); i%100 == 0 {
			held = append(held, e)
		} else {
			rest = append(rest, e.ID)
		}
	}
	require.NoError(t, s.Release(rest...))
	before := s.Usage()
	require.EqualValues(t, len(held)*len(data), before.Bytes)
	require.Greater(t, before.Disk, 80*before.Bytes)

	freed := compact(t, s)
	after := s.Usage()
	require.InDelta(t, before.Disk-after.Disk, freed, 50*4096, "and the indexes")
	require.Less(t, after.Disk, 2*after.Bytes+4<<20, "what is held, and the segment being written")
	require.Len(t, s.segs, 2, "small segments are one")
	requireWhole(t, s, held...)
	require.Zero(t, compact(t, s), "nothing more to do")
	require.EqualValues(t, 1001, mustPut(t, s, nil).Seq)
	require.NoError(t, s.Close())
	s = openSpool(t, dir, Options{})
	require.Empty(t, s.Recovered().Damaged)
	require.Zero(t, s.Recovered().Removed)
	require.NoError(t, s.Release(append(rest, entries(t, s, 1000)[0].ID)...)) // those of the last segment came back
	for i := range held[1:] {
		require.Equal(t, held[i+1:], entries(t, s, uint64(100*i+1)))
		require.Equal(t, held[i+1:], entries(t, s, uint64(100*i+100)))
	}
}

// sparse returns a spool with released entries in many segments, and the entries that are left.
func sparse(t *testing.T, s *Spool) []Entry {
	t.Helper()
	var left []Entry
	for i := range 60 {
		e := mustPut(t, s, randomBytes(i%4*500)) // some are large
		if i%5 == 0 {
			left = append(left, e)
		} else {
			require.NoError(t, s.Release(e.ID))
		}
	}
	require.Greater(t, len(s.segs), 4)
	return left
}

var compactSteps = []string{"compact:written", "compact:renamed", "compact:synced"}

// TestCompact_diesAtEachStep opens what the folder holds at each step, as after a kill, also when only some of the
// segments that were copied are removed.
func TestCompact_diesAtEachStep(t *testing.T) {
	for _, step := range compactSteps {
		t.Run(step, func(t *testing.T) {
			s := smallSegments(t)
			left := sparse(t, s)
			before := takeImage(t, s.dir)
			var images []image
			s.hook = func(name string) error {
				if name == step {
					images = append(images, takeImage(t, s.dir))
				}
				return nil
			}
			require.Positive(t, compact(t, s))
			require.NotEmpty(t, images)
			requireWhole(t, s, left...)
			after := takeImage(t, s.dir)
			for name, b := range before { // each of the old segments is the one that stayed
				if _, there := after[name]; !there {
					some := image{name: b}
					for name, b := range after {
						some[name] = b
					}
					images = append(images, some)
				}
			}
			require.Greater(t, len(images), 2)
			for _, im := range images {
				dir := filepath.Join(t.TempDir(), "image")
				im.write(t, dir)
				died := openSpool(t, dir, Options{})
				requireOnlyReleasedBeside(t, died, left)
				require.Empty(t, died.Recovered().Damaged)
				requireEmpty(t, died.tmpDir())
				require.EqualValues(t, 61, mustPut(t, died, nil).Seq)
				require.NoError(t, died.Close())
				again := openSpool(t, dir, Options{})
				require.Zero(t, again.Recovered().Removed, "nothing is left over")
			}
		})
	}
}

// requireOnlyReleasedBeside checks that s has all of want, whole and once; released entries come back after a restart.
func requireOnlyReleasedBeside(t require.TestingT, s *Spool, want []Entry) {
	wanted := map[string]Entry{}
	for _, e := range want {
		wanted[e.ID] = e
	}
	last := uint64(0)
	for e, err := range s.Entries(0) {
		require.Greater(t, e.Seq, last)
		last = e.Seq
		if errors.Is(err, ErrGone) {
			require.NotContains(t, wanted, e.ID)
			continue
		}
		require.NoError(t, err)
		_, data, err := readAll(s, e.ID)
		require.NoError(t, err)
		require.Equal(t, e.Digest, hexDigest(data))
		if w, ok := wanted[e.ID]; ok {
			require.Equal(t, w, e)
			delete(wanted, e.ID)
		}
	}
	require.Empty(t, wanted, "lost")
}

func TestCompact_faultAtEachStep(t *testing.T) {
	for _, step := range compactSteps {
		t.Run(step, func(t *testing.T) {
			s := smallSegments(t)
			left := sparse(t, s)
			failAt(s, step, errDisk)
			_, err := s.Compact(t.Context())
			require.ErrorIs(t, err, syscall.EIO)
			requireWhole(t, s, left...)
			requireEmpty(t, s.tmpDir())
			compact(t, s)
			left = append(left, mustPut(t, s, randomBytes(10)))
			requireWhole(t, s, left...)
			requireOnlyReleasedBeside(t, openImage(t, s), left)
		})
	}
}

// TestCompact_diskFull works below the reserve, and harder.
func TestCompact_diskFull(t *testing.T) {
	s := smallSegments(t)
	var left []Entry
	for i := range 40 {
		e := mustPut(t, s, randomBytes(1000))
		if i%4 > 0 {
			left = append(left, e)
		} else {
			require.NoError(t, s.Release(e.ID))
		}
	}
	require.Zero(t, compact(t, s), "three quarters are needed")
	s.o.Reserve = 1 << 60
	require.Positive(t, compact(t, s))
	requireWhole(t, s, left...)

	s = smallSegments(t)
	left = sparse(t, s)
	failAt(s, "compact:written", &faultError{syscall.ENOSPC})
	_, err := s.Compact(t.Context())
	require.ErrorIs(t, err, ErrFull)
	requireWhole(t, s, left...)
}

func TestCompact_powerCut(t *testing.T) {
	dir := filepath.Join(quickDir(t), "spool")
	p := newPlatter()
	s, err := Open(dir, Options{InlineLimit: 1000, disk: p.disk()})
	require.NoError(t, err)
	s.o.SegmentSize = 8000
	var left []Entry
	cut := func(string) error {
		image := filepath.Join(filepath.Dir(dir), "cut")
		p.cut(dir).write(t, image)
		after, err := Open(image, Options{})
		require.NoError(t, err)
		requireOnlyReleasedBeside(t, after, left)
		require.NoError(t, after.Close())
		return nil
	}
	for range 3 {
		s.hook = nil
		left = append(left, sparse(t, s)...)
		s.hook = cut
		compact(t, s)
		require.NoError(t, cut(""))
	}
	requireWhole(t, s, left...)
	require.NoError(t, s.Close())
}

// TestCompact_readersReadOn has entries open, and the log being read, while their segments are replaced.
func TestCompact_readersReadOn(t *testing.T) {
	s := smallSegments(t)
	left := sparse(t, s)
	var open []io.ReadSeekCloser
	for _, e := range left {
		_, r, err := s.Open(e.ID)
		require.NoError(t, err)
		open = append(open, r)
	}
	var listed []Entry
	for e, err := range s.Entries(0) {
		require.NoError(t, err)
		if listed = append(listed, e); len(listed) == 2 {
			require.Positive(t, compact(t, s))
		}
	}
	require.Equal(t, left, listed)
	for i, r := range open {
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, left[i].Digest, hexDigest(data))
		require.NoError(t, r.Close())
	}
}

// TestCompact_damagedRecord leaves a segment alone that it cannot copy whole, and copies the others.
func TestCompact_damagedRecord(t *testing.T) {
	s := smallSegments(t)
	left := sparse(t, s)
	g, sl, ok := s.find(left[0].ID)
	require.True(t, ok)
	b, err := os.ReadFile(g.path)
	require.NoError(t, err)
	b[sl.off+sl.size-1] ^= 1
	require.NoError(t, os.WriteFile(g.path, b, 0o600))
	_, err = s.Compact(t.Context())
	require.ErrorIs(t, err, errUnfit)
	require.Positive(t, compact(t, s))
	now, err := os.ReadFile(g.path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(b, now))
	for _, e := range left[1:] {
		_, _, err := readAll(s, e.ID)
		require.NoError(t, err)
	}
}

// TestCompact_damagedBetween has a segment moved aside from between two that are copied into one.
func TestCompact_damagedBetween(t *testing.T) {
	s := smallSegments(t)
	left := sparse(t, s)
	gone := s.segs[1]
	b, err := os.ReadFile(gone.path)
	require.NoError(t, err)
	b[3] ^= 1
	require.NoError(t, os.WriteFile(gone.path, b, 0o600))
	require.NoError(t, s.Close())
	require.NoError(t, os.Remove(s.indexPath(gone))) // which has what stood in the header

	s = openSpool(t, s.dir, Options{})
	s.o.SegmentSize = 8000
	require.NotEmpty(t, s.Recovered().Damaged)
	var want []Entry
	for _, e := range entries(t, s, 0) {
		if contains(left, e) {
			want = append(want, e)
		} else {
			require.NoError(t, s.Release(e.ID))
		}
	}
	require.Less(t, len(want), len(left))
	want = append(want, mustPut(t, s, nil))
	require.Positive(t, compact(t, s))
	requireWhole(t, s, want...)
	require.NoError(t, s.Close())
	requireWhole(t, openSpool(t, s.dir, Options{}), want...)
}

func contains(all []Entry, e Entry) bool {
	for _, a := range all {
		if a.ID == e.ID {
			return true
		}
	}
	return false
}

// TestCompact_concurrent commits, reads, lists, releases and compacts at once.
func TestCompact_concurrent(t *testing.T) {
	s := openSpool(t, t.TempDir(), Options{InlineLimit: 2000})
	s.o.SegmentSize = 40_000
	var writing, beside sync.WaitGroup
	done := make(chan struct{})
	held := make([][]Entry, 4)
	for i := range held {
		writing.Go(func() {
			for j := range 150 {
				e, err := put(s, randomBytes((i*150+j)*13%2400))
				if err != nil {
					t.Error(err)
					return
				}
				if j%8 == 0 {
					held[i] = append(held[i], e)
				} else if err := s.Release(e.ID); err != nil {
					t.Error(err)
				}
				for _, h := range held[i] {
					if _, data, err := readAll(s, h.ID); err != nil || hexDigest(data) != h.Digest {
						t.Errorf("entry %s: %v", h.ID, err)
					}
				}
			}
		})
	}
	loop := func(do func()) {
		beside.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					do()
				}
			}
		})
	}
	freed := int64(0)
	loop(func() {
		n, err := s.Compact(t.Context())
		if err != nil {
			t.Error(err)
		}
		freed += n
	})
	loop(func() {
		for e, err := range s.Entries(0) {
			if err != nil {
				t.Errorf("entry %d: %v", e.Seq, err)
			}
		}
	})
	writing.Wait()
	close(done)
	beside.Wait()
	require.Positive(t, freed)
	n := 0
	for _, h := range held {
		n += len(h)
		for _, e := range h {
			_, _, err := readAll(s, e.ID)
			require.NoError(t, err)
		}
	}
	require.Len(t, entries(t, s, 0), n)
}
