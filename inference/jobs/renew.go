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
func (q *Queue) Renew(ctx context.Context, models []Model) error {
	if q.srv == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for _, model := range models {
		for _, lane := range lanes {
			err := q.js.DeleteConsumer(ctx, Stream, queueKey(model, lane))
			if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) && !errors.Is(err, jetstream.ErrStreamNotFound) {
				return fmt.Errorf("jobs: renew: %w", err)
			}
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	close(q.renewed) // who feeds and who works looks again
	q.renewed = make(chan struct{})
	return nil
}
