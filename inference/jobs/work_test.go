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

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWork_modelsHaveQueuesOfTheirOwn(t *testing.T) {
	q := openQueue(t, Options{})
	other := testJob(1)
	other.ID, other.Model = "E1.other model", testModel("other model")
	b := newBook(testJob(1), other)
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Lines: b.lines, Open: b.list}) })
	start(t, func(ctx context.Context) error { return q.Work(ctx, b.consumer(1)) })
	eventually(t, "the one model's job done", func() bool { return b.runsOf(testJob(1).ID) == 1 })
	eventually(t, "the other's waits", func() bool {
		lag, err := q.Lag(t.Context(), testModel("other model"))
		return err == nil && lag == Lag{Waiting: 1}
	})
	c := b.consumer(1)
	c.Models = []Model{testModel("other model")}
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
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Lines: b.lines, Open: b.list}) })
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
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Lines: b.lines, Open: b.list}) })
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	eventually(t, "fed", func() bool { return messages(t, q) == 3 })
	eventually(t, "asked again and again", func() bool { return asked.Load() >= 3 })
	assert.Empty(t, b.runsOf(testJob(1).ID))
	lag, err := q.Lag(t.Context(), testModel("demo"))
	require.NoError(t, err)
	assert.Equal(t, Lag{Waiting: 3}, lag, "none was taken")
	assert.Equal(t, 1, strings.Count(log.String(), "disk is full"), "said once")
	ready.Store(true)
	eventually(t, "all done", b.finished)
	assert.Equal(t, 1, strings.Count(log.String(), "jobs are taken again"))
}

func TestWork_slotsAreSharedByTheModels(t *testing.T) {
	q := openQueue(t, Options{})
	all := jobsOf(8, "demo", "second", "third")
	b := newBook(all...)
	var under, most atomic.Int64
	gate := make(chan struct{})
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Lines: b.lines, Open: b.list}) })
	c := b.consumer(2)
	c.Models = []Model{testModel("demo"), testModel("second"), testModel("third")}
	c.Do = func(ctx context.Context, j Job) error {
		n := under.Add(1)
		defer under.Add(-1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
		}
		<-gate
		return b.do(ctx, j)
	}
	eventually(t, "fed", func() bool { return messages(t, q) == len(all) })
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	eventually(t, "both slots are taken", func() bool { return under.Load() == 2 })
	taken := 0
	for _, model := range c.Models {
		lag, err := q.Lag(t.Context(), model)
		require.NoError(t, err)
		taken += lag.Working
	}
	assert.Equal(t, 2, taken, "no message is taken without a slot")
	close(gate)
	eventually(t, "all done", b.finished)
	assert.EqualValues(t, 2, most.Load(), "jobs at a time")
}

func TestWork_modelsTakeTurns(t *testing.T) {
	q := openQueue(t, Options{})
	models := []string{"demo", "second", "third"}
	b := newBook(jobsOf(10, models...)...)
	var order []string
	c := b.consumer(1)
	c.Models = testModels(models...)
	c.Do = func(ctx context.Context, j Job) error { order = append(order, j.Model.Name); return b.do(ctx, j) }
	for _, j := range b.open {
		require.NoError(t, q.Publish(t.Context(), j))
	}
	stop := start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	eventually(t, "all done", b.finished)
	stop()
	for i := 0; i < len(order); i += 3 {
		assert.ElementsMatch(t, models, order[i:i+3], "round %d", i/3)
	}
}

// A process with one slot and three models leaves to the other what it has no slot for.
func TestWork_takesNoMoreThanItHasSlots(t *testing.T) {
	srv := external(t, t.TempDir(), server.RANDOM_PORT)
	t.Cleanup(func() { stopServer(srv) })
	models := []string{"demo", "second", "third"}
	publisher := openQueue(t, Options{URL: srv.ClientURL(), Node: "n"})
	for _, waiting := range []bool{false, true} { // whether the workers are there before the jobs
		t.Run(fmt.Sprintf("waiting %t", waiting), func(t *testing.T) {
			b := newBook(jobsOf(1, models...)...)
			begun, release := make(chan Job, len(models)), make(chan struct{})
			c := b.consumer(1)
			c.Models, c.AckWait = testModels(models...), time.Hour // what is hoarded stays so
			c.Do = func(ctx context.Context, j Job) error { begun <- j; <-release; return b.do(ctx, j) }
			publish := func() {
				for _, j := range jobsOf(1, models...) {
					require.NoError(t, publisher.Publish(t.Context(), j))
				}
			}
			if !waiting {
				publish()
			}
			for range len(models) - 1 {
				q := openQueue(t, Options{URL: srv.ClientURL(), Node: "n"})
				start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
			}
			if waiting {
				eventually(t, "everybody waits", func() bool { return waitingFor(t, publisher, models...) == 2*len(models) })
				publish()
			}
			<-begun
			<-begun
			last := openQueue(t, Options{URL: srv.ClientURL(), Node: "n"})
			start(t, func(ctx context.Context) error { return last.Work(ctx, c) })
			<-begun // by the one that has a slot, though the others came first
			close(release)
			eventually(t, "all done", b.finished)
			eventually(t, "queue empty", func() bool { return messages(t, publisher) == 0 })
		})
	}
}

// waitingFor counts the requests that wait for jobs of the models.
func waitingFor(t *testing.T, q *Queue, models ...string) (n int) {
	t.Helper()
	for _, model := range testModels(models...) {
		if consumer, err := q.js.Consumer(t.Context(), Stream, model.Key()); err == nil {
			n += consumer.CachedInfo().NumWaiting
		}
	}
	return n
}

func TestWork_permanentErrorParksAtOnce(t *testing.T) {
	q := openQueue(t, Options{})
	b := newBook(testJob(1))
	c := b.consumer(1)
	var tries int
	c.Do = func(context.Context, Job) error { tries++; return fmt.Errorf("pixel data: %w", jobError(true)) }
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Lines: b.lines, Open: b.list}) })
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
	require.NoError(t, q.Publish(t.Context(), testJob(1)))
	name, _, err := q.consumer(t.Context(), testModel("demo"), Routine, c.AckWait)
	require.NoError(t, err)
	consumer, err := q.js.Consumer(t.Context(), Stream, name)
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
	c.AckWait = 3 * time.Second // so long that a machine which is busy otherwise says in time that it works
	c.Do = func(ctx context.Context, j Job) error {
		// Longer than AckWait: the server has every reason to offer the message again but InProgress.
		timer := time.NewTimer(3 * c.AckWait / 2)
		defer timer.Stop()
		<-timer.C
		return b.do(ctx, j)
	}
	require.NoError(t, q.Publish(t.Context(), testJob(1)))
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	eventually(t, "done", b.finished)
	eventually(t, "queue empty", func() bool { return messages(t, q) == 0 })
	assert.Equal(t, 1, b.runsOf(testJob(1).ID))
	consumer, err := q.js.Consumer(t.Context(), Stream, testModel("demo").Key())
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
		return q.Feed(ctx, Feed{Lines: b.lines, Open: b.list, Wake: b.wake, Every: 50 * time.Millisecond})
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
	start(t, func(ctx context.Context) error {
		return q.Feed(ctx, Feed{Lines: b.lines, Open: b.list, Every: time.Hour})
	})
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
			assert.NoError(t, q.js.DeleteConsumer(ctx, Stream, testModel("demo").Key()))
		}
		return b.do(ctx, j)
	}
	start(t, func(ctx context.Context) error {
		return q.Feed(ctx, Feed{Lines: b.lines, Open: b.list, Every: time.Hour})
	})
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
	eventually(t, "queue empty", func() bool { return messages(t, q) == 0 })
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
	_, err = q.js.Publish(t.Context(), q.subjectOf(testJob(99)), []byte("{"))
	require.NoError(t, err)
	require.NoError(t, q.Publish(t.Context(), testJob(1)))
	start(t, func(ctx context.Context) error { return q.Work(ctx, b.consumer(1)) })
	eventually(t, "the job behind it done", b.finished)
	eventually(t, "queue empty", func() bool { return messages(t, q) == 0 })
	assert.Contains(t, log.String(), "message in the job queue dropped")
}

func TestConsumer_refuses(t *testing.T) {
	q := openQueue(t, Options{})
	require.ErrorContains(t, q.Work(t.Context(), Consumer{Models: testModels("demo")}), "must be set")
	require.ErrorContains(t, q.Feed(t.Context(), Feed{}), "must be set")
}
