package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"endogate/dicomnode/clock"
)

const (
	clockEvery = 5 * time.Second // at the clock
	keepEvery  = time.Minute     // what is known of it
	// straggling is for how long after a step back times may still be written that were read before it.
	straggling = time.Minute
	// settledAfter is for how long a clock has to go without a step to be taken to be right.
	settledAfter = 24 * time.Hour
	// stepSaid is for how long /readyz speaks of a step.
	stepSaid = time.Hour
	// unproven is by how much the clock may be ahead of what is proven before /readyz speaks of it.
	unproven = 24 * time.Hour
)

// timekeeper watches the clock for the gateway, and has what waits wait no longer than it was meant to when it is set back.
type timekeeper struct {
	*parts

	steps atomic.Int64
	last  atomic.Pointer[clock.Step]

	stepped, kept time.Time // by the monotonic clock
	settled       bool
	renew         bool // what waits in the job queue is to be offered anew
}

// resume takes up what the last run knew of the clock, and brings back what began ahead of it.
func (k *timekeeper) resume(ctx context.Context) error {
	mark, err := k.ledger.Clock(ctx)
	if err != nil {
		return err
	}
	if step, back := k.clock.Resume(mark); back {
		k.said(step)
	}
	_, err = k.ledger.BringBack(ctx, k.clock.Now())
	return err
}

// run looks at the clock until ctx is done.
func (k *timekeeper) run(ctx context.Context) error {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	k.stepped = time.Now()
	for {
		if err := k.look(ctx); err != nil && ctx.Err() == nil {
			k.log.Error("the clock is watched, and what it asks for is not done: trying again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (k *timekeeper) look(ctx context.Context) (err error) {
	step, stepped := k.clock.Look()
	if stepped {
		k.stepped, k.settled, k.renew = time.Now(), false, true
		k.said(step)
	}
	if k.renew {
		if err = k.queue.Renew(ctx, k.current().models.queues()); err != nil {
			err = fmt.Errorf("job queue: %w", err)
		}
		k.renew = err != nil
	}
	since := time.Since(k.stepped)
	if k.last.Load() != nil && since < straggling {
		_, back := k.ledger.BringBack(ctx, k.clock.Now())
		err = errors.Join(err, back)
		k.current().wakeAgain()
		k.current().wakeOutbox()
	}
	if !k.settled && since > settledAfter {
		if _, ages := k.ledger.BringBackAges(ctx, k.clock.Now()); ages != nil {
			return errors.Join(err, ages)
		}
		k.clock.Settle()
		k.settled = true
	}
	if time.Since(k.kept) >= keepEvery {
		k.kept = time.Now()
		err = errors.Join(err, k.ledger.KeepClock(ctx, k.clock.Mark()))
	}
	return err
}

// said tells of a step.
func (k *timekeeper) said(step clock.Step) {
	k.steps.Add(1)
	k.last.Store(&step)
	if step.Back() {
		k.log.Warn("the clock was set back: what waits begins to wait anew, and what was dated ahead keeps its dates; is NTP running?", "by", (-step.By).Round(time.Millisecond), "now", step.To)
		return
	}
	k.log.Warn("the clock was set ahead, or the machine slept: what is kept for a time is kept until that is proven; is the clock right?", "by", step.By.Round(time.Millisecond), "now", step.To)
}

// check says what is odd about the clock.
func (k *timekeeper) check(context.Context) error {
	now := k.clock.Now()
	if ahead := now.Sub(k.clock.Proven()); ahead > unproven {
		return fmt.Errorf("the clock is %v ahead of what is proven: it was set, or the gateway was off; nothing is deleted for an age that is not proven; set the clock right if it is wrong", ahead.Round(time.Minute))
	}
	if step := k.last.Load(); step != nil && !(clock.Wait{Began: step.To, For: stepSaid}).Over(now) {
		return fmt.Errorf("the clock was set by %v at %s: is NTP running?", step.By.Round(time.Millisecond), step.To.UTC().Format(time.RFC3339))
	}
	return nil
}
