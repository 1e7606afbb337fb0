package spool

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
)

const (
	chunkSize      = 64 << 10
	writebackEvery = 1 << 20
	maxMade        = 4 << 20  // that stands in the log
	spaceEvery     = 16 << 20 // how often a long data set checks the reserve
)

var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// Writer takes the bytes of one entry, a data set in most. It belongs to one goroutine.
// It holds at most Options.InlineLimit bytes in memory, or what CreateMade says; a longer data set goes to a file.
type Writer struct {
	s     *Spool
	note  bool         // an action may stand in the log
	room  func() error // an error: there is none
	most  int64        // bytes that are held in memory
	id    string
	sum   hash.Hash
	size  int64
	crc   uint32
	mem   []*[chunkSize]byte
	file  *os.File // once the data set is longer than the limit
	begun int64    // bytes of file whose writeback was started
	check int64    // size at which to look at the reserve again
	err   error    // the first that Write met
	ended bool
}

// Create begins a new entry of what comes in. It returns ErrFull while the disk has less room than the reserve.
// The caller ends the writer with Commit or Abort.
func (s *Spool) Create() (*Writer, error) { return s.create(s.Full) }

// CreateMade is Create for what is made of what came in. It goes on into the reserve, and returns ErrFull where that is
// exhausted. Up to a sixteenth of a segment it stands in the log, and is there with one sync in place of three: unlike what comes from peers,
// there is little of it at a time.
func (s *Spool) CreateMade() (*Writer, error) {
	w, err := s.create(s.Exhausted)
	if err == nil {
		w.most = max(w.most, min(s.o.SegmentSize/16, maxMade))
	}
	return w, err
}

func (s *Spool) create(room func() error) (*Writer, error) {
	if err := room(); err != nil {
		return nil, err
	}
	return s.begin(room)
}

func (s *Spool) begin(room func() error) (*Writer, error) {
	id, err := newID()
	if err != nil {
		return nil, fmt.Errorf("spool: create: %w", err)
	}
	return &Writer{s: s, room: room, most: s.o.InlineLimit, id: id, sum: sha256.New(), check: spaceEvery}, nil
}

// Append makes an entry with these bytes durable, also while the disk has less room than the reserve: what was done
// must be said, and the reserve is for what gives room back. Small actions are meant: they are the notes, which stand in
// the log, and of which there may be very many. An action that is written by a Writer has a file of its own.
func (s *Spool) Append(e Entry, data []byte) (Entry, error) {
	w, err := s.begin(func() error { return nil })
	if err != nil {
		return Entry{}, err
	}
	defer w.Abort() // nothing happens after Commit
	w.note = true
	if _, err := w.Write(data); err != nil {
		return Entry{}, err
	}
	return w.Commit(e)
}

// Write takes the next bytes of the data set. After an error the writer can only be aborted.
func (w *Writer) Write(p []byte) (int, error) {
	if w.ended {
		return 0, ErrClosed
	}
	if w.err == nil {
		if err := w.write(p); err != nil {
			w.err = fmt.Errorf("spool: write: %w", full(err))
		}
	}
	if w.err != nil {
		return 0, w.err
	}
	w.sum.Write(p)
	return len(p), nil
}

func (w *Writer) write(p []byte) error {
	if w.file == nil && w.size+int64(len(p)) > w.most {
		if err := w.spill(); err != nil {
			return err
		}
	}
	if w.file != nil {
		return w.writeFile(p)
	}
	w.writeMemory(p)
	return nil
}

func (w *Writer) writeMemory(p []byte) {
	w.crc = crc32.Update(w.crc, castagnoli, p)
	for len(p) > 0 {
		used := int(w.size % chunkSize)
		if used == 0 {
			w.mem = append(w.mem, chunks.Get().(*[chunkSize]byte))
		}
		n := copy(w.mem[len(w.mem)-1][used:], p)
		w.size += int64(n)
		p = p[n:]
	}
}

func (w *Writer) writeFile(p []byte) error {
	if _, err := w.file.Write(p); err != nil {
		return err
	}
	w.size += int64(len(p))
	if n := w.size - w.begun; n >= writebackEvery {
		startWriteback(w.file, w.begun, n)
		w.begun = w.size
	}
	if w.size < w.check {
		return nil
	}
	w.check = w.size + spaceEvery
	return w.room()
}

// spill moves what is in memory to a file of its own.
func (w *Writer) spill() error {
	if err := w.s.step("large:spill"); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(w.s.tmpDir(), w.id), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w.file = f
	for _, b := range w.buffers() {
		if _, err := f.Write(b); err != nil {
			return err
		}
	}
	w.freeMemory()
	return nil
}

// buffers returns the bytes in memory.
func (w *Writer) buffers() [][]byte {
	bufs := make([][]byte, 0, len(w.mem))
	left := w.size
	for _, c := range w.mem {
		n := min(left, chunkSize)
		bufs = append(bufs, c[:n])
		left -= n
	}
	return bufs
}

func (w *Writer) freeMemory() {
	for _, c := range w.mem {
		chunks.Put(c)
	}
	w.mem = nil
}

// Commit makes the entry durable and returns it with ID, Seq, Size and Digest filled in.
// After an error the entry is not in the spool. The writer is ended either way.
func (w *Writer) Commit(e Entry) (Entry, error) {
	if w.ended {
		return Entry{}, ErrClosed
	}
	defer func() { _ = w.Abort() }()
	if w.err != nil {
		return Entry{}, w.err
	}
	if err := e.check(); err != nil {
		return Entry{}, fmt.Errorf("spool: commit: %w", err)
	}
	e.ID, e.Seq, e.Size, e.At = w.id, 0, w.size, e.At.Round(0) // as it is read back: without the monotonic clock
	e.Digest = hex.EncodeToString(w.sum.Sum(nil))
	meta, err := json.Marshal(e)
	if err != nil {
		return Entry{}, fmt.Errorf("spool: commit: %w", err)
	}
	if len(meta) > maxMetaSize {
		return Entry{}, fmt.Errorf("spool: commit: entry has %d bytes beside its data set, at most %d fit", len(meta), maxMetaSize)
	}
	if e.Kind == Action && !w.note && w.file == nil {
		if err := w.spill(); err != nil {
			return Entry{}, fmt.Errorf("spool: commit: %w", full(err))
		}
	}
	large := w.file != nil
	if large {
		if err := w.keepFile(); err != nil {
			return Entry{}, errors.Join(fmt.Errorf("spool: commit: %w", full(err)), removeIfThere(w.s.largePath(w.id)))
		}
	}
	p := &pending{meta: meta, entry: e, slot: slot{id: w.id, bytes: w.size, large: large, action: e.Kind == Action}}
	p.header = recordHeader{large: large, metaLen: len(meta)}
	if !large {
		p.header.dataLen, p.header.dataCRC = w.size, w.crc
		p.data = w.buffers()
	}
	if err := w.s.append(p); err != nil {
		if large {
			err = errors.Join(err, removeIfThere(w.s.largePath(w.id)))
		}
		return Entry{}, err
	}
	e.Seq = p.seq
	return e, nil
}

// keepFile makes the file of a large data set durable under its final name.
func (w *Writer) keepFile() error {
	f := w.file
	w.file = nil
	if err := w.s.o.disk.sync(f); err != nil {
		return errors.Join(err, f.Close(), removeIfThere(f.Name()))
	}
	if err := errors.Join(f.Close(), w.s.step("large:synced")); err != nil {
		return errors.Join(err, removeIfThere(f.Name()))
	}
	if err := os.Rename(f.Name(), w.s.largePath(w.id)); err != nil {
		return errors.Join(err, removeIfThere(f.Name()))
	}
	if err := w.s.step("large:renamed"); err != nil {
		return err
	}
	if err := w.s.o.disk.syncFolder(w.s.largeDir()); err != nil {
		return err
	}
	return w.s.step("large:durable")
}

// Abort drops what was written. After Commit it does nothing.
func (w *Writer) Abort() error {
	w.ended = true
	w.freeMemory()
	if w.file == nil {
		return nil
	}
	f := w.file
	w.file = nil
	if err := errors.Join(f.Close(), removeIfThere(f.Name())); err != nil {
		return fmt.Errorf("spool: abort: %w", err)
	}
	return nil
}
