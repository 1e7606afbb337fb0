package spool

import (
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
	slots []slot // by Seq
	live  int    // slots not released
	keep  bool   // damaged: never removed by us
	unfit bool   // has a record that cannot be copied

	through uint64 // segments up to this Seq were copied into this one; first where there are none
	used    int64  // bytes of the file, less what is preallocated and not written
	needed  int64  // bytes of the records that are not released

	// Only the committer that leads touches these.
	f    *os.File // open while it is the segment being written
	end  int64    // end of the last good record
	size int64    // preallocated
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
}

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
func (s *Spool) createSegment(first uint64) (*segment, error) {
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, err
	}
	g := &segment{
		path:  filepath.Join(s.logDir(), segmentName(first)),
		first: first, through: first,
		salt: binary.BigEndian.Uint64(random[:]),
		end:  segmentHeaderSize,
		size: s.o.SegmentSize,
	}
	temp := filepath.Join(s.tmpDir(), segmentName(first))
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := s.place(f, g); err != nil {
		return nil, errors.Join(err, f.Close(), removeIfThere(temp))
	}
	g.f = f
	return g, nil
}

// place fills a new segment file and gives it its name in the log.
func (s *Spool) place(f *os.File, g *segment) error {
	if err := preallocate(f, g.size); err != nil {
		return err
	}
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

// retire closes the segment being written and gives back what was preallocated and not used.
// It leaves records alone: losing the truncation in a crash costs space, nothing else.
func (g *segment) retire() error {
	if g.f == nil {
		return nil
	}
	err := errors.Join(g.f.Truncate(g.end), g.f.Close())
	g.f = nil
	return err
}

// removeIfThere removes a file that may be gone already.
func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
