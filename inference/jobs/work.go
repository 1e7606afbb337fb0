package jobs

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"endogate/dicomnode/failure"
)

// Consumer says how jobs are done.
type Consumer struct {
	Models []Model
	Slots  int // jobs at a time, all models together

	// Remote does a job that another process owns; nil: there are none, as in a server inside the process.
	Remote Remote
	// Prepares names how the input of a job has to be prepared for Remote to take it so from an owner who prepares it alike;
	// "": it takes none that is prepared. nil: none of any job.
	Prepares func(j Job) string
	// Videos says that Remote takes videos.
	Videos bool
	// Do does a job of ours; nil once its results are durable. What becomes of the job otherwise is for DispositionOf to say.
	Do func(ctx context.Context, j Job) error
	// Park keeps, durably, that a job of ours is given up and why. Its message is let go only when Park returned nil.
	Park func(ctx context.Context, j Job, reason string) error
	// Ready says whether a job may be taken now; while it gives an error, none is. nil: always.
	Ready func() error

	AckWait time.Duration // after which a silent worker is taken for dead; 0: 30s; for a Guest it is as its gateways say
	Drain   time.Duration // that a job under way has left when ctx ends; 0: 20s
}

const (
	defaultAckWait = 30 * time.Second
	defaultDrain   = 20 * time.Second

	pullExpiry = 5 * time.Second
	maxPause   = 5 * time.Second
	lookAgain  = time.Second // for a gateway that has jobs

	// maxUnderWay bounds the jobs of a model, over all processes, that are under way or wait for another try: so many that
	// those which wait hold nobody up.
	maxUnderWay = 10_000
)

func (c Consumer) withDefaults() (Consumer, error) {
	if len(c.Models) == 0 || c.Slots < 1 || c.Remote == nil && (c.Do == nil || c.Park == nil) {
		return c, errors.New("jobs: consumer: Models, Slots, and Remote or Do and Park must be set")
	}
	if c.Prepares == nil {
		c.Prepares = func(Job) string { return "" }
	}
	if c.Ready == nil {
		c.Ready = func() error { return nil }
	}
	c.AckWait = cmp.Or(c.AckWait, defaultAckWait)
	c.Drain = cmp.Or(c.Drain, defaultDrain)
	return c, nil
}

// Work takes jobs from the queue, one whenever it has a slot for it and from every model in turn, and does them until ctx
// is done; then jobs under way are finished, or given back after c.Drain, before it returns nil. Lost servers and deleted
// streams are waited for.
func (q *Queue) Work(ctx context.Context, c Consumer) error {
	c, err := c.withDefaults()
	if err != nil {
		return err
	}
	working, stop := outliving(ctx, c.Drain)
	defer stop()
	silent, err := q.announce(c)
	if err != nil {
		return err
	}
	defer silent()
	source, err := q.newSource(c)
	if err != nil {
		return err
	}
	var slots sync.WaitGroup
	defer slots.Wait()
	defer source.close() // before: a message that comes now is not kept waiting by jobs under way
	q.dispatch(ctx, source, &gate{ready: c.Ready, log: q.log}, c.Slots, func(msg *nats.Msg, ackWait time.Duration, free chan<- struct{}) {
		slots.Go(func() {
			q.handle(ctx, working, c, msg, ackWait)
			free <- struct{}{}
		})
	})
	return nil
}

// outliving returns a context for work under way: it ends so long after ctx, or with stop.
func outliving(ctx context.Context, drain time.Duration) (working context.Context, stop func()) {
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	forget := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(drain, cancel)
		context.AfterFunc(working, func() { timer.Stop() })
	})
	return working, func() { forget(); cancel() }
}

// dispatch begins a job for every message, and asks for one only where there is a slot.
func (q *Queue) dispatch(ctx context.Context, source *source, gate *gate, slots int, begin func(*nats.Msg, time.Duration, chan<- struct{})) {
	free := make(chan struct{}, slots)
	pause := pauses()
	timer := time.NewTimer(0)
	defer timer.Stop()
	hold := time.Now() // when to ask again
	changed := q.changed()
	for ctx.Err() == nil {
		now := time.Now()
		err := source.expire(now)
		if err == nil && slots > 0 && !now.Before(hold) {
			if gate.open() {
				err = source.request(ctx)
			} else {
				hold = now.Add(pause.Next())
			}
		}
		if err != nil && ctx.Err() == nil {
			q.log.Warn("job queue not available, trying again", "err", q.explained(err))
			hold = now.Add(pause.Next())
		}
		next := source.expires(now)
		if hold.After(now) && hold.Before(next) {
			next = hold
		}
		timer.Reset(time.Until(next))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-free:
			slots++
			source.freed()
		case <-source.again:
			source.forget()
		case <-changed:
			changed = q.changed()
			source.forget()
		case a := <-source.answers:
			msg, err := source.read(a)
			switch {
			case err != nil:
				q.log.Warn("job queue not available, trying again", "err", q.explained(err))
				hold = time.Now().Add(pause.Next())
			case msg == nil:
			case slots == 0 || !gate.open():
				giveBack(msg) // it was waited for before the last slot was taken
			default:
				pause.Over()
				slots--
				begin(msg, a.from.ackWait, free)
			}
		}
	}
}

// gate asks Ready before a job is taken, and logs when the answer changes.
type gate struct {
	ready func() error
	log   *slog.Logger

	shut bool
}

func (g *gate) open() bool {
	err := g.ready()
	switch shut := err != nil; {
	case shut && !g.shut:
		g.log.Warn("no jobs are taken until this is over", "err", err)
	case !shut && g.shut:
		g.log.Info("jobs are taken again")
	}
	g.shut = err != nil
	return !g.shut
}

// handle does the job in msg and disposes of the message.
func (q *Queue) handle(ctx, working context.Context, c Consumer, msg *nats.Msg, ackWait time.Duration) {
	j, err := decodeJob(msg.Data)
	if err != nil {
		q.log.Error("message in the job queue dropped", "subject", msg.Subject, "err", err)
		q.settle(j, msg, 0)
		return
	}
	meta, err := msg.Metadata()
	if err != nil { // it says nothing that a stream's message does; its owner offers the job again
		q.log.Error("message in the job queue dropped", "job", j.ID, "err", err)
		q.settle(j, msg, 0)
		return
	}
	if _, twice := q.running.LoadOrStore(j, true); twice {
		return // a slot of ours is at it and will settle the message; it is offered again should that one fail
	}
	defer q.running.Delete(j)
	stream := q.seen()
	stopProgress := repeat(ackWait/3, func() {
		_ = msg.InProgress() // without a server there is nobody to tell; the message is offered again
	})
	var again time.Duration
	switch {
	case j.Node != q.node && c.Remote != nil:
		again = q.elsewhere(working, j, c, meta.NumDelivered)
	case j.Node == q.node && c.Do != nil:
		again = q.fate(working, j, c.Do(working, j), c.Park, meta.NumDelivered)
	default: // somebody else can
		again = backoff(Postpone, meta.NumDelivered)
	}
	stopProgress()
	if !stream.Equal(q.seen()) {
		return // another message has this one's number on the new stream
	}
	q.settle(j, msg, again)
}

// fate carries out what was decided of a job whose try has ended with err: it is parked where that is its end. It returns
// after how long it is offered again; 0: never.
func (q *Queue) fate(ctx context.Context, j Job, err error, park func(context.Context, Job, string) error, delivery uint64) (again time.Duration) {
	disposition := DispositionOf(err)
	if err != nil {
		q.log.Log(ctx, levelOf(disposition), "job not done", "job", j.ID, "model", j.Model.Name,
			"delivery", delivery, "disposition", disposition.String(), "err", err)
	}
	switch disposition {
	case Ack:
		return 0
	case Term:
		if err := park(context.WithoutCancel(ctx), j, err.Error()); err != nil {
			q.log.Error("job not parked, trying again", "job", j.ID, "err", err)
			return backoff(Postpone, delivery)
		}
		return 0
	}
	return backoff(disposition, delivery)
}

func levelOf(d Disposition) slog.Level {
	if d == Term {
		return slog.LevelError
	}
	return slog.LevelWarn
}

// settle tells the server what becomes of the message: it goes, or is offered again after a while. Nobody waits for the server to
// have heard it: should that not arrive, the message is offered again, which costs time and no more.
func (q *Queue) settle(j Job, msg *nats.Msg, again time.Duration) {
	var err error
	if again > 0 {
		err = msg.NakWithDelay(again)
	} else {
		err = msg.Ack()
	}
	if err != nil {
		q.log.Warn("message not settled, it will be offered again", "job", j.ID, "subject", msg.Subject, "err", err)
	}
}

// pauses is how long to wait for the server after an error of its own.
func pauses() failure.Waits {
	return failure.Waits{Backoff: failure.Backoff{First: 100 * time.Millisecond, Last: maxPause}}
}
