package spool

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
)

// An index file says where the records of a segment stand to which nothing is added any more. It starts with
//
//	0  8  "EGINDEX" and the format version
//	8  8  Seq of the segment's first record
//	16 8  Seq up to which other segments are void
//	24 8  salt of the segment
//	32 8  bytes of its file
//	40 8  when the file was changed last, in nanoseconds
//	48 8  Seq of its last record
//	56 8  Seq of its last note, 0 where there is none
//	64 8  bytes of the records of its notes
//	72 4  how many records are not notes
//	76 4  how many are
//	80 4  CRC32C of the places of the first
//	84 4  CRC32C of the places of the second
//	88 4  CRC32C of the above
//
// and then has the places, each with ID, Seq, offset, size of the record, size of the bytes and flags; all big endian.
const (
	indexHeaderSize = 92
	indexPlaceSize  = 16 + 4*8 + 1

	flagIndexLarge  = 1 << 0
	flagIndexAction = 1 << 1
)

var (
	indexMagic = []byte{'E', 'G', 'I', 'N', 'D', 'E', 'X', formatVersion}

	// errIndex says that an index is not that of the segment, or damaged: what it says is found in the segment.
	errIndex = errors.New("index does not fit")
)

// maxLoaded is how many segments have the places of their notes in memory although an index has them.
const maxLoaded = 4

// index is what an index file says beside the places.
type index struct {
	first, through, salt uint64
	size, changed        int64
	last, lastNote       uint64
	noteBytes            int64
	held, notes          int
	heldCRC, notesCRC    uint32
}

func (x index) encode() []byte {
	b := append(make([]byte, 0, indexHeaderSize), indexMagic...)
	for _, v := range []uint64{x.first, x.through, x.salt, uint64(x.size), uint64(x.changed), x.last, x.lastNote, uint64(x.noteBytes)} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	for _, v := range []uint32{uint32(x.held), uint32(x.notes), x.heldCRC, x.notesCRC} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeIndex(b []byte) (index, error) {
	u64 := func(at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }
	u32 := func(at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
	if len(b) < indexHeaderSize || string(b[:8]) != string(indexMagic) || u32(88) != crc32.Checksum(b[:88], castagnoli) {
		return index{}, errIndex
	}
	return index{
		u64(8), u64(16), u64(24), int64(u64(32)), int64(u64(40)), u64(48), u64(56), int64(u64(64)),
		int(u32(72)), int(u32(76)), u32(80), u32(84),
	}, nil
}

// encodePlaces returns nil where a place cannot be written: an ID that is not ours.
func encodePlaces(slots []slot) []byte {
	b := make([]byte, 0, len(slots)*indexPlaceSize)
	for _, sl := range slots {
		id, err := idEncoding.DecodeString(sl.id)
		if err != nil || len(id) != 16 {
			return nil
		}
		b = append(b, id...)
		for _, v := range []uint64{sl.seq, uint64(sl.off), uint64(sl.size), uint64(sl.bytes)} {
			b = binary.BigEndian.AppendUint64(b, v)
		}
		var flags byte
		if sl.large {
			flags |= flagIndexLarge
		}
		if sl.action {
			flags |= flagIndexAction
		}
		b = append(b, flags)
	}
	return b
}

func decodePlaces(b []byte) []slot {
	slots := make([]slot, 0, len(b)/indexPlaceSize)
	for ; len(b) >= indexPlaceSize; b = b[indexPlaceSize:] {
		number := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[16+8*i:])) }
		slots = append(slots, slot{
			id: idEncoding.EncodeToString(b[:16]), seq: uint64(number(0)), off: number(1), size: number(2), bytes: number(3),
			large: b[48]&flagIndexLarge != 0, action: b[48]&flagIndexAction != 0,
		})
	}
	return slots
}

func (s *Spool) indexDir() string { return filepath.Join(s.dir, "index") }

func (s *Spool) indexPath(g *segment) string {
	return filepath.Join(s.indexDir(), segmentName(g.first))
}

// writeIndex writes the index of g, to which nothing is added any more, and takes the places of its notes out of memory.
// It is not synced: one that a power cut leaves damaged is made again. What keeps it from being written costs the next
// Open a look at the whole segment, and nothing else.
func (s *Spool) writeIndex(g *segment) {
	s.files.RLock()
	defer s.files.RUnlock()
	s.mu.Lock()
	slots, notes, skip := slices.Clone(g.slots), g.notes, g.keep || g.indexed
	x := index{
		first: g.first, through: g.through, salt: g.salt, size: g.used, last: g.last,
		held: len(slots), notes: len(notes),
	}
	s.mu.Unlock()
	info, err := os.Stat(g.path)
	if skip || err != nil || info.Size() != g.used {
		return
	}
	x.changed = info.ModTime().UnixNano()
	for _, sl := range notes {
		x.lastNote = sl.seq
		x.noteBytes += sl.size
	}
	held, noted := encodePlaces(slots), encodePlaces(notes)
	if held == nil || noted == nil {
		return
	}
	x.heldCRC, x.notesCRC = crc32.Checksum(held, castagnoli), crc32.Checksum(noted, castagnoli)
	if err := os.WriteFile(s.indexPath(g), slices.Concat(x.encode(), held, noted), 0o600); err != nil {
		_ = os.Remove(s.indexPath(g))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g.indexed, g.notes = true, nil
}

// recoverIndexed fills g from its index. It returns errIndex where there is none that fits, and any other error as such.
func (s *Spool) recoverIndexed(g *segment, f *os.File, until uint64, large map[string]bool) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	in, err := os.Open(s.indexPath(g))
	if err != nil {
		return errIndex
	}
	defer func() { _ = in.Close() }()
	x, places, err := readIndex(in, g, false)
	if err != nil {
		return err
	}
	if x.size != info.Size() || x.changed != info.ModTime().UnixNano() || until > 0 && x.last >= until {
		return errIndex
	}
	return s.fill(g, x, places, large)
}

// fill fills g with what an index says.
func (s *Spool) fill(g *segment, x index, places []slot, large map[string]bool) error {
	for _, sl := range places {
		if _, twice := s.byID[sl.id]; twice {
			return fmt.Errorf("entry %s stands in the log twice", sl.id)
		}
		s.insert(g, withFile(sl, large))
	}
	g.indexed, g.used, g.last = true, x.size, x.last
	g.left, g.noteBytes, g.lastNote = x.notes, x.noteBytes, x.lastNote
	g.needed += x.noteBytes
	s.notes += x.notes
	s.last = max(s.last, x.last)
	return nil
}

// withFile notes whether the file of a large data set is there. Where it is not, the entry was released, and its record outlived it, or
// somebody removed the file: which of the two whoever releases knows, and of actions nobody does.
func withFile(sl slot, large map[string]bool) slot {
	if sl.large {
		_, there := large[sl.id]
		large[sl.id] = true
		sl.lost, sl.released = !there && !sl.action, !there && sl.action
	}
	return sl
}

func readIndexHeader(r io.ReaderAt) (index, error) {
	var head [indexHeaderSize]byte
	if err := readFull(r, head[:], 0); err != nil {
		return index{}, errIndex
	}
	return decodeIndex(head[:])
}

// readIndex reads the places of the notes of g from its index, or of all else.
func readIndex(r io.ReaderAt, g *segment, notes bool) (index, []slot, error) {
	x, err := readIndexHeader(r)
	if err != nil || x.first != g.first || x.through != g.through || x.salt != g.salt {
		return index{}, nil, errIndex
	}
	n, at, crc := x.held, int64(indexHeaderSize), x.heldCRC
	if notes {
		n, at, crc = x.notes, at+int64(x.held)*indexPlaceSize, x.notesCRC
	}
	if int64(n) > x.size/recordHeaderSize { // more than fit into the segment
		return index{}, nil, errIndex
	}
	b := make([]byte, n*indexPlaceSize)
	if err := readFull(r, b, at); err != nil || crc32.Checksum(b, castagnoli) != crc {
		return index{}, nil, errIndex
	}
	return x, decodePlaces(b), nil
}

// removeIndexes removes indexes of segments that are there no more.
func (s *Spool) removeIndexes() error {
	names, err := os.ReadDir(s.indexDir())
	if err != nil {
		return err
	}
	for _, n := range names {
		first, ok := parseSegmentName(n.Name())
		_, found := slices.BinarySearchFunc(s.segs, first, func(g *segment, first uint64) int {
			return int(int64(g.first - first)) // far below 2^63 apart
		})
		if !ok || !found {
			if err := os.RemoveAll(filepath.Join(s.indexDir(), n.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// load puts the places of the notes of g into memory, from its index or from the segment itself. The caller holds files.
// Where neither has them any more, there is one place for all, of no ID, which nobody can read: what is behind it is not held up.
func (s *Spool) load(g *segment) error {
	notes, err := s.findNotes(g)
	if err != nil {
		if err = s.ofTheBytes(corrupt(err)); !errors.Is(err, ErrCorrupt) {
			return err
		}
		notes = []slot{{seq: g.lastNote, action: true}}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g.notes = notes
	s.loaded = append(s.loaded, g)
	if len(s.loaded) > maxLoaded {
		if old := s.loaded[0]; old != g && old.indexed {
			old.notes = nil
		}
		s.loaded = slices.Delete(s.loaded, 0, 1)
	}
	return nil
}

func (s *Spool) findNotes(g *segment) ([]slot, error) {
	if in, err := os.Open(s.indexPath(g)); err == nil {
		x, notes, err := readIndex(in, g, true)
		_ = in.Close()
		if err == nil && x.size == g.used && x.notes > 0 {
			return notes, nil
		}
	}
	f, err := os.Open(g.path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	sc, err := newScanner(f, g.used, g.first, g.last+1)
	if err != nil {
		return nil, err
	}
	notes := []slot{}
	for sc.next() {
		if sl := sc.slot(); sl.note() {
			notes = append(notes, sl)
		}
	}
	return notes, sc.err
}

// away says that notes of g are needed that are not in memory.
func (g *segment) away() bool { return g.indexed && g.notes == nil && g.left > 0 }

// firstAfter returns the first of slots with a Seq above after that was not released.
func firstAfter(slots []slot, after uint64) (slot, bool) {
	for i := sort.Search(len(slots), func(i int) bool { return slots[i].seq > after }); i < len(slots); i++ {
		if !slots[i].released {
			return slots[i], true
		}
	}
	return slot{}, false
}

// ReleaseNotes says that the actions up to the Seq through that stand in the log are no longer needed. As Release, it is not
// stored.
func (s *Spool) ReleaseNotes(through uint64) error {
	s.files.RLock()
	unneeded, err := s.releaseNotes(through)
	s.files.RUnlock()
	if err = errors.Join(err, s.removeSegments(unneeded)); err != nil {
		return fmt.Errorf("spool: release: %w", err)
	}
	return nil
}

func (s *Spool) releaseNotes(through uint64) ([]*segment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noted = max(s.noted, through)
	for _, g := range s.segs {
		if g.left == 0 || g.first > through {
			continue
		}
		for g.lastNote > through && g.away() {
			s.mu.Unlock()
			err := s.load(g)
			s.mu.Lock()
			if err != nil {
				return nil, err
			}
		}
		s.recount(g)
	}
	return s.sweep(), nil
}

// recount counts the notes of g that are needed.
func (s *Spool) recount(g *segment) {
	s.notes -= g.left
	g.needed -= g.noteBytes
	g.left, g.noteBytes = 0, 0
	if g.lastNote > s.noted {
		for _, sl := range g.notes {
			if sl.seq > s.noted {
				g.left++
				g.noteBytes += sl.size
			}
		}
	}
	s.notes += g.left
	g.needed += g.noteBytes
}

// inOrder returns the slots of g, those of its notes too, by Seq.
func (g *segment) inOrder() []*slot {
	all := make([]*slot, 0, len(g.slots)+len(g.notes))
	for _, slots := range [][]slot{g.slots, g.notes} {
		for i := range slots {
			all = append(all, &slots[i])
		}
	}
	slices.SortFunc(all, func(a, b *slot) int { return cmp.Compare(a.seq, b.seq) })
	return all
}

// loadOf is load for who does not hold files.
func (s *Spool) loadOf(g *segment) error {
	s.files.RLock()
	defer s.files.RUnlock()
	return s.load(g)
}
