package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Renew has every job that was given to a worker, or waits to be tried again, offered anew, as after a start. It is for a clock
// that was set: the server inside the process reckons in times of day, and after a step back would hold them for as long as that was.
// What is done by then is not done twice. A server elsewhere has its own clock.
//
// The consumers stay: one that is made anew may read what the server was still writing of its predecessor, and wait as that one did.
func (q *Queue) Renew(ctx context.Context, models []Model) error {
	if q.srv == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for _, model := range models {
		for _, lane := range lanes {
			_, err := q.js.Consumer(ctx, Stream, queueKey(model, lane)) // of one that is not there, ResetConsumer would wait for an answer
			if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
				continue
			}
			if err == nil {
				_, err = q.js.ResetConsumer(ctx, Stream, queueKey(model, lane))
			}
			if err != nil {
				return fmt.Errorf("jobs: renew: %w", err)
			}
		}
	}
	return nil
}
