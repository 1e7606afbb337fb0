package jobs

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRenew: a job that was given to a worker which has died is offered at once, however long the server would wait for that
// worker, and one that is being done meanwhile holds up nothing.
func TestRenew(t *testing.T) {
	q := openQueue(t, Options{})
	b := newBook(testJob(1))
	model := testModel("demo")
	feed := Feed{Lines: b.lines, Open: b.list, Wake: b.wake, Models: []Model{model}, AckWait: 24 * time.Hour}
	start(t, func(ctx context.Context) error { return q.Feed(ctx, feed) })
	eventually(t, "the job to stand in the queue", func() bool { lag, err := q.Lag(t.Context(), model); return err == nil && lag.Waiting == 1 })
	c, err := q.js.Consumer(t.Context(), Stream, queueKey(model, testJob(1).Lane))
	require.NoError(t, err)
	message, err := c.Next(jetstream.FetchMaxWait(patience))
	require.NoError(t, err, "taken, and never answered")
	require.NotNil(t, message)

	begun, end := make(chan struct{}, 9), make(chan struct{})
	consumer := b.consumer(1)
	consumer.AckWait = 24 * time.Hour
	consumer.Do = func(ctx context.Context, j Job) error {
		begun <- struct{}{}
		<-end
		return b.do(ctx, j)
	}
	start(t, func(ctx context.Context) error { return q.Work(ctx, consumer) })
	require.NoError(t, q.Renew(t.Context(), feed.Models))
	<-begun
	require.NoError(t, q.Renew(t.Context(), feed.Models), "also while it is being done")
	close(end)
	eventually(t, "the job to be done", b.finished)
	b.add(testJob(2))
	eventually(t, "a job after it to be done", func() bool { return b.runsOf(testJob(2).ID) == 1 })
	eventually(t, "the queue to be empty", func() bool { return messages(t, q) == 0 })
	assert.LessOrEqual(t, b.runsOf(testJob(1).ID), 2, "the ledger refuses the second")
}

// TestConsumer_folderGone: a consumer whose folder the server has lost, as it does where one is made while its predecessor is still being
// removed, is made anew.
func TestConsumer_folderGone(t *testing.T) {
	dir := t.TempDir()
	q := openQueue(t, Options{StoreDir: dir})
	b := newBook()
	start(t, func(ctx context.Context) error {
		return q.Feed(ctx, Feed{Lines: b.lines, Open: b.list, Wake: b.wake, Models: []Model{testModel("demo")}})
	})
	start(t, func(ctx context.Context) error { return q.Work(ctx, b.consumer(1)) })
	b.add(testJob(1))
	eventually(t, "a job to be done", func() bool { return b.runsOf(testJob(1).ID) == 1 })
	folders, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", Stream, "obs", "*"))
	require.NoError(t, err)
	require.NotEmpty(t, folders)
	for _, folder := range folders {
		require.NoError(t, os.RemoveAll(folder))
	}
	q.mu.Lock()
	close(q.renewed) // who feeds and who works looks for its consumers again
	q.renewed = make(chan struct{})
	q.mu.Unlock()
	b.add(testJob(2))
	eventually(t, "another one to be done", func() bool { return b.runsOf(testJob(2).ID) == 1 })
}

// TestStream_folderGone: a stream whose folder is removed, by a person or by the server where it is made while its predecessor is still being
// deleted, is made anew.
func TestStream_folderGone(t *testing.T) {
	dir := t.TempDir()
	q := openQueue(t, Options{StoreDir: dir})
	loseFolder(t, q, dir)
	b := newBook(testJob(1))
	start(t, func(ctx context.Context) error {
		return q.Feed(ctx, Feed{Lines: b.lines, Open: b.list, Wake: b.wake, Models: testModels("demo")})
	})
	start(t, func(ctx context.Context) error { return q.Work(ctx, b.consumer(1)) })
	eventually(t, "a job to be done", b.finished)
}

// loseFolder removes what a stream of the server that keeps its streams in dir writes to.
func loseFolder(t *testing.T, q *Queue, dir string) {
	_, err := q.stream(t.Context())
	require.NoError(t, err)
	folder := filepath.Join(dir, "jetstream", "$G", "streams", Stream)
	require.DirExists(t, folder)
	require.NoError(t, os.RemoveAll(folder))
	s, err := q.js.Stream(t.Context(), Stream)
	require.NoError(t, err)
	_ = s.Purge(t.Context()) // so that it needs a new file
}

// TestRenew_nothingThere: where nobody has asked for jobs yet, there is nothing to be offered anew.
func TestRenew_nothingThere(t *testing.T) {
	q := openQueue(t, Options{})
	require.NoError(t, q.Renew(t.Context(), testModels("demo")), "no stream")
	require.NoError(t, q.Publish(t.Context(), testJob(1)))
	require.NoError(t, q.Renew(t.Context(), testModels("demo")), "no consumer")
}
