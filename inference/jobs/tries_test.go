package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// neverHear asks for a job and hears no answer.
func neverHear(t *testing.T, q *Queue, node, op string, asked question) {
	t.Helper()
	body, err := json.Marshal(asked)
	require.NoError(t, err)
	require.NoError(t, q.nc.PublishRequest(ownerPrefix+node+"."+op, q.nc.NewInbox(), body))
	q.unheard.add(node, asked.Try)
}

func (h *house) triesOf(id string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.began[id]
}

// A busy machine or a network that stutters costs no job a try: one of which the worker heard nothing is taken back, with its input.
func TestTries_answerNotHeard(t *testing.T) {
	for _, size := range []int{6, 2 * maxInline} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			url := oneServer(t)
			h := newHouse(t, Options{URL: url, Node: "n"}, testJob(1))
			h.input = make([]byte, size)
			start(t, func(ctx context.Context) error { return h.q.Own(ctx, h.owner()) })
			worker := openQueue(t, Options{URL: url, Guest: true})
			job, objects := jobIn("n", 1), min(size/maxInline, 1)
			eventually(t, "the gateway is up", func() bool {
				_, err := worker.ask(t.Context(), "n", "nothing", question{Job: job})
				return err == nil
			})
			for i, try := range []string{"first", "second"} {
				neverHear(t, worker, "n", opBegin, question{Job: job, Try: try, Inline: true})
				eventually(t, "counted", func() bool { return h.triesOf(job.ID) == i+1 })
			}
			eventually(t, "the inputs are there", func() bool { return len(objectsOf(t, h.q)) == 2*objects })
			begun, err := worker.ask(t.Context(), "n", opBegin, question{Job: job, Try: "third", Inline: true})
			require.NoError(t, err)
			assert.Equal(t, objects == 0, begun.Inline)
			assert.Equal(t, 1, h.triesOf(job.ID), "the third, which a worker is at")
			assert.Len(t, objectsOf(t, h.q), objects, "its input")
			assert.Empty(t, worker.unheard.of("n"), "what was told is told once")

			worker.unheard.add("n", "second") // as one whose answer was not heard
			_, err = worker.ask(t.Context(), "n", opFailed, question{Job: job, Try: "third", Object: begun.Object, Verdict: Postpone.String()})
			require.NoError(t, err)
			assert.Zero(t, h.triesOf(job.ID), "each is taken back once")
			assert.Empty(t, objectsOf(t, h.q))
		})
	}
}

// A worker that gives up while its try is still being counted has it taken back as soon as it is.
func TestTries_givenUpBeforeItIsCounted(t *testing.T) {
	url := oneServer(t)
	h := newHouse(t, Options{URL: url, Node: "n"}, testJob(1))
	owner, asked, begin := h.owner(), make(chan struct{}, 2), make(chan struct{})
	count := owner.Begin
	owner.Begin = func(ctx context.Context, j Job, takes Takes) (*Input, error) {
		asked <- struct{}{}
		<-begin
		return count(ctx, j, takes)
	}
	start(t, func(ctx context.Context) error { return h.q.Own(ctx, owner) })
	worker := openQueue(t, Options{URL: url, Guest: true})
	eventually(t, "the gateway is up", func() bool {
		_, err := worker.ask(t.Context(), "n", "nothing", question{Job: jobIn("n", 1)})
		return err == nil
	})
	neverHear(t, worker, "n", opBegin, question{Job: jobIn("n", 1), Try: "first", Inline: true})
	<-asked
	_, err := worker.ask(t.Context(), "n", "nothing", question{Job: jobIn("n", 1)})
	require.NoError(t, err)
	close(begin)
	eventually(t, "counted and taken back", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.faults) == 1 && h.began[testJob(1).ID] == 0
	})
}

// That a try was postponed is told again where the gateway may not have heard it; that one failed is not, as it counts in any case.
func TestTries_endNotHeard(t *testing.T) {
	for _, fault := range []error{postponedError{}, jobError(false)} {
		url := oneServer(t)
		h := newHouse(t, Options{URL: url, Node: "n"}, testJob(1))
		stop := start(t, func(ctx context.Context) error { return h.q.Own(ctx, h.owner()) })
		worker := openQueue(t, Options{URL: url, Guest: true})
		eventually(t, "the gateway is up", func() bool {
			_, err := worker.ask(t.Context(), "n", "nothing", question{Job: jobIn("n", 1)})
			return err == nil
		})
		again := worker.elsewhere(t.Context(), jobIn("n", 1), Consumer{Prepares: func(Job) string { return "" }, Remote: func(context.Context, Job, []byte, io.Reader, Keep, io.Writer) error {
			stop() // before the end can be told
			return fault
		}}, 1)
		assert.NotZero(t, again)
		assert.Len(t, worker.unheard.of("n"), map[bool]int{true: 1}[postponed(fault)])
	}
}

// A store that takes no result is no fault of the job, whatever its doer makes of that.
func TestTries_storeDoesNotTakeTheResult(t *testing.T) {
	for _, told := range []bool{true, false} {
		url := oneServer(t)
		h := newHouse(t, Options{URL: url, Node: "n"}, testJob(1))
		first := true
		guest(t, url, 1, func(ctx context.Context, _ Job, _ []byte, _ io.Reader, _ Keep, result io.Writer) error {
			if first {
				assert.NoError(t, h.q.js.DeleteStream(ctx, bucketStream))
			}
			_, err := result.Write(bytes.Repeat([]byte("r"), 4*maxInline))
			if first {
				first = false
				_, made := h.q.makeBucket(ctx)
				assert.NoError(t, made)
			}
			if told {
				return err
			}
			return nil
		})
		h.run(t)
		h.requireNothingLeft(t)
		h.mu.Lock()
		assert.Equal(t, 1, h.began[testJob(1).ID])
		if assert.NotEmpty(t, h.faults) {
			assert.Equal(t, Postpone, DispositionOf(h.faults[0]))
		}
		h.mu.Unlock()
	}
}

func TestUnheard_isBounded(t *testing.T) {
	var u unheard
	for i := range 3 * maxUnheard {
		u.add("n", strconv.Itoa(i))
	}
	require.Len(t, u.of("n"), maxUnheard)
	assert.Equal(t, strconv.Itoa(2*maxUnheard), u.of("n")[0], "the newest stay")
	assert.Empty(t, u.of("other"))
	u.told("n", u.of("n"))
	assert.Empty(t, u.ids)
}

// Of a job that has ended no try is remembered.
func TestTries_goWithTheJob(t *testing.T) {
	url := oneServer(t)
	h := newHouse(t, Options{URL: url, Node: "n"}, jobList(3)...)
	w := &owner{q: h.q, Owner: h.owner(), tries: map[string]*try{}}
	for i, j := range jobList(3) {
		w.trying(question{Job: j, Try: strconv.Itoa(i)})
	}
	w.trying(question{Job: testJob(1)}) // of an earlier release
	require.Len(t, w.tries, 3)
	w.triesEnded(testJob(0).ID)
	require.NoError(t, h.park(t.Context(), testJob(1), "by a person"))
	require.NoError(t, w.sweepOnce(t.Context()))
	assert.Equal(t, map[string]bool{testJob(2).ID: true}, w.triedJobs())
}
