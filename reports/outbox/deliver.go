package outbox

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"endogate/dicomnode/dimse"
	"endogate/dicomnode/ledger"
)

const (
	// maxStrikes temporary failures in a row are the destination's, not the objects'.
	maxStrikes = 3
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
			w.log.ErrorContext(ctx, "sender panicked", "entry", m.Entry, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			failure = &Error{Class: Permanent, Reason: "internal fault while sending; the log has the stack"}
		}
	}()
	status, err := w.sender.Send(ctx, m)
	if err != nil {
		return status, asError(err)
	}
	return status, nil
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
		w.alive(now)
	}
	attempt := d.Attempts + 1
	log := w.log.With("delivery", d.ID, "instance", d.Instance.SOPInstanceUID, "attempt", attempt, "status", answer,
		"reason", failure.Reason, "err", failure.Err)
	switch {
	case failure.Class == Permanent, failure.Class == Refused:
		w.strikes = 0
		log.WarnContext(ctx, "delivery parked")
		return OutcomeParked, w.o.Queue.Park(ctx, d.ID, answer, failure.Reason, now)
	case failure.Class == Down:
		next := w.down(now, failure.Reason)
		log.WarnContext(ctx, "destination down", "next", next)
		return OutcomeDown, w.o.Queue.Defer(ctx, d.ID, next, answer, failure.Reason, now)
	case w.o.Backoff.Exhausted(attempt):
		reason := fmt.Sprintf("given up after %d attempts; the last: %s", attempt, failure.Reason)
		log.WarnContext(ctx, "delivery parked")
		return OutcomeParked, w.o.Queue.Park(ctx, d.ID, answer, reason, now)
	}
	next := now.Add(w.o.Backoff.Delay(attempt, w.o.jitter()))
	if w.strikes++; w.strikes >= maxStrikes {
		w.down(now, failure.Reason)
	}
	log.InfoContext(ctx, "delivery deferred", "next", next)
	return OutcomeDeferred, w.o.Queue.Defer(ctx, d.ID, next, answer, failure.Reason, now)
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
