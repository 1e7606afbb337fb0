package jobs

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestQueue_allJobsOnce(t *testing.T) {
	q := openQueue(t, Options{})
	b := newBook(jobList(page + 7)...) // more than one page
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Lines: b.lines, Open: b.list, Wake: b.wake}) })
	start(t, func(ctx context.Context) error { return q.Work(ctx, b.consumer(3)) })
	eventually(t, "all done", b.finished)
	b.add(testJob(9000))
	eventually(t, "woken for one more", b.finished)
	for id, runs := range b.runs {
		assert.Equal(t, 1, runs, id)
	}
	assert.Len(t, b.runs, page+8)
	eventually(t, "queue empty", func() bool { return messages(t, q) == 0 })
}

func TestPublish_aJobStandsInTheQueueOnce(t *testing.T) {
	q := openQueue(t, Options{})
	for range 3 {
		require.NoError(t, q.Publish(t.Context(), testJob(1)))
	}
	require.NoError(t, q.Publish(t.Context(), testJob(2)))
	assert.Equal(t, 2, messages(t, q))

	// While it is worked on, it still stands there; once done it may be queued again, as a retry wants.
	b := newBook()
	begun, release := make(chan Job), make(chan struct{})
	c := b.consumer(1)
	c.Do = func(_ context.Context, j Job) error { begun <- j; <-release; return nil }
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	j := <-begun
	require.NoError(t, q.Publish(t.Context(), j))
	assert.Equal(t, 2, messages(t, q))
	release <- struct{}{}
	<-begun
	eventually(t, "first message gone", func() bool { return messages(t, q) == 1 })
	require.NoError(t, q.Publish(t.Context(), j))
	assert.Equal(t, 2, messages(t, q))
	release <- struct{}{}
	assert.Equal(t, j, <-begun)
	release <- struct{}{}
}

func TestPublish_refuses(t *testing.T) {
	q := openQueue(t, Options{})
	require.ErrorContains(t, q.Publish(t.Context(), Job{}), "jobs: job: id is missing")
}

func TestLag(t *testing.T) {
	q := openQueue(t, Options{})
	lag, err := q.Lag(t.Context(), testModel("demo"))
	require.NoError(t, err)
	assert.Equal(t, Lag{}, lag)

	for _, j := range jobList(5) {
		require.NoError(t, q.Publish(t.Context(), j))
	}
	lag, err = q.Lag(t.Context(), testModel("demo"))
	require.NoError(t, err)
	assert.Equal(t, Lag{Waiting: 5}, lag)

	b := newBook()
	begun, release := make(chan Job, 5), make(chan struct{})
	c := b.consumer(2)
	c.Do = func(_ context.Context, j Job) error { begun <- j; <-release; return nil }
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	<-begun
	<-begun
	eventually(t, "two under way", func() bool {
		lag, err := q.Lag(t.Context(), testModel("demo"))
		return err == nil && lag == Lag{Waiting: 3, Working: 2}
	})
	close(release)
}

func TestStreamConfig_isTakenOver(t *testing.T) {
	q := openQueue(t, Options{})
	info, err := q.stream(t.Context())
	require.NoError(t, err)
	assert.Equal(t, jetstream.WorkQueuePolicy, info.Config.Retention)
	assert.True(t, info.Config.DiscardNewPerSubject)
	assert.EqualValues(t, 1, info.Config.MaxMsgsPerSubject)
	assert.True(t, alike(info.Config, q.streamConfig()), "nothing to change the next time")
}

func TestResultsConfig_isTakenOver(t *testing.T) {
	q := openQueue(t, Options{URL: oneServer(t), Node: "n"})
	results, err := q.ensure(t.Context(), q.resultsConfig())
	require.NoError(t, err)
	assert.True(t, alike(results.CachedInfo().Config, q.resultsConfig()), "nothing to change the next time")
}

func BenchmarkQueue(b *testing.B) {
	q := openQueue(b, Options{})
	done := make(chan struct{}, 1024)
	c := Consumer{
		Models: []Model{testModel("demo")}, Slots: 2,
		Do:   func(context.Context, Job) error { done <- struct{}{}; return nil },
		Park: func(context.Context, Job, string) error { return nil },
	}
	start(b, func(ctx context.Context) error { return q.Work(ctx, c) })
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if err := q.Publish(b.Context(), testJob(n)); err != nil {
			b.Fatal(err)
		}
		<-done
		n++
	}
}
