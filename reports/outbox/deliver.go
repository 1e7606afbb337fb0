package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"endogate/dicomnode/failure"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/spool"
)

const (
	// maxSilent is how often something is sent to a peer that is there for others and does not answer to it.
	maxSilent = 10
	// maxCounted bounds for how many deliveries silences are counted.
	maxCounted = 10_000
	// firstPatience is how long the answer to something may take the first time, when it is not known how long the peer
	// takes; leastPatience when it is.
	firstPatience = 10 * time.Second
	leastPatience = 5 * time.Second
	// lately is for how long a destination that took something is not shown as failing, and recently for how long not being
	// let in is about the object.
	lately   = 10 * time.Minute
	recently = time.Hour
	// maxStrikes temporary failures in a row are the destination's, not the objects'.
	maxStrikes = 3
	// refusedPause is how long a kind of object that the peer does not take is held back: it may be configured to.
	refusedPause = 24 * time.Hour
	// settleTimeout bounds telling the ledger what came of an attempt, when we are to stop.
	settleTimeout = 10 * time.Second
	// countTimeout bounds asking the ledger for what is only said.
	countTimeout = 2 * time.Second
)

// one makes one attempt at d and settles it in the ledger. The error is the ledger's, or that ctx is done.
func (w *worker) one(ctx context.Context, d ledger.Delivery) error {
	start := w.o.now()
	w.rested, w.worked = false, start
	sending, cancelSending := outlasting(ctx, w.o.drain())
	defer cancelSending()
	a, made := w.unsettled[d.ID]
	if !made {
		a.used, a.outcome = w.send(sending, d)
	}
	used, outcome := a.used, a.outcome
	if !outcome.Class.Delivered() && sending.Err() != nil {
		return sending.Err() // cut off by us: no attempt of theirs
	}
	w.worked = w.o.now()
	// The attempt is made; that it is known must not depend on our being asked to stop.
	settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	fate, err := w.settle(settle, d, used, outcome)
	delete(w.unsettled, d.ID)
	if err != nil && outcome.Class.Delivered() {
		w.unsettled[d.ID] = a
	}
	w.noteTime(d, outcome, w.worked.Sub(start))
	if err == nil && w.o.Sent != nil {
		w.o.Sent(w.name, fate, w.worked.Sub(start))
	}
	if err == nil && w.o.Handed != nil && fate != FateDeferred && fate != FateDown {
		w.o.Handed(settle, w.name, d, fate)
	}
	return err
}

// attempt is what came of sending something.
type attempt struct {
	used    string // entry
	outcome Outcome
}

// outlasting returns a context that is done a while after ctx is.
func outlasting(ctx context.Context, a time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(a):
			cancel()
		case <-longer.Done():
		}
	})
	return longer, func() { stop(); cancel() }
}

// send tries the entry, and the alternate if the peer does not take the first. It returns the entry tried last.
func (w *worker) send(ctx context.Context, d ledger.Delivery) (used string, outcome Outcome) {
	patience := w.patience(d.ID)
	first := w.try(ctx, Message{Kind: d.Kind, Entry: d.Entry, Purpose: d.Purpose, Patience: patience})
	if d.Alternate == "" || bytesLost(first) || first.Class != SendAlternate && first.Class != Never {
		return d.Entry, first
	}
	outcome = w.try(ctx, Message{Kind: d.Kind, Entry: d.Alternate, Purpose: d.Purpose, Patience: patience})
	if outcome.Class == SendAlternate || outcome.Class == Never {
		outcome.Class = max(first.Class, outcome.Class)
		outcome.Reason = first.Reason + "; nor the alternate: " + outcome.Reason
	}
	return d.Alternate, outcome
}

// try hands m over. A panic is the message's fault until a person has seen it.
func (w *worker) try(ctx context.Context, m Message) (outcome Outcome) {
	defer func() {
		if p := recover(); p != nil {
			w.log.ErrorContext(ctx, "sender panicked", "entry", m.Entry, "reason", failure.Reason(p), "stack", string(debug.Stack()))
			outcome = Outcome{Class: Never, Reason: "internal fault while sending; the log has the stack"}
		}
	}()
	return w.sender.Send(ctx, m)
}

// settle tells the ledger what came of an attempt, and keeps the destination's condition.
func (w *worker) settle(ctx context.Context, d ledger.Delivery, used string, o Outcome) (Fate, error) {
	now, attempt := w.o.now(), d.Attempts+1
	log := w.log.With("delivery", d.ID, "instance", d.Instance.SOPInstanceUID, "attempt", attempt, "code", o.Code,
		"reason", o.Reason, "err", o.Err)
	if o.Class.Delivered() {
		w.up(now)
		delete(w.silences, d.ID)
		return w.delivered(ctx, log, d, used, o)
	}
	var next time.Time
	fate := FateDeferred
	if o.Class == DestinationDown && o.Protocol != "" && now.Sub(w.took) < recently {
		o.Class = Later // it has let in others: this is about the one
	}
	switch o.Class {
	case Never:
		w.answered(o, now)
		log.WarnContext(ctx, "delivery parked")
		err := w.o.Queue.Park(ctx, d.ID, o.answer(), o.Reason, now)
		if err == nil && bytesLost(o) && w.o.Lost != nil {
			err = w.o.Lost(ctx, used)
		}
		return FateParked, err
	case SendAlternate:
		w.answered(o, now)
		next = now.Add(refusedPause)
	case DestinationDown:
		next, fate = w.down(now, o.Reason), FateDown
		if o.Silent { // it may be that it broke down at this one: others tell
			w.behindUntil = next
			w.holdUntil = earlier(next, now.Add(w.o.Backoff.Delay(1, w.o.jitter())))
		}
	default:
		next = now.Add(max(w.o.Backoff.Delay(attempt, w.o.jitter()), min(o.After, w.longest())))
		w.strike(d, o, now)
	}
	if w.isSilent(d, o, now) || w.o.Backoff.Exhausted(w.spent(d, o.Class, now)) {
		log.WarnContext(ctx, "delivery given up")
		return FateParked, w.o.Queue.Park(ctx, d.ID, o.answer(), givenUp(attempt, o.Reason), now)
	}
	log.InfoContext(ctx, "delivery deferred", "next", next, "fate", fate)
	behind := o.Class == Later || o.Silent // else the first of those that fail would be all that is tried after each wait
	return fate, w.o.Queue.Defer(ctx, d.ID, ledger.Deferral{Next: next, Behind: behind, Answer: o.answer(), Reason: o.Reason}, now)
}

// bytesLost reports whether the bytes of what was to be sent are gone.
func bytesLost(o Outcome) bool {
	return errors.Is(o.Err, spool.ErrNotFound) || errors.Is(o.Err, spool.ErrCorrupt)
}

// strike counts failures that are to be tried later: several in a row are the destination's, not the objects'. What was
// never tried may still say otherwise, once in the shortest wait. Silence on an object is that object's as long as others are
// taken. Where several got no answer one after the other, or one again and again, and none did, that is shown, and as each has
// its own wait, nothing else has to.
func (w *worker) strike(d ledger.Delivery, o Outcome, now time.Time) {
	if o.Ours {
		return
	}
	if o.Silent {
		if len(w.silentOn) < maxStrikes {
			w.silentOn[d.ID] = true
		}
		if w.isStuck(d, now) {
			w.fails(now, now, o.Reason+", as before")
		}
		return
	}
	if w.strikes++; w.strikes >= maxStrikes {
		w.behindUntil = w.down(now, o.Reason)
		w.holdUntil = earlier(w.holdUntil, now.Add(w.o.Backoff.Delay(1, w.o.jitter())))
		return
	}
	if o.Protocol != "" {
		w.alive(now)
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// silences are the times that an object got no answer.
type silences struct {
	all  int
	n    int // that are held against the object
	last time.Time
}

// isSilent counts the silences on d, and says whether there were too many. One is held against the object where the
// destination has taken others since the one before: what answers to nothing may do so again, and then takes this one too.
func (w *worker) isSilent(d ledger.Delivery, o Outcome, now time.Time) bool {
	if !o.Silent {
		return false
	}
	if len(w.silences) >= maxCounted {
		clear(w.silences)
	}
	s := w.silences[d.ID]
	if w.took.After(s.last) {
		s.n++
	}
	s.all, s.last = s.all+1, now
	w.silences[d.ID] = s
	return s.n >= maxSilent
}

// isStuck says whether the destination is there and answers to nothing, as far as can be told.
func (w *worker) isStuck(d ledger.Delivery, now time.Time) bool {
	return (len(w.silentOn) >= maxStrikes || w.silences[d.ID].all >= maxSilent) && now.Sub(w.took) > lately
}

// patience is how long an answer may take while others wait behind it: some times as long as the slowest of a day, and
// twice as long after each silence, up to a quarter of what is configured, and all of it before it is given up. So a peer
// that does not answer to some objects has most of its time for others, and one that is slow has its time in the end.
func (w *worker) patience(id int64) time.Duration {
	first, limit, s := firstPatience, w.o.timeout(), w.silences[id]
	longest := limit
	if w.slowest > 0 {
		first, longest = max(leastPatience, 4*w.slowest), limit/4
	}
	if s.n >= maxSilent-2 {
		return limit
	}
	return min(max(first, min(first<<min(s.all, 8), longest)), limit)
}

// noteTime keeps how long answers take, and which of what was never tried and what was has had more time.
func (w *worker) noteTime(d ledger.Delivery, o Outcome, took time.Duration) {
	if d.Behind {
		w.usedBehind += took
	} else {
		w.usedFresh += took
		w.fromEnd = !o.Class.Delivered() && (o.Protocol != "" || o.Silent || o.Class != DestinationDown)
	}
	if o.Protocol != "" && (took >= w.slowest || w.worked.Sub(w.slowestAt) > 24*time.Hour) {
		w.slowest, w.slowestAt = took, w.worked
	}
}

// answered says that the object is at fault, and, if the peer has answered, that it is there.
func (w *worker) answered(o Outcome, now time.Time) {
	w.strikes = 0
	if o.Protocol != "" {
		clear(w.silentOn)
		w.alive(now)
	}
}

// spent is about how long d has been on its way, when another attempt has just failed: its attempts with the waits
// after them, and the time for which it was due and the destination known to be down. What it waited for behind others
// before its first attempt is not counted any more once that is made, so that it may get up to twice its time.
func (w *worker) spent(d ledger.Delivery, class Class, now time.Time) time.Duration {
	switch {
	case class == SendAlternate && now.Before(d.NextAt): // before its time, because somebody asked: that ends nothing
		return 0
	case class == SendAlternate: // attempts are a day apart, but for those that somebody asked for
		return time.Duration(d.Attempts+1) * refusedPause
	}
	return w.o.Backoff.Spent(d.Attempts+1) + w.waited(d, now)
}

// waited is for how long d has been due while the destination was down. (For how long it has been due is not the same:
// the gateway may have been off.)
func (w *worker) waited(d ledger.Delivery, now time.Time) time.Duration {
	c := w.state()
	if c.Up {
		return 0
	}
	return max(0, min(now.Sub(d.NextAt), now.Sub(c.Since)))
}

func givenUp(attempts int, last string) string {
	return fmt.Sprintf("given up after %d attempts; the last: %s", attempts, last)
}

// giveUp parks what has waited too long behind the one that found the destination down.
func (w *worker) giveUp(ctx context.Context) error {
	for {
		now, parked := w.o.now(), 0
		due, err := w.o.Queue.DueDeliveries(ctx, w.name, now, w.longest(), batch)
		if err != nil {
			return err
		}
		for _, d := range due {
			waited := w.waited(d, now)
			if !w.o.Backoff.Exhausted(w.o.Backoff.Spent(d.Attempts) + waited) {
				continue
			}
			reason := fmt.Sprintf("given up after %v for which the destination was down: %s", waited.Round(time.Second), w.state().Reason)
			if err := w.o.Queue.Park(ctx, d.ID, ledger.Answer{}, reason, now); err != nil {
				return err
			}
			w.log.WarnContext(ctx, "delivery given up", "delivery", d.ID, "instance", d.Instance.SOPInstanceUID)
			parked++
		}
		if parked == 0 {
			return nil
		}
	}
}

// delivered notes that the peer has the entry used, for good or until it commits.
func (w *worker) delivered(ctx context.Context, log *slog.Logger, d ledger.Delivery, used string, o Outcome) (Fate, error) {
	now := w.o.now()
	if o.Class == Sent {
		within := min(o.Within, longestHold)
		if w.o.Backoff.Exhausted(time.Duration(d.Attempts) * within) { // all that went before
			log.WarnContext(ctx, "delivery given up")
			return FateParked, w.o.Queue.Park(ctx, d.ID, o.answer(), fmt.Sprintf("sent %d times, and never committed", d.Attempts+1), now)
		}
		return FateSent, w.o.Queue.Sent(ctx, d.ID, used, now.Add(within), o.answer(), now)
	}
	fate := FateDelivered
	switch {
	case o.Class == DoneWithWarning:
		fate = FateWarning
		log.WarnContext(ctx, "delivered with a warning")
	case used != d.Entry:
		fate = FateAlternate
	}
	return fate, w.o.Queue.Delivered(ctx, d.ID, used, o.answer(), now)
}

// up says that the destination has taken something.
func (w *worker) up(now time.Time) {
	w.strikes, w.took, w.holdUntil, w.behindUntil = 0, now, time.Time{}, time.Time{}
	clear(w.silentOn)
	w.alive(now)
	w.mu.Lock()
	w.failures = 0
	w.mu.Unlock()
}

// alive says that the destination has answered, whatever it was.
func (w *worker) alive(now time.Time) {
	w.mu.Lock()
	was := w.condition
	if !was.Up || was.Since.IsZero() {
		w.condition = Condition{Up: true, Since: now}
	}
	w.mu.Unlock()
	if !was.Up {
		w.log.Info("destination is up again", "down_for", now.Sub(was.Since).Round(time.Second), "waiting", w.waiting())
	}
}

// waiting is how many deliveries wait for the destination, for a person to read; -1: the ledger does not say.
func (w *worker) waiting() int {
	ctx, cancel := context.WithTimeout(context.Background(), countTimeout)
	defer cancel()
	n, err := w.o.Queue.Waiting(ctx, w.name)
	if err != nil {
		return -1
	}
	return n
}

// down holds back everything for the destination, longer each time, and returns until when.
func (w *worker) down(now time.Time, reason string) time.Time {
	w.mu.Lock()
	w.failures++
	failures := w.failures
	w.mu.Unlock()
	w.holdUntil = now.Add(w.o.Backoff.Delay(failures, w.o.jitter()))
	w.fails(now, w.holdUntil, reason)
	return w.holdUntil
}

// fails says that the destination does not take what it is sent, and when it is tried again.
func (w *worker) fails(now, next time.Time, reason string) {
	w.mu.Lock()
	was, since := w.condition, now
	if !was.Up {
		since = was.Since
	}
	w.condition = Condition{Since: since, Reason: reason, NextAt: next}
	w.mu.Unlock()
	if was.Up {
		w.log.Warn("destination is down: what is for it waits, and goes when it answers again; is it running and reachable?",
			"reason", reason, "waiting", w.waiting())
	}
}
