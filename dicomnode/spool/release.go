package spool

import (
	"errors"
	"fmt"
)

// Release says that the bytes of the entries ids are no longer needed. Large files go at once,
// a segment when none of its entries is needed. IDs that are not there are passed over, as are those of notes.
// A release is not stored: after a restart the caller releases again.
func (s *Spool) Release(ids ...string) error {
	var errs []error
	for _, id := range ids {
		s.mu.Lock()
		large := s.drop(id)
		s.mu.Unlock()
		if large {
			errs = append(errs, removeIfThere(s.largePath(id)))
		}
	}
	s.mu.Lock()
	unneeded := s.sweep()
	s.mu.Unlock()
	errs = append(errs, s.removeSegments(unneeded))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("spool: release: %w", err)
	}
	return nil
}

// drop takes id out of the index and reports whether it has a file of its own.
func (s *Spool) drop(id string) bool {
	p, ok := s.byID[id]
	if !ok {
		return false
	}
	delete(s.byID, id)
	sl := &p.seg.slots[p.index]
	sl.released = true
	s.count(*sl, -1)
	p.seg.live--
	p.seg.needed -= sl.size
	return sl.large
}

// sweep takes the segments that nobody needs off the list; the caller removes their files. The
// last one stays: its name and its records carry the Seq over a restart.
func (s *Spool) sweep() []*segment {
	var unneeded []*segment
	kept := s.segs[:0:0]
	for i, g := range s.segs {
		if g.live > 0 || g.left > 0 || g.keep || i == len(s.segs)-1 {
			kept = append(kept, g)
		} else {
			unneeded = append(unneeded, g)
		}
	}
	s.segs = kept
	return unneeded
}

// removeSegments removes files of segments after their indexes, and lets no power cut bring one of these back alone: an index without its
// segment says that somebody else removed that. One that stays behind is found again by the next Open.
func (s *Spool) removeSegments(segs []*segment) error {
	if len(segs) == 0 {
		return nil
	}
	var errs []error
	for _, g := range segs {
		errs = append(errs, removeIfThere(s.indexPath(g)))
	}
	if err := errors.Join(append(errs, s.o.disk.syncFolder(s.indexDir()))...); err != nil {
		return err
	}
	for _, g := range segs {
		errs = append(errs, removeIfThere(g.path))
	}
	return errors.Join(errs...)
}
