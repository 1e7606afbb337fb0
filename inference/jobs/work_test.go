package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWork_modelsHaveQueuesOfTheirOwn(t *testing.T) {
	q := openQueue(t, Options{})
	other := testJob(1)
	other.ID, other.Model = "E1.other model", "other model"
	b := newBook(testJob(1), other)
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Open: b.list}) })
	start(t, func(ctx context.Context) error { return q.Work(ctx, b.consumer(1)) })
	eventually(t, "the one model's job done", func() bool { return b.runsOf(testJob(1).ID) == 1 })
	eventually(t, "the other's waits", func() bool {
		lag, err := q.Lag(t.Context(), "other model")
		return err == nil && lag == Lag{Waiting: 1}
	})
	c := b.consumer(1)
	c.Model = "other model"
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	eventually(t, "both done", b.finished)
}

func TestWork_retriesThenParks(t *testing.T) {
	// Whoever keeps the jobs counts, and says of the last try that it was the last.
	q := openQueue(t, Options{})
	poison := testJob(1)
	b := newBook(poison, testJob(2))
	var tries int
	c := b.consumer(1)
	c.Do = func(ctx context.Context, j Job) error {
		if j.ID != poison.ID {
			return b.do(ctx, j)
		}
		tries++
		return fmt.Errorf("try %d: %w", tries, jobError(tries == 2))
	}
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Open: b.list}) })
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	eventually(t, "parked", b.finished)
	assert.Equal(t, "try 2: boom", b.reasonOf(poison.ID))
	assert.Equal(t, 1, b.runsOf(testJob(2).ID))
	eventually(t, "queue empty", func() bool { return messages(t, q) == 0 })
}

func TestWork_nothingTakenUntilReady(t *testing.T) {
	var log lines
	q := openQueue(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	b := newBook(jobList(3)...)
	var ready atomic.Bool
	var asked atomic.Int64
	c := b.consumer(2)
	c.Ready = func() error {
		asked.Add(1)
		if !ready.Load() {
			return errors.New("disk is full")
		}
		return nil
	}
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Open: b.list}) })
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	eventually(t, "fed", func() bool { return messages(t, q) == 3 })
	eventually(t, "asked again and again", func() bool { return asked.Load() >= 6 })
	assert.Empty(t, b.runsOf(testJob(1).ID))
	lag, err := q.Lag(t.Context(), "demo")
	require.NoError(t, err)
	assert.Equal(t, Lag{Waiting: 3}, lag, "none was taken")
	assert.Equal(t, 1, strings.Count(log.String(), "disk is full"), "said once")
	ready.Store(true)
	eventually(t, "all done", b.finished)
	assert.Equal(t, 1, strings.Count(log.String(), "jobs are taken again"))
}

func TestWork_slotsAreSharedByTheModels(t *testing.T) {
	q := openQueue(t, Options{Slots: 2})
	var all []Job
	models := []string{"demo", "second", "third"}
	for _, model := range models {
		for _, j := range jobList(8) {
			j.ID, j.Model = j.Entry+"."+model, model
			all = append(all, j)
		}
	}
	b := newBook(all...)
	var under, most atomic.Int64
	gate := make(chan struct{})
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Open: b.list}) })
	for _, model := range models {
		c := b.consumer(0) // as many as there are
		c.Model = model
		c.Do = func(ctx context.Context, j Job) error {
			n := under.Add(1)
			defer under.Add(-1)
			for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
			}
			<-gate
			return b.do(ctx, j)
		}
		start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	}
	eventually(t, "every model has taken what it may", func() bool {
		taken := 0
		for _, model := range models {
			lag, err := q.Lag(t.Context(), model)
			require.NoError(t, err)
			taken += lag.Working
		}
		return taken == 2*len(models)
	})
	close(gate)
	eventually(t, "all done", b.finished)
	assert.EqualValues(t, 2, most.Load(), "jobs at a time")
}

func TestWork_permanentErrorParksAtOnce(t *testing.T) {
	q := openQueue(t, Options{})
	b := newBook(testJob(1))
	c := b.consumer(1)
	var tries int
	c.Do = func(context.Context, Job) error { tries++; return fmt.Errorf("pixel data: %w", jobError(true)) }
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Open: b.list}) })
	stop := start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	eventually(t, "parked", b.finished)
	assert.Equal(t, "pixel data: boom", b.reasonOf(testJob(1).ID))
	eventually(t, "queue empty", func() bool { return messages(t, q) == 0 })
	stop()
	assert.Equal(t, 1, tries)
}

func TestWork_messageStaysUntilTheJobIsParked(t *testing.T) {
	q := openQueue(t, Options{})
	b := newBook(testJob(1))
	c := b.consumer(1)
	c.Do = func(context.Context, Job) error { return jobError(true) }
	var refused int
	c.Park = func(ctx context.Context, j Job, reason string) error {
		if refused == 0 {
			refused++
			assert.Equal(t, 1, messages(t, q))
			return errors.New("ledger is locked")
		}
		return b.park(ctx, j, reason)
	}
	require.NoError(t, q.Publish(t.Context(), testJob(1)))
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	eventually(t, "parked at the second try", b.finished)
	eventually(t, "queue empty", func() bool { return messages(t, q) == 0 })
}

func TestWork_redeliversAfterDeath(t *testing.T) {
	q := openQueue(t, Options{})
	b := newBook(testJob(1))
	c := b.consumer(1)
	c.AckWait = 200 * time.Millisecond
	c, err := q.withDefaults(c)
	require.NoError(t, err)
	require.NoError(t, q.Publish(t.Context(), testJob(1)))
	consumer, err := q.consumer(t.Context(), c)
	require.NoError(t, err)
	_, err = consumer.Next() // taken, and never heard of again
	require.NoError(t, err)
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	eventually(t, "done by another worker", b.finished)
	assert.Equal(t, 1, b.runsOf(testJob(1).ID))
}

func TestWork_longWorkIsNotGivenToAnother(t *testing.T) {
	q := openQueue(t, Options{})
	b := newBook(testJob(1))
	c := b.consumer(2)
	c.AckWait = 300 * time.Millisecond
	c, err := q.withDefaults(c)
	require.NoError(t, err)
	c.Do = func(ctx context.Context, j Job) error {
		// Several AckWaits: the server has every reason to offer the message again but InProgress.
		timer := time.NewTimer(5 * c.AckWait)
		defer timer.Stop()
		<-timer.C
		return b.do(ctx, j)
	}
	require.NoError(t, q.Publish(t.Context(), testJob(1)))
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	eventually(t, "done", b.finished)
	eventually(t, "queue empty", func() bool { return messages(t, q) == 0 })
	assert.Equal(t, 1, b.runsOf(testJob(1).ID))
	info, err := q.stream(t.Context())
	require.NoError(t, err)
	consumer, err := q.js.Consumer(t.Context(), Stream, q.consumerName("demo", info.Created))
	require.NoError(t, err)
	assert.EqualValues(t, 1, consumer.CachedInfo().Delivered.Consumer, "deliveries")
}

func TestWork_oneJobOneSlot(t *testing.T) {
	// The stream is deleted and fed again while the job runs: its second message must not start it twice.
	q := openQueue(t, Options{})
	b := newBook(testJob(1), testJob(2))
	begun, release := make(chan Job), make(chan struct{})
	c := b.consumer(3)
	c.Do = func(ctx context.Context, j Job) error {
		select {
		case begun <- j:
			<-release
		case <-release: // offered again once the first has ended
		}
		return b.do(ctx, j)
	}
	start(t, func(ctx context.Context) error {
		return q.Feed(ctx, Feed{Open: b.list, Wake: b.wake, Every: 50 * time.Millisecond})
	})
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	<-begun
	<-begun
	require.NoError(t, q.js.DeleteStream(t.Context(), Stream))
	b.add(testJob(3))
	assert.Equal(t, testJob(3), <-begun, "nothing but the new job is begun")
	eventually(t, "fed again", func() bool { return messages(t, q) == 3 })
	close(release)
	eventually(t, "all done", b.finished)
	eventually(t, "queue empty", func() bool { return messages(t, q) == 0 })
}

func TestWork_streamDeletedInTheMiddle(t *testing.T) {
	q := openQueue(t, Options{})
	b := newBook(jobList(60)...)
	c := b.consumer(2)
	var once sync.Once
	c.Do = func(ctx context.Context, j Job) error {
		if len(b.runs) == 20 {
			once.Do(func() { assert.NoError(t, q.js.DeleteStream(ctx, Stream)) })
		}
		return b.do(ctx, j)
	}
	c.Slots = 1
	// Every is long: the loss must be noticed, not waited out.
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Open: b.list, Every: time.Hour}) })
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	eventually(t, "all done", b.finished)
	assert.Len(t, b.runs, 60)
}

func TestWork_consumerDeletedInTheMiddle(t *testing.T) {
	q := openQueue(t, Options{})
	b := newBook(jobList(40)...)
	c := b.consumer(1)
	c.Do = func(ctx context.Context, j Job) error {
		if len(b.runs) == 20 {
			info, err := q.stream(ctx)
			if assert.NoError(t, err) {
				assert.NoError(t, q.js.DeleteConsumer(ctx, Stream, q.consumerName("demo", info.Created)))
			}
		}
		return b.do(ctx, j)
	}
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Open: b.list, Every: time.Hour}) })
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	eventually(t, "all done", b.finished)
}

func TestWork_drains(t *testing.T) {
	q := openQueue(t, Options{})
	b := newBook(testJob(1))
	begun, release := make(chan Job), make(chan struct{})
	c := b.consumer(1)
	c.Do = func(ctx context.Context, j Job) error {
		begun <- j
		<-release
		return errors.Join(ctx.Err(), b.do(ctx, j))
	}
	require.NoError(t, q.Publish(t.Context(), testJob(1)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- q.Work(ctx, c) }()
	<-begun
	cancel() // the job under way is not cut short
	close(release)
	require.NoError(t, <-done)
	assert.True(t, b.finished())
	assert.Equal(t, 0, messages(t, q))
}

func TestWork_givesBackWhatDoesNotEndInTime(t *testing.T) {
	q := openQueue(t, Options{})
	b := newBook(testJob(1))
	begun := make(chan Job, 1)
	c := b.consumer(1)
	c.Drain = time.Millisecond
	c.Do = func(ctx context.Context, j Job) error { begun <- j; <-ctx.Done(); return ctx.Err() }
	require.NoError(t, q.Publish(t.Context(), testJob(1)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- q.Work(ctx, c) }()
	<-begun
	cancel()
	require.NoError(t, <-done)
	_, parked := b.count()
	assert.Zero(t, parked, "a stop of the process is no fault of the job")
	assert.Equal(t, 1, messages(t, q))
}

func TestWork_garbageIsDropped(t *testing.T) {
	var log lines
	q := openQueue(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	b := newBook(testJob(1))
	_, err := q.stream(t.Context())
	require.NoError(t, err)
	_, err = q.js.Publish(t.Context(), q.subjectOf("demo", "x"), []byte("{"))
	require.NoError(t, err)
	require.NoError(t, q.Publish(t.Context(), testJob(1)))
	start(t, func(ctx context.Context) error { return q.Work(ctx, b.consumer(1)) })
	eventually(t, "the job behind it done", b.finished)
	eventually(t, "queue empty", func() bool { return messages(t, q) == 0 })
	assert.Contains(t, log.String(), "message in the job queue dropped")
}

func TestConsumer_refuses(t *testing.T) {
	q := openQueue(t, Options{})
	require.ErrorContains(t, q.Work(t.Context(), Consumer{Model: "demo"}), "must be set")
	require.ErrorContains(t, q.Feed(t.Context(), Feed{}), "must be set")
}
