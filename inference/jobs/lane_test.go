package jobs

import (
	"context"
	"io"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// diary notes which jobs were begun, in order; the first waits until it is released.
type diary struct {
	mu      sync.Mutex
	begun   []string
	release chan struct{}
}

func newDiary() *diary { return &diary{release: make(chan struct{})} }

func (d *diary) note(j Job) {
	d.mu.Lock()
	d.begun = append(d.begun, j.ID)
	first := len(d.begun) == 1
	d.mu.Unlock()
	if first {
		<-d.release
	}
}

func (d *diary) read() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string{}, d.begun...)
}

func inLane(n int, lane Lane) Job {
	j := testJob(n)
	j.Lane = lane
	return j
}

// A STAT job that comes after fifty routine ones is the next to begin, the others begin in the order they came, and one of a second look
// that came before most of them is the last.
func TestWork_statBeforeHighBeforeRoutine(t *testing.T) {
	q := openQueue(t, Options{})
	b, d := newBook(jobList(50)...), newDiary()
	c := b.consumer(1)
	c.Do = func(ctx context.Context, j Job) error { d.note(j); return b.do(ctx, j) }
	start(t, func(ctx context.Context) error {
		return q.Feed(ctx, Feed{Lines: b.lines, Open: b.list, Ahead: everything, Wake: b.wake, Models: testModels("demo")})
	})
	eventually(t, "fed", func() bool { return messages(t, q) == 50 })
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	eventually(t, "the slot is taken", func() bool { return len(d.read()) == 1 })
	b.add(inLane(103, Bulk))
	b.add(inLane(100, High))
	b.add(inLane(101, Stat))
	b.add(inLane(102, Stat))
	eventually(t, "fed", func() bool { return messages(t, q) == 54 })
	lag, err := q.Lag(t.Context(), testModel("demo"))
	require.NoError(t, err)
	assert.Equal(t, Lag{Waiting: 53, Working: 1}, lag, "of all lanes")
	close(d.release)
	eventually(t, "all done", b.finished)
	want := []string{testJob(0).ID, testJob(101).ID, testJob(102).ID, testJob(100).ID}
	for _, j := range jobList(50)[1:] {
		want = append(want, j.ID)
	}
	want = append(want, testJob(103).ID)
	assert.Equal(t, want, d.read())
	eventually(t, "queue empty", func() bool { return messages(t, q) == 0 })
}

// The lanes hold for all models of a worker together.
func TestWork_lanesGoBeforeModels(t *testing.T) {
	q := openQueue(t, Options{})
	models := []string{"demo", "second", "third"}
	list := jobsOf(4, models...)
	for i := range list {
		if list[i].Model == testModel("third") && i%2 == 0 {
			list[i].Lane = Stat
		}
	}
	b, d := newBook(list...), newDiary()
	close(d.release)
	c := b.consumer(1)
	c.Models = testModels(models...)
	c.Do = func(ctx context.Context, j Job) error { d.note(j); return b.do(ctx, j) }
	for _, j := range list {
		require.NoError(t, q.Publish(t.Context(), j))
	}
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	eventually(t, "all done", b.finished)
	assert.ElementsMatch(t, []string{list[8].ID, list[10].ID}, d.read()[:2])
}

// An order that becomes urgent raises its jobs that stand in the queue; each of them is done once.
func TestFeed_anotherLane(t *testing.T) {
	q := openQueue(t, Options{})
	b, d := newBook(jobList(20)...), newDiary()
	c := b.consumer(1)
	c.Do = func(ctx context.Context, j Job) error { d.note(j); return b.do(ctx, j) }
	again := make(chan struct{})
	start(t, func(ctx context.Context) error {
		return q.Feed(ctx, Feed{Lines: b.lines, Open: b.list, Ahead: everything, Wake: b.wake, Again: again, Models: testModels("demo")})
	})
	eventually(t, "fed", func() bool { return messages(t, q) == 20 })
	start(t, func(ctx context.Context) error { return q.Work(ctx, c) })
	eventually(t, "the slot is taken", func() bool { return len(d.read()) == 1 })
	b.mu.Lock()
	for n, lane := range map[int]Lane{17: Stat, 18: High} {
		b.open[testJob(n).ID] = inLane(n, lane)
	}
	b.mu.Unlock()
	again <- struct{}{}
	again <- struct{}{} // the first round is over
	require.Equal(t, 20, messages(t, q), "each stands once")
	close(d.release)
	eventually(t, "all done", b.finished)
	assert.Equal(t, []string{testJob(0).ID, testJob(17).ID, testJob(18).ID, testJob(1).ID}, d.read()[:4])
	assert.Len(t, d.read(), 20)
	eventually(t, "queue empty", func() bool { return messages(t, q) == 0 })
}

// A worker elsewhere does the urgent jobs of all gateways first.
func TestElsewhere_statBeforeRoutine(t *testing.T) {
	url := oneServer(t)
	one, two := newHouse(t, Options{URL: url, Node: "one"}, jobList(30)...), newHouse(t, Options{URL: url, Node: "two"})
	d := newDiary()
	one.run(t)
	two.run(t)
	eventually(t, "fed", func() bool { return messages(t, one.q) == 30 })
	guest(t, url, 1, func(ctx context.Context, j Job, header []byte, input io.Reader, keep Keep, result io.Writer) error {
		d.note(j)
		return repeatInput(ctx, j, header, input, keep, result)
	})
	eventually(t, "the slot is taken", func() bool { return len(d.read()) == 1 })
	two.add(inLane(200, Stat))
	eventually(t, "fed", func() bool { return messages(t, one.q) == 31 })
	close(d.release)
	one.requireNothingLeft(t)
	two.requireNothingLeft(t)
	assert.Equal(t, testJob(200).ID, d.read()[1])
}

func TestModel_Queues(t *testing.T) {
	m := testModel("demo")
	assert.Equal(t, []string{m.Key() + "-stat", m.Key() + "-high", m.Key(), m.Key() + "-bulk"}, m.Queues())
}
