package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// Recovery tells what Open found and did.
type Recovery struct {
	Entries   int      // entries in the log
	Newest    uint64   // Seq of the newest entry that the log has, or had by what it tells; 0: it is empty
	TornBytes int64    // bytes cut from the end of the last segment
	Removed   int      // unfinished files, and large files without a record, that were removed
	Damaged   []string // places that cannot be read; their segments are kept for good, in log/ or in damaged/
	Mended    []string // segments whose header was damaged, and is made anew of their index: nothing of them is lost
}

// recover builds the index from the folder.
func (s *Spool) recover() error {
	if err := s.emptyTmp(); err != nil {
		return err
	}
	firsts, err := s.listSegments()
	if err != nil {
		return err
	}
	large, err := s.listLarge()
	if err != nil {
		return err
	}
	damaged, err := s.listDamaged()
	if err != nil {
		return err
	}
	bounds := append(damagedFirsts(damaged), firsts...)
	slices.Sort(bounds)
	gone, err := s.listGone(bounds)
	if err != nil {
		return err
	}
	bounds, firsts = append(bounds, gone...), append(firsts, gone...)
	slices.Sort(bounds)
	slices.Sort(firsts)
	var through uint64 // segments up to here are copied into one before
	var void []*segment
	for _, first := range firsts {
		_, isGone := slices.BinarySearch(gone, first)
		switch {
		case first <= through && !isGone:
			void = append(void, &segment{path: filepath.Join(s.logDir(), segmentName(first))})
		case first <= through:
		case isGone:
			through, err = s.recoverGone(first, large)
		default:
			through, err = s.recoverSegment(first, bounds, large)
		}
		if err != nil {
			return fmt.Errorf("segment %s: %w", segmentName(first), err)
		}
	}
	if len(bounds) > 0 {
		s.recovery.Newest = bounds[len(bounds)-1] - 1
		s.last = max(s.last, s.recovery.Newest)
	}
	for _, g := range s.segs {
		s.recovery.Newest = max(s.recovery.Newest, g.last)
	}
	s.reportDamaged(damaged)
	s.commits.next = s.last + 1
	s.recovery.Entries = len(s.byID)
	for _, g := range s.segs {
		s.recovery.Entries += g.left
	}
	if err := s.removeIndexes(); err != nil {
		return err
	}
	if len(s.recovery.Damaged) > 0 {
		return nil // a large file may belong to a record that cannot be read, a record may be in the void segment too
	}
	return errors.Join(s.removeVoid(void), s.removeOrphans(large))
}

// listGone returns the firsts of segments that an index has and nothing else, where there is something in them: we remove the index first.
func (s *Spool) listGone(there []uint64) (gone []uint64, err error) {
	names, err := os.ReadDir(s.indexDir())
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		first, ok := parseSegmentName(n.Name())
		if _, found := slices.BinarySearch(there, first); !ok || found {
			continue
		}
		x, _, err := s.goneIndex(first)
		if err == nil && x.held+x.notes > 0 {
			gone = append(gone, first)
		} else if err != nil && !errors.Is(err, errIndex) {
			return nil, err
		}
	}
	return gone, nil
}

// goneIndex reads what an index says beside notes, whatever salt its segment has.
func (s *Spool) goneIndex(first uint64) (index, []slot, error) {
	in, err := os.Open(s.indexPath(&segment{first: first}))
	if err != nil {
		return index{}, nil, err
	}
	defer func() { _ = in.Close() }()
	x, err := readIndexHeader(in)
	if err != nil {
		return index{}, nil, err
	}
	return readIndex(in, &segment{first: first, through: x.through, salt: x.salt}, false)
}

// recoverGone has the entries of a segment whose file somebody removed, as its index names them: whoever reads them is told that they are
// lost, and they are there again with the file.
func (s *Spool) recoverGone(first uint64, large map[string]bool) (through uint64, err error) {
	x, places, err := s.goneIndex(first)
	if err != nil {
		return 0, err
	}
	g := &segment{path: filepath.Join(s.logDir(), segmentName(first)), first: first, through: x.through, salt: x.salt, unfit: true}
	s.recovery.Damaged = append(s.recovery.Damaged, fmt.Sprintf("%s: the file is gone, which had %d data sets and messages and %d actions", segmentName(first), x.held, x.notes))
	s.segs = append(s.segs, g)
	return g.through, s.fill(g, x, places, large)
}

// mendHeader writes the header of a segment anew of what its index says, where the records are those of the index.
func (s *Spool) mendHeader(g *segment) bool {
	x, places, err := s.goneIndex(g.first)
	if err != nil || len(places) == 0 {
		return false
	}
	f, err := os.OpenFile(g.path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	sl := places[0]
	if h, _, err := readRecord(f, sl.off, sl.off+sl.size, x.salt); err != nil || h.seq != sl.seq {
		return false
	}
	if _, err := f.WriteAt(encodeSegmentHeader(x.first, x.through, x.salt), 0); err != nil || s.o.disk.sync(f) != nil {
		return false
	}
	s.recovery.Mended = append(s.recovery.Mended, segmentName(g.first))
	return true
}

// removeVoid removes segments that a compaction has copied.
func (s *Spool) removeVoid(void []*segment) error {
	if len(void) == 0 {
		return nil
	}
	if err := s.o.disk.syncFolder(s.logDir()); err != nil { // the name of the copy may be in the page cache only
		return err
	}
	s.recovery.Removed += len(void)
	return s.removeSegments(void)
}

func (s *Spool) emptyTmp() error {
	names, err := os.ReadDir(s.tmpDir())
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := os.RemoveAll(filepath.Join(s.tmpDir(), n.Name())); err != nil {
			return err
		}
		s.recovery.Removed++
	}
	return nil
}

func (s *Spool) listSegments() ([]uint64, error) {
	names, err := os.ReadDir(s.logDir())
	if err != nil {
		return nil, err
	}
	var firsts []uint64
	for _, n := range names {
		if first, ok := parseSegmentName(n.Name()); ok && first > 0 {
			firsts = append(firsts, first)
		}
	}
	slices.Sort(firsts)
	return firsts, nil
}

// listLarge returns the names in large/, each with whether a record of it was found.
func (s *Spool) listLarge() (map[string]bool, error) {
	names, err := os.ReadDir(s.largeDir())
	if err != nil {
		return nil, err
	}
	large := make(map[string]bool, len(names))
	for _, n := range names {
		large[n.Name()] = false
	}
	return large, nil
}

func (s *Spool) removeOrphans(large map[string]bool) error {
	for name, found := range large {
		if found {
			continue
		}
		if err := removeIfThere(s.largePath(name)); err != nil {
			return err
		}
		s.recovery.Removed++
	}
	return nil
}

// recoverSegment indexes the segment, and returns the Seq up to which other segments are void. bounds has the firsts of
// all segments.
func (s *Spool) recoverSegment(first uint64, bounds []uint64, large map[string]bool) (through uint64, err error) {
	g := &segment{path: filepath.Join(s.logDir(), segmentName(first)), first: first}
	f, err := os.Open(g.path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	sc, err := newScanner(f, st.Size(), first, 0)
	if errors.Is(err, errHeader) && s.mendHeader(g) {
		sc, err = newScanner(f, st.Size(), first, 0)
	}
	if errors.Is(err, errHeader) {
		name, asideErr := s.setAside(g)
		s.recovery.Damaged = append(s.recovery.Damaged, fmt.Sprintf("%s: %v; moved to damaged/%s", segmentName(first), err, name))
		return 0, asideErr
	}
	if err != nil {
		return 0, err
	}
	if next, _ := slices.BinarySearch(bounds, sc.through+1); next < len(bounds) {
		sc.until = bounds[next]
	}
	g.salt, g.through = sc.salt, sc.through
	err = s.recoverIndexed(g, f, sc.until, large)
	if errors.Is(err, errIndex) {
		return g.through, s.indexSegment(g, f, sc, large)
	}
	s.segs = append(s.segs, g)
	return g.through, err
}

// indexSegment indexes the records that sc finds in g, whose file is f.
func (s *Spool) indexSegment(g *segment, f *os.File, sc *scanner, large map[string]bool) error {
	first, until := g.first, sc.until // 0: the last one
	for sc.next() {
		sl := sc.slot()
		if _, twice := s.byID[sl.id]; twice {
			return fmt.Errorf("entry %s stands in the log twice", sl.id)
		}
		s.insert(g, withFile(sl, large))
	}
	if sc.err != nil {
		return sc.err
	}
	g.used = max(g.used, sc.size)
	if until == 0 || sc.seq+1 >= until {
		s.recovery.TornBytes += sc.tail // no record is missing: what is there was never committed
	} else if sc.tail > 0 {
		sc.gaps = append(sc.gaps, gap{sc.end, sc.tail})
	}
	g.keep = len(sc.gaps) > 0
	where := segmentName(first)
	if until == 0 && sc.size != sc.end {
		if g.keep {
			// The writes of a group may reach the disk out of order: what is missing before a whole record may be of
			// the last group, which nobody was told of.
			name, err := s.keepDamaged(g)
			if err != nil {
				return err
			}
			where, g.keep = "may never have been acknowledged: damaged/"+name, false
		}
		if err := s.rewrite(g, f); err != nil {
			return err
		}
	}
	for _, hole := range sc.gaps {
		s.recovery.Damaged = append(s.recovery.Damaged, fmt.Sprintf("%s: %d bytes at %d", where, hole.size, hole.off))
	}
	s.segs = append(s.segs, g)
	s.writeIndex(g)
	return nil
}

// rewrite puts a copy of g that has its whole records and nothing else in its place, synced.
// Records whose sync was never reported may be in the page cache only; writing them anew is
// the one way to know that they are on disk before anyone is told of them.
func (s *Spool) rewrite(g *segment, f *os.File) error {
	temp := filepath.Join(s.tmpDir(), segmentName(g.first))
	out, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := copyRecords(out, g, f); err != nil {
		return errors.Join(err, out.Close(), removeIfThere(temp))
	}
	if err := errors.Join(s.o.disk.sync(out), out.Close()); err != nil {
		return errors.Join(err, removeIfThere(temp))
	}
	if err := s.step("recover:written"); err != nil {
		return err
	}
	if err := os.Rename(temp, g.path); err != nil {
		return err
	}
	return s.o.disk.syncFolder(s.logDir())
}

// copyRecords copies the records of g and moves its slots to where the copies are.
func copyRecords(out io.Writer, g *segment, f io.ReaderAt) error {
	if _, err := out.Write(encodeSegmentHeader(g.first, g.through, g.salt)); err != nil {
		return err
	}
	at := int64(segmentHeaderSize)
	for _, sl := range g.inOrder() {
		if _, err := io.Copy(out, io.NewSectionReader(f, sl.off, sl.size)); err != nil {
			return err
		}
		sl.off = at
		at += sl.size
	}
	g.used = at
	return nil
}
