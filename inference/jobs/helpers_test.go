package jobs

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// nats.go v1.55 leaves one behind where Put of an object store ends before the goroutine of its publisher has begun.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/nats-io/nats.go/jetstream.(*jetStream).resetPendingAcksOnReconnect"))
}

const patience = 2 * time.Minute

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
		o.Log = slog.New(slog.DiscardHandler)
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
	order  []string // IDs of all jobs as they were opened, those no longer open too
	serial int64
	opened map[string]int64  // by ID, the serial number of its opening
	source map[string]string // by ID, where it is not ""
	runs   map[string]int
	parked map[string]string
	wake   chan struct{}
}

func newBook(jobs ...Job) *book {
	b := &book{open: map[string]Job{}, opened: map[string]int64{}, source: map[string]string{}, runs: map[string]int{}, parked: map[string]string{}, wake: make(chan struct{}, 1)}
	for _, j := range jobs {
		b.put(j)
	}
	return b
}

// put opens a job, or opens it again, at the end of the order.
func (b *book) put(j Job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.order = append(slices.DeleteFunc(b.order, func(id string) bool { return id == j.ID }), j.ID)
	b.open[j.ID] = j
	b.serial++
	b.opened[j.ID] = b.serial
}

// from opens a job of a source.
func (b *book) from(source string, j Job) {
	b.mu.Lock()
	b.source[j.ID] = source
	b.mu.Unlock()
	b.put(j)
}

func (b *book) add(j Job) {
	b.put(j)
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// lineOf is where a job waits.
func (b *book) lineOf(j Job) string { return queueKey(j.Model, j.Lane) + " " + b.source[j.ID] }

func (b *book) lines(context.Context) (map[string]int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := map[string]int64{}
	for _, j := range b.open {
		lines[b.lineOf(j)] = max(lines[b.lineOf(j)], b.opened[j.ID])
	}
	return lines, nil
}

func (b *book) list(_ context.Context, line, after string, limit int) ([]Job, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []Job
	for _, id := range b.order[slices.Index(b.order, after)+1:] {
		if j, open := b.open[id]; open && len(list) < limit && b.lineOf(j) == line {
			list = append(list, j)
		}
	}
	return list, nil
}

// everything may wait on the stream.
const everything = 100_000

// all feeds all at once.
func (b *book) all() Feed { return Feed{Lines: b.lines, Open: b.list, Ahead: everything} }

// feedOnce looks at all open jobs once, and does so again when it is called.
func feedOnce(t testing.TB, q *Queue, f Feed) (again func()) {
	t.Helper()
	r := &round{q: q, f: f, seqs: map[string]uint64{}}
	again = func() {
		_, err := r.feed(t.Context(), true)
		require.NoError(t, err)
	}
	again()
	return again
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
	return Consumer{Models: []Model{testModel("demo")}, Slots: slots, Do: b.do, Park: b.park, AckWait: 2 * time.Second, Drain: patience}
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

// jobsOf are n jobs of each model.
func jobsOf(n int, models ...string) (list []Job) {
	for _, model := range models {
		for _, j := range jobList(n) {
			j.ID, j.Model = strings.Replace(j.ID, "demo", model, 1), testModel(model)
			list = append(list, j)
		}
	}
	return list
}

func testModels(names ...string) (models []Model) {
	for _, name := range names {
		models = append(models, testModel(name))
	}
	return models
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
