package jobs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// house is a gateway of the test: a book whose jobs are done elsewhere.
type house struct {
	*book
	q     *Queue
	input []byte

	mu     sync.Mutex
	began  map[string]int      // tries that count, as the ledger counts them
	takes  []Takes             // as workers said
	taken  map[string][]string // results by job
	kept   []string            // parts, of any job
	keeps  error               // why none is kept
	faults []error
}

func newHouse(t testing.TB, o Options, jobs ...Job) *house {
	t.Helper()
	h := &house{
		book: newBook(jobs...), q: openQueue(t, o), input: []byte("pixels"),
		began: map[string]int{}, taken: map[string][]string{},
	}
	return h
}

// run offers the jobs and takes results, until the test ends or stop is called.
func (h *house) run(t testing.TB) (stop func()) {
	t.Helper()
	feed := start(t, func(ctx context.Context) error {
		return h.q.Feed(ctx, Feed{Lines: h.lines, Open: h.list, Ahead: everything, Wake: h.wake, Every: 100 * time.Millisecond, Models: testModels("demo"), AckWait: 10 * time.Second})
	})
	own := start(t, func(ctx context.Context) error { return h.q.Own(ctx, h.owner()) })
	return func() { feed(); own() }
}

func (h *house) owner() Owner {
	return Owner{
		Begin: func(_ context.Context, j Job, takes Takes) (*Input, error) {
			if !h.isOpen(j.ID) {
				return nil, nil
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			h.began[j.ID]++
			h.takes = append(h.takes, takes)
			return &Input{Header: []byte("how " + j.ID), Bytes: io.NopCloser(bytes.NewReader(h.input))}, nil
		},
		Keep: func(_ context.Context, _ Job, part io.Reader) error {
			text, err := io.ReadAll(part)
			h.mu.Lock()
			defer h.mu.Unlock()
			if err = cmp.Or(err, h.keeps); err == nil {
				h.kept = append(h.kept, string(text))
			}
			return err
		},
		Failed: func(_ context.Context, j Job, why error) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.faults = append(h.faults, why)
			if postponed(why) {
				h.began[j.ID]--
			}
			return why
		},
		Park: h.park,
		Take: func(ctx context.Context, j Job, result io.Reader) error {
			text, err := io.ReadAll(result)
			if err != nil || !h.isOpen(j.ID) {
				return err
			}
			h.mu.Lock()
			h.taken[j.ID] = append(h.taken[j.ID], string(text))
			h.mu.Unlock()
			return h.do(ctx, j)
		},
		Open:  func(_ context.Context, id string) (bool, error) { return h.isOpen(id), nil },
		Sweep: 50 * time.Millisecond,
	}
}

func (b *book) isOpen(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, open := b.open[id]
	return open
}

func (h *house) resultsOf(id string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.taken[id]
}

// requireNothingLeft holds that no message and no bytes are on the server, and that every job has one result.
func (h *house) requireNothingLeft(t testing.TB) {
	t.Helper()
	eventually(t, "all done", h.finished)
	eventually(t, "no messages and no bytes", func() bool {
		for _, name := range []string{Stream, Results, bucketStream} {
			s, err := h.q.js.Stream(t.Context(), name)
			if err != nil || s.CachedInfo().State.Msgs > 0 {
				return false
			}
		}
		return true
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, results := range h.taken {
		assert.Len(t, results, 1, id)
	}
}

// guest is a worker alone; do is its Remote, nil: it repeats header and input.
func guest(t testing.TB, url string, slots int, do Remote) *Queue {
	t.Helper()
	q := openQueue(t, Options{URL: url, Guest: true})
	if do == nil {
		do = repeatInput
	}
	start(t, func(ctx context.Context) error {
		return q.Work(ctx, Consumer{Models: testModels("demo"), Slots: slots, Remote: do, Drain: patience})
	})
	return q
}

func repeatInput(_ context.Context, j Job, header []byte, input io.Reader, _ Keep, result io.Writer) error {
	text, err := io.ReadAll(input)
	if err == nil {
		_, err = fmt.Fprintf(result, "%s: %s, %s", j.ID, header, text)
	}
	return err
}

func oneServer(t testing.TB) string {
	t.Helper()
	srv := external(t, t.TempDir(), server.RANDOM_PORT)
	t.Cleanup(func() { stopServer(srv) })
	return srv.ClientURL()
}

func TestElsewhere(t *testing.T) {
	for _, size := range []int{0, 6, 400 << 10, 2 << 20} { // the last one's result goes through the object store
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			url := oneServer(t)
			h := newHouse(t, Options{URL: url, Node: "n"}, jobList(10)...)
			h.input = bytes.Repeat([]byte("p"), size)
			guest(t, url, 2, nil)
			guest(t, url, 1, nil)
			h.run(t)
			h.requireNothingLeft(t)
			for _, j := range jobList(10) {
				want := fmt.Sprintf("%s: how %s, %s", j.ID, j.ID, h.input)
				require.True(t, len(h.taken[j.ID]) == 1 && h.taken[j.ID][0] == want, "result of %s", j.ID)
				assert.Equal(t, 1, h.began[j.ID], "tries of %s", j.ID)
			}
		})
	}
}

// A worker of today asks gateways of before, that have not made all the queues it knows, and has a model that no gateway has.
func TestElsewhere_queuesThatNobodyMade(t *testing.T) {
	for _, tt := range []struct {
		name   string
		made   []Lane
		models []string
	}{
		{"a gateway without lanes", []Lane{Routine}, []string{"demo"}},
		{"without the last lane", []Lane{Stat, High, Routine}, []string{"demo"}},
		{"a model that no gateway has", lanes, []string{"second", "demo"}},
		{"both", []Lane{High, Routine}, []string{"second", "demo", "third"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := oneServer(t)
			h := newHouse(t, Options{URL: url, Node: "n"}, jobList(3)...)
			start(t, func(ctx context.Context) error { return h.q.Own(ctx, h.owner()) })
			for _, lane := range tt.made {
				_, _, err := h.q.consumer(t.Context(), testModel("demo"), lane, 10*time.Second)
				require.NoError(t, err)
			}
			q := openQueue(t, Options{URL: url, Guest: true})
			start(t, func(ctx context.Context) error {
				return q.Work(ctx, Consumer{Models: testModels(tt.models...), Slots: 1, Remote: repeatInput, Drain: patience})
			})
			for _, j := range jobList(3) { // also after it found nothing
				require.NoError(t, h.q.Publish(t.Context(), j))
				eventually(t, "done", func() bool { return !h.isOpen(j.ID) })
			}
			h.requireNothingLeft(t)
		})
	}
}

// Gateways with workers of their own have the short way for theirs, and work for each other.
func TestElsewhere_gatewaysWorkForEachOther(t *testing.T) {
	url := oneServer(t)
	one := newHouse(t, Options{URL: url, Node: "one"}, jobList(40)...)
	two := newHouse(t, Options{URL: url, Node: "two"}) // has nothing to do
	var mu sync.Mutex
	ways := map[string]int{}
	count := func(way string) { mu.Lock(); ways[way]++; mu.Unlock(); time.Sleep(5 * time.Millisecond) }
	for _, h := range []*house{one, two} {
		h.run(t)
		c := h.consumer(1)
		c.Do = func(ctx context.Context, j Job) error { count("short"); return h.do(ctx, j) }
		c.Remote = func(ctx context.Context, j Job, header []byte, input io.Reader, keep Keep, result io.Writer) error {
			count("long")
			return repeatInput(ctx, j, header, input, keep, result)
		}
		start(t, func(ctx context.Context) error { return h.q.Work(ctx, c) })
	}
	one.requireNothingLeft(t)
	assert.NotZero(t, ways["short"])
	assert.NotZero(t, ways["long"])
	assert.Equal(t, ways["long"], len(one.taken))
}

func TestElsewhere_failures(t *testing.T) {
	url := oneServer(t)
	h := newHouse(t, Options{URL: url, Node: "n"}, jobList(4)...)
	tried := map[string]bool{}
	guest(t, url, 1, func(ctx context.Context, j Job, header []byte, input io.Reader, _ Keep, result io.Writer) error {
		first := !tried[j.ID]
		tried[j.ID] = true
		_, _ = result.Write(bytes.Repeat([]byte("x"), 2*maxInline)) // what a failed try has written goes
		switch {
		case !first:
			return nil
		case j == jobIn("n", 0):
			return errors.New("network is of two minds")
		case j == jobIn("n", 1):
			return jobError(true)
		case j == jobIn("n", 2):
			return postponedError{}
		}
		return nil
	})
	h.run(t)
	h.requireNothingLeft(t)
	assert.Equal(t, "boom", h.reasonOf(testJob(1).ID))
	assert.Empty(t, h.resultsOf(testJob(1).ID))
	var kinds []string
	for _, err := range h.faults {
		if strings.HasPrefix(err.Error(), "jobs: ") {
			assert.Equal(t, Postpone, DispositionOf(err), "of the broker, on a busy machine: %v", err)
			continue
		}
		kinds = append(kinds, DispositionOf(err).String()+" "+err.Error())
	}
	assert.ElementsMatch(t, []string{"nak network is of two minds", "term boom", "postpone boom"}, kinds)
	assert.Equal(t, map[string]int{testJob(0).ID: 2, testJob(1).ID: 1, testJob(2).ID: 1, testJob(3).ID: 1}, h.began)
}

// What a worker has done so far is with the owner before it goes on, small or large, and a part that is not kept ends its try without
// a fault of the job; nothing of parts stays on the server.
func TestElsewhere_keeps(t *testing.T) {
	url := oneServer(t)
	h := newHouse(t, Options{URL: url, Node: "n"}, testJob(1))
	h.keeps = errors.New("no room")
	parts := []string{"small", "", strings.Repeat("large", 300<<10)}
	guest(t, url, 1, func(ctx context.Context, _ Job, _ []byte, _ io.Reader, keep Keep, result io.Writer) error {
		for _, part := range parts {
			if err := keep(ctx, []byte(part)); err != nil {
				h.mu.Lock()
				h.keeps = nil
				h.mu.Unlock()
				return err
			}
		}
		_, err := io.WriteString(result, "done")
		return err
	})
	h.run(t)
	h.requireNothingLeft(t)
	h.mu.Lock()
	defer h.mu.Unlock()
	assert.Equal(t, parts, h.kept)
	require.Len(t, h.faults, 1)
	assert.Equal(t, Postpone, DispositionOf(h.faults[0]))
}

// An owner hears how a worker prepares what it does, and whether it takes videos; of one of an earlier release it hears nothing.
func TestElsewhere_prepares(t *testing.T) {
	for _, prepares := range []func(Job) string{nil, func(j Job) string { return "as " + j.Model.Name }} {
		url := oneServer(t)
		h := newHouse(t, Options{URL: url, Node: "n"}, testJob(1))
		q := openQueue(t, Options{URL: url, Guest: true})
		start(t, func(ctx context.Context) error {
			return q.Work(ctx, Consumer{Models: testModels("demo"), Slots: 1, Remote: repeatInput, Prepares: prepares, Videos: prepares != nil, Drain: patience})
		})
		h.run(t)
		h.requireNothingLeft(t)
		want := []Takes{{}}
		if prepares != nil {
			want = []Takes{{Prepares: "as demo", Videos: true}}
		}
		h.mu.Lock()
		assert.Equal(t, want, h.takes)
		h.mu.Unlock()
	}
}

func jobIn(node string, n int) Job {
	j := testJob(n)
	j.Node = node
	return j
}

// A small input comes with the answer and is not kept by the broker; a worker of an earlier release, which does not ask for
// that, and whoever needs a large one, gets it by the object store.
func TestElsewhere_wayOfTheInput(t *testing.T) {
	url := oneServer(t)
	h := newHouse(t, Options{URL: url, Node: "n"}, testJob(1))
	start(t, func(ctx context.Context) error { return h.q.Own(ctx, h.owner()) })
	worker := openQueue(t, Options{URL: url, Guest: true})
	for _, row := range []struct {
		size          int
		asks, answers bool // inline
	}{{6, true, true}, {0, true, true}, {maxInline, true, true}, {maxInline + 1, true, false}, {6, false, false}, {0, false, false}} {
		h.input = bytes.Repeat([]byte("p"), row.size)
		asked := question{Job: jobIn("n", 1), Delivery: 1, Inline: row.asks}
		var begun reply
		eventually(t, "an answer", func() (answered bool) {
			var err error
			begun, err = worker.ask(t.Context(), "n", opBegin, asked)
			return err == nil
		})
		require.Equal(t, row.answers, begun.Inline, "%+v", row)
		assert.Equal(t, row.answers, begun.Object == "", "%+v", row)
		assert.Equal(t, row.answers, len(objectsOf(t, h.q)) == 0, "%+v", row)
		var result bytes.Buffer
		require.NoError(t, worker.remote(t.Context(), asked.Job, begun, repeatInput, &result))
		assert.Equal(t, fmt.Sprintf("E00001.demo: how E00001.demo, %s", h.input), result.String())
		asked.Object, asked.Verdict = begun.Object, Nak.String()
		_, err := worker.ask(t.Context(), "n", opFailed, asked)
		require.NoError(t, err)
		assert.Empty(t, objectsOf(t, h.q), "what a worker gave up goes")
	}
}

// A worker that gives up what came with the answer takes nothing from another that is at the same job.
func TestElsewhere_givesUpItsOwnInput(t *testing.T) {
	url := oneServer(t)
	h := newHouse(t, Options{URL: url, Node: "n"}, testJob(1))
	start(t, func(ctx context.Context) error { return h.q.Own(ctx, h.owner()) })
	worker := openQueue(t, Options{URL: url, Guest: true})
	var other reply
	eventually(t, "an answer", func() (answered bool) {
		var err error
		other, err = worker.ask(t.Context(), "n", opBegin, question{Job: jobIn("n", 1), Delivery: 1}) // of an earlier release
		return err == nil
	})
	_, err := worker.ask(t.Context(), "n", opFailed, question{Job: jobIn("n", 1), Delivery: 2, Verdict: Nak.String()})
	require.NoError(t, err)
	var result bytes.Buffer
	require.NoError(t, worker.remote(t.Context(), jobIn("n", 1), other, repeatInput, &result))
	assert.Contains(t, result.String(), "pixels")
}

// A worker that is silent, as one that was killed, loses its job to another; when it comes back with a result all the
// same, that is dropped.
func TestElsewhere_firstResultCounts(t *testing.T) {
	url := oneServer(t)
	h := newHouse(t, Options{URL: url, Node: "n"}, testJob(1))
	h.run(t)
	begun, release := make(chan struct{}), make(chan struct{})
	silent := openQueue(t, Options{URL: url, Guest: true})
	late := func(_ context.Context, _ Job, _ []byte, _ io.Reader, _ Keep, result io.Writer) error {
		close(begun)
		<-release
		_, err := result.Write(bytes.Repeat([]byte("late"), maxInline))
		return err
	}
	remote := Consumer{Remote: late, Prepares: func(Job) string { return "" }}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for silent.elsewhere(t.Context(), jobIn("n", 1), remote, 1) > 0 && t.Context().Err() == nil { // the gateway may not be up yet
			time.Sleep(10 * time.Millisecond)
		}
	}()
	<-begun
	guest(t, url, 1, nil)
	eventually(t, "done by the other", h.finished)
	close(release)
	<-ended
	h.requireNothingLeft(t)
	assert.Equal(t, []string{"E00001.demo: how E00001.demo, pixels"}, h.resultsOf(testJob(1).ID))
}

// Results wait for a gateway that is down, with their bytes; what it had put in for workers goes when it is back.
func TestElsewhere_gatewayIsDown(t *testing.T) {
	url := oneServer(t)
	h := newHouse(t, Options{URL: url, Node: "n"}, jobList(2)...)
	h.input = make([]byte, 2*maxInline)
	stop := h.run(t)
	begun, release := make(chan struct{}, 2), make(chan struct{})
	guest(t, url, 2, func(_ context.Context, j Job, _ []byte, _ io.Reader, _ Keep, result io.Writer) error {
		begun <- struct{}{}
		<-release
		size := 10
		if j == jobIn("n", 1) {
			size = 2 * maxInline
		}
		_, err := io.WriteString(result, strings.Repeat("r", size))
		return err
	})
	<-begun
	<-begun
	stop()
	h.q.Close()
	close(release)
	later := newHouse(t, Options{URL: url, Node: "n"}, jobList(2)...)
	eventually(t, "both results wait", func() bool {
		s, err := later.q.js.Stream(t.Context(), Results)
		return err == nil && s.CachedInfo().State.Msgs == 2
	})
	require.Len(t, objectsOf(t, later.q), 3, "a large result, and inputs that were left")
	later.run(t)
	later.requireNothingLeft(t)
	assert.Len(t, later.taken, 2)
	assert.Empty(t, later.began, "nothing is done again")
}

func objectsOf(t testing.TB, q *Queue) []object {
	t.Helper()
	list, err := q.objects(t.Context(), q.node)
	require.NoError(t, err)
	return list
}

// As long as its gateway does not answer a job waits, and takes no slot from others.
func TestElsewhere_gatewayDoesNotAnswer(t *testing.T) {
	url := oneServer(t)
	silent := openQueue(t, Options{URL: url, Node: "silent"})
	for _, j := range jobList(5) {
		require.NoError(t, silent.Publish(t.Context(), j))
	}
	h := newHouse(t, Options{URL: url, Node: "n"}, jobList(5)...)
	h.run(t)
	guest(t, url, 1, nil)
	eventually(t, "done for the one that answers", h.finished)
	awake := newHouse(t, Options{URL: url, Node: "silent"}, jobList(5)...)
	awake.run(t)
	awake.requireNothingLeft(t)
}

func TestElsewhere_anotherVersion(t *testing.T) {
	url := oneServer(t)
	other := testModel("demo")
	other.Version = "2.0"
	worker := openQueue(t, Options{URL: url, Guest: true})
	start(t, func(ctx context.Context) error {
		return worker.Work(ctx, Consumer{Models: []Model{other}, Slots: 3, Remote: repeatInput})
	})
	h := newHouse(t, Options{URL: url, Node: "n"}, testJob(1))
	h.run(t)
	eventually(t, "offered", func() bool { return messages(t, h.q) == 1 })
	there, err := h.q.Workers(t.Context())
	require.NoError(t, err)
	require.Len(t, there, 1)
	assert.Equal(t, []Model{other}, there[0].Models)
	assert.Equal(t, 3, there[0].Slots)
	missing, err := h.q.Unserved(t.Context(), append(testModels("demo"), other))
	require.NoError(t, err)
	assert.Equal(t, testModels("demo"), missing)
	lag, err := h.q.Lag(t.Context(), testModel("demo"))
	require.NoError(t, err)
	assert.Equal(t, Lag{Waiting: 1}, lag)
	guest(t, url, 1, nil) // of the right one
	h.requireNothingLeft(t)
	missing, err = h.q.Unserved(t.Context(), testModels("demo"))
	require.NoError(t, err)
	assert.Empty(t, missing)
}

func TestOwn_bytesThatNoJobNeedsGo(t *testing.T) {
	url := oneServer(t)
	h := newHouse(t, Options{URL: url, Node: "n"}, testJob(1), testJob(2))
	ctx := t.Context()
	for _, name := range []string{"n.in.left", "other.in.left", "n.out.done", "n.out.open"} {
		job := testJob(3).ID // not open
		if name != "n.out.done" {
			job = testJob(1).ID
		}
		_, err := h.q.put(ctx, name, job, strings.NewReader("bytes"))
		require.NoError(t, err)
	}
	start(t, func(ctx context.Context) error { return h.q.Own(ctx, h.owner()) })
	eventually(t, "what no open job needs is gone", func() bool { return len(objectsOf(t, h.q)) == 1 })
	assert.Equal(t, "n.out.open", objectsOf(t, h.q)[0].name, "a result may be on its way")
	others, err := h.q.objects(ctx, "other")
	require.NoError(t, err)
	assert.Len(t, others, 1, "another gateway's are its own")
	s, err := h.q.js.Stream(ctx, bucketStream)
	require.NoError(t, err)
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(">"))
	require.NoError(t, err)
	assert.Len(t, info.State.Subjects, 4, "chunk and record of two objects, and nothing of the others")
}

func TestOwner_refuses(t *testing.T) {
	q := openQueue(t, Options{})
	require.ErrorContains(t, q.Own(t.Context(), Owner{}), "must be set")
	_, err := Open(Options{Guest: true, StoreDir: t.TempDir()})
	require.ErrorContains(t, err, "a guest needs a URL")
}

func BenchmarkElsewhere(b *testing.B) {
	url := oneServer(b)
	h := newHouse(b, Options{URL: url, Node: "n"})
	h.input = make([]byte, 100_000)
	h.run(b)
	guest(b, url, 1, nil)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		h.add(testJob(n))
		for !h.finished() {
			time.Sleep(100 * time.Microsecond)
		}
		n++
	}
}

// A result that is being taken when the gateway is asked to stop has a while, and is taken by the next one.
func TestOwn_drain(t *testing.T) {
	url := oneServer(t)
	h := newHouse(t, Options{URL: url, Node: "n"}, testJob(1))
	owner := h.owner()
	owner.Drain = 50 * time.Millisecond
	taking := make(chan struct{})
	owner.Take = func(ctx context.Context, _ Job, _ io.Reader) error {
		close(taking)
		<-ctx.Done()
		return postpone{ctx.Err()}
	}
	stop := start(t, func(ctx context.Context) error { return h.q.Own(ctx, owner) })
	start(t, func(ctx context.Context) error {
		return h.q.Feed(ctx, Feed{Lines: h.lines, Open: h.list, Models: testModels("demo"), AckWait: time.Second})
	})
	guest(t, url, 1, nil)
	<-taking
	stop()
	start(t, func(ctx context.Context) error { return h.q.Own(ctx, h.owner()) })
	h.requireNothingLeft(t)
	assert.Len(t, h.resultsOf(testJob(1).ID), 1)
	assert.Equal(t, 1, h.began[testJob(1).ID])
}

// A result that is of no use goes, and the job is done anew.
func TestOwn_refusedResult(t *testing.T) {
	for _, size := range []int{0, 2 * maxInline} {
		url := oneServer(t)
		h := newHouse(t, Options{URL: url, Node: "n"}, testJob(1))
		h.input = make([]byte, size)
		owner, first := h.owner(), true
		owner.Takers = 1
		take := owner.Take
		owner.Take = func(ctx context.Context, j Job, result io.Reader) error {
			if first {
				first = false
				return refusal{errors.New("of another model")}
			}
			return take(ctx, j, result)
		}
		start(t, func(ctx context.Context) error { return h.q.Own(ctx, owner) })
		start(t, func(ctx context.Context) error {
			return h.q.Feed(ctx, Feed{Lines: h.lines, Open: h.list, Every: 50 * time.Millisecond, Models: testModels("demo"), AckWait: 10 * time.Second})
		})
		guest(t, url, 1, nil)
		h.requireNothingLeft(t)
		assert.Equal(t, 2, h.began[testJob(1).ID])
	}
}

type refusal struct{ error }

func (refusal) Refused() bool { return true }

// What a worker of another release asks, and is not understood, costs no job.
func TestOwn_questionNotUnderstood(t *testing.T) {
	url := oneServer(t)
	h := newHouse(t, Options{URL: url, Node: "n"})
	h.run(t)
	h.requireNothingLeft(t) // all is made that the owner makes
	worker := openQueue(t, Options{URL: url, Guest: true})
	var answer reply
	eventually(t, "an answer", func() (answered bool) {
		var err error
		answer, err = worker.ask(t.Context(), "n", opBegin, question{}) // of no job
		return err == nil
	})
	assert.NotZero(t, answer.Again)
}

func TestOwner_asksNothingAfterItsEnd(t *testing.T) {
	q := openQueue(t, Options{})
	w := &owner{q: q, slots: make(chan struct{}, 1), Owner: Owner{Begin: func(context.Context, Job, Takes) (*Input, error) {
		assert.Fail(t, "the ledger may be closed")
		return nil, nil
	}}}
	w.end()
	body, err := json.Marshal(question{Job: testJob(1)})
	require.NoError(t, err)
	w.ask(t.Context(), &nats.Msg{Subject: ownerPrefix + "n." + opBegin, Data: body})
	w.answering.Wait()
}
