package spool

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
)

// spare is the next segment file, filled with zeros while the present one is written. A sync after writing
// over blocks that are there takes half the time of one in blocks that are only reserved, which the file
// system has to note as written first.
type spare struct {
	filling sync.WaitGroup
	mu      sync.Mutex
	file    *os.File // ready to be used; nil: none
	busy    bool     // one is being filled
	closed  bool
}

func (s *Spool) sparePath() string { return filepath.Join(s.dir, "spare") }

// takeSpare returns a file of a segment's size, nil when none is ready.
func (s *Spool) takeSpare() *os.File {
	s.spare.mu.Lock()
	defer s.spare.mu.Unlock()
	f := s.spare.file
	s.spare.file = nil
	return f
}

// prepareSpare fills a spare in the background, unless there is one, or no room for it.
func (s *Spool) prepareSpare() {
	s.spare.mu.Lock()
	defer s.spare.mu.Unlock()
	if s.spare.closed || s.spare.busy || s.spare.file != nil || s.Full() != nil {
		return
	}
	s.spare.busy = true
	s.spare.filling.Go(func() {
		f, err := s.fillSpare()
		s.spare.mu.Lock()
		defer s.spare.mu.Unlock()
		s.spare.busy = false
		if err == nil { // else the next segment does without
			s.spare.file = f
		}
	})
}

func (s *Spool) fillSpare() (*os.File, error) {
	f, err := os.OpenFile(s.sparePath(), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, min(s.o.SegmentSize, 1<<20))
	for off := int64(0); off < s.o.SegmentSize; off += int64(len(zeros)) {
		n := min(int64(len(zeros)), s.o.SegmentSize-off)
		if _, err := f.WriteAt(zeros[:n], off); err != nil {
			return nil, errors.Join(err, f.Close(), removeIfThere(f.Name()))
		}
		startWriteback(f, off, n) // bit by bit: the syncs of the log do not wait behind all of it
	}
	if err := syncData(f); err != nil {
		return nil, errors.Join(err, f.Close(), removeIfThere(f.Name()))
	}
	return f, nil
}

// dropSpare waits for one that is being filled and removes what there is.
func (s *Spool) dropSpare() error {
	s.spare.mu.Lock()
	s.spare.closed = true
	s.spare.mu.Unlock()
	s.spare.filling.Wait()
	if f := s.takeSpare(); f != nil {
		return errors.Join(f.Close(), removeIfThere(f.Name()))
	}
	return nil
}
