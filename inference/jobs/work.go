package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Consumer says how the jobs of a model are done.
type Consumer struct {
	Model string
	Slots int // jobs at a time in this process

	// Do does a job; nil once its results are durable. An error with Temporary() false parks the job at once.
	Do func(ctx context.Context, j Job) error
	// Park keeps, durably, that a job is given up and why. Its message is let go only when Park returned nil.
	Park func(ctx context.Context, j Job, reason string) error

	MaxDeliver uint64        // tries; 0: 5
	AckWait    time.Duration // after which a silent worker is taken for dead; 0: 30s
	Timeout    time.Duration // of one try; 0: 15 minutes
	Drain      time.Duration // that a job under way has left when ctx ends; 0: 20s
	// MaxAckPending bounds the jobs, over all processes, that are under way or wait for another try.
	// 0: Slots and 8 more, so that a job in its back-off does not hold up the others.
	MaxAckPending int
}

const (
	waitingRetries = 8
	pullExpiry     = 5 * time.Second
	maxPause       = 5 * time.Second
)

func (c Consumer) withDefaults() (Consumer, error) {
	if c.Model == "" || c.Slots < 1 || c.Do == nil || c.Park == nil {
		return c, errors.New("jobs: consumer: Model, Slots, Do and Park must be set")
	}
	c.MaxDeliver = cmp.Or(c.MaxDeliver, 5)
	c.AckWait = cmp.Or(c.AckWait, 30*time.Second)
	c.Timeout = cmp.Or(c.Timeout, 15*time.Minute)
	c.Drain = cmp.Or(c.Drain, 20*time.Second)
	c.MaxAckPending = cmp.Or(c.MaxAckPending, c.Slots+waitingRetries)
	return c, nil
}

// Work takes jobs of a model from the queue and does them until ctx is done; then jobs under way are
// finished, or given back after c.Drain, before it returns nil. Lost servers and deleted streams are waited for.
func (q *Queue) Work(ctx context.Context, c Consumer) error {
	c, err := c.withDefaults()
	if err != nil {
		return err
	}
	// Work under way outlives ctx by Drain.
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(c.Drain, cancel)
		context.AfterFunc(working, func() { timer.Stop() })
	})
	defer stop()
	var slots sync.WaitGroup
	for range c.Slots {
		slots.Go(func() { q.slot(ctx, working, c) })
	}
	slots.Wait()
	return nil
}

// slot does one job after the other.
func (q *Queue) slot(ctx, working context.Context, c Consumer) {
	var pause pause
	var consumer jetstream.Consumer
	for ctx.Err() == nil {
		var msg jetstream.Msg
		var err error
		if consumer == nil {
			consumer, err = q.consumer(ctx, c)
		}
		if err == nil {
			msg, err = next(ctx, consumer)
		}
		switch {
		case err != nil && ctx.Err() == nil:
			q.log.Warn("job queue not available, trying again", "model", c.Model, "err", err)
			consumer = nil // it may be gone; find it or make it anew
			pause.wait(ctx)
		case msg != nil:
			pause = 0
			q.handle(working, c, msg)
		}
	}
}

// next waits a while for a message; nil without an error means there was none.
func next(ctx context.Context, consumer jetstream.Consumer) (jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, pullExpiry)
	defer cancel()
	msg, err := consumer.Next(jetstream.FetchContext(ctx))
	switch {
	case errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, jetstream.ErrNoMessages):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return msg, nil
}

func (q *Queue) consumer(ctx context.Context, c Consumer) (jetstream.Consumer, error) {
	info, err := q.stream(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	name := consumerName(c.Model, info.Created)
	consumer, err := q.js.CreateOrUpdateConsumer(ctx, Stream, jetstream.ConsumerConfig{
		Durable:       name,
		FilterSubject: subjectPrefix + token(c.Model) + ".*",
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       c.AckWait,
		MaxDeliver:    -1, // DispositionOf counts: a job must be parked before its message goes
		MaxAckPending: c.MaxAckPending,
	})
	if err != nil {
		return nil, fmt.Errorf("jobs: consumer %s: %w", name, err)
	}
	return consumer, nil
}

// handle does the job in msg and disposes of the message.
func (q *Queue) handle(ctx context.Context, c Consumer, msg jetstream.Msg) {
	j, err := decodeJob(msg.Data())
	if err != nil {
		q.log.Error("message in the job queue dropped", "subject", msg.Subject(), "err", err)
		q.settle(ctx, j, msg, Term, 0)
		return
	}
	meta, err := msg.Metadata()
	if err != nil {
		q.log.Error("message in the job queue dropped", "job", j.ID, "err", err)
		return
	}
	if _, twice := q.running.LoadOrStore(j.ID, true); twice {
		return // a slot of ours is at it and will settle the message; it is offered again should that one fail
	}
	defer q.running.Delete(j.ID)
	stopProgress := keepAlive(msg, c.AckWait/3)
	disposition := q.attempt(ctx, c, j, meta.NumDelivered)
	stopProgress()
	q.settle(ctx, j, msg, disposition, meta.NumDelivered)
}

// attempt does the job once and parks it where that is its end.
func (q *Queue) attempt(ctx context.Context, c Consumer, j Job, delivery uint64) Disposition {
	err := c.try(ctx, j, delivery)
	disposition := DispositionOf(err, delivery, c.MaxDeliver)
	if ctx.Err() != nil && err != nil {
		return Nak // cut short by the end of the process; that is no fault of the job
	}
	if err != nil {
		q.log.Log(ctx, levelOf(disposition), "job not done", "job", j.ID, "model", j.Model,
			"sop_instance_uid", j.Instance.SOPInstanceUID, "delivery", delivery, "disposition", disposition.String(), "err", err)
	}
	if disposition != Term {
		return disposition
	}
	if err := c.Park(ctx, j, err.Error()); err != nil {
		q.log.Error("job not parked, trying again", "job", j.ID, "err", err)
		return Nak
	}
	return Term
}

// errNoEnd is the reason of a job whose workers died over it.
type errNoEnd struct{ tries uint64 }

func (e errNoEnd) Error() string {
	return fmt.Sprintf("jobs: job was begun %d times and never came to an end", e.tries)
}
func (errNoEnd) Temporary() bool { return false }

func (c Consumer) try(ctx context.Context, j Job, delivery uint64) error {
	if delivery > c.MaxDeliver {
		return errNoEnd{delivery - 1}
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	return c.Do(ctx, j)
}

func levelOf(d Disposition) slog.Level {
	if d == Term {
		return slog.LevelError
	}
	return slog.LevelWarn
}

// keepAlive tells the server that work goes on, until the function it returns has returned.
func keepAlive(msg jetstream.Msg, every time.Duration) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				_ = msg.InProgress() // without a server there is nobody to tell; the message is offered again
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// settle tells the server what becomes of the message. Should that not arrive, the
// message is offered again, which costs time and no more.
func (q *Queue) settle(ctx context.Context, j Job, msg jetstream.Msg, d Disposition, delivery uint64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	var err error
	switch d {
	case Ack:
		err = msg.DoubleAck(ctx)
	case Term:
		err = msg.Term()
	case Nak:
		err = msg.NakWithDelay(backoff(delivery))
	}
	if err != nil {
		q.log.Warn("job message not settled, it will be offered again", "job", j.ID, "disposition", d.String(), "err", err)
	}
}

// pause grows with each wait that follows another.
type pause time.Duration

func (p *pause) wait(ctx context.Context) {
	*p = min(max(2**p, pause(100*time.Millisecond)), pause(maxPause))
	timer := time.NewTimer(time.Duration(*p))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
