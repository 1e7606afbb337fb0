package intake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"time"

	"endogate/dicomnode/failure"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
)

// Reclaimer releases what no work needs any more: entries whose work is done for longer than
// Retention, their history when it is older than History, and at start what a crash left without a row in the ledger.
type Reclaimer struct {
	Spool     *spool.Spool
	Ledger    *ledger.Ledger
	Retention time.Duration
	Messages  time.Duration // after which messages are released whose work is done
	History   time.Duration // after which the ledger forgets what is done; 0: never
	Now       func() time.Time
	Proven    func() time.Time // a time that has come for sure: what is destroyed for its age is so old by it; nil: Now
	Until     uint64           // Seq up to which Orphans looks, where work has begun; 0: at all
	Spare     func(id string)  // takes an entry that was received and has the bytes of another one
	Log       *slog.Logger     // nil: the default one
}

const reclaimBatch = 1000

// Orphans brings spool and ledger together after a crash: it releases the entries that the ledger does not need, and
// parks the work on those that the spool has lost. Call it once, after the follower has caught up, and before any spares are
// looked after.
func (r *Reclaimer) Orphans(ctx context.Context) error {
	if err := r.Unneeded(ctx); err != nil {
		return err
	}
	return r.lost(ctx)
}

// lost parks the work whose bytes are gone, so that somebody sees it, and receiving them again brings it back.
func (r *Reclaimer) lost(ctx context.Context) error {
	damaged := map[string]bool{}
	for entry, err := range r.Spool.Held(0) {
		if errors.Is(err, spool.ErrCorrupt) {
			damaged[entry.ID] = true
		}
	}
	count := 0
	for after := ""; ; {
		ids, err := r.Ledger.Unreleased(ctx, after, reclaimBatch)
		if err != nil {
			return fmt.Errorf("reclaim: %w", err)
		}
		if len(ids) == 0 {
			break
		}
		after = ids[len(ids)-1]
		gone := slices.DeleteFunc(ids, func(id string) bool { return r.Spool.Has(id) && !damaged[id] })
		if count += len(gone); len(gone) == 0 {
			continue
		}
		if err := r.Ledger.ParkLost(ctx, gone, r.Now()); err != nil {
			return fmt.Errorf("reclaim: %w", err)
		}
	}
	if count > 0 {
		r.logger().Error("the spool has lost the bytes of entries: the work on them is parked; restore the data folder or send the instances again",
			"entries", count)
	}
	return nil
}

func (r *Reclaimer) logger() *slog.Logger { return cmp.Or(r.Log, slog.Default()) }

// Unneeded releases the entries that the ledger does not need.
func (r *Reclaimer) Unneeded(ctx context.Context) error {
	var ids []string
	received := map[string]bool{}
	flush := func() error {
		needed, err := r.Ledger.Needed(ctx, ids)
		if err != nil {
			return fmt.Errorf("reclaim: %w", err)
		}
		known, err := r.Ledger.Known(ctx, ids)
		if err != nil {
			return fmt.Errorf("reclaim: %w", err)
		}
		unneeded := slices.DeleteFunc(ids, func(id string) bool {
			if !needed[id] && received[id] && !known[id] { // the process ended before anybody looked at the bytes of the other one
				r.Spare(id)
				return true
			}
			return needed[id]
		})
		if err := r.Spool.Release(unneeded...); err != nil {
			return fmt.Errorf("reclaim: %w", err)
		}
		clear(received)
		ids = ids[:0]
		return nil
	}
	for entry, err := range r.Spool.Held(0) { // one that is damaged has its ID all the same
		if r.Until > 0 && entry.Seq > r.Until {
			break // what came since is being worked on
		}
		if err == nil && entry.Kind == spool.Action || err != nil && !errors.Is(err, spool.ErrCorrupt) { // what the disk does not give now may be good
			continue
		}
		received[entry.ID] = entry.Kind == spool.Received && !errors.Is(err, spool.ErrGone) // of which there are no bytes to look at
		if ids = append(ids, entry.ID); len(ids) == reclaimBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

const (
	reclaimEvery = time.Minute
	fullEvery    = 5 * time.Second // how often to look whether the disk is full, and to do something about it
)

// Run releases every minute, and every few seconds while the disk is full, what has been done for longer than the
// retention, and gives its room back, until ctx is done.
func (r *Reclaimer) Run(ctx context.Context) error {
	wait := failure.Waits{Backoff: patience}
	for ctx.Err() == nil {
		if err := r.reclaim(ctx); ledger.IsTrouble(err) {
			wait.Wait(ctx) // it is told of by whoever looks after the ledger
			continue
		} else if err != nil && ctx.Err() == nil {
			r.logger().Error("what is done with is not released from the spool: trying again", "err", err)
			wait.Wait(ctx)
			continue
		}
		wait.Over()
		r.rest(ctx)
	}
	return nil
}

// rest returns when there may be something to reclaim.
func (r *Reclaimer) rest(ctx context.Context) {
	tick := time.NewTicker(fullEvery)
	defer tick.Stop()
	for range reclaimEvery / fullEvery {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if errors.Is(r.Spool.Full(), spool.ErrFull) {
				return
			}
		}
	}
}

// reclaim does each of its steps also where another one fails: a full disk is no reason not to give room back.
func (r *Reclaimer) reclaim(ctx context.Context) error {
	err := errors.Join(r.Expired(ctx), r.forget(ctx), r.forgetActions(ctx))
	freed, compacted := r.Spool.Compact(ctx)
	if freed > 0 {
		r.logger().Info("room of released entries given back", "bytes", freed)
	}
	return errors.Join(err, compacted)
}

const (
	forgetBatch = 500 // rows of a table in one transaction, which others wait for
	forgetPause = 50 * time.Millisecond
)

// checkpoints is how many there are in the time of History: so much longer may what is forgotten stay in the spool.
const checkpoints = 24

// forgetActions releases the actions that are older than History, and may speak of what is forgotten: they have patient
// data. What the ledger keeps for longer than that, such as who was merged into whom and what persons did, is then in a
// checkpoint, which is made anew from time to time, so that it does not remember what the ledger has forgotten.
func (r *Reclaimer) forgetActions(ctx context.Context) error {
	if unkept, err := r.Ledger.Unkept(ctx); err != nil {
		return fmt.Errorf("reclaim: %w", err)
	} else if unkept {
		if err := r.checkpoint(ctx); err != nil {
			return err
		}
		return r.Ledger.Replaced(ctx)
	}
	if r.History <= 0 {
		return nil
	}
	now := r.proven()
	old, outdated := now.Add(-r.History), now.Add(-r.History/checkpoints)
	checkpointed := func(e spool.Entry) bool { return isCheckpoint(e) && e.At.Before(outdated) }
	acted := func(e spool.Entry) bool { return isOfLedger(e) && e.At.Before(old) || checkpointed(e) }
	if !r.first(r.Spool.Held(0), isCheckpoint, checkpointed) && !r.first(r.Spool.Entries(0), isAction, acted) {
		return nil
	}
	return r.checkpoint(ctx)
}

func (r *Reclaimer) checkpoint(ctx context.Context) error {
	if err := (Journal{Spool: r.Spool, Now: r.Now, Log: r.logger()}).Checkpoint(ctx, r.Ledger); err != nil {
		return fmt.Errorf("reclaim: checkpoint: %w", err)
	}
	return nil
}

// first reports whether the first of entries that is one in question is so. One of a clock that has been set back since is not
// asked: it goes with the next that is old.
func (r *Reclaimer) first(entries iter.Seq2[spool.Entry, error], one, so func(spool.Entry) bool) bool {
	for entry, err := range entries {
		if err == nil && one(entry) && !entry.At.After(r.Now()) {
			return so(entry)
		}
	}
	return false
}

func isAction(e spool.Entry) bool { return e.Kind == spool.Action }

// forget has the ledger forget what is older than History, a little at a time.
func (r *Reclaimer) forget(ctx context.Context) error {
	if r.History <= 0 {
		return nil
	}
	if err := r.forgetBy(ctx, r.Ledger.Forget); err != nil {
		return err
	}
	return r.forgetBy(ctx, r.Ledger.ForgetMessages)
}

func (r *Reclaimer) forgetBy(ctx context.Context, forget func(context.Context, time.Time, int, time.Time) (bool, error)) error {
	for {
		more, err := forget(ctx, r.proven().Add(-r.History), forgetBatch, r.Now())
		if err != nil || !more {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(forgetPause):
		}
	}
}

// Expired releases what is done for longer than the retention; while the disk is full, all that is done:
// taking in what modalities have counts for more than pictures on the page.
func (r *Reclaimer) Expired(ctx context.Context) error {
	before, messages := r.proven().Add(-r.Retention), r.proven().Add(-r.Messages)
	if errors.Is(r.Spool.Full(), spool.ErrFull) {
		before, messages = whenever, whenever
	}
	if err := r.expire(ctx, r.Ledger.Release, before); err != nil {
		return err
	}
	return r.expire(ctx, r.Ledger.ReleaseMessages, messages)
}

// whenever is later than all that is kept, also under a clock that has been set back since.
var whenever = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

func (r *Reclaimer) proven() time.Time {
	if r.Proven != nil {
		return r.Proven()
	}
	return r.Now()
}

// expire releases in the spool what release marks in the ledger, until there is no more.
func (r *Reclaimer) expire(ctx context.Context, release func(context.Context, time.Time, int, time.Time) ([]string, error), before time.Time) error {
	for {
		ids, err := release(ctx, before, reclaimBatch, r.Now())
		if err != nil || len(ids) == 0 {
			return err
		}
		if err := r.Spool.Release(ids...); err != nil { // what a crash leaves here, Orphans finds
			return fmt.Errorf("reclaim: %w", err)
		}
	}
}
