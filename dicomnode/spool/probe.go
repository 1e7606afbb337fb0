package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Probe does what a commit needs of the file system: it makes a file in the spool's folder, writes it, has file and folder
// on the disk, and removes it. So a file system that is read-only, has no inodes or gives errors is found before an
// instance is. One call at a time is meant; it may hang with the disk.
func (s *Spool) Probe() error {
	path := filepath.Join(s.tmpDir(), "probe")
	err := s.probe(path)
	if gone := os.Remove(path); err == nil && !errors.Is(gone, fs.ErrNotExist) {
		err = gone
	}
	var of *fs.PathError
	if errors.As(err, &of) { // without the path: whoever may ask whether we are ready need not know it
		err = fmt.Errorf("%s: %w", of.Op, of.Err)
	}
	if err != nil {
		return fmt.Errorf("spool: nothing can be written: %w; see the file system of the data folder and the kernel's log", full(err))
	}
	return nil
}

func (s *Spool) probe(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if errors.Is(err, fs.ErrNotExist) && s.moved() == nil { // who tidies up takes a folder of this name for one that nobody needs
		if made := os.Mkdir(filepath.Dir(path), 0o700); made == nil {
			return s.probe(path)
		}
	}
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 4096)) // a block, so that there is something to find room for
	if err == nil {
		err = s.o.disk.sync(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	for _, dir := range []string{filepath.Dir(path), s.logDir(), s.largeDir()} { // where it would get its name
		if err := s.o.disk.syncFolder(dir); err != nil {
			return err
		}
	}
	return nil
}
