package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
)

// follower brings what the spool has into the ledger, in the spool's order.
// It runs behind the receiver all the time; a restart takes it up where the ledger stands,
// so recovery after a crash is the ordinary path.
type follower struct {
	spool  *spool.Spool
	ledger *ledger.Ledger
	router router
	jobs   func() // called when there may be new jobs
	queues func() // called when there may be new deliveries
	log    *slog.Logger
}

const (
	followBatch = 512
	// followPause lets entries gather under load, so that the ledger's syncs do not compete with the spool's.
	// An entry that comes after a pause is taken at once.
	followPause = 20 * time.Millisecond
)

// Run follows the spool until ctx is done.
func (f *follower) Run(ctx context.Context) error {
	for {
		position, err := f.CatchUp(ctx)
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followPause):
		}
		if err := f.spool.Wait(ctx, position); err != nil {
			return nil // the context's end is the only reason
		}
	}
}

// CatchUp returns when the ledger has everything that the spool had, with the position it stands at.
func (f *follower) CatchUp(ctx context.Context) (uint64, error) {
	position, err := f.ledger.Position(ctx)
	if err != nil {
		return 0, err
	}
	for {
		receipts, last := f.next(position)
		if last == position {
			return position, nil
		}
		verdicts, err := f.ledger.Receive(ctx, receipts, last)
		if err != nil {
			return position, err
		}
		if err := f.release(receipts, verdicts); err != nil {
			return position, err
		}
		position = last
		f.jobs()
		f.queues()
	}
}

// next collects the receipts of the entries after position. What the gateway made itself
// is in the ledger through the work that made it, and is passed over.
func (f *follower) next(position uint64) (receipts []ledger.Receipt, last uint64) {
	last = position
	for entry, err := range f.spool.Entries(position) {
		last = entry.Seq
		if err != nil {
			f.log.Error("spool entry cannot be read: restore it from a backup or send its instance again", "entry", entry.ID, "err", err)
			continue
		}
		if entry.Kind == spool.Received {
			receipts = append(receipts, f.receipt(entry))
		}
		if len(receipts) == followBatch {
			break
		}
	}
	return receipts, last
}

func (f *follower) receipt(e spool.Entry) ledger.Receipt {
	receipt := ledger.Receipt{
		ID: e.ID, Seq: e.Seq, Header: e.Header, TransferSyntaxUID: e.TransferSyntaxUID,
		CallingAE: e.CallingAE, CalledAE: e.CalledAE, At: e.At, Size: e.Size, Digest: e.Digest,
	}
	route, ok := f.router.route(e.Header, e.CallingAE)
	if !ok {
		receipt.Skip = "no route matches"
		return receipt
	}
	receipt.Route = route.Name
	receipt.Models = route.Models
	if route.ForwardSource {
		receipt.Forward = route.Destinations
	}
	if len(route.Models) == 0 {
		receipt.Skip = "the route names no model"
	}
	return receipt
}

// release gives back the room of what was there already.
func (f *follower) release(receipts []ledger.Receipt, verdicts []ledger.Verdict) error {
	for i, verdict := range verdicts {
		switch verdict {
		case ledger.Duplicate:
			if err := f.spool.Release(receipts[i].ID); err != nil {
				return err
			}
		case ledger.Conflict:
			f.log.Warn("instance differs from an earlier one with the same UID: kept, not analysed",
				"sop_instance_uid", receipts[i].Header.SOPInstanceUID, "calling_ae", receipts[i].CallingAE, "entry", receipts[i].ID)
		}
	}
	return nil
}

// reclaim releases what no work needs any more: entries whose work is done for longer than
// retention, and at start what a crash left without a row in the ledger.
type reclaimer struct {
	spool     *spool.Spool
	ledger    *ledger.Ledger
	retention time.Duration
	now       func() time.Time
}

const reclaimBatch = 1000

// Orphans releases the entries that the ledger does not need. Call it once, after the follower has caught up.
func (r *reclaimer) Orphans(ctx context.Context) error {
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
	for entry := range r.spool.Entries(0) { // one that cannot be read has its ID all the same
		if ids = append(ids, entry.ID); len(ids) == reclaimBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// Run releases every minute what has been done for longer than the retention.
func (r *reclaimer) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		if err := r.Expired(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Expired releases what is done for longer than the retention.
func (r *reclaimer) Expired(ctx context.Context) error {
	for {
		ids, err := r.ledger.Releasable(ctx, r.now().Add(-r.retention), reclaimBatch)
		if err != nil || len(ids) == 0 {
			return err
		}
		if err := r.ledger.MarkReleased(ctx, ids, r.now()); err != nil {
			return err
		}
		if err := r.spool.Release(ids...); err != nil { // what a crash leaves here, Orphans finds
			return fmt.Errorf("reclaim: %w", err)
		}
	}
}
