package jobs

import (
	"errors"
	"math/rand/v2"
	"time"
)

// Disposition is what becomes of a job's message after a try.
type Disposition int

// The dispositions.
const (
	Ack  Disposition = iota // done; the message is gone
	Nak                     // to be tried again after a while
	Term                    // never again: park the job, then let the message go
)

// String names the disposition as NATS does.
func (d Disposition) String() string { return [...]string{"ack", "nak", "term"}[d] }

// DispositionOf decides what becomes of a message that was delivered for the delivery-th
// time, counted from 1, and whose job gave err. An error without a Temporary method is worth another try.
func DispositionOf(err error, delivery, maxDeliver uint64) Disposition {
	switch {
	case err == nil:
		return Ack
	case permanent(err), delivery >= maxDeliver:
		return Term
	default:
		return Nak
	}
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

const (
	firstBackoff = time.Second
	lastBackoff  = 5 * time.Minute
)

// backoff is how long a job waits after its delivery-th try: a second, then four times
// as long each time up to five minutes, and up to a fifth more so that jobs do not march in step.
func backoff(delivery uint64) time.Duration {
	wait := lastBackoff
	if delivery < 6 { // 4^5 seconds are more than the last
		wait = min(firstBackoff<<(2*(max(delivery, 1)-1)), lastBackoff)
	}
	return wait + rand.N(wait/5)
}
