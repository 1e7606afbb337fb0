package intake

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/failure"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
)

// Follower brings what the spool has into the ledger, in the spool's order.
// It runs behind the receiver all the time; a restart takes it up where the ledger stands,
// so recovery after a crash is the ordinary path. Its fields are set before the first call.
type Follower struct {
	Spool      *spool.Spool
	Ledger     Arrivals
	Router     Router
	Jobs       func() // called when there may be new jobs
	Deliveries func() // called when there may be new deliveries
	Again      func() // called when jobs were opened again; nil: nobody wants to know
	// Heard is called for each instance that has come, in the spool's order, perhaps several times; nil: nobody wants to know.
	Heard func(spool.Entry)
	Log   *slog.Logger

	spares  waiting
	seen    atomic.Uint64         // Seq of the last entry looked at
	retaken time.Time             // when what was refused was tried again
	refused []string              // entries passed over, which may be read some time
	unread  unread                // what the disk does not give
	behind  atomic.Pointer[error] // why the ledger cannot take in what the spool has; nil: it can
}

// Arrivals is the ledger, as the follower needs it.
type Arrivals interface {
	Position(ctx context.Context) (uint64, error)
	Receive(ctx context.Context, receipts []ledger.Receipt, position uint64) ([]ledger.Verdict, error)
	Refuse(ctx context.Context, entries []string, reason string, position uint64, at time.Time) error
	Refused(ctx context.Context) ([]string, error)
	ParkLost(ctx context.Context, entries []string, at time.Time) error
	Suspect(ctx context.Context, err error) error
	TakeUp(ctx context.Context, r ledger.Receipt) error
	KeptAs(ctx context.Context, uid dicom.UID, digest string) (string, error)
}

const (
	followBatch = 512
	// followPause is the longest that the ledger lags behind what keeps coming in, and followQuiet how long nothing has come when it does not.
	followPause = 250 * time.Millisecond
	followQuiet = 10 * time.Millisecond
	followEach  = 4 * time.Millisecond // of waiting, for each entry of the batch before: what comes quicker gathers
)

// patience is how long to wait for spool or ledger after an error of theirs.
var patience = failure.Backoff{First: time.Second, Last: time.Minute}

// Err returns nil while the follower follows, or why it cannot: what is received then is safe in the spool, and waits.
func (f *Follower) Err() error {
	if err := f.behind.Load(); err != nil {
		return *err
	}
	return nil
}

// Lag returns how many entries of the spool were not looked at yet.
func (f *Follower) Lag() int {
	last := f.Spool.Last()
	return int(last - min(last, f.seen.Load()))
}

// Run follows the spool until ctx is done. It waits for a ledger that fails.
func (f *Follower) Run(ctx context.Context) error {
	wait := failure.Waits{Backoff: patience}
	for {
		position, taken, err := f.batch(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			f.behind.Store(&err)
			var disk *diskError
			switch {
			case errors.As(err, &disk):
				f.Log.Error(notGiven, "err", err)
			case !ledger.IsTrouble(err): // which is told of once, by whoever looks after the ledger
				f.Log.Error("the ledger does not take in what was received, it stays in the spool: trying again", "err", err)
			}
			wait.Wait(ctx)
			continue
		}
		f.behind.Store(nil)
		wait.Over()
		f.gather(ctx, taken)
		if err := f.more(ctx, position); err != nil {
			return nil // the context's end is the only reason
		}
	}
}

// notGiven is said of an entry that may be read the next time.
const notGiven = "the disk does not give what the spool has: trying again; see to the disk of the data folder and the rights of its files"

// diskError is of an entry that cannot be read at the time.
type diskError struct{ error }

func (e *diskError) Unwrap() error { return e.error }

// retakeEvery is how often what was passed over is looked at again.
const retakeEvery = time.Minute

// more returns when the spool has entries after position. Meanwhile what was passed over is looked at again: files come back, and rights.
func (f *Follower) more(ctx context.Context, position uint64) error {
	for len(f.refused) > 0 {
		if left := time.Until(f.retaken.Add(retakeEvery)); left > 0 {
			soon, cancel := context.WithTimeout(ctx, left)
			err := f.Spool.Wait(soon, position)
			cancel()
			if err == nil || ctx.Err() != nil || errors.Is(err, spool.ErrClosed) {
				return err
			}
		}
		if err := f.retake(ctx, f.refused); err != nil && ctx.Err() != nil {
			return ctx.Err()
		} // another is the ledger's, of which whoever looks after that tells
	}
	return f.Spool.Wait(ctx, position)
}

// gather lets entries gather while they keep coming, longer from batch to batch: intake goes before, and many
// together cost the ledger less than as many alone. One that comes alone is taken at once, as is the rest of what came.
func (f *Follower) gather(ctx context.Context, taken int) {
	if taken == followBatch {
		return // there are more
	}
	tick := time.NewTicker(followQuiet)
	defer tick.Stop()
	enough := time.After(min(followPause, time.Duration(taken)*followEach))
	for last, came := uint64(0), f.Spool.Last(); came != last; last, came = came, f.Spool.Last() {
		select {
		case <-ctx.Done():
			return
		case <-enough:
			return
		case <-tick.C:
		}
	}
}

// CatchUp returns when the ledger has everything that the spool had.
func (f *Follower) CatchUp(ctx context.Context) error {
	if f.retaken.IsZero() { // what was refused before: this release may take it in
		refused, err := f.Ledger.Refused(ctx)
		if err == nil {
			err = f.retake(ctx, refused)
		}
		if err != nil {
			return err
		}
		if len(f.refused) > 0 {
			f.Log.Error("spool entries still cannot be taken in: they are kept", "entries", len(f.refused), "of_them", some(f.refused))
		}
	}
	wait := failure.Waits{Backoff: patience}
	for before := uint64(math.MaxUint64); ; {
		position, _, err := f.batch(ctx)
		var disk *diskError
		if errors.As(err, &disk) && ctx.Err() == nil {
			f.Log.Error(notGiven, "err", err)
			wait.Wait(ctx)
			continue
		}
		if err != nil || position == before {
			return err
		}
		before = position
	}
}

// batch takes the next entries into the ledger. It returns the position that the ledger stands at then, and how many
// data sets it was given.
func (f *Follower) batch(ctx context.Context) (position uint64, taken int, err error) {
	if position = f.seen.Load(); position == 0 { // afterwards it is moved here alone
		if position, err = f.Ledger.Position(ctx); err != nil {
			return 0, 0, err
		}
	}
	receipts, lost, last, err := f.next(ctx, position)
	if err != nil {
		return position, 0, err
	}
	if len(receipts) > 0 { // otherwise the ledger need not know: its own actions are entries too
		err := f.take(ctx, receipts, last)
		if err == nil && len(lost) > 0 {
			err = f.Ledger.ParkLost(ctx, lost, time.Now())
		}
		if err != nil {
			return position, 0, err
		}
		f.Jobs()
		f.Deliveries()
	}
	f.seen.Store(last)
	return last, len(receipts), nil
}

// retake tries again what was passed over, and keeps in mind what still cannot be read.
func (f *Follower) retake(ctx context.Context, refused []string) error {
	f.retaken = time.Now()
	var left []string
	for i, id := range refused {
		entry, dataset, err := f.Spool.Open(id)
		if err == nil {
			dataset.Close()
			if entry.Kind != spool.Received {
				continue // the work that made it looks after it
			}
			receipts := []ledger.Receipt{f.receipt(entry)}
			var verdicts []ledger.Verdict
			if verdicts, err = f.Ledger.Receive(ctx, receipts, 0); err == nil {
				f.Log.Info("spool entry is taken in after all", "entry", id, "sop_instance_uid", entry.Header.SOPInstanceUID)
				f.settle(receipts, verdicts)
				f.Jobs()
				f.Deliveries()
				continue
			}
		}
		if ledger.IsTrouble(err) {
			f.refused = append(left, refused[i:]...)
			return err
		}
		left = append(left, id)
	}
	f.refused = left
	return nil
}

// take puts receipts into the ledger. Where it does not take them together, it gets them in halves, so that one that
// it cannot take does not keep out the others: that one is noted, and its entry stays in the spool. None is at fault for a
// ledger in trouble.
func (f *Follower) take(ctx context.Context, receipts []ledger.Receipt, position uint64) error {
	verdicts, err := f.Ledger.Receive(ctx, receipts, position)
	if err == nil {
		f.settle(receipts, verdicts)
		return nil
	}
	if ctx.Err() != nil || len(receipts) == 0 || ledger.IsTrouble(err) {
		return err
	}
	if _, alone := f.Ledger.Receive(ctx, nil, 0); alone != nil {
		return err // it takes nothing at all
	}
	if half := len(receipts) / 2; half > 0 {
		if err := f.take(ctx, receipts[:half], receipts[half-1].Seq); err != nil {
			return err
		}
		return f.take(ctx, receipts[half:], position)
	}
	if trouble := f.Ledger.Suspect(ctx, err); trouble != nil {
		return trouble
	}
	r := receipts[0]
	f.Log.Error("the ledger cannot take in a spool entry: it is kept, not analysed and not passed on; report this fault",
		"entry", r.ID, "sop_instance_uid", r.Header.SOPInstanceUID, "calling_ae", r.CallingAE, "err", err)
	return f.Ledger.Refuse(ctx, []string{r.ID}, err.Error(), position, r.At)
}

// unread is the entry that could not be read the last time, although its bytes may be whole.
type unread struct {
	seq   uint64
	tries int
	bad   bool // the disk: an entry was passed over for it
}

// maxUnread is how often an entry is tried that the disk does not give, by patience: it takes three minutes. With one that was
// passed over the disk is known to be bad, and what else it does not give is tried once more: there may be thousands.
const maxUnread = 8

// hopeless says whether an entry is passed over because of err: its bytes are damaged or gone, or the disk says again and again that it
// cannot read them, as others wait behind it. Of one without a Seq there is nothing to pass over. What the system lacks, such as files to
// open, it has again some time, and no other entry could be read.
func (u *unread) hopeless(seq uint64, err error) bool {
	if errors.Is(err, spool.ErrCorrupt) {
		return true
	}
	if u.seq != seq {
		u.seq, u.tries = seq, 0
	}
	u.tries++
	if seq == 0 || !ofTheFile(err) || u.tries <= maxUnread && !(u.bad && u.tries > 1) {
		return false
	}
	u.bad = true
	return true
}

// ofTheFile says whether err is of one file, or one place of it, rather than of all that could be read.
func ofTheFile(err error) bool {
	var system syscall.Errno
	if !errors.As(err, &system) {
		return false
	}
	switch system {
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EINTR, syscall.EAGAIN, syscall.ENOENT: // without the file alone it would be ErrCorrupt
		return false
	}
	return true
}

// next collects the receipts of the entries after position. What the gateway made itself
// is in the ledger through the work that made it, and is passed over, as are its actions. An entry that cannot be read is noted, so that
// what is left of it stays in the spool; it is tried again. Where all is known of it but its bytes, which are lost, it is among the receipts,
// and lost.
func (f *Follower) next(ctx context.Context, position uint64) (receipts []ledger.Receipt, lost []string, last uint64, err error) {
	last = position
	var passed passed
	for entry, err := range f.Spool.Entries(position) {
		if err != nil && !f.unread.hopeless(entry.Seq, err) {
			if last > position {
				break // what is before it is not held up
			}
			return nil, nil, position, &diskError{err}
		}
		last = max(last, entry.Seq)
		switch {
		case entry.Kind != spool.Received && (err == nil || entry.Kind != ""):
			continue
		case errors.Is(err, spool.ErrGone): // what is behind the position nobody has released
			f.Log.Error("the file of an instance that was not taken over is gone: put it back into spool/large or send the instance again",
				"sop_instance_uid", entry.Header.SOPInstanceUID, "calling_ae", entry.CallingAE, "entry", entry.ID)
			passed.add(entry.ID, err)
		case err != nil && entry.Kind == "":
			passed.add(entry.ID, err)
		default:
			receipts = append(receipts, f.receipt(entry))
			if err != nil {
				lost = append(lost, entry.ID)
				f.Log.Error("an instance is lost before it was taken over: restore its segment from a backup or send it again",
					"sop_instance_uid", entry.Header.SOPInstanceUID, "calling_ae", entry.CallingAE, "entry", entry.ID, "err", err)
			} else if f.Heard != nil {
				f.Heard(entry)
			}
		}
		if len(receipts) == followBatch || len(passed.ids) == followBatch {
			break
		}
	}
	var through uint64 // with receipts the position moves when they are taken
	if len(receipts) == 0 {
		through = last
	}
	return receipts, lost, last, f.passOver(ctx, passed, through)
}

// passed are entries that cannot be read, and of the first why.
type passed struct {
	ids []string
	err error
}

func (p *passed) add(id string, err error) {
	if len(p.ids) == 0 {
		p.err = err
	}
	p.ids = append(p.ids, id)
}

// passOver notes entries that cannot be read.
func (f *Follower) passOver(ctx context.Context, p passed, position uint64) error {
	if len(p.ids) == 0 {
		return nil
	}
	came, _ := spool.Came(p.ids[0])
	f.Log.Error("spool entries cannot be read: restore their segments or files from a backup or send their instances again",
		"entries", len(p.ids), "of_them", some(p.ids), "came_at", came, "err", p.err)
	if err := f.Ledger.Refuse(ctx, p.ids, p.err.Error(), position, time.Now()); err != nil {
		return err
	}
	f.refused = append(f.refused, p.ids...)
	slices.Sort(f.refused)
	f.refused = slices.Compact(f.refused) // some of before the start
	return nil
}

// some are the first of ids, to be named.
func some(ids []string) []string { return ids[:min(len(ids), 10)] }

// Applies says whether a route with a model applies to an entry.
func (f *Follower) Applies(id string) (bool, error) {
	r, err := f.anew(id)
	return err == nil && r.Skip == "", nilIfGone(err)
}

// TakeUp gives an entry that was not analysed to the route and the models that apply to it now.
func (f *Follower) TakeUp(ctx context.Context, id string, now time.Time) error {
	r, err := f.anew(id)
	if err != nil || r.Skip != "" {
		return err
	}
	r.Kept, r.At = nil, now
	return f.Ledger.TakeUp(ctx, r)
}

// Offer is an entry with the route and the models that apply to it now, to be given to models that have not seen it.
func (f *Follower) Offer(id string) (ledger.Receipt, error) {
	r, err := f.anew(id)
	r.Kept = nil
	return r, err
}

func (f *Follower) anew(id string) (ledger.Receipt, error) {
	entry, data, err := f.Spool.Open(id)
	if err != nil {
		return ledger.Receipt{}, err
	}
	return f.receipt(entry), data.Close()
}

func nilIfGone(err error) error {
	if errors.Is(err, spool.ErrNotFound) {
		return nil
	}
	return err
}

func (f *Follower) receipt(e spool.Entry) ledger.Receipt {
	receipt := ledger.Receipt{
		ID: e.ID, Seq: e.Seq, Header: e.Header, TransferSyntaxUID: e.TransferSyntaxUID,
		CallingAE: e.CallingAE, CalledAE: e.CalledAE, At: e.At, Size: e.Size, Digest: e.Digest,
		Kept: f.Spool.Has,
	}
	route, ok := f.Router.Route(e.Header, e.CallingAE)
	if !ok {
		receipt.Skip = "no route matches"
		return receipt
	}
	receipt.Route = route.Name
	receipt.Models = route.Models
	receipt.Destinations = route.Destinations
	receipt.Gate = route.Gate
	if route.ForwardSource {
		receipt.Forward = route.Destinations
	}
	if len(route.Models) == 0 {
		receipt.Skip = "the route names no model"
	}
	return receipt
}

// settle has spares looked after, and tells of what is unusual.
func (f *Follower) settle(receipts []ledger.Receipt, verdicts []ledger.Verdict) {
	for i, verdict := range verdicts {
		log := f.Log.With("sop_instance_uid", receipts[i].Header.SOPInstanceUID, "calling_ae", receipts[i].CallingAE, "entry", receipts[i].ID)
		switch verdict {
		case ledger.Duplicate:
			f.Spare(receipts[i].ID)
		case ledger.Conflict:
			log.Warn("instance differs from an earlier one with the same UID: kept, not analysed")
		case ledger.Restored:
			log.Info("instance received again, its earlier bytes were gone")
			if f.Again != nil {
				f.Again()
			}
		}
	}
}
