package spool

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// errUnfit says that a segment has a record that cannot be copied whole.
var errUnfit = errors.New("spool: a record cannot be read whole, its segment stays as it is")

// Compact gives back the room of released entries that others hold on to: a segment of which less than half is needed,
// and small ones beside each other, are copied together into one that has what is needed and nothing else. While the
// disk has less room than the reserve it does so already where an eighth can be given back. It needs room for one
// segment at a time, and takes it from the reserve. IDs and Seqs stay, readers that are open read on, and large files
// are not touched. It returns the bytes that were given back; an error does not keep it from the other segments.
func (s *Spool) Compact(ctx context.Context) (int64, error) {
	s.compaction.Lock()
	defer s.compaction.Unlock()
	if err := s.moved(); err != nil {
		return 0, err
	}
	var freed int64
	var errs []error
	for _, run := range s.sparseRuns(errors.Is(s.Full(), ErrFull)) {
		if ctx.Err() != nil {
			break
		}
		n, err := s.compact(ctx, run)
		freed += n
		if err != nil && ctx.Err() == nil {
			errs = append(errs, err)
		}
	}
	return freed, errors.Join(errs...)
}

// sparseRuns returns neighbours in the log that are worth a copy, those that need the least room first.
func (s *Spool) sparseRuns(hard bool) [][]*segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.segs) == 0 {
		return nil
	}
	var runs [][]*segment
	var run []*segment
	var room int64
	sparse := false
	end := func() {
		if sparse || len(run) > 1 {
			runs = append(runs, run)
		}
		run, room, sparse = nil, s.o.SegmentSize-segmentHeaderSize, false
	}
	end()
	for _, g := range s.segs[:len(s.segs)-1] { // the last one is being written, or carries the Seq on
		if g.keep || g.unfit || !g.sparse(hard) && g.used > s.o.SegmentSize/8 {
			end()
			continue
		}
		if g.needed > room || len(run) > 0 && g.through-run[0].first > math.MaxUint32 {
			end()
		}
		run, room, sparse = append(run, g), room-g.needed, sparse || g.sparse(hard)
	}
	end()
	slices.SortStableFunc(runs, func(a, b []*segment) int { return cmp.Compare(neededBytes(a), neededBytes(b)) })
	return runs
}

func (g *segment) sparse(hard bool) bool {
	if g.live == 0 && len(g.slots) > 0 {
		return true // what is left is notes, which are kept for long: without the others Open has nothing to look at
	}
	records := g.used - segmentHeaderSize
	if hard {
		return 8*g.needed < 7*records
	}
	return 2*g.needed < records
}

func neededBytes(run []*segment) (n int64) {
	for _, g := range run {
		n += g.needed
	}
	return n
}

// compact puts one segment into the place of run. It has the name of the first of them, and its header says that it is
// all of them: once it has the name, the others count no more, whether their files are still there or not.
func (s *Spool) compact(ctx context.Context, run []*segment) (freed int64, err error) {
	temp := filepath.Join(s.tmpDir(), segmentName(run[0].first))
	g, err := s.copyNeeded(ctx, run, temp)
	if err != nil {
		return 0, errors.Join(fmt.Errorf("spool: compact %s: %w", segmentName(run[0].first), full(err)), removeIfThere(temp))
	}
	freed, err = s.replace(run, g, temp)
	if err != nil || freed == 0 {
		return 0, errors.Join(err, removeIfThere(temp))
	}
	err = s.step("compact:renamed")
	if err == nil {
		err = s.o.disk.syncFolder(s.logDir())
	}
	if err == nil {
		err = errors.Join(s.step("compact:synced"), s.removeSegments(run[1:]))
	}
	s.writeIndex(g)
	if err != nil { // the next Open removes what is left
		return 0, fmt.Errorf("spool: compact %s: %w", segmentName(g.first), err)
	}
	return freed, nil
}

// copyNeeded writes what is needed of run to the file temp, synced.
func (s *Spool) copyNeeded(ctx context.Context, run []*segment, temp string) (*segment, error) {
	salt, err := newSalt()
	if err != nil {
		return nil, err
	}
	g := &segment{path: run[0].path, first: run[0].first, through: run[len(run)-1].through, salt: salt, used: segmentHeaderSize}
	out, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	err = s.copyRun(ctx, out, g, run)
	if err == nil {
		err = s.o.disk.sync(out)
	}
	if err == nil {
		err = s.step("compact:written")
	}
	return g, errors.Join(err, out.Close())
}

func (s *Spool) copyRun(ctx context.Context, out *os.File, g *segment, run []*segment) error {
	w := bufio.NewWriterSize(out, chunkSize)
	if _, err := w.Write(encodeSegmentHeader(g.first, g.through, g.salt)); err != nil {
		return err
	}
	for _, from := range run {
		if err := s.copySegment(ctx, w, g, from); err != nil {
			if errors.Is(err, errUnfit) {
				s.mu.Lock()
				from.unfit = true
				s.mu.Unlock()
			}
			return err
		}
		startWriteback(out, 0, 0) // all of it so far
	}
	return w.Flush()
}

// copySegment adds to g, which w writes, what is needed of from.
func (s *Spool) copySegment(ctx context.Context, w *bufio.Writer, g, from *segment) error {
	s.mu.Lock()
	for from.away() {
		s.mu.Unlock()
		if err := s.loadOf(from); err != nil {
			return err
		}
		s.mu.Lock()
	}
	slots := slices.DeleteFunc(slices.Concat(from.slots, from.notes), func(sl slot) bool { return sl.released || sl.note() && sl.seq <= s.noted })
	s.mu.Unlock()
	slices.SortFunc(slots, func(a, b slot) int { return cmp.Compare(a.seq, b.seq) })
	f, err := os.Open(from.path)
	if err = s.ofTheBytes(err); errors.Is(err, ErrCorrupt) {
		return fmt.Errorf("%w (%s is gone)", errUnfit, segmentName(from.first))
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	var record []byte
	for _, sl := range slots {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		record = slices.Grow(record[:0], int(sl.size))[:sl.size]
		if err := readFull(f, record, sl.off); errors.Is(err, errNoRecord) || err == nil && !moveRecord(record, sl.seq, from.salt, g.salt) {
			return fmt.Errorf("%w (%s at %d)", errUnfit, segmentName(from.first), sl.off)
		} else if err != nil {
			return err
		}
		if _, err := w.Write(record); err != nil {
			return err
		}
		sl.off = g.used
		g.used += sl.size
		g.last = sl.seq
		if sl.note() {
			g.notes, g.lastNote = append(g.notes, sl), sl.seq
		} else {
			g.slots = append(g.slots, sl)
		}
	}
	return nil
}

// moveRecord makes a record that is whole one of another segment. It reports false for one that is not whole.
func moveRecord(record []byte, seq, from, to uint64) bool {
	if len(record) < recordHeaderSize {
		return false
	}
	h, err := decodeRecordHeader(record[:recordHeaderSize], from)
	if err != nil || h.seq != seq || h.size() != int64(len(record)) {
		return false
	}
	meta := recordHeaderSize + h.metaLen
	if crc32.Checksum(record[recordHeaderSize:meta], castagnoli) != h.metaCRC || crc32.Checksum(record[meta:], castagnoli) != h.dataCRC {
		return false
	}
	binary.BigEndian.PutUint32(record[36:], saltedCRC(to, record[:36]))
	return true
}

// replace gives the file temp its name and puts g into the index in place of run. It returns how much smaller it is,
// and changes nothing where a segment of run has gone meanwhile.
func (s *Spool) replace(run []*segment, g *segment, temp string) (freed int64, err error) {
	s.files.Lock()
	defer s.files.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.Index(s.segs, run[0])
	if at < 0 || at+len(run) > len(s.segs) || !slices.Equal(s.segs[at:at+len(run)], run) {
		return 0, nil
	}
	if err := os.Rename(temp, g.path); err != nil {
		return 0, fmt.Errorf("spool: compact: %w", err)
	}
	s.segs = slices.Replace(s.segs, at, at+len(run), g)
	for i := range g.slots {
		sl := &g.slots[i]
		if _, there := s.byID[sl.id]; !there {
			sl.released = true
			continue
		}
		s.byID[sl.id] = place{g, i}
		g.live++
		g.needed += sl.size
	}
	for _, old := range run {
		freed += old.used
		s.notes -= old.left
	}
	s.recount(g)
	return freed - g.used, nil
}
