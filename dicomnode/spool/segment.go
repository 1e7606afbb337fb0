package spool

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// segment is one file of the log. The Spool's mutex guards all that changes but the last three fields.
type segment struct {
	path  string
	first uint64 // Seq of the first record, also the name
	salt  uint64
	slots []slot // by Seq, all but those of notes
	live  int    // slots not released
	notes []slot // by Seq; nil where they are not in memory, see away
	left  int    // notes not released
	keep  bool   // damaged: never removed by us
	unfit bool   // gone, or has a record that cannot be copied

	through   uint64 // segments up to this Seq were copied into this one; first where there are none
	used      int64  // bytes of the file, less what is preallocated and not written
	needed    int64  // bytes of the records that are not released
	noteBytes int64  // those of them that are of notes
	last      uint64 // Seq of the last record, 0 where there is none
	lastNote  uint64
	indexed   bool // its index is written

	// Only the committer that leads touches these.
	f     *os.File // open while it is the segment being written
	end   int64    // end of the last good record
	size  int64    // preallocated
	syncs int64    // of records
}

// slot is the place of one entry in the log.
type slot struct {
	id       string
	seq      uint64
	off      int64
	size     int64 // of the whole record
	bytes    int64 // of the data set
	large    bool
	action   bool
	released bool
	lost     bool // the file of a large data set was not there when the spool was opened, and is not back
}

// note reports whether the slot is of an action that stands in the log. There are many of them, kept for long and read in
// their order alone, so they are not found by their ID.
func (sl slot) note() bool { return sl.action && !sl.large }

func segmentName(first uint64) string { return fmt.Sprintf("%016x.log", first) }

func parseSegmentName(name string) (uint64, bool) {
	base, ok := strings.CutSuffix(name, ".log")
	if !ok || len(base) != 16 {
		return 0, false
	}
	first, err := strconv.ParseUint(base, 16, 64)
	return first, err == nil && segmentName(first) == name
}

// createSegment makes the segment whose first record will be first. It takes the place of a
// segment of the same name, which then has no record that counts.
func (s *Spool) createSegment(first uint64, size int64) (*segment, error) {
	salt, err := newSalt()
	if err != nil {
		return nil, err
	}
	g := &segment{
		path:  filepath.Join(s.logDir(), segmentName(first)),
		first: first, through: first,
		salt: salt,
		end:  segmentHeaderSize,
		size: size,
	}
	f := s.ahead.take(size)
	if f == nil {
		if f, err = os.OpenFile(filepath.Join(s.tmpDir(), segmentName(first)), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
			return nil, err
		}
		err = preallocate(f, size)
	}
	if err == nil {
		err = s.place(f, g)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), removeIfThere(f.Name()))
	}
	g.f = f
	return g, nil
}

func newSalt() (uint64, error) {
	var random [8]byte
	_, err := rand.Read(random[:])
	return binary.BigEndian.Uint64(random[:]), err
}

// place begins a segment in its file and gives that its name in the log.
func (s *Spool) place(f *os.File, g *segment) error {
	if _, err := f.WriteAt(encodeSegmentHeader(g.first, g.through, g.salt), 0); err != nil {
		return err
	}
	if err := s.step("segment:written"); err != nil {
		return err
	}
	if err := s.o.disk.sync(f); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), g.path); err != nil {
		return err
	}
	if err := s.step("segment:renamed"); err != nil {
		return err
	}
	return s.o.disk.syncFolder(s.logDir())
}

// inPlace is an error where the file that is written is not the one that the next start would find: what is synced in it would be gone.
func (g *segment) inPlace() error {
	there, err := os.Stat(g.path)
	if err != nil {
		return err
	}
	if ours, err := g.f.Stat(); err != nil || !os.SameFile(ours, there) {
		return cmp.Or(err, fmt.Errorf("%w: another file is in place of %s", ErrMoved, filepath.Base(g.path)))
	}
	return nil
}

// retire closes the segment being written, gives back what was preallocated and not used, and writes its index.
// It leaves records alone: losing the truncation in a crash costs space, nothing else.
func (s *Spool) retire(g *segment) {
	if g.f == nil {
		return
	}
	// The unused end of the file is all that can be lost here.
	_ = errors.Join(g.f.Truncate(g.end), g.f.Close())
	g.f = nil
	s.writeIndex(g)
}

// removeIfThere removes a file that may be gone already.
func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
