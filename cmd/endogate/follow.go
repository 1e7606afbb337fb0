package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
)

// follower brings what the spool has into the ledger, in the spool's order.
// It runs behind the receiver all the time; a restart takes it up where the ledger stands,
// so recovery after a crash is the ordinary path.
type follower struct {
	spool  *spool.Spool
	ledger arrivals
	router router
	jobs   func() // called when there may be new jobs
	queues func() // called when there may be new deliveries
	log    *slog.Logger

	retaken bool                  // what was refused before the start was tried again
	behind  atomic.Pointer[error] // why the ledger cannot take in what the spool has; nil: it can
}

// arrivals is the ledger, as the follower needs it.
type arrivals interface {
	Position(ctx context.Context) (uint64, error)
	Receive(ctx context.Context, receipts []ledger.Receipt, position uint64) ([]ledger.Verdict, error)
	Refuse(ctx context.Context, entry, reason string, position uint64, at time.Time) error
	Refused(ctx context.Context) ([]string, error)
}

const (
	followBatch = 512
	// followPause lets entries gather under load, so that the ledger's syncs do not compete with the spool's:
	// a millisecond for each entry of the batch before. One that comes alone is taken at once.
	followPause = 20 * time.Millisecond
)

// Err returns nil while the follower follows, or why it cannot: what is received then is safe in the spool, and waits.
func (f *follower) Err() error {
	if err := f.behind.Load(); err != nil {
		return *err
	}
	return nil
}

// Run follows the spool until ctx is done. It waits for a ledger that fails.
func (f *follower) Run(ctx context.Context) error {
	var wait patience
	for {
		position, taken, err := f.batch(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			f.behind.Store(&err)
			f.log.Error("the ledger does not take in what was received, it stays in the spool: trying again", "err", err)
			wait.wait(ctx)
			continue
		}
		f.behind.Store(nil)
		wait = 0
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(min(followPause, time.Duration(taken)*time.Millisecond)):
		}
		if err := f.spool.Wait(ctx, position); err != nil {
			return nil // the context's end is the only reason
		}
	}
}

// CatchUp returns when the ledger has everything that the spool had.
func (f *follower) CatchUp(ctx context.Context) error {
	if err := f.retake(ctx); err != nil {
		return err
	}
	for before := uint64(math.MaxUint64); ; {
		position, _, err := f.batch(ctx)
		if err != nil || position == before {
			return err
		}
		before = position
	}
}

// batch takes the next entries into the ledger. It returns the position that the ledger stands at then, and how many
// data sets it was given.
func (f *follower) batch(ctx context.Context) (position uint64, taken int, err error) {
	position, err = f.ledger.Position(ctx)
	if err != nil {
		return 0, 0, err
	}
	receipts, last, err := f.next(ctx, position)
	if err != nil || last == position {
		return position, 0, err
	}
	if err := f.take(ctx, receipts, last); err != nil {
		return position, 0, err
	}
	f.jobs()
	f.queues()
	return last, len(receipts), nil
}

// retake tries once, at the start, what was refused before: this release may take it in.
func (f *follower) retake(ctx context.Context) error {
	if f.retaken {
		return nil
	}
	refused, err := f.ledger.Refused(ctx)
	if err != nil {
		return err
	}
	f.retaken = true
	for _, id := range refused {
		entry, dataset, err := f.spool.Open(id)
		if err == nil {
			dataset.Close()
			if entry.Kind != spool.Received {
				continue // the work that made it looks after it
			}
			receipts := []ledger.Receipt{f.receipt(entry)}
			var verdicts []ledger.Verdict
			if verdicts, err = f.ledger.Receive(ctx, receipts, 0); err == nil {
				f.settle(receipts, verdicts)
				f.jobs()
				f.queues()
				continue
			}
		}
		f.log.Error("spool entry still cannot be taken in: it is kept", "entry", id, "err", err)
	}
	return nil
}

// take puts receipts into the ledger. Where it does not take them together, it gets them in halves, so that one that
// it cannot take does not keep out the others: that one is noted, and its entry stays in the spool.
func (f *follower) take(ctx context.Context, receipts []ledger.Receipt, position uint64) error {
	verdicts, err := f.ledger.Receive(ctx, receipts, position)
	if err == nil {
		f.settle(receipts, verdicts)
		return nil
	}
	if ctx.Err() != nil || len(receipts) == 0 {
		return err
	}
	if _, alone := f.ledger.Receive(ctx, nil, 0); alone != nil {
		return err // it takes nothing at all
	}
	if half := len(receipts) / 2; half > 0 {
		if err := f.take(ctx, receipts[:half], receipts[half-1].Seq); err != nil {
			return err
		}
		return f.take(ctx, receipts[half:], position)
	}
	r := receipts[0]
	f.log.Error("the ledger cannot take in a spool entry: it is kept, not analysed and not passed on; report this fault",
		"entry", r.ID, "sop_instance_uid", r.Header.SOPInstanceUID, "calling_ae", r.CallingAE, "err", err)
	return f.ledger.Refuse(ctx, r.ID, err.Error(), position, r.At)
}

// next collects the receipts of the entries after position. What the gateway made itself
// is in the ledger through the work that made it, and is passed over. An entry that cannot be read is noted, so that
// what is left of it stays in the spool.
func (f *follower) next(ctx context.Context, position uint64) (receipts []ledger.Receipt, last uint64, err error) {
	last = position
	for entry, err := range f.spool.Entries(position) {
		last = entry.Seq
		if err != nil {
			f.log.Error("spool entry cannot be read: restore it from a backup or send its instance again", "entry", entry.ID, "err", err)
			if err := f.ledger.Refuse(ctx, entry.ID, err.Error(), 0, time.Now()); err != nil {
				return nil, position, err
			}
			continue
		}
		if entry.Kind == spool.Received {
			receipts = append(receipts, f.receipt(entry))
		}
		if len(receipts) == followBatch {
			break
		}
	}
	return receipts, last, nil
}

func (f *follower) receipt(e spool.Entry) ledger.Receipt {
	receipt := ledger.Receipt{
		ID: e.ID, Seq: e.Seq, Header: e.Header, TransferSyntaxUID: e.TransferSyntaxUID,
		CallingAE: e.CallingAE, CalledAE: e.CalledAE, At: e.At, Size: e.Size, Digest: e.Digest,
		Kept: f.kept,
	}
	route, ok := f.router.route(e.Header, e.CallingAE)
	if !ok {
		receipt.Skip = "no route matches"
		return receipt
	}
	receipt.Route = route.Name
	receipt.Models = route.Models
	receipt.Destinations = route.Destinations
	if route.ForwardSource {
		receipt.Forward = route.Destinations
	}
	if len(route.Models) == 0 {
		receipt.Skip = "the route names no model"
	}
	return receipt
}

// kept says whether the spool has the bytes of an entry, all of them: they are read.
func (f *follower) kept(id string) bool {
	_, dataset, err := f.spool.Open(id)
	if err != nil {
		return false
	}
	defer dataset.Close()
	_, err = io.Copy(io.Discard, dataset)
	return err == nil
}

// settle gives back the room of what was there already, and tells of what is unusual.
func (f *follower) settle(receipts []ledger.Receipt, verdicts []ledger.Verdict) {
	for i, verdict := range verdicts {
		log := f.log.With("sop_instance_uid", receipts[i].Header.SOPInstanceUID, "calling_ae", receipts[i].CallingAE, "entry", receipts[i].ID)
		switch verdict {
		case ledger.Duplicate:
			if err := f.spool.Release(receipts[i].ID); err != nil {
				log.Warn("duplicate not released: the next start does it", "err", err)
			}
		case ledger.Conflict:
			log.Warn("instance differs from an earlier one with the same UID: kept, not analysed")
		case ledger.Restored:
			log.Info("instance received again, its earlier bytes were gone")
		}
	}
}

// patience is how long to wait before the next attempt: 1 s, and twice as long each time up to 1 min.
type patience time.Duration

func (p *patience) wait(ctx context.Context) {
	*p = patience(min(max(time.Second, 2*time.Duration(*p)), time.Minute))
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(*p)):
	}
}

// reclaim releases what no work needs any more: entries whose work is done for longer than
// retention, and at start what a crash left without a row in the ledger.
type reclaimer struct {
	spool     *spool.Spool
	ledger    *ledger.Ledger
	retention time.Duration
	now       func() time.Time
	log       *slog.Logger // nil: the default one
}

const reclaimBatch = 1000

// Orphans brings spool and ledger together after a crash: it releases the entries that the ledger does not need, and
// parks the work on those that the spool has lost. Call it once, after the follower has caught up.
func (r *reclaimer) Orphans(ctx context.Context) error {
	if err := r.unneeded(ctx); err != nil {
		return err
	}
	return r.lost(ctx)
}

// lost parks the work whose bytes are gone, so that somebody sees it, and receiving them again brings it back.
func (r *reclaimer) lost(ctx context.Context) error {
	damaged := map[string]bool{}
	for entry, err := range r.spool.Entries(0) {
		if errors.Is(err, spool.ErrCorrupt) {
			damaged[entry.ID] = true
		}
	}
	count := 0
	for after := ""; ; {
		ids, err := r.ledger.Unreleased(ctx, after, reclaimBatch)
		if err != nil {
			return fmt.Errorf("reclaim: %w", err)
		}
		if len(ids) == 0 {
			break
		}
		after = ids[len(ids)-1]
		gone := slices.DeleteFunc(ids, func(id string) bool { return r.spool.Has(id) && !damaged[id] })
		if count += len(gone); len(gone) == 0 {
			continue
		}
		if err := r.ledger.ParkLost(ctx, gone, r.now()); err != nil {
			return fmt.Errorf("reclaim: %w", err)
		}
	}
	if count > 0 {
		r.logger().Error("the spool has lost the bytes of entries: the work on them is parked; restore the data folder or send the instances again",
			"entries", count)
	}
	return nil
}

func (r *reclaimer) logger() *slog.Logger { return cmp.Or(r.log, slog.Default()) }

func (r *reclaimer) unneeded(ctx context.Context) error {
	var ids []string
	flush := func() error {
		needed, err := r.ledger.Needed(ctx, ids)
		if err != nil {
			return fmt.Errorf("reclaim: %w", err)
		}
		for _, id := range ids {
			if !needed[id] {
				if err := r.spool.Release(id); err != nil {
					return fmt.Errorf("reclaim: %w", err)
				}
			}
		}
		ids = ids[:0]
		return nil
	}
	for entry, err := range r.spool.Entries(0) {
		_ = err // one that cannot be read has its ID all the same
		if ids = append(ids, entry.ID); len(ids) == reclaimBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// Run releases every minute what has been done for longer than the retention, until ctx is done.
func (r *reclaimer) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	var wait patience
	for ctx.Err() == nil {
		if err := r.Expired(ctx); err != nil && ctx.Err() == nil {
			r.logger().Error("what is done with is not released from the spool: trying again", "err", err)
			wait.wait(ctx)
			continue
		}
		wait = 0
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return nil
}

// Expired releases what is done for longer than the retention; while the disk is full, all that is done:
// taking in what modalities have counts for more than pictures on the page.
func (r *reclaimer) Expired(ctx context.Context) error {
	before := r.now().Add(-r.retention)
	if r.spool.Full() != nil {
		before = r.now()
	}
	for {
		ids, err := r.ledger.Release(ctx, before, reclaimBatch, r.now())
		if err != nil || len(ids) == 0 {
			return err
		}
		if err := r.spool.Release(ids...); err != nil { // what a crash leaves here, Orphans finds
			return fmt.Errorf("reclaim: %w", err)
		}
	}
}
