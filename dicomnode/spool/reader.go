package spool

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"os"
	"sort"
)

// Open returns the entry id, which is not a note, and its data set, byte for byte as it was written and without a
// Part 10 header. The caller closes the reader. It returns ErrNotFound for an entry that is
// not there. Who reads from the start to the end without seeking gets ErrCorrupt in place of
// io.EOF when the bytes do not have the Digest.
func (s *Spool) Open(id string) (Entry, io.ReadSeekCloser, error) {
	f, sl, err := s.openSegment(id)
	if err != nil {
		return Entry{}, nil, s.readError(id, err)
	}
	e, r, err := s.openRecord(f, sl)
	if err != nil {
		return Entry{}, nil, s.readError(id, err)
	}
	return e, r, nil
}

// Read returns the bytes of an entry that Entries has yielded, as Open does, which does not find notes.
func (s *Spool) Read(e Entry) (io.ReadSeekCloser, error) {
	var log logFile
	sl, ok, err := s.openFollowing(e.Seq-1, false, &log)
	if err == nil && (!ok || sl.seq != e.Seq || sl.id != e.ID) {
		log.close()
		return nil, ErrNotFound
	}
	var r *reader
	if err == nil {
		_, r, err = s.openRecord(log.f, sl)
	}
	if err != nil {
		return nil, fmt.Errorf("spool: entry %s: %w", e.ID, s.ofTheBytes(err))
	}
	return r, nil
}

// Has reports whether the entry id is there and not a note: committed, not released, and not found without its file by Open. It does not
// look at the disk.
func (s *Spool) Has(id string) bool {
	_, sl, ok := s.find(id)
	return ok && !sl.lost
}

// openSegment opens the segment file of id, and returns its slot there.
func (s *Spool) openSegment(id string) (*os.File, slot, error) {
	s.files.RLock()
	defer s.files.RUnlock()
	g, sl, ok := s.find(id)
	if !ok {
		return nil, slot{}, ErrNotFound
	}
	f, err := os.Open(g.path)
	return f, sl, err
}

// find returns the segment and the slot of id.
func (s *Spool) find(id string) (*segment, slot, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.byID[id]
	if !ok {
		return nil, slot{}, false
	}
	return p.seg, p.seg.slots[p.index], true
}

// readError names the error of reading id, which may have been released meanwhile.
func (s *Spool) readError(id string, err error) error {
	if _, _, ok := s.find(id); !ok {
		return ErrNotFound
	}
	return fmt.Errorf("spool: entry %s: %w", id, s.ofTheBytes(err))
}

// slotError is readError of what sl is the place of, which may be that of a note.
func (s *Spool) slotError(sl slot, err error) error {
	if !sl.note() {
		return s.readError(sl.id, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sl.seq <= s.noted {
		return ErrNotFound
	}
	return fmt.Errorf("spool: entry %s: %w", sl.id, s.ofTheBytes(err))
}

// openRecord reads the entry of sl from its segment file f, which it takes over.
func (s *Spool) openRecord(f *os.File, sl slot) (Entry, *reader, error) {
	h, e, err := readSlot(f, sl)
	if err != nil {
		return Entry{}, nil, errors.Join(err, f.Close())
	}
	if !sl.large {
		data := io.NewSectionReader(f, sl.off+recordHeaderSize+int64(h.metaLen), h.dataLen)
		return e, newReader(f, data, e), nil
	}
	if err := f.Close(); err != nil {
		return Entry{}, nil, err
	}
	data, err := os.Open(s.largePath(sl.id))
	if err != nil {
		return Entry{}, nil, err
	}
	if sl.lost {
		s.found(sl.id)
	}
	return e, newReader(data, data, e), nil
}

// stillLost returns ErrGone while the file of a large data set that was lost is not back.
func (s *Spool) stillLost(sl slot) error {
	_, err := os.Stat(s.largePath(sl.id))
	if err == nil {
		s.found(sl.id)
		return nil
	}
	if err = s.ofTheBytes(err); errors.Is(err, ErrCorrupt) {
		err = fmt.Errorf("%w: %w", ErrGone, err)
	}
	return err
}

// found notes that a file is back.
func (s *Spool) found(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.byID[id]; ok {
		p.seg.slots[p.index].lost = false
	}
}

// readSlot reads the record of sl from a segment file.
func readSlot(f io.ReaderAt, sl slot) (recordHeader, Entry, error) {
	var header [segmentHeaderSize]byte
	if err := readFull(f, header[:], 0); err != nil {
		return recordHeader{}, Entry{}, corrupt(err)
	}
	_, _, salt, err := decodeSegmentHeader(header[:])
	if err != nil {
		return recordHeader{}, Entry{}, corrupt(err)
	}
	h, e, err := readRecord(f, sl.off, sl.off+sl.size, salt)
	if err != nil {
		return recordHeader{}, Entry{}, corrupt(err)
	}
	if e.ID != sl.id || e.Seq != sl.seq {
		return recordHeader{}, Entry{}, ErrCorrupt
	}
	return h, e, nil
}

// corrupt is ErrCorrupt where err is of the bytes. That they could not be read says nothing of them: it may pass.
func corrupt(err error) error {
	if errors.Is(err, errNoRecord) || errors.Is(err, errHeader) {
		return fmt.Errorf("%w (%w)", ErrCorrupt, err)
	}
	return err
}

// reader checks the digest of what is read straight through.
type reader struct {
	io.ReadSeeker
	file   io.Closer
	sum    hash.Hash // nil after a seek or at the end
	left   int64
	digest string
}

func newReader(file io.Closer, data io.ReadSeeker, e Entry) *reader {
	return &reader{ReadSeeker: data, file: file, sum: sha256.New(), left: e.Size, digest: e.Digest}
}

// Read reads the next bytes of the data set.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.ReadSeeker.Read(p)
	if r.sum == nil {
		return n, err
	}
	r.sum.Write(p[:n])
	r.left -= int64(n)
	if err != io.EOF && r.left > 0 {
		return n, err
	}
	if r.left != 0 || hex.EncodeToString(r.sum.Sum(nil)) != r.digest {
		return n, ErrCorrupt
	}
	if err == io.EOF {
		r.sum = nil
	}
	return n, err
}

// Seek moves within the data set and ends the check of its digest.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	r.sum = nil
	return r.ReadSeeker.Seek(offset, whence)
}

// Close closes the file.
func (r *reader) Close() error { return r.file.Close() }

// Entries yields the committed entries with a Seq above after, in order, and ends at the
// newest. Entries committed or released meanwhile may or may not be among them. An entry that
// cannot be read is yielded with an error as its ID and Seq, and Kind where it is an Action, or as all of it where that is still known, and
// the next one follows. One that is whole but for its large file is ErrGone, released ones of before the start among them, until they are
// released again. One without an ID stands for the notes of a segment that nothing names any more. One without a Seq says that what
// is next cannot be told, and is the last.
func (s *Spool) Entries(after uint64) iter.Seq2[Entry, error] { return s.entries(after, false) }

// Held yields as Entries does, but for notes: what it costs does not grow with all that was ever done.
func (s *Spool) Held(after uint64) iter.Seq2[Entry, error] { return s.entries(after, true) }

func (s *Spool) entries(after uint64, held bool) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		var log logFile
		defer log.close()
		for {
			sl, ok, err := s.openFollowing(after, held, &log)
			if !ok {
				return
			}
			if sl.seq == 0 {
				yield(Entry{}, fmt.Errorf("spool: %w", err))
				return
			}
			after = sl.seq
			e, known := s.recently(sl)
			if err == nil && !known {
				_, e, err = readSlot(log.f, sl)
			}
			if err == nil && sl.lost {
				err = s.stillLost(sl)
			}
			if err != nil {
				err = s.slotError(sl, err)
				if !known && !errors.Is(err, ErrGone) {
					e = Entry{ID: sl.id, Seq: sl.seq}
				}
				if sl.action {
					e.Kind = Action
				}
			}
			if errors.Is(err, ErrNotFound) {
				continue // released since we found it
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// logFile keeps the segment that was read last open.
type logFile struct {
	seg *segment
	f   *os.File
}

func (l *logFile) open(g *segment) error {
	if l.seg == g {
		return nil
	}
	l.close()
	f, err := os.Open(g.path)
	if err != nil {
		return err
	}
	l.seg, l.f = g, f
	return nil
}

func (l *logFile) close() {
	if l.f != nil {
		_ = l.f.Close()
	}
	*l = logFile{}
}

// openFollowing returns the first entry with a Seq above after, with its segment open in log. One without a Seq could not
// be looked for.
func (s *Spool) openFollowing(after uint64, held bool, log *logFile) (sl slot, ok bool, err error) {
	s.files.RLock()
	defer s.files.RUnlock()
	g, sl, ok := s.following(after, held)
	for ok && sl.seq == 0 {
		if err := s.load(g); err != nil {
			return slot{}, true, err
		}
		g, sl, ok = s.following(after, held)
	}
	if ok {
		err = log.open(g)
	}
	return sl, ok, err
}

// following returns the first entry with a Seq above after, or a segment whose notes have to be loaded to know.
func (s *Spool) following(after uint64, held bool) (*segment, slot, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := sort.Search(len(s.segs), func(i int) bool { return s.segs[i].last > after || s.segs[i].first > after })
	for ; i < len(s.segs); i++ {
		g := s.segs[i]
		sl, ok := firstAfter(g.slots, after)
		if !held && g.left > 0 && g.lastNote > after {
			if g.away() {
				return g, slot{}, true
			}
			if note, is := firstAfter(g.notes, max(after, s.noted)); is && (!ok || note.seq < sl.seq) {
				sl, ok = note, true
			}
		}
		if ok {
			return g, sl, true
		}
	}
	return nil, slot{}, false
}
