package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// damagedDir holds files that cannot be read whole, as they were found, for whoever can read more of them. Nothing in
// it is ever removed by us. It is made when it is needed.
func (s *Spool) damagedDir() string { return filepath.Join(s.dir, "damaged") }

// listDamaged returns the names of the files that were set aside.
func (s *Spool) listDamaged() ([]string, error) {
	files, err := os.ReadDir(s.damagedDir())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	names := make([]string, 0, len(files))
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names, err
}

// damagedFirsts returns the first Seqs of segments that were set aside: what bounds the segment before them, and what
// comes after them, as long as their names are known.
func damagedFirsts(names []string) []uint64 {
	var firsts []uint64
	for _, name := range names {
		base, _, _ := strings.Cut(name, ".log")
		if first, ok := parseSegmentName(base + ".log"); ok && first > 0 {
			firsts = append(firsts, first)
		}
	}
	slices.Sort(firsts)
	return slices.Compact(firsts)
}

// setAside moves the file of a segment out of the log.
func (s *Spool) setAside(g *segment) (string, error) {
	name, err := s.keepDamaged(g)
	if err != nil {
		return "", err
	}
	if err := os.Remove(g.path); err != nil {
		return "", err
	}
	return name, s.o.disk.syncFolder(s.logDir())
}

// keepDamaged puts the file of a segment, as it is, into damaged/ too, durably, and returns its name there.
func (s *Spool) keepDamaged(g *segment) (string, error) {
	if err := os.MkdirAll(s.damagedDir(), 0o700); err != nil {
		return "", err
	}
	for n := 0; ; n++ {
		name := segmentName(g.first)
		if n > 0 { // there is one of an earlier time
			name = fmt.Sprintf("%s.%d", name, n)
		}
		err := linkOrCopy(g.path, filepath.Join(s.damagedDir(), name))
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err == nil {
			err = errors.Join(s.o.disk.syncFolder(s.damagedDir()), s.o.disk.syncFolder(s.dir))
		}
		return name, err
	}
}

// linkOrCopy gives the file at from a second name, or a copy where the file system knows no links. An interrupted copy
// stays behind, beside the next one.
func linkOrCopy(from, to string) error {
	err := os.Link(from, to)
	if err == nil || errors.Is(err, os.ErrExist) {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// reportDamaged adds what earlier recoveries have set aside.
func (s *Spool) reportDamaged(before []string) {
	for _, name := range before {
		s.recovery.Damaged = append(s.recovery.Damaged,
			fmt.Sprintf("damaged/%s: set aside earlier; large files without a record are kept until it is removed", name))
	}
}
