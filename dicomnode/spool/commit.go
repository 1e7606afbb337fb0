package spool

import (
	"bytes"
	"fmt"

	"endogate/dicomnode/durable"
)

// pending is a record that waits to be written.
type pending struct {
	header recordHeader
	meta   []byte
	data   [][]byte
	slot   slot
	entry  Entry // without its Seq

	seq uint64
	err error
}

func (p *pending) size() int64 { return recordHeaderSize + int64(len(p.meta)) + p.header.dataLen }

// committer is the end of the log. Only the one that leads a group touches active and next.
type committer struct {
	durable.Group[*pending]

	active *segment // being written; nil: the next commit opens one
	next   uint64   // Seq of the next record
	size   int64    // of the next segment
}

// append writes the record of p and returns once it is durable.
func (s *Spool) append(p *pending) error {
	ok := s.commits.Do(p, func(take durable.Take[*pending]) {
		room := s.room(p.size())
		group := take(func(waiting []*pending) int { return fitting(waiting, room) })
		err := s.writeGroup(group)
		if err == nil {
			s.publish(s.commits.active, group)
		}
		for _, q := range group {
			q.err = err
		}
	})
	if !ok {
		return ErrClosed
	}
	return p.err
}

// fitting is how many of the records fit into room.
func fitting(waiting []*pending, room int64) (n int) {
	for _, p := range waiting {
		if room -= p.size(); room < 0 {
			break
		}
		n++
	}
	return n
}

// room returns the bytes left in the segment being written, retiring it when n does not fit.
func (s *Spool) room(n int64) int64 {
	c := &s.commits
	if g := c.active; g != nil {
		if anew := s.anew.Swap(false); !anew && g.end+n <= g.size {
			return g.size - g.end
		}
		s.retire(g)
		c.active = nil
	}
	c.size = s.nextSize(n)
	return c.size - segmentHeaderSize
}

// nextSize is the size of a segment that begins with a record of n bytes. What is left of a disk that is nearly full is not preallocated
// in one piece: giving room back needs some.
func (s *Spool) nextSize(n int64) int64 {
	space, err := s.o.disk.free(s.dir)
	if err != nil {
		return s.o.SegmentSize
	}
	return min(s.o.SegmentSize, max(space.bytes/8, segmentHeaderSize+n))
}

// writeGroup makes the records of group durable, all or none.
func (s *Spool) writeGroup(group []*pending) error {
	c := &s.commits
	if c.active == nil {
		g, err := s.createSegment(c.next, c.size)
		if err != nil {
			return fmt.Errorf("spool: commit: new segment: %w", full(err))
		}
		c.active = g
		s.addSegment(g)
	}
	g := c.active
	end, err := s.writeRecords(g, group)
	if err == nil {
		err = g.inPlace()
	}
	if err != nil {
		// What the disk kept of this group is unknown: nothing more goes into this file.
		s.retire(g)
		c.active = nil
		return fmt.Errorf("spool: commit: %w", full(err))
	}
	g.end = end
	g.syncs++
	c.next += uint64(len(group))
	if g.end > g.size/2 && g.end/g.syncs <= aheadMost {
		s.prepare()
	}
	return nil
}

// writeRecords writes group at the end of g and syncs it; it returns the new end.
func (s *Spool) writeRecords(g *segment, group []*pending) (int64, error) {
	bufs := make([][]byte, 0, 4*len(group))
	end := g.end
	for i, p := range group {
		p.seq = s.commits.next + uint64(i)
		p.header.seq = p.seq
		p.slot.seq, p.slot.off, p.slot.size = p.seq, end, p.size()
		bufs = append(bufs, encodeRecordHead(p.header, g.salt, p.meta))
		bufs = append(bufs, p.data...)
		end += p.size()
	}
	if err := s.step("log:begin"); err != nil {
		return 0, err
	}
	if err := writeVector(g.f, bufs, g.end); err != nil {
		return 0, err
	}
	if err := s.step("log:written"); err != nil {
		return 0, err
	}
	if err := s.o.disk.syncData(g.f); err != nil {
		return 0, fmt.Errorf("sync %s: %w", g.f.Name(), err)
	}
	return end, s.step("log:synced")
}

// addSegment puts g at the end of the log, in place of one of the same name.
func (s *Spool) addSegment(g *segment) {
	s.mu.Lock()
	if n := len(s.segs); n > 0 && s.segs[n-1].first == g.first {
		s.segs[n-1] = g
	} else {
		s.segs = append(s.segs, g)
	}
	unneeded := s.sweep()
	s.mu.Unlock()
	_ = s.removeSegments(unneeded) // costs space until the next Open, not the commit
}

// publish makes committed records visible.
func (s *Spool) publish(g *segment, group []*pending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range group {
		s.insert(g, p.slot)
		s.recent.keep(p)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// recent are the data sets committed last: whoever follows the log is seldom far behind, and need not read back what was just written.
type recent [1024]Entry

// maxRecent bounds what is kept of one, in bytes of JSON: peers may send values of any length. Most are of half a kilobyte.
const maxRecent = 8 << 10

// keep keeps the entry of a data set, but for one whose text is not UTF-8, as an AE title may be, and so not read back as it is.
func (r *recent) keep(p *pending) {
	if p.entry.Kind.DataSet() && len(p.meta) <= maxRecent && !bytes.Contains(p.meta, []byte(`\ufffd`)) {
		p.entry.Seq = p.seq
		r[p.seq%uint64(len(r))] = p.entry
	}
}

// recently is the entry of sl, false where it is not among the last.
func (s *Spool) recently(sl slot) (Entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.recent[sl.seq%uint64(len(s.recent))]
	return e, e.Seq == sl.seq && e.ID == sl.id
}

// count adds an entry to what Usage tells, or with by -1 takes it away.
func (s *Spool) count(sl slot, by int) {
	if sl.action {
		s.actions += by
	} else {
		s.bytes += int64(by) * sl.bytes
	}
}

// insert adds a slot to the index.
func (s *Spool) insert(g *segment, sl slot) {
	g.used = max(g.used, sl.off+sl.size)
	g.last, s.last = max(g.last, sl.seq), max(s.last, sl.seq)
	if sl.note() {
		g.notes = append(g.notes, sl)
		g.left++
		g.noteBytes += sl.size
		g.lastNote = sl.seq
		s.notes++
	} else {
		g.slots = append(g.slots, sl)
	}
	if sl.released {
		return
	}
	g.needed += sl.size
	if sl.note() {
		return
	}
	g.live++
	s.count(sl, 1)
	s.byID[sl.id] = place{g, len(g.slots) - 1}
}
