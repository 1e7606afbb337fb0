package jobs

import (
	"errors"
	"math/rand/v2"
	"time"

	"endogate/dicomnode/failure"
)

// Disposition is what becomes of a job's message after a try.
type Disposition int

// The dispositions.
const (
	Ack      Disposition = iota // done; the message is gone
	Nak                         // to be tried again after a while
	Postpone                    // as Nak, for a hindrance that is not the job's and soon over
	Term                        // never again: park the job, then let the message go
)

// String names the disposition in logs.
func (d Disposition) String() string { return [...]string{"ack", "nak", "postpone", "term"}[d] }

// DispositionOf decides what becomes of a message whose job gave err. Tries are not counted here: whoever keeps
// the jobs does, over restarts and new streams, and says of the last one that it is not Temporary. An error
// that says nothing of itself is worth another try.
func DispositionOf(err error) Disposition {
	switch {
	case err == nil:
		return Ack
	case postponed(err):
		return Postpone
	case permanent(err):
		return Term
	default:
		return Nak
	}
}

// postponed reports whether err is no fault of the job: a full disk, a stop of the process.
func postponed(err error) bool {
	var p interface{ Postponed() bool }
	return errors.As(err, &p) && p.Postponed()
}

// permanent reports whether err says that another try is useless. Errors of the operating system and the network, which
// have a Timeout method as well, do not count: to them a full disk is not temporary, to us it is.
func permanent(err error) bool {
	var t interface{ Temporary() bool }
	if !errors.As(err, &t) {
		return false
	}
	if _, system := t.(interface{ Timeout() bool }); system {
		return false
	}
	return !t.Temporary()
}

const lastPostponed = 30 * time.Second

var retries = failure.Backoff{First: time.Second, Last: 5 * time.Minute, Factor: 4}

// backoff is how long a job waits after its delivery-th try: a second, then four times
// as long each time up to five minutes, and up to a fifth more so that jobs do not march in step.
// One that was postponed waits half a minute at most.
func backoff(d Disposition, delivery uint64) time.Duration {
	wait := retries.After(int(min(delivery, 100))) // more is as much
	if d == Postpone {
		wait = min(wait, lastPostponed)
	}
	return wait + rand.N(wait/5)
}
