package outbox

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"endogate/dicomnode/dimse"
	"endogate/dicomnode/ledger"
)

const (
	// maxStrikes temporary failures in a row are the destination's, not the objects'.
	maxStrikes = 3
	// refusedPause is how long a kind of object that the peer does not take is held back: it may be configured to.
	refusedPause = 24 * time.Hour
	// settleTimeout bounds telling the ledger what came of an attempt, when we are to stop.
	settleTimeout = 10 * time.Second
)

// one makes one attempt at d and settles it in the ledger. The error is the ledger's, or that ctx is done.
func (w *worker) one(ctx context.Context, d ledger.Delivery) error {
	start := w.o.now()
	w.rested, w.worked = false, start
	used, status, failure := w.send(ctx, d)
	if failure != nil && ctx.Err() != nil {
		return ctx.Err() // cut off by us: no attempt of theirs
	}
	w.worked = w.o.now()
	// The attempt is made; that it is known must not depend on our being asked to stop.
	settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	outcome, err := w.settle(settle, d, used, status, failure)
	if err == nil && w.o.Sent != nil {
		w.o.Sent(w.name, outcome, w.worked.Sub(start))
	}
	return err
}

// send tries the entry, and the alternate if the peer refuses the kind of the first. It returns the entry tried last.
func (w *worker) send(ctx context.Context, d ledger.Delivery) (used string, status dimse.Status, failure *Error) {
	status, failure = w.try(ctx, Message{Entry: d.Entry, Purpose: d.Purpose})
	if failure == nil || failure.Class != Refused || d.Alternate == "" {
		return d.Entry, status, failure
	}
	first := failure
	status, failure = w.try(ctx, Message{Entry: d.Alternate, Purpose: d.Purpose})
	if failure != nil && failure.Class == Refused {
		failure = &Error{
			Class: Refused, Status: failure.Status, Answered: failure.Answered, Err: failure,
			Reason: first.Reason + "; nor the alternate: " + failure.Reason,
		}
	}
	return d.Alternate, status, failure
}

// try hands m over. A panic is the message's fault until a person has seen it.
func (w *worker) try(ctx context.Context, m Message) (status dimse.Status, failure *Error) {
	defer func() {
		if p := recover(); p != nil {
			w.log.ErrorContext(ctx, "sender panicked", "entry", m.Entry, "reason", panicReason(p), "stack", string(debug.Stack()))
			failure = &Error{Class: Permanent, Reason: "internal fault while sending; the log has the stack"}
		}
	}()
	status, err := w.sender.Send(ctx, m)
	if err != nil {
		return status, asError(err)
	}
	return status, nil
}

// panicReason is what may be said of a panic: what other code panics with may hold patient data.
func panicReason(reason any) string {
	if err, ok := reason.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", reason)
}

// settle tells the ledger what came of an attempt, and keeps the destination's condition.
func (w *worker) settle(ctx context.Context, d ledger.Delivery, used string, status dimse.Status, failure *Error) (Outcome, error) {
	now := w.o.now()
	if failure == nil {
		w.up(now)
		return w.delivered(ctx, d, used, status, now)
	}
	answer := ""
	if failure.Answered {
		answer = fmt.Sprintf("%04X", uint16(failure.Status))
	}
	attempt := d.Attempts + 1
	log := w.log.With("delivery", d.ID, "instance", d.Instance.SOPInstanceUID, "attempt", attempt, "status", answer,
		"reason", failure.Reason, "err", failure.Err)
	var next time.Time
	outcome := OutcomeDeferred
	switch failure.Class {
	case Permanent:
		w.answered(failure, now)
		log.WarnContext(ctx, "delivery parked")
		return OutcomeParked, w.o.Queue.Park(ctx, d.ID, answer, failure.Reason, now)
	case Refused:
		w.answered(failure, now)
		next = now.Add(refusedPause)
	case Down:
		next, outcome = w.down(now, failure.Reason), OutcomeDown
	default:
		next = now.Add(w.o.Backoff.Delay(attempt, w.o.jitter()))
		if w.strikes++; w.strikes >= maxStrikes {
			w.down(now, failure.Reason)
		} else if failure.Answered {
			w.alive(now)
		}
	}
	if w.o.Backoff.Exhausted(w.spent(d, failure.Class, now)) {
		log.WarnContext(ctx, "delivery given up")
		return OutcomeParked, w.o.Queue.Park(ctx, d.ID, answer, givenUp(attempt, failure.Reason), now)
	}
	log.InfoContext(ctx, "delivery deferred", "next", next, "outcome", outcome)
	return outcome, w.o.Queue.Defer(ctx, d.ID, next, answer, failure.Reason, now)
}

// answered says that the peer is there, and that the object is at fault.
func (w *worker) answered(failure *Error, now time.Time) {
	w.strikes = 0
	if failure.Answered {
		w.alive(now)
	}
}

// spent is about how long d has been on its way, when another attempt has just failed: its attempts with the waits
// after them, and the time for which it was due and the destination known to be down. What it waited for behind others
// before its first attempt is not counted any more once that is made, so that it may get up to twice its time.
func (w *worker) spent(d ledger.Delivery, class Class, now time.Time) time.Duration {
	switch {
	case class == Refused && now.Before(d.NextAt): // before its time, because somebody asked: that ends nothing
		return 0
	case class == Refused: // attempts are a day apart, but for those that somebody asked for
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
		due, err := w.o.Queue.DueDeliveries(ctx, w.name, now, batch)
		if err != nil {
			return err
		}
		for _, d := range due {
			waited := w.waited(d, now)
			if !w.o.Backoff.Exhausted(w.o.Backoff.Spent(d.Attempts) + waited) {
				continue
			}
			reason := fmt.Sprintf("given up after %v for which the destination was down: %s", waited.Round(time.Second), w.state().Reason)
			if err := w.o.Queue.Park(ctx, d.ID, "", reason, now); err != nil {
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

func (w *worker) delivered(ctx context.Context, d ledger.Delivery, used string, status dimse.Status, now time.Time) (Outcome, error) {
	outcome := OutcomeDelivered
	if used != d.Entry {
		outcome = OutcomeAlternate
	}
	if status.Class() == dimse.ClassWarning {
		outcome = OutcomeWarning
		w.log.WarnContext(ctx, "delivered with a warning", "delivery", d.ID, "instance", d.Instance.SOPInstanceUID, "status", status.String())
	}
	return outcome, w.o.Queue.Delivered(ctx, d.ID, used, uint16(status), now)
}

// up says that the destination has taken something.
func (w *worker) up(now time.Time) {
	w.strikes = 0
	w.alive(now)
	w.mu.Lock()
	w.failures = 0
	w.mu.Unlock()
}

// alive says that the destination has answered, whatever it was.
func (w *worker) alive(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.condition.Up || w.condition.Since.IsZero() {
		w.condition = Condition{Up: true, Since: now}
	}
}

// down holds back everything for the destination, longer each time, and returns until when.
func (w *worker) down(now time.Time, reason string) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures++
	since := now
	if !w.condition.Up {
		since = w.condition.Since
	}
	next := now.Add(w.o.Backoff.Delay(w.failures, w.o.jitter()))
	w.condition = Condition{Since: since, Reason: reason, NextAt: next}
	return next
}
