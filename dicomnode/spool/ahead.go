package spool

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
)

// A sync of records that are the first to stand in their blocks has to note these blocks as well, and waits for the journal of the file
// system. So the next segment is made while the one before it is filled: zeros are written to all of it. What is committed then is nothing
// but its own bytes. It costs that everything is written twice, which pays where syncs have little to write.

const (
	aheadChunk = 1 << 20   // of zeros, on the disk before the next: commits beside it do not wait for more
	aheadMost  = 512 << 10 // bytes of a sync, in the mean, above which making segments ahead does not pay
)

// ahead is the segment to come.
type ahead struct {
	making sync.WaitGroup

	mu   sync.Mutex
	on   bool
	f    *os.File // all of it is on the disk; nil: there is none
	size int64
	busy bool // one is being made
	ends bool // none is made any more
}

// MakeAhead has segments made before they are needed from now on, by a spool that much is committed to: each from the time on that the one before
// it is half full.
func (s *Spool) MakeAhead() {
	s.ahead.mu.Lock()
	defer s.ahead.mu.Unlock()
	s.ahead.on = true
}

// prepare begins to make the next segment, where there is none.
func (s *Spool) prepare() {
	a, size := &s.ahead, s.o.SegmentSize
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.on || a.f != nil || a.busy || a.ends || s.nextSize(0) < size {
		return
	}
	a.busy = true
	a.making.Go(func() {
		f, err := s.makeAhead(size)
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.busy = false; err == nil { // else it is made when it is needed, by who can say what is wrong
			a.f, a.size = f, size
		}
	})
}

func (s *Spool) makeAhead(size int64) (*os.File, error) {
	path := filepath.Join(s.tmpDir(), "ahead")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := s.writeAhead(f, size); err != nil {
		return nil, errors.Join(err, f.Close(), removeIfThere(path))
	}
	return f, nil
}

func (s *Spool) writeAhead(f *os.File, size int64) error {
	if err := preallocate(f, size); err != nil {
		return err
	}
	zeros := make([]byte, min(size, aheadChunk))
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if s.ahead.ending() {
			return ErrClosed
		}
		zeros = zeros[:min(int64(len(zeros)), size-at)]
		if _, err := f.WriteAt(zeros, at); err != nil {
			return err
		}
		writeback(f, at, int64(len(zeros)))
	}
	return s.o.disk.sync(f)
}

func (a *ahead) ending() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ends
}

// take returns the file of a segment of that size, nil where there is none. One of another size is given up: the disk is nearly full.
func (a *ahead) take(size int64) *os.File {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.f
	if a.f = nil; f == nil || a.size == size {
		return f
	}
	_ = errors.Join(f.Close(), removeIfThere(f.Name())) // costs space until the next Open
	return nil
}

// end gives up what is there and what is being made.
func (a *ahead) end() {
	a.mu.Lock()
	a.ends = true
	a.mu.Unlock()
	a.making.Wait()
	a.take(-1)
}
