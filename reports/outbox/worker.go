package outbox

import (
	"cmp"
	"context"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"endogate/dicomnode/ledger"
)

// restTimeout bounds the orderly end of an association when there is no more work.
const restTimeout = 5 * time.Second

// worker delivers to one destination.
type worker struct {
	o      *Outbox
	name   string
	sender Sender
	log    *slog.Logger

	wake, retry chan struct{} // of capacity 1
	rested      bool          // the sender holds nothing open
	worked      time.Time     // when the sender was last used
	strikes     int           // temporary failures in a row

	// unsettled are what the peer has taken and the ledger has not noted, by delivery: they are not sent again while this runs.
	unsettled   map[int64]attempt
	took        time.Time          // when the destination took something last
	holdUntil   time.Time          // nothing is tried before
	behindUntil time.Time          // nor before what has failed already
	silentOn    map[int64]bool     // deliveries that got no answer, since the last answer to any
	silences    map[int64]silences // by delivery
	slowest     time.Duration      // answer of the last day
	slowestAt   time.Time
	asking      []ledger.Delivery // what somebody asked for
	untried     map[int64]bool    // of asking, by ID

	// usedFresh and usedBehind are how long attempts at what was never tried and at what was have taken, as long as there
	// is some of both.
	usedFresh, usedBehind time.Duration
	fromEnd               bool           // the next of what was never tried is the newest: the oldest was not taken
	tried                 map[string]int // of what was never tried: how many of each source had their turn, as long as it has some due

	mu        sync.Mutex
	condition Condition
	failures  int  // in a row, of the destination as a whole
	asked     bool // somebody wants everything tried now
}

func newWorker(o *Outbox, name string, sender Sender) *worker {
	return &worker{
		o: o, name: name, sender: sender, log: o.Log.With("destination", name), rested: true,
		unsettled: map[int64]attempt{}, wake: make(chan struct{}, 1), retry: make(chan struct{}, 1), condition: Condition{Up: true},
		silentOn: map[int64]bool{}, silences: map[int64]silences{}, tried: map[string]int{},
	}
}

func (w *worker) signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // the last one is not taken up yet
	}
}

func (w *worker) state() Condition {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.condition
}

// ask has everything tried now, and what fails then waited for as if it were the first time.
func (w *worker) ask() {
	w.mu.Lock()
	w.asked, w.failures = true, 0
	w.mu.Unlock()
	w.signal(w.retry)
}

// isAsked takes up what was asked for.
func (w *worker) isAsked() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := w.asked
	if w.asked = false; asked {
		select {
		case <-w.retry:
		default: // pause has seen it
		}
	}
	return asked
}

func (w *worker) run(ctx context.Context) {
	defer w.rest(context.WithoutCancel(ctx))
	for ctx.Err() == nil {
		longest, limit := w.longest(), batch
		asked := w.isAsked()
		if asked {
			w.rest(ctx) // a new association finds out what the peer takes by now
			w.strikes, w.holdUntil, w.behindUntil = 0, time.Time{}, time.Time{}
			longest, limit = -ahead, batchAsked
		}
		due, err := w.due(ctx, longest, limit)
		if asked {
			w.allAsked(due)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			w.log.ErrorContext(ctx, "deliveries due", "err", err)
			w.pause(ctx, ledgerPause)
		case len(due) == 0:
			clear(w.unsettled)
			w.idle(ctx)
		default:
			w.all(ctx, due)
			w.hold(ctx)
		}
	}
}

// longest is the longest that a delivery is ever deferred.
func (w *worker) longest() time.Duration { return max(w.o.Backoff.defaults().Last, refusedPause) }

// due returns what is to be sent, with what was sent before and not committed in time.
func (w *worker) due(ctx context.Context, longest time.Duration, limit int) ([]ledger.Delivery, error) {
	n, err := w.o.Queue.Uncommitted(ctx, w.name, w.o.now(), longestHold)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		w.log.WarnContext(ctx, "deliveries were taken and not committed in time: they are sent again", "count", n)
	}
	due, err := w.o.Queue.DueDeliveries(ctx, w.name, w.o.now(), longest, limit)
	if err != nil {
		return nil, err
	}
	w.joinTurns(due)
	if w.until(w.behindUntil) > 0 {
		due = slices.DeleteFunc(due, func(d ledger.Delivery) bool { return d.Behind })
	}
	if len(w.untried) == 0 {
		w.asking = nil
		return due, nil
	}
	known := map[int64]bool{}
	for _, d := range due {
		known[d.ID] = true
	}
	for _, d := range w.asking {
		if w.untried[d.ID] && !known[d.ID] {
			due = append(due, d)
		}
	}
	return due, nil
}

// allAsked keeps what somebody asked for, so that it is tried once, whatever its time is.
func (w *worker) allAsked(due []ledger.Delivery) {
	w.asking, w.untried = due, make(map[int64]bool, len(due))
	for _, d := range due {
		w.untried[d.ID] = true
	}
}

// turns yields what is due: what was never tried and what was, each in its order, so that both have the same time. Where the
// oldest of what was never tried is not taken the newest is next: there may be more like the oldest behind it.
func (w *worker) turns(due []ledger.Delivery) iter.Seq[ledger.Delivery] {
	var fresh, behind []ledger.Delivery
	for _, d := range due {
		if d.Behind {
			behind = append(behind, d)
		} else {
			fresh = append(fresh, d)
		}
	}
	return func(yield func(ledger.Delivery) bool) {
		for len(fresh)+len(behind) > 0 {
			if len(fresh) == 0 || len(behind) == 0 {
				w.usedFresh, w.usedBehind = 0, 0
			}
			from := &fresh
			if len(fresh) == 0 || len(behind) > 0 && w.usedBehind < w.usedFresh {
				from = &behind
			}
			at, end := 0, from == &fresh && w.fromEnd
			w.fromEnd = false
			switch {
			case end:
				at = len(fresh) - 1
			case from == &fresh:
				at = w.turn(fresh)
			}
			d := (*from)[at]
			if from == &fresh {
				w.tried[d.Source]++
			}
			*from = slices.Delete(*from, at, at+1)
			if !yield(d) {
				return
			}
			w.fromEnd = w.fromEnd && !end
		}
	}
}

// statTurns is how many in the STAT lane are sent for one of each other source.
const statTurns = 4

// round is how many turns the source of d has had.
func (w *worker) round(d ledger.Delivery) int {
	if d.Stat() {
		return w.tried[d.Source] / statTurns
	}
	return w.tried[d.Source]
}

// joinTurns has sources that have something due from now on begin with the round that the others are in, and forgets those that have not: so
// nobody has turns for the time when there was nothing, and what is read anew after each attempt goes on where it was.
func (w *worker) joinTurns(due []ledger.Delivery) {
	now, some := 0, false
	for _, d := range due {
		if _, known := w.tried[d.Source]; known && !d.Behind && (!some || w.round(d) < now) {
			now, some = w.round(d), true
		}
	}
	next := map[string]int{}
	for _, d := range due {
		n, known := w.tried[d.Source]
		switch {
		case d.Behind:
			continue
		case !known && d.Stat():
			n = now * statTurns
		case !known:
			n = now
		}
		next[d.Source] = n
	}
	w.tried = next
}

// turn picks the first of the source that had the fewest turns, as the ledger has them in order.
func (w *worker) turn(fresh []ledger.Delivery) (at int) {
	for i, d := range fresh {
		if w.round(d) < w.round(fresh[at]) {
			at = i
		}
	}
	return at
}

// look is how long attempts may take without others that have come meanwhile being looked at.
const look = time.Second

// all delivers due in turns, until the rest has to wait for the destination, or others may have come that go before it.
func (w *worker) all(ctx context.Context, due []ledger.Delivery) {
	began := w.o.now()
	for d := range w.turns(due) {
		if ctx.Err() != nil {
			return
		}
		delete(w.untried, d.ID)
		held := w.holdUntil
		due, err := w.o.Queue.IsDue(ctx, d.ID)
		if err == nil && due {
			err = w.one(ctx, d)
		}
		if err != nil {
			if ctx.Err() == nil { // it will be sent again, which is harmless
				w.log.ErrorContext(ctx, "delivery not settled", "delivery", d.ID, "err", err)
				w.pause(ctx, ledgerPause)
			}
			return
		}
		// However short the wait is, what is tried after it begins with the oldest again.
		if w.until(w.holdUntil) > 0 || !w.holdUntil.IsZero() && !w.holdUntil.Equal(held) || w.o.now().Sub(began) > look {
			return
		}
	}
}

// idle waits for work, and lets the sender rest when none comes.
func (w *worker) idle(ctx context.Context) {
	now := w.o.now()
	until := now.Add(cmp.Or(w.o.Poll, defaultPoll))
	if next, ok, err := w.o.Queue.NextDelivery(ctx, w.name); err == nil && ok {
		until = earlier(until, later(next, now.Add(w.until(w.behindUntil))))
	}
	restAt := w.worked.Add(cmp.Or(w.o.Idle, defaultIdle))
	if !w.rested && restAt.Before(until) {
		until = restAt
	}
	w.pause(ctx, max(until.Sub(now), time.Millisecond), w.wake, w.retry)
	if !w.rested && !w.o.now().Before(restAt) {
		w.rest(ctx)
	}
}

// rest lets the sender close what it holds open. A peer that does not answer is left.
func (w *worker) rest(ctx context.Context) {
	if w.rested {
		return
	}
	w.rested = true
	ctx, cancel := context.WithTimeout(ctx, restTimeout)
	defer cancel()
	if err := w.sender.Rest(ctx); err != nil {
		w.log.DebugContext(ctx, "association not released in order", "err", err)
	}
}

// pause waits for d, for ctx, or for a signal on one of at most two channels.
func (w *worker) pause(ctx context.Context, d time.Duration, signals ...<-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	var either [2]<-chan struct{} // nil ones never give anything
	copy(either[:], signals)
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-either[0]:
	case <-either[1]:
	}
}

// until is how long it is until at: not at all where that is further off than anything waits, by a clock that was set back.
func (w *worker) until(at time.Time) time.Duration {
	wait := at.Sub(w.o.now())
	if wait > w.o.Backoff.defaults().Last {
		return 0
	}
	return max(0, wait)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// hold waits until the destination may be tried again. Somebody who asks for it is not kept waiting.
func (w *worker) hold(ctx context.Context) {
	if w.until(w.holdUntil) == 0 || ctx.Err() != nil {
		return
	}
	w.asking, w.untried = nil, nil // it was tried
	if err := w.giveUp(ctx); err != nil && ctx.Err() == nil {
		w.log.ErrorContext(ctx, "deliveries to be given up", "err", err)
	}
	if wait := w.until(w.holdUntil); wait > 0 {
		w.rest(ctx)
		w.pause(ctx, wait, w.retry)
	}
}
