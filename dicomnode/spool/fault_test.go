package spool

import (
	"errors"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	errDisk = &faultError{syscall.EIO}

	logSteps   = []string{"segment:written", "segment:renamed", "log:begin", "log:written", "log:synced"}
	largeSteps = append([]string{"large:spill", "large:synced", "large:renamed", "large:durable"}, logSteps...)
)

type faultError struct{ error }

func (e *faultError) Unwrap() error { return e.error }

// commitKinds are the two ways of a data set to the disk with the steps of each.
var commitKinds = []struct {
	name  string
	size  int
	steps []string
}{
	{"small", 300, logSteps},
	{"large", 3000, largeSteps},
}

// forEachStep runs test for each step of each kind of commit, with what was committed before:
// nothing, or an entry in the segment that the step then belongs to.
func forEachStep(t *testing.T, test func(t *testing.T, s *Spool, step string, size int, before []Entry)) {
	for _, kind := range commitKinds {
		for _, step := range kind.steps {
			t.Run(kind.name+"/"+step+"/first", func(t *testing.T) {
				test(t, smallSegments(t), step, kind.size, nil)
			})
			if step == "segment:written" || step == "segment:renamed" {
				continue
			}
			t.Run(kind.name+"/"+step+"/later", func(t *testing.T) {
				s := smallSegments(t)
				test(t, s, step, kind.size, []Entry{mustPut(t, s, randomBytes(100))})
			})
		}
	}
}

// smallSegments opens a spool whose folder is quickly copied.
func smallSegments(t *testing.T) *Spool {
	t.Helper()
	s := openSpool(t, t.TempDir(), Options{InlineLimit: 1000})
	s.o.SegmentSize = 8000
	return s
}

// failAt lets the next time a commit comes to step fail, and no other.
func failAt(s *Spool, step string, err error) {
	s.hook = func(name string) error {
		if name != step {
			return nil
		}
		s.hook = nil
		return err
	}
}

func TestFault_eachStep(t *testing.T) {
	forEachStep(t, func(t *testing.T, s *Spool, step string, size int, before []Entry) {
		failAt(s, step, errDisk)
		_, err := put(s, randomBytes(size))
		require.ErrorIs(t, err, syscall.EIO)
		requireWhole(t, s, before...)
		requireEmpty(t, s.largeDir())

		e, err := put(s, randomBytes(size))
		require.NoError(t, err, "the spool works on")
		require.EqualValues(t, len(before)+1, e.Seq)
		all := append(before, e)
		requireWhole(t, s, all...)
		requireWhole(t, openImage(t, s), all...)
		require.NoError(t, s.Close())
		s = openSpool(t, s.dir, Options{})
		requireWhole(t, s, all...)
		require.Empty(t, s.Recovered().Damaged)
		requireEmpty(t, s.tmpDir())
	})
}

// openImage opens a copy of s's folder as it is now.
func openImage(t *testing.T, s *Spool) *Spool {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "image")
	takeImage(t, s.dir).write(t, dir)
	return openSpool(t, dir, Options{})
}

// TestFault_diesAtEachStep opens what the folder holds at each step, as after a kill.
func TestFault_diesAtEachStep(t *testing.T) {
	forEachStep(t, func(t *testing.T, s *Spool, step string, size int, before []Entry) {
		var left image
		s.hook = func(name string) error {
			if name == step {
				left = takeImage(t, s.dir)
			}
			return nil
		}
		e := mustPut(t, s, randomBytes(size))
		require.NotNil(t, left, "the step is on the way of this commit")

		dir := filepath.Join(t.TempDir(), "image")
		left.write(t, dir)
		died := openSpool(t, dir, Options{})
		want := before
		if died.Last() == e.Seq {
			want = append(want, e) // written but not acknowledged: whole or not at all
		}
		requireWhole(t, died, want...)
		requireEmpty(t, died.tmpDir())
		require.EqualValues(t, len(want)+1, mustPut(t, died, nil).Seq)
	})
}

func TestFault_diskFull(t *testing.T) {
	forEachStep(t, func(t *testing.T, s *Spool, step string, size int, _ []Entry) {
		failAt(s, step, &faultError{syscall.ENOSPC})
		_, err := put(s, randomBytes(size))
		require.ErrorIs(t, err, ErrFull)
		require.ErrorIs(t, err, syscall.ENOSPC)
	})
}

// TestFault_syncOfGroup lets the sync of a group fail: all its commits fail, none is visible,
// and a record of it that reached the disk is not taken for one that was committed later.
func TestFault_syncOfGroup(t *testing.T) {
	s := smallSegments(t)
	before := mustPut(t, s, randomBytes(10))
	const group = 5
	entered, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	held := 0
	s.hook = func(name string) error {
		if name == "log:begin" {
			once.Do(func() { close(entered); <-leave })
		}
		if name == "log:synced" {
			if held++; held == 2 {
				return errDisk
			}
		}
		return nil
	}
	errs := make(chan error, group+1)
	commit := func(n int) { _, err := put(s, randomBytes(n)); errs <- err }
	go commit(1)
	<-entered
	for n := range group {
		go commit(20 + n)
	}
	require.Eventually(t, func() bool {
		return s.commits.Waiting() == group
	}, waitFor, tick)
	close(leave)
	failed := 0
	for range group + 1 {
		if err := <-errs; err != nil {
			require.ErrorIs(t, err, syscall.EIO)
			failed++
		}
	}
	require.Equal(t, group, failed)
	all := entries(t, s, 0)
	require.Len(t, all, 2)
	require.Equal(t, before, all[0])
	after := mustPut(t, s, randomBytes(30))
	require.EqualValues(t, 3, after.Seq)
	all = append(all, after)
	requireWhole(t, s, all...)
	require.Len(t, s.segs, 2)
	requireWhole(t, openImage(t, s), all...)
}

// TestFault_failedRecordsOnDisk keeps the truncation of a failed segment from happening: the
// next segment's name alone must make its records void.
func TestFault_failedRecordsOnDisk(t *testing.T) {
	s := smallSegments(t)
	before := mustPut(t, s, randomBytes(10))
	var left image
	s.hook = func(name string) error {
		if name != "log:synced" {
			return nil
		}
		left = takeImage(t, s.dir)
		s.hook = nil
		return errDisk
	}
	_, err := put(s, randomBytes(20))
	require.ErrorIs(t, err, syscall.EIO)
	after := mustPut(t, s, randomBytes(30))
	now := takeImage(t, s.dir)
	name := filepath.Join("log", segmentName(1))
	now[name] = left[name]
	dir := filepath.Join(t.TempDir(), "image")
	now.write(t, dir)
	again := openSpool(t, dir, Options{})
	requireWhole(t, again, before, after)
	require.Empty(t, again.Recovered().Damaged)
}

func TestOpen_faultWhileRewriting(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	require.NoError(t, err)
	s.o.SegmentSize = 8000
	e := mustPut(t, s, randomBytes(100))
	crash(t, s)
	for _, step := range []string{"recover:written"} {
		broken := &Spool{dir: dir, o: Options{}.withDefaults(), byID: map[string]place{}, hook: func(name string) error {
			if name == step {
				return errDisk
			}
			return nil
		}}
		require.ErrorIs(t, broken.recover(), errors.Unwrap(errDisk))
	}
	requireWhole(t, openSpool(t, dir, Options{}), e)
}
