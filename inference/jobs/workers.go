package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	workersSubject = "endogate.workers"

	// askWorkers bounds how long answers are waited for, and lastWorker how long after the last one.
	askWorkers = time.Second
	lastWorker = 200 * time.Millisecond
)

// Presence is a worker that is there.
type Presence struct {
	Name   string  `json:"name"` // of the machine
	Slots  int     `json:"slots"`
	Models []Model `json:"models"`
}

// announce answers who asks which workers there are, until the function it returns is called.
func (q *Queue) announce(c Consumer) (stop func(), err error) {
	name, _ := os.Hostname() // without one the models say enough
	body, err := json.Marshal(Presence{Name: name, Slots: c.Slots, Models: c.Models})
	if err != nil {
		return nil, err
	}
	sub, err := q.nc.Subscribe(workersSubject, func(msg *nats.Msg) { _ = msg.Respond(body) })
	if err != nil {
		return nil, fmt.Errorf("jobs: announce: %w", err)
	}
	return func() { _ = sub.Unsubscribe() }, nil // the connection may be gone
}

// Workers asks which workers there are, and gives them a moment to answer.
func (q *Queue) Workers(ctx context.Context) ([]Presence, error) {
	inbox := q.nc.NewInbox()
	sub, err := q.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("jobs: workers: %w", q.explained(err))
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := q.nc.PublishRequest(workersSubject, inbox, nil); err != nil {
		return nil, fmt.Errorf("jobs: workers: %w", q.explained(err))
	}
	var there []Presence
	for end := time.Now().Add(askWorkers); ; {
		wait := min(time.Until(end), lastWorker)
		if len(there) == 0 {
			wait = time.Until(end)
		}
		ctx, cancel := context.WithTimeout(ctx, wait)
		msg, err := sub.NextMsgWithContext(ctx)
		cancel()
		if err != nil || msg.Header.Get("Status") != "" {
			return there, nil // nobody else, or nobody at all
		}
		var p Presence
		if json.Unmarshal(msg.Data, &p) == nil {
			there = append(there, p)
		}
	}
}

// Unserved are those of the models that no worker has.
func (q *Queue) Unserved(ctx context.Context, models []Model) ([]Model, error) {
	there, err := q.Workers(ctx)
	if err != nil {
		return nil, err
	}
	has := map[Model]bool{}
	for _, p := range there {
		for _, m := range p.Models {
			has[m] = true
		}
	}
	var missing []Model
	for _, m := range models {
		if !has[m] {
			missing = append(missing, m)
		}
	}
	return missing, nil
}
