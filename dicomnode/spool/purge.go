package spool

import (
	"context"
	"errors"
	"path/filepath"
)

// BeginSegment has the next entry begin a segment: what is there by then can be purged.
func (s *Spool) BeginSegment() { s.anew.Store(true) }

// Purge takes the bytes of all released entries off the disk: every segment that has some is copied without them, as
// Compact does, however little that frees. It returns what it must not touch: segments that are damaged, and damaged/,
// which may have such bytes. The segment being written stays, see BeginSegment.
func (s *Spool) Purge(ctx context.Context) (left []string, err error) {
	s.compaction.Lock()
	defer s.compaction.Unlock()
	s.mu.Lock()
	var sparse []*segment
	for i, g := range s.segs {
		switch {
		case i == len(s.segs)-1 || g.needed == g.used-segmentHeaderSize:
		case g.keep:
			left = append(left, g.path)
		default:
			sparse = append(sparse, g)
		}
	}
	s.mu.Unlock()
	var errs []error
	for _, g := range sparse {
		switch _, err := s.compact(ctx, []*segment{g}); {
		case errors.Is(err, errUnfit):
			left = append(left, g.path)
		case err != nil:
			errs = append(errs, err)
		}
	}
	damaged, err := s.listDamaged()
	for _, name := range damaged {
		left = append(left, filepath.Join(s.damagedDir(), name))
	}
	return left, errors.Join(append(errs, err)...)
}
