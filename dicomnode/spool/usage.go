package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// minInodes is how many files must be left for us to take something in: one for the data set, some for segments,
// ledger and broker.
const minInodes = 1000

// Usage tells how full a spool is. What the file system does not tell is 0.
type Usage struct {
	Entries int   // data sets and messages held
	Actions int   // entries beside them that say what was done
	Bytes   int64 // bytes of their data sets and messages
	Disk    int64 // bytes that the folder takes on the disk: also headers, actions, what was released and not yet given back, what is preallocated
	Free    int64 // bytes the file system has left for us
	Inodes  int64 // files that we may still make
}

// Usage returns what the spool holds now. It looks at every file.
func (s *Spool) Usage() Usage {
	space, err := s.o.disk.free(s.dir)
	if err != nil {
		space = room{}
	}
	onDisk, err := diskBytes(s.dir)
	if err != nil {
		onDisk = 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return Usage{Entries: len(s.byID) - s.actions, Actions: s.actions + s.notes, Bytes: s.bytes, Disk: onDisk, Free: space.bytes, Inodes: space.inodes}
}

// room is what a file system has left for us.
type room struct {
	bytes  int64
	inodes int64 // 0: they are not counted
	few    bool  // inodes are counted and nearly gone
}

// floor is what of the reserve work does not touch either: ledger, broker and actions need it, and Compact does to give room back. It
// is an eighth of a large reserve and half of a small one.
func (s *Spool) floor() int64 { return max(s.o.Reserve/8, min(s.o.Reserve/2, 16<<20)) }

// Full returns ErrFull while the file system has less than the reserve, or no files to make: nothing is taken in then.
func (s *Spool) Full() error { return s.above(s.o.Reserve) }

// Exhausted returns ErrFull while the file system has less than an eighth of the reserve (or half of it, up to 16 MiB), or no files to
// make. The rest of the reserve is there to finish what was taken in, which alone gives room back.
func (s *Spool) Exhausted() error { return s.above(s.floor()) }

func (s *Spool) above(least int64) error {
	if err := s.moved(); err != nil {
		return err
	}
	space, err := s.o.disk.free(s.dir)
	switch {
	case err != nil:
		return fmt.Errorf("spool: %w", err)
	case space.bytes < least:
		return fmt.Errorf("%w (%d bytes free, reserve %d)", ErrFull, space.bytes, least)
	case space.few:
		return fmt.Errorf("%w (%d inodes free: remove files)", ErrFull, space.inodes)
	}
	return nil
}

// ErrMoved says that another folder is where the spool was opened: a file system was mounted over it, or it was renamed and
// another put in its place. What is written now may not be found again.
var ErrMoved = errors.New("spool: another folder is in place of the one that was opened: stop, see what is mounted there, and start again")

// moved is ErrMoved where the folder is not the one that is locked.
func (s *Spool) moved() error {
	there, err := os.Stat(filepath.Join(s.dir, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(s.dir); err == nil {
			return ErrMoved
		}
	}
	if err != nil {
		return nil // whoever asks looks at the folder besides, and says why that cannot be done
	}
	ours, err := s.lock.Stat()
	if err == nil && !os.SameFile(there, ours) {
		return ErrMoved
	}
	return nil
}

// ofTheBytes is err, as ErrCorrupt where it says that a file is gone which nobody but us removes. While the folder itself is not there, as
// when its file system is away, nothing is known of its files.
func (s *Spool) ofTheBytes(err error) error {
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrCorrupt) {
		return err
	}
	if _, away := os.Stat(filepath.Join(s.dir, lockName)); away != nil || s.moved() != nil {
		return err
	}
	return fmt.Errorf("%w (its file is gone: %w)", ErrCorrupt, err)
}

// diskBytes returns the bytes that the files under dir take on the disk. Those with a second name count by their part.
func diskBytes(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreGone(err)
		}
		info, err := d.Info()
		if err != nil {
			return ignoreGone(err)
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 0 {
			n += st.Blocks * 512 / int64(st.Nlink)
		}
		return nil
	})
	return n, err
}

// ignoreGone takes away the error of a file that was removed while we looked.
func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
