package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"endogate/dicomnode/durable"
)

// Options sets a spool's sizes. A zero field takes the value in parentheses.
type Options struct {
	SegmentSize int64 // bytes of a segment file (64 MiB); at least four times InlineLimit is taken
	InlineLimit int64 // data sets up to this many bytes stand in the log (1 MiB)
	Reserve     int64 // bytes of the file system to leave free; below it nothing is taken in, and below an eighth of it nothing made (0); see Exhausted
	// After returns the caller's position: Seqs start above it even where the folder is new (nil: 0). It is called once the
	// folder is locked, so what else one process alone may open can be opened in it.
	After func() (uint64, error)

	disk disk
}

func (o Options) withDefaults() Options {
	if o.InlineLimit <= 0 {
		o.InlineLimit = 1 << 20
	}
	if o.SegmentSize <= 0 {
		o.SegmentSize = 64 << 20
	}
	if o.disk.sync == nil {
		o.disk = disk{sync: (*os.File).Sync, syncData: syncData, syncFolder: durable.SyncFolder}
	}
	if o.disk.free == nil {
		o.disk.free = freeSpace
	}
	o.SegmentSize = max(o.SegmentSize, 4*o.InlineLimit, 4*maxMetaSize)
	return o
}

// Spool is an open spool folder. Its methods may be called from any goroutine.
type Spool struct {
	dir      string
	o        Options
	lock     *os.File
	recovery Recovery
	hook     func(step string) error // tests fail or kill a commit between two steps

	compaction sync.Mutex   // held by Compact
	files      sync.RWMutex // held while a place in the log is found and its file opened, and while Compact replaces files; before mu

	mu      sync.Mutex
	segs    []*segment       // by first; the last one is never removed, it carries the Seq on
	byID    map[string]place // all but notes
	bytes   int64
	actions int // in byID
	notes   int
	noted   uint64     // notes up to this Seq are released
	loaded  []*segment // whose notes are in memory although an index has them, the last loaded last
	recent  recent
	last    uint64        // highest Seq committed
	changed chan struct{} // closed and replaced when last rises; closed for good by Close
	closed  bool

	commits committer
	ahead   ahead
	anew    atomic.Bool // the next commit begins a segment
}

// place points to a slot.
type place struct {
	seg   *segment
	index int
}

// Open takes the folder dir, makes it where it is not there, and recovers what it holds.
// It returns ErrLocked when another process has it.
func Open(dir string, o Options) (*Spool, error) {
	s := &Spool{dir: dir, o: o.withDefaults(), byID: map[string]place{}, changed: make(chan struct{})}
	err := s.makeFolders()
	if err != nil {
		return nil, fmt.Errorf("spool: open: %w", err)
	}
	if s.lock, err = lockFolder(filepath.Join(dir, lockName)); err != nil {
		return nil, fmt.Errorf("spool: open %s: %w", dir, err)
	}
	if o.After != nil {
		s.last, err = o.After()
	}
	if err == nil {
		err = s.recover()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("spool: open %s: %w", dir, err), unlockFolder(s.lock))
	}
	return s, nil
}

func (s *Spool) makeFolders() error {
	for _, d := range []string{s.dir, s.logDir(), s.largeDir(), s.tmpDir(), s.indexDir()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
	}
	return errors.Join(s.o.disk.syncFolder(s.dir), s.o.disk.syncFolder(filepath.Dir(s.dir)))
}

func (s *Spool) logDir() string   { return filepath.Join(s.dir, "log") }
func (s *Spool) largeDir() string { return filepath.Join(s.dir, "large") }
func (s *Spool) tmpDir() string   { return filepath.Join(s.dir, "tmp") }

func (s *Spool) largePath(id string) string { return filepath.Join(s.largeDir(), id) }

func (s *Spool) step(name string) error {
	if s.hook == nil {
		return nil
	}
	return s.hook(name)
}

// Recovered tells what Open found.
func (s *Spool) Recovered() Recovery { return s.recovery }

// Last returns the Seq of the newest entry, or the Seq before the first one to come.
func (s *Spool) Last() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// Wait returns nil once there is an entry with a Seq above after, ErrClosed when the spool is
// closed, or the cause of ctx's end.
func (s *Spool) Wait(ctx context.Context, after uint64) error {
	for {
		s.mu.Lock()
		last, changed, closed := s.last, s.changed, s.closed
		s.mu.Unlock()
		switch {
		case last > after:
			return nil
		case closed:
			return ErrClosed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Close waits for commits under way, refuses new ones and gives the folder back.
// Readers that are open stay usable. Further calls return nil.
func (s *Spool) Close() error {
	if !s.commits.Stop() {
		return nil
	}
	s.compaction.Lock() // what it has begun, it ends
	defer s.compaction.Unlock()
	s.ahead.end()
	err := s.seal()
	s.mu.Lock()
	s.closed = true
	close(s.changed)
	s.mu.Unlock()
	return errors.Join(err, unlockFolder(s.lock))
}

// seal ends the segment being written so that the next Open can trust it.
func (s *Spool) seal() error {
	g := s.commits.active
	if g == nil {
		return nil
	}
	err := errors.Join(g.f.Truncate(g.end), s.o.disk.sync(g.f), g.f.Close())
	g.f, s.commits.active = nil, nil
	if err != nil {
		return fmt.Errorf("spool: close: %w", err)
	}
	s.writeIndex(g)
	return nil
}
