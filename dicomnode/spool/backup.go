package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"endogate/dicomnode/durable"
)

// BackedUp tells what Backup has written.
type BackedUp struct {
	Newest   uint64 `json:"newest"` // Seq of the newest entry
	Segments int    `json:"segments"`
	Large    int    `json:"large"`  // data sets in files of their own
	Copied   int64  `json:"copied"` // bytes; the rest are second names of the files of the spool
}

// backupTries is how often a backup begins its segments again because one has gone meanwhile.
const backupTries = 20

// Backup makes a spool at to, whose folder must not have one, of that at dir, also beside the process that holds it. It has
// every entry that was committed when Backup was called and not released since, and is on the disk when Backup returns.
//
// Segments that nothing is written to any more, and large files, never change: they get a second name where both folders are
// of one file system, and are copied else. Of the segment being written, the whole records are copied.
// What goes together is taken in an order in which it can only have too much: large files first, as a record may be read whose
// file is released by then, and again at last, for records that came meanwhile.
func Backup(ctx context.Context, dir, to string) (done BackedUp, err error) {
	b := &backup{ctx: ctx, from: &Spool{dir: dir, o: Options{}.withDefaults()}, to: &Spool{dir: to, o: Options{}.withDefaults()}}
	for _, d := range []string{b.to.dir, b.to.logDir(), b.to.largeDir(), b.to.damagedDir()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return b.done, fmt.Errorf("spool: backup: %w", err)
		}
	}
	err = b.folder(b.from.largeDir(), b.to.largeDir())
	if err == nil {
		err = b.log()
	}
	if err == nil {
		err = errors.Join(b.folder(b.from.largeDir(), b.to.largeDir()), b.folder(b.from.damagedDir(), b.to.damagedDir()))
	}
	for _, d := range []string{b.to.logDir(), b.to.largeDir(), b.to.damagedDir(), b.to.dir} {
		if err == nil {
			err = durable.SyncFolder(d)
		}
	}
	if err != nil {
		return b.done, fmt.Errorf("spool: backup: %w", err)
	}
	return b.done, nil
}

type backup struct {
	ctx      context.Context
	from, to *Spool // of which nothing but the folders is used
	done     BackedUp
}

// folder takes the files of a folder that are not there yet. One that goes meanwhile is needed no more.
func (b *backup) folder(from, to string) error {
	names, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, n := range names {
		err := b.file(filepath.Join(from, n.Name()), filepath.Join(to, n.Name()))
		switch {
		case errors.Is(err, fs.ErrExist), errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case from == b.from.largeDir():
			b.done.Large++
		}
	}
	return nil
}

// file takes one file that never changes.
func (b *backup) file(from, to string) error {
	if b.ctx.Err() != nil {
		return context.Cause(b.ctx)
	}
	err := os.Link(from, to)
	if err == nil || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.Open(from) // of another file system, or one without second names
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return b.copy(f, info.Size(), to)
}

func (b *backup) copy(from io.ReaderAt, size int64, to string) error {
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, io.NewSectionReader(from, 0, size))
	b.done.Copied += n
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return errors.Join(err, os.Remove(to))
	}
	return nil
}

// log takes the segments. One that goes meanwhile may be part of another by now, so all are taken again.
func (b *backup) log() error {
	var err error
	for range backupTries {
		if err = b.segments(); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		b.done.Segments, b.done.Newest = 0, 0
		names, listErr := os.ReadDir(b.to.logDir())
		if listErr != nil {
			return listErr
		}
		for _, n := range names {
			if err := os.Remove(filepath.Join(b.to.logDir(), n.Name())); err != nil {
				return err
			}
		}
	}
	return err
}

func (b *backup) segments() error {
	firsts, err := b.from.listSegments()
	if err != nil || len(firsts) == 0 {
		return err
	}
	last := firsts[len(firsts)-1]
	for _, first := range firsts[:len(firsts)-1] {
		name := segmentName(first)
		if err := b.file(filepath.Join(b.from.logDir(), name), filepath.Join(b.to.logDir(), name)); err != nil {
			return err
		}
		b.done.Segments++
	}
	b.done.Newest = last - 1
	return b.lastSegment(last)
}

// gapPause is how long a record that is being written may look like damage.
const gapPause = 100 * time.Millisecond

// lastSegment copies the whole records of the segment that may be written at this moment. Where one is not whole and others
// behind it are, the disk has lost it, or it is just being written: one look later the two differ.
func (b *backup) lastSegment(first uint64) error {
	name := segmentName(first)
	f, err := os.Open(filepath.Join(b.from.logDir(), name))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	var end int64
	for try := range 3 {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		sc, err := newScanner(f, info.Size(), first, 0)
		if errors.Is(err, errHeader) { // damaged: as it is
			end = info.Size()
			break
		}
		if err != nil {
			return err
		}
		for sc.next() {
			if b.ctx.Err() != nil {
				return context.Cause(b.ctx)
			}
		}
		if sc.err != nil {
			return sc.err
		}
		end = sc.end
		b.done.Newest = max(b.done.Newest, sc.seq)
		if len(sc.gaps) == 0 || try == 2 {
			break
		}
		time.Sleep(gapPause)
	}
	b.done.Segments++
	return b.copy(f, end, filepath.Join(b.to.logDir(), name))
}
