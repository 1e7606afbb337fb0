package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// maxInboxes is how many inboxes are kept for the next call.
const maxInboxes = 32

// inbox is where answers to one call at a time come. It is kept as long as each call has had its answer: to make one for each
// costs the server more than the call.
type inbox struct {
	name string
	sub  *nats.Subscription
}

// call publishes a request and returns the answer; each word that the other side is at it may come after patience.
func (q *Queue) call(ctx context.Context, subject string, body []byte, patience time.Duration) (*nats.Msg, error) {
	in, err := q.inbox()
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	msg, err := q.exchange(ctx, in, subject, body, patience)
	if err == nil {
		select {
		case q.inboxes <- in:
			return msg, nil
		default:
		}
	}
	_ = in.sub.Unsubscribe() // an answer may yet come; the connection may be gone
	return msg, err
}

func (q *Queue) inbox() (in inbox, err error) {
	select {
	case in = <-q.inboxes:
	default:
		in.name = q.nc.NewInbox()
		in.sub, err = q.nc.SubscribeSync(in.name)
	}
	return in, err
}

func (q *Queue) exchange(ctx context.Context, in inbox, subject string, body []byte, patience time.Duration) (*nats.Msg, error) {
	if err := q.nc.PublishRequest(subject, in.name, body); err != nil {
		return nil, err
	}
	for {
		msg, err := in.next(ctx, patience)
		switch {
		case err != nil:
			return nil, err
		case msg.Header.Get("Status") == "503":
			return nil, nats.ErrNoResponders
		case msg.Header.Get(busyHeader) == "": // else of this call, or a last one of the call before
			return msg, nil
		}
	}
}

func (in inbox) next(ctx context.Context, patience time.Duration) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return in.sub.NextMsgWithContext(ctx)
}
