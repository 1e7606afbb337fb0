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
	Slots int // jobs of the model at a time; 0: as many as Options.Slots

	// Do does a job; nil once its results are durable. What becomes of the job otherwise is for DispositionOf to say.
	Do func(ctx context.Context, j Job) error
	// Park keeps, durably, that a job is given up and why. Its message is let go only when Park returned nil.
	Park func(ctx context.Context, j Job, reason string) error
	// Ready says whether a job may be taken now; while it gives an error, none is. nil: always.
	Ready func() error

	AckWait time.Duration // after which a silent worker is taken for dead; 0: 30s
	Drain   time.Duration // that a job under way has left when ctx ends; 0: 20s
	// MaxAckPending bounds the jobs, over all processes, that are under way or wait for another try.
	// 0: Slots and 8 more, so that a job in its back-off does not hold up the others.
	MaxAckPending int
}

const (
	waitingRetries = 8
	pullExpiry     = 5 * time.Second
	maxPause       = 5 * time.Second
)

func (q *Queue) withDefaults(c Consumer) (Consumer, error) {
	c.Slots = cmp.Or(c.Slots, cap(q.slots))
	if c.Model == "" || c.Slots < 1 || c.Do == nil || c.Park == nil {
		return c, errors.New("jobs: consumer: Model, Slots, Do and Park must be set")
	}
	if c.Ready == nil {
		c.Ready = func() error { return nil }
	}
	c.AckWait = cmp.Or(c.AckWait, 30*time.Second)
	c.Drain = cmp.Or(c.Drain, 20*time.Second)
	c.MaxAckPending = cmp.Or(c.MaxAckPending, c.Slots+waitingRetries)
	return c, nil
}

// Work takes jobs of a model from the queue and does them until ctx is done; then jobs under way are
// finished, or given back after c.Drain, before it returns nil. Lost servers and deleted streams are waited for.
func (q *Queue) Work(ctx context.Context, c Consumer) error {
	c, err := q.withDefaults(c)
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
	gate := &gate{c: c, log: q.log}
	var slots sync.WaitGroup
	for range c.Slots {
		slots.Go(func() { q.slot(ctx, working, c, gate) })
	}
	slots.Wait()
	return nil
}

// gate asks Ready before a job is taken, and logs when the answer changes.
type gate struct {
	c   Consumer
	log *slog.Logger

	mu   sync.Mutex
	shut bool
}

func (g *gate) open() bool {
	err := g.c.Ready()
	g.mu.Lock()
	defer g.mu.Unlock()
	switch shut := err != nil; {
	case shut && !g.shut:
		g.log.Warn("no jobs are taken until this is over", "model", g.c.Model, "err", err)
	case !shut && g.shut:
		g.log.Info("jobs are taken again", "model", g.c.Model)
	}
	g.shut = err != nil
	return !g.shut
}

// slot does one job after the other.
func (q *Queue) slot(ctx, working context.Context, c Consumer, gate *gate) {
	var pause pause
	var consumer jetstream.Consumer
	for ctx.Err() == nil {
		if !gate.open() {
			pause.wait(ctx)
			continue
		}
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
			q.handle(ctx, working, c, msg)
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
	name := q.consumerName(c.Model, info.Created)
	consumer, err := q.js.CreateOrUpdateConsumer(ctx, Stream, jetstream.ConsumerConfig{
		Durable:       name,
		FilterSubject: q.subjectOf(c.Model, "*"),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       c.AckWait,
		MaxDeliver:    -1, // tries are counted where the jobs are kept: a job must be parked before its message goes
		MaxAckPending: c.MaxAckPending,

		InactiveThreshold: abandoned,
	})
	if err != nil {
		return nil, fmt.Errorf("jobs: consumer %s: %w", name, err)
	}
	return consumer, nil
}

// handle does the job in msg and disposes of the message.
func (q *Queue) handle(ctx, working context.Context, c Consumer, msg jetstream.Msg) {
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
	disposition := Postpone
	if q.acquire(ctx) {
		disposition = q.attempt(working, c, j, meta.NumDelivered)
		q.release()
	}
	stopProgress()
	q.settle(ctx, j, msg, disposition, meta.NumDelivered)
}

// acquire waits for one of the slots that all models share; it reports false when ctx is done before.
func (q *Queue) acquire(ctx context.Context) bool {
	if q.slots == nil {
		return true
	}
	select {
	case <-ctx.Done():
		return false
	case q.slots <- struct{}{}:
		return true
	}
}

func (q *Queue) release() {
	if q.slots != nil {
		<-q.slots
	}
}

// attempt does the job once and parks it where that is its end.
func (q *Queue) attempt(ctx context.Context, c Consumer, j Job, delivery uint64) Disposition {
	err := c.Do(ctx, j)
	disposition := DispositionOf(err)
	if err != nil {
		q.log.Log(ctx, levelOf(disposition), "job not done", "job", j.ID, "model", j.Model,
			"sop_instance_uid", j.Instance.SOPInstanceUID, "delivery", delivery, "disposition", disposition.String(), "err", err)
	}
	if disposition != Term {
		return disposition
	}
	if err := c.Park(context.WithoutCancel(ctx), j, err.Error()); err != nil {
		q.log.Error("job not parked, trying again", "job", j.ID, "err", err)
		return Postpone
	}
	return Term
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
	default:
		err = msg.NakWithDelay(backoff(d, delivery))
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
