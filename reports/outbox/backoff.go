package outbox

import (
	"math"
	"time"

	"endogate/dicomnode/failure"
)

// Backoff says how long to wait after a failed attempt.
type Backoff struct {
	First time.Duration // after the first attempt; 30 s by default
	Last  time.Duration // at most; 30 min by default
	Dead  time.Duration // spent waiting, after which a delivery is parked; 0 is never
}

func (b Backoff) defaults() Backoff {
	if b.First <= 0 {
		b.First = 30 * time.Second
	}
	if b.Last <= 0 {
		b.Last = 30 * time.Minute
	}
	b.Last = max(b.Last, b.First)
	return b
}

// step is the longest wait after attempt, counted from 1: it doubles up to Last.
func (b Backoff) step(attempt int) time.Duration {
	return failure.Backoff{First: b.First, Last: b.Last}.After(attempt)
}

// Delay is the wait after attempt, counted from 1, with jitter in [0,1): between half the step and all of it, so that
// destinations that failed together are not tried together.
func (b Backoff) Delay(attempt int, jitter float64) time.Duration {
	step := b.defaults().step(attempt)
	return step/2 + time.Duration(jitter*float64(step/2))
}

// Spent is about how long attempts have taken, with the waits after them: with an even jitter three quarters of the
// steps. It counts attempts rather than time because they are what the ledger keeps, and what a person who retries
// sets back.
func (b Backoff) Spent(attempts int) time.Duration {
	b = b.defaults()
	var spent time.Duration
	for i := 1; i <= attempts; i++ {
		step := b.step(i)
		if step == b.Last { // from here on all are the same
			rest := time.Duration(attempts - i + 1)
			if rest > (math.MaxInt64-spent)/step {
				return math.MaxInt64 / 4 * 3
			}
			spent += rest * step
			break
		}
		spent += step
	}
	return spent/4*3 + spent%4*3/4
}

// Exhausted reports whether a delivery that has spent so long is to be given up.
func (b Backoff) Exhausted(spent time.Duration) bool { return b.Dead > 0 && spent > b.Dead }
