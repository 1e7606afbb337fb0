package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// eventually polls until holds; it fails the test when that takes too long.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func openQueue(t testing.TB, o Options) *Queue {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if o.URL == "" && o.StoreDir == "" {
		o.StoreDir = t.TempDir()
	}
	q, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(q.Close)
	return q
}

// start runs a loop until the test ends, or until the function it returns is called.
func start(t testing.TB, run func(ctx context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		assert.NoError(t, <-done)
	})
	t.Cleanup(stop)
	return stop
}

// book is a ledger of the test: jobs are open until they are done or parked.
type book struct {
	mu     sync.Mutex
	open   map[string]Job
	runs   map[string]int
	parked map[string]string
	wake   chan struct{}
}

func newBook(jobs ...Job) *book {
	b := &book{open: map[string]Job{}, runs: map[string]int{}, parked: map[string]string{}, wake: make(chan struct{}, 1)}
	for _, j := range jobs {
		b.open[j.ID] = j
	}
	return b
}

func (b *book) add(j Job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open[j.ID] = j
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *book) list(_ context.Context, after string, limit int) ([]Job, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []Job
	for _, id := range slices.Sorted(maps.Keys(b.open)) {
		if id > after && len(list) < limit {
			list = append(list, b.open[id])
		}
	}
	return list, nil
}

func (b *book) do(_ context.Context, j Job) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.runs[j.ID]++
	delete(b.open, j.ID)
	return nil
}

func (b *book) park(_ context.Context, j Job, reason string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.parked[j.ID] = reason
	delete(b.open, j.ID)
	return nil
}

func (b *book) count() (open, parked int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.open), len(b.parked)
}

func (b *book) reasonOf(id string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.parked[id]
}

func (b *book) runsOf(id string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.runs[id]
}

func (b *book) finished() bool { open, _ := b.count(); return open == 0 }

func (b *book) consumer(slots int) Consumer {
	return Consumer{Model: "demo", Slots: slots, Do: b.do, Park: b.park, AckWait: 2 * time.Second, Drain: patience}
}

func messages(t testing.TB, q *Queue) int {
	t.Helper()
	info, err := q.stream(t.Context())
	require.NoError(t, err)
	s, err := q.js.Stream(t.Context(), info.Config.Name)
	require.NoError(t, err)
	return int(s.CachedInfo().State.Msgs)
}

func jobList(n int) []Job {
	list := make([]Job, n)
	for i := range list {
		list[i] = testJob(i)
	}
	return list
}

func TestQueue_allJobsOnce(t *testing.T) {
	q := openQueue(t, Options{})
	b := newBook(jobList(page + 7)...) // more than one page
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Open: b.list, Wake: b.wake}) })
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

func TestLag(t *testing.T) {
	q := openQueue(t, Options{})
	lag, err := q.Lag(t.Context(), "demo")
	require.NoError(t, err)
	assert.Equal(t, Lag{}, lag)

	for _, j := range jobList(5) {
		require.NoError(t, q.Publish(t.Context(), j))
	}
	lag, err = q.Lag(t.Context(), "demo")
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
		lag, err := q.Lag(t.Context(), "demo")
		return err == nil && lag == Lag{Waiting: 3, Working: 2}
	})
	close(release)
}

func TestWork_retriesThenParks(t *testing.T) {
	q := openQueue(t, Options{})
	poison := testJob(1)
	b := newBook(poison, testJob(2))
	var tries int
	c := b.consumer(1)
	c.MaxDeliver = 2
	c.Do = func(ctx context.Context, j Job) error {
		if j.ID != poison.ID {
			return b.do(ctx, j)
		}
		tries++
		return fmt.Errorf("try %d", tries)
	}
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Open: b.list}) })
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	eventually(t, "parked", b.finished)
	assert.Equal(t, "try 2", b.reasonOf(poison.ID))
	assert.Equal(t, 1, b.runsOf(testJob(2).ID))
	eventually(t, "queue empty", func() bool { return messages(t, q) == 0 })
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

func TestWork_jobThatKillsItsWorkers(t *testing.T) {
	// A worker that dies leaves a delivered message and no word: fetch and never answer.
	q := openQueue(t, Options{})
	b := newBook(testJob(1))
	c := b.consumer(1)
	c.AckWait, c.MaxDeliver = 100*time.Millisecond, 2
	c, err := c.withDefaults()
	require.NoError(t, err)
	require.NoError(t, q.Publish(t.Context(), testJob(1)))
	consumer, err := q.consumer(t.Context(), c)
	require.NoError(t, err)
	for range c.MaxDeliver {
		msg, err := consumer.Next()
		require.NoError(t, err)
		require.NotNil(t, msg)
	}
	c.Do = func(context.Context, Job) error { t.Error("begun once too often"); return nil }
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	eventually(t, "parked", b.finished)
	assert.Equal(t, "jobs: job was begun 2 times and never came to an end", b.reasonOf(testJob(1).ID))
}

func TestWork_redeliversAfterDeath(t *testing.T) {
	q := openQueue(t, Options{})
	b := newBook(testJob(1))
	c := b.consumer(1)
	c.AckWait = 200 * time.Millisecond
	c, err := c.withDefaults()
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
	c, err := c.withDefaults()
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
	consumer, err := q.js.Consumer(t.Context(), Stream, consumerName("demo", info.Created))
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
				assert.NoError(t, q.js.DeleteConsumer(ctx, Stream, consumerName("demo", info.Created)))
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
	c.Drain, c.MaxDeliver = time.Millisecond, 1
	c.Do = func(ctx context.Context, j Job) error { begun <- j; <-ctx.Done(); return ctx.Err() }
	require.NoError(t, q.Publish(t.Context(), testJob(1)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- q.Work(ctx, c) }()
	<-begun
	cancel()
	require.NoError(t, <-done)
	_, parked := b.count()
	assert.Zero(t, parked, "a stop of the process is no fault of the job, even at its last try")
	assert.Equal(t, 1, messages(t, q))
}

func TestWork_timeout(t *testing.T) {
	q := openQueue(t, Options{})
	b := newBook(testJob(1))
	c := b.consumer(1)
	c.Timeout, c.MaxDeliver = time.Millisecond, 1
	c.Do = func(ctx context.Context, _ Job) error { <-ctx.Done(); return ctx.Err() }
	require.NoError(t, q.Publish(t.Context(), testJob(1)))
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	eventually(t, "parked", b.finished)
	assert.Equal(t, "context deadline exceeded", b.reasonOf(testJob(1).ID))
}

func TestWork_garbageIsDropped(t *testing.T) {
	var log lines
	q := openQueue(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	b := newBook(testJob(1))
	_, err := q.stream(t.Context())
	require.NoError(t, err)
	_, err = q.js.Publish(t.Context(), subjectPrefix+"demo.x", []byte("{"))
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

func TestFeed_retriesItsSource(t *testing.T) {
	q := openQueue(t, Options{})
	b := newBook(testJob(1))
	var failed int
	feed := Feed{Every: time.Hour, Open: func(ctx context.Context, after string, limit int) ([]Job, error) {
		if failed < 2 {
			failed++
			return nil, errors.New("ledger is locked")
		}
		return b.list(ctx, after, limit)
	}}
	start(t, func(ctx context.Context) error { return q.Feed(ctx, feed) })
	eventually(t, "published", func() bool { return messages(t, q) == 1 })
}

func TestFeed_passesOverABadJob(t *testing.T) {
	q := openQueue(t, Options{})
	bad := testJob(1)
	bad.Instance.SOPInstanceUID = "not a uid"
	b := newBook(bad, testJob(2))
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Open: b.list}) })
	eventually(t, "the good one published", func() bool { return messages(t, q) == 1 })
}

func TestOpen_storeSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	q, err := Open(Options{StoreDir: dir, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	for _, j := range jobList(3) {
		require.NoError(t, q.Publish(t.Context(), j))
	}
	q.Close()

	q = openQueue(t, Options{StoreDir: dir})
	assert.Equal(t, 3, messages(t, q))
	b := newBook(jobList(3)...)
	start(t, func(ctx context.Context) error { return q.Work(ctx, b.consumer(2)) })
	eventually(t, "all done", b.finished)
}

func TestOpen_brokenStoreIsSetAside(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "nats")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	// A file stands where the store's folder has to be: the server cannot come up.
	require.NoError(t, os.WriteFile(filepath.Join(dir, server.JetStreamStoreDir), []byte("x"), 0o600))
	var log lines
	q := openQueue(t, Options{StoreDir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	b := newBook(jobList(3)...)
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Open: b.list}) })
	start(t, func(ctx context.Context) error { return q.Work(ctx, b.consumer(1)) })
	eventually(t, "all done", b.finished)
	assert.Contains(t, log.String(), "job store is unreadable")
	assert.DirExists(t, dir+".unreadable")
}

func TestOpen_garbageInTheStore(t *testing.T) {
	dir := t.TempDir()
	q, err := Open(Options{StoreDir: dir, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	for _, j := range jobList(3) {
		require.NoError(t, q.Publish(t.Context(), j))
	}
	q.Close()
	var spoilt int
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		spoilt++
		return os.WriteFile(path, []byte("not what was here"), 0o600)
	}))
	require.NotZero(t, spoilt)

	q = openQueue(t, Options{StoreDir: dir})
	b := newBook(jobList(5)...)
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Open: b.list}) })
	start(t, func(ctx context.Context) error { return q.Work(ctx, b.consumer(1)) })
	eventually(t, "all done", b.finished)
}

func TestOpen_noStore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := Open(Options{StoreDir: filepath.Join(file, "nats"), Log: slog.New(slog.DiscardHandler)})
	require.Error(t, err)
}

func TestOpen_listensOnNoPort(t *testing.T) {
	q := openQueue(t, Options{})
	assert.Nil(t, q.srv.Addr())
}

// external starts a server of its own on a loopback port.
func external(t testing.TB, dir string, port int) *server.Server {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true,
		JetStreamMaxStore: 4 << 30, JetStreamMaxMemory: 16 << 20,
	})
	require.NoError(t, err)
	go srv.Start()
	require.True(t, srv.ReadyForConnections(patience))
	return srv
}

func TestQueue_externalServerRestarted(t *testing.T) {
	for _, tt := range []struct {
		name     string
		keepData bool
	}{{"with its store", true}, {"without its store", false}} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			srv := external(t, dir, server.RANDOM_PORT)
			port := srv.Addr().(*net.TCPAddr).Port
			q := openQueue(t, Options{URL: srv.ClientURL()})
			b := newBook(jobList(40)...)
			half, restarted := make(chan struct{}), make(chan struct{})
			var once sync.Once
			c := b.consumer(1)
			c.Do = func(ctx context.Context, j Job) error {
				if err := b.do(ctx, j); err != nil {
					return err
				}
				if len(b.runs) == 20 { // a job whose ack was lost comes again
					once.Do(func() { close(half); <-restarted })
				}
				return nil
			}
			start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Open: b.list, Every: 100 * time.Millisecond}) })
			start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
			<-half
			stopServer(srv)
			if !tt.keepData {
				dir = t.TempDir()
			}
			srv = external(t, dir, port)
			t.Cleanup(func() { stopServer(srv) })
			close(restarted)
			eventually(t, "all done", b.finished)
			eventually(t, "queue empty", func() bool { return q.nc.IsConnected() && messages(t, q) == 0 })
		})
	}
}

func TestOpen_externalServerNotUpYet(t *testing.T) {
	srv := external(t, t.TempDir(), server.RANDOM_PORT)
	port := srv.Addr().(*net.TCPAddr).Port
	url := srv.ClientURL()
	stopServer(srv)

	q := openQueue(t, Options{URL: url})
	require.Error(t, q.Publish(t.Context(), testJob(1)))
	_, err := q.Lag(t.Context(), "demo")
	require.Error(t, err)
	b := newBook(testJob(1))
	start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Open: b.list}) })
	start(t, func(ctx context.Context) error { return q.Work(ctx, b.consumer(1)) })
	srv = external(t, t.TempDir(), port)
	t.Cleanup(func() { stopServer(srv) })
	eventually(t, "done", b.finished)
}

func TestOpen_wrongOptions(t *testing.T) {
	_, err := Open(Options{URL: "nats://127.0.0.1:1", CAFile: "missing.pem", Log: slog.New(slog.DiscardHandler)})
	require.ErrorContains(t, err, "missing.pem")
	_, err = Open(Options{URL: "nats://127.0.0.1:1", CertFile: "missing.pem", KeyFile: "missing.key", Log: slog.New(slog.DiscardHandler)})
	require.ErrorContains(t, err, "missing.pem")
}

func TestQueue_twoProcessesShareTheWork(t *testing.T) {
	srv := external(t, t.TempDir(), server.RANDOM_PORT)
	t.Cleanup(func() { stopServer(srv) })
	b := newBook(jobList(100)...)
	for range 2 {
		q := openQueue(t, Options{URL: srv.ClientURL()})
		start(t, func(ctx context.Context) error { return q.Feed(ctx, Feed{Open: b.list, Every: 50 * time.Millisecond}) })
		start(t, func(ctx context.Context) error { return q.Work(ctx, b.consumer(2)) })
	}
	eventually(t, "all done", b.finished)
}

func TestStreamConfig_isTakenOver(t *testing.T) {
	q := openQueue(t, Options{})
	info, err := q.stream(t.Context())
	require.NoError(t, err)
	assert.Equal(t, jetstream.WorkQueuePolicy, info.Config.Retention)
	assert.True(t, info.Config.DiscardNewPerSubject)
	assert.EqualValues(t, 1, info.Config.MaxMsgsPerSubject)
}

// lines is a log that may be read while it is written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func BenchmarkQueue(b *testing.B) {
	q := openQueue(b, Options{})
	done := make(chan struct{}, 1024)
	c := Consumer{
		Model: "demo", Slots: 2,
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
