package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"

	"endogate/dicomnode/failure"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
)

// waiting are the entries of duplicates that nobody has looked after yet.
type waiting struct {
	mu   sync.Mutex
	ids  []string
	more chan struct{} // closed when ids gets one; nil: nobody waits
}

func (w *waiting) add(ids ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids = append(w.ids, ids...)
	if w.more != nil {
		close(w.more)
		w.more = nil
	}
}

// take returns what waits, once something does, or nothing when ctx is done.
func (w *waiting) take(ctx context.Context) []string {
	for {
		w.mu.Lock()
		ids := w.ids
		w.ids = nil
		if w.more == nil {
			w.more = make(chan struct{})
		}
		more := w.more
		w.mu.Unlock()
		if len(ids) > 0 {
			return ids
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil
		}
	}
}

// Spare says that the entry id has the bytes of an earlier one. It is kept until RunSpares has seen that those are good.
func (f *Follower) Spare(id string) { f.spares.add(id) }

// RunSpares looks after the entries of duplicates until ctx is done. To see whether bytes are good takes reading them,
// so it is not the follower that does it: one large instance sent again would hold up all others. What it leaves, the
// next start finds.
func (f *Follower) RunSpares(ctx context.Context) error {
	wait := failure.Waits{Backoff: patience}
	for {
		ids := f.spares.take(ctx)
		if len(ids) == 0 {
			return nil
		}
		left, err := f.settleSpares(ctx, ids)
		if err == nil || ctx.Err() != nil {
			wait.Over()
			continue
		}
		f.spares.add(left...)
		f.Log.Error("duplicates are kept, the ledger does not say of what: trying again", "entries", len(left), "err", err)
		wait.Wait(ctx)
	}
}

// settleSpares releases the entries ids, or puts them into the place of those whose bytes are bad. It returns what it
// has not come to.
func (f *Follower) settleSpares(ctx context.Context, ids []string) (left []string, err error) {
	good := map[string]bool{} // looked at just now
	for i, id := range ids {
		if err := f.settleSpare(ctx, id, good); err != nil {
			return ids[i:], err
		}
	}
	return nil, nil
}

func (f *Follower) settleSpare(ctx context.Context, id string, good map[string]bool) error {
	entry, dataset, err := f.Spool.Open(id)
	switch {
	case errors.Is(err, spool.ErrNotFound):
		return nil
	case err != nil:
		f.Log.Warn("duplicate cannot be read: it is kept until the next start", "entry", id, "err", err)
		return nil
	}
	dataset.Close()
	first, err := f.Ledger.KeptAs(ctx, entry.Header.SOPInstanceUID, entry.Digest)
	if err != nil || first == id {
		return err
	}
	if first == "" { // it is released, or the ledger was begun anew and does not know it
		return f.replace(ctx, "", entry)
	}
	if !good[first] {
		if good[first], err = f.good(ctx, first); err != nil {
			return err
		}
		if !good[first] {
			return f.replace(ctx, first, entry)
		}
	}
	f.release(id)
	return nil
}

func (f *Follower) release(id string) {
	if err := f.Spool.Release(id); err != nil {
		f.Log.Warn("duplicate not released: the next start does it", "entry", id, "err", err)
	}
}

// replace puts entry into the place of the entry lost, or gives it up where the ledger has no need of it.
func (f *Follower) replace(ctx context.Context, lost string, entry spool.Entry) error {
	receipt := f.receipt(entry)
	receipt.Lost = lost
	verdicts, err := f.Ledger.Receive(ctx, []ledger.Receipt{receipt}, 0)
	if err != nil {
		return fmt.Errorf("entry %s: %w", entry.ID, err)
	}
	if slices.Contains(verdicts, ledger.Duplicate) {
		if lost == "" {
			f.Log.Info("instance received again whose work was done and whose bytes are released: it is not kept",
				"sop_instance_uid", entry.Header.SOPInstanceUID, "calling_ae", entry.CallingAE, "entry", entry.ID)
			f.release(entry.ID)
		} else { // the first is another one by now
			f.Spare(entry.ID)
		}
		return nil
	}
	f.settle([]ledger.Receipt{receipt}, verdicts)
	f.Jobs()
	f.Deliveries()
	f.release(lost)
	return nil
}

// good says whether the spool has the bytes of an entry, all of them: they are read. An error says that this time they
// could not be.
func (f *Follower) good(ctx context.Context, id string) (bool, error) {
	_, dataset, err := f.Spool.Open(id)
	if err == nil {
		defer dataset.Close()
		_, err = io.Copy(io.Discard, cancelled{ctx, dataset})
	}
	var system syscall.Errno
	if ctx.Err() != nil || errors.As(err, &system) && system != syscall.EIO && system != syscall.ENOENT {
		return false, err
	}
	return err == nil, nil
}

// cancelled ends a read when ctx is done.
type cancelled struct {
	ctx context.Context
	io.Reader
}

// Read reads on while the context is not done.
func (c cancelled) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.Reader.Read(p)
}
