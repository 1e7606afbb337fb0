package outbox

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// queue keeps deliveries as the ledger does, in memory, so that tests can run on synthetic time.
type queue struct {
	mu         sync.Mutex
	deliveries []*ledger.Delivery
	broken     error // of every write
}

func newQueue() *queue { return new(queue) }

func (q *queue) add(destination, entry, alternate string) *ledger.Delivery {
	q.mu.Lock()
	defer q.mu.Unlock()
	d := &ledger.Delivery{
		ID: int64(len(q.deliveries) + 1), Kind: ledger.KindDICOM, Destination: destination, Entry: entry, Alternate: alternate,
		State: ledger.DeliveryPending, NextAt: time.Now(), Purpose: "heatmap",
	}
	d.Instance.StudyInstanceUID = dicom.UID(fmt.Sprintf("1.2.%d", d.ID)) // each of its own study
	d.Instance.SeriesInstanceUID = d.Instance.StudyInstanceUID + ".1"
	q.deliveries = append(q.deliveries, d)
	return d
}

func (q *queue) get(d *ledger.Delivery) ledger.Delivery {
	q.mu.Lock()
	defer q.mu.Unlock()
	return *d
}

func (q *queue) DueDeliveries(_ context.Context, destination string, now time.Time, longest time.Duration, limit int) ([]ledger.Delivery, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var due []ledger.Delivery
	for _, d := range q.deliveries {
		if d.State == ledger.DeliveryPending && d.Destination == destination && (!d.NextAt.After(now) || d.NextAt.After(now.Add(longest))) {
			due = append(due, *d)
		}
	}
	slices.SortStableFunc(due, func(a, b ledger.Delivery) int {
		if a.Behind && b.Behind {
			return a.NextAt.Compare(b.NextAt)
		}
		order := func(d ledger.Delivery) int {
			if d.Behind {
				return 1000
			}
			return d.Rank
		}
		return cmp.Compare(order(a), order(b))
	})
	some := map[bool]int{}
	return slices.DeleteFunc(due, func(d ledger.Delivery) bool {
		some[d.Behind]++
		return some[d.Behind] > limit
	}), nil
}

func (q *queue) NextDelivery(_ context.Context, destination string) (next time.Time, ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range q.deliveries {
		if d.State == ledger.DeliveryPending && d.Destination == destination && (!ok || d.NextAt.Before(next)) {
			next, ok = d.NextAt, true
		}
	}
	return next, ok, nil
}

func (q *queue) Waiting(_ context.Context, destination string) (n int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range q.deliveries {
		if d.Destination == destination && (d.State == ledger.DeliveryPending || d.State == ledger.DeliverySent) {
			n++
		}
	}
	return n, nil
}

func (q *queue) IsDue(_ context.Context, id int64) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.deliveries[id-1].State == ledger.DeliveryPending, nil
}

func (q *queue) step(id int64, f func(*ledger.Delivery)) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.broken != nil {
		return q.broken
	}
	d := q.deliveries[id-1]
	d.Attempts++
	f(d)
	return nil
}

func (q *queue) Delivered(_ context.Context, id int64, used string, answer ledger.Answer, at time.Time) error {
	return q.step(id, func(d *ledger.Delivery) {
		d.State, d.Used, d.EndedAt, d.Answer = ledger.DeliveryDone, used, at, answer
	})
}

func (q *queue) Sent(_ context.Context, id int64, used string, until time.Time, answer ledger.Answer, _ time.Time) error {
	return q.step(id, func(d *ledger.Delivery) {
		d.State, d.Used, d.NextAt, d.Answer = ledger.DeliverySent, used, until, answer
	})
}

func (q *queue) Uncommitted(_ context.Context, destination string, now time.Time, _ time.Duration) (n int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range q.deliveries {
		if d.State == ledger.DeliverySent && d.Destination == destination && !d.NextAt.After(now) {
			d.State = ledger.DeliveryPending
			n++
		}
	}
	return n, nil
}

func (q *queue) Defer(_ context.Context, id int64, why ledger.Deferral, _ time.Time) error {
	return q.step(id, func(d *ledger.Delivery) {
		d.NextAt, d.Answer, d.Reason = why.Next, why.Answer, why.Reason
		d.Behind = d.Behind || why.Behind
		for _, other := range q.deliveries {
			if why.Behind && other.State == ledger.DeliveryPending && other.Destination == d.Destination && other.Instance.SeriesInstanceUID == d.Instance.SeriesInstanceUID {
				other.Behind = true
			}
		}
	})
}

func (q *queue) Park(_ context.Context, id int64, answer ledger.Answer, reason string, at time.Time) error {
	return q.step(id, func(d *ledger.Delivery) {
		d.State, d.Answer, d.Reason, d.EndedAt = ledger.DeliveryParked, answer, reason, at
	})
}

func (q *queue) unpark(d *ledger.Delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	d.State, d.Attempts, d.NextAt, d.Behind = ledger.DeliveryPending, 0, time.Now(), false
}

// script is a sender that does what it is told.
type script struct {
	mu    sync.Mutex
	do    func(m Message) Outcome
	sent  []string
	times []time.Time
	rests []time.Time
}

func (s *script) Send(_ context.Context, m Message) Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent, s.times = append(s.sent, m.Entry), append(s.times, time.Now())
	if s.do == nil {
		return Outcome{Class: Done}
	}
	return s.do(m)
}

func (s *script) Rest(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rests = append(s.rests, time.Now())
	return nil
}

func (s *script) tried() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}

func (s *script) now(do func(m Message) Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.do = do
}

func status(s dimse.Status) func(Message) Outcome {
	return func(Message) Outcome { return answered(s, peerSays{}, "PACS") }
}

func fails(class Class, reason string) func(Message) Outcome {
	return func(Message) Outcome { return Outcome{Class: class, Reason: reason} }
}

// started runs an outbox on synthetic time until the test ends.
func started(t *testing.T, q Queue, senders map[string]Sender) *Outbox {
	t.Helper()
	return startedWith(t, Backoff{}, 0, q, senders)
}

func startedWith(t *testing.T, b Backoff, jitter float64, q Queue, senders map[string]Sender) *Outbox {
	t.Helper()
	o := &Outbox{
		Queue: q, Senders: senders, Backoff: b, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Jitter: func() float64 { return jitter },
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.ErrorIs(t, <-done, context.Canceled)
	})
	return o
}

// TestOutbox_status walks the table of what a status of the peer means for a delivery.
func TestOutbox_status(t *testing.T) {
	memory := installed.Watched(t)
	rows := []struct {
		status dimse.Status
		state  ledger.DeliveryState
		later  bool // pending, and not due
	}{
		{0x0000, ledger.DeliveryDone, false},
		{0x0001, ledger.DeliveryDone, false},
		{0x0107, ledger.DeliveryDone, false},
		{0x0116, ledger.DeliveryDone, false},
		{0xB000, ledger.DeliveryDone, false},
		{0xB006, ledger.DeliveryDone, false},
		{0xB007, ledger.DeliveryDone, false},
		{0x0111, ledger.DeliveryDone, false}, // an earlier try has arrived
		{0xA700, ledger.DeliveryPending, true},
		{0xA7FF, ledger.DeliveryPending, true},
		{0x0110, ledger.DeliveryPending, true},
		{0x0213, ledger.DeliveryPending, true},
		{0x0210, ledger.DeliveryPending, true},
		{0xFE00, ledger.DeliveryPending, true},
		{0xA900, ledger.DeliveryParked, false},
		{0xA9FF, ledger.DeliveryParked, false},
		{0xC000, ledger.DeliveryParked, false},
		{0xC123, ledger.DeliveryParked, false},
		{0xCFFF, ledger.DeliveryParked, false},
		{0x0105, ledger.DeliveryParked, false},
		{0x0106, ledger.DeliveryParked, false},
		{0x0117, ledger.DeliveryParked, false},
		{0x0119, ledger.DeliveryParked, false},
		{0x0122, ledger.DeliveryPending, true}, // without alternate; asked again in a day
		{0x0124, ledger.DeliveryPending, true}, // ours to be let in, not the object's
		{0x0211, ledger.DeliveryParked, false},
		{0xFF00, ledger.DeliveryParked, false},
		{0xD000, ledger.DeliveryParked, false},
	}
	for _, row := range rows {
		t.Run(row.status.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, s := newQueue(), &script{do: status(row.status)}
				d := q.add("pacs", "e1", "")
				started(t, q, map[string]Sender{"pacs": s})
				synctest.Wait()
				got := q.get(d)
				assert.Equal(t, row.state, got.State)
				assert.Equal(t, 1, got.Attempts)
				assert.Equal(t, row.later, got.NextAt.After(time.Now()))
				assert.Equal(t, row.status.String()[:4], got.Answer.Code, "the peer's status is kept")
				if row.state != ledger.DeliveryDone {
					assert.Contains(t, got.Reason, row.status.String())
				}
			})
		})
	}
	installed.Tried(t, installed.Drill{Tried: fmt.Sprintf("a PACS that answers a C-STORE with each of %d statuses, of every class", len(rows)), Kept: len(rows), Memory: memory.Memory()})
}

// TestOutbox_backoff: 15, 30, 60 s ... with the jitter at 0; others of the destination go on.
func TestOutbox_backoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		bad, good := q.add("pacs", "bad", ""), q.add("pacs", "good", "")
		s := &script{do: func(m Message) Outcome {
			if m.Entry == "bad" {
				return answered(dimse.OutOfResources, peerSays{}, "PACS")
			}
			return Outcome{Class: Done}
		}}
		start := time.Now()
		started(t, q, map[string]Sender{"pacs": s})
		synctest.Wait()
		assert.Equal(t, ledger.DeliveryDone, q.get(good).State)
		assert.Equal(t, ledger.DeliveryPending, q.get(bad).State)
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		var at []time.Duration
		for i, entry := range s.sent {
			if entry == "bad" {
				at = append(at, s.times[i].Sub(start))
			}
		}
		second := time.Second
		assert.Equal(t, []time.Duration{0, 15 * second, 45 * second}, at[:3])
		require.Greater(t, len(at), 4)
		// From the third on the destination is held back too, and comes after.
		for i := 3; i < len(at); i++ {
			assert.LessOrEqual(t, at[i]-at[i-1], 30*time.Minute)
			assert.Greater(t, at[i], at[i-1])
		}
		assert.Less(t, len(at), 10)
	})
}

// A peer that says when it wants to be asked again is not asked sooner, nor later than anything is ever deferred.
func TestOutbox_after(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		id := q.add("emr", "bundle", "")
		const first = 20 * time.Minute
		var wish atomic.Int64
		wish.Store(int64(first))
		s := &script{do: func(Message) Outcome {
			return Outcome{Class: Later, Protocol: ledger.KindFHIR, Code: "429", After: time.Duration(wish.Load())}
		}}
		start := time.Now()
		started(t, q, map[string]Sender{"emr": s})
		synctest.Wait()
		assert.Equal(t, start.Add(first), q.get(id).NextAt)
		time.Sleep(first - time.Second)
		synctest.Wait()
		assert.Len(t, s.tried(), 1)
		wish.Store(int64(1000 * time.Hour))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		assert.Len(t, s.tried(), 2)
		assert.LessOrEqual(t, time.Until(q.get(id).NextAt), refusedPause)
	})
}

// TestOutbox_down: a destination that is down waits as a whole, and gets everything at once when it is back.
func TestOutbox_down(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{do: fails(DestinationDown, "peer PACS cannot be reached")}
		var ds []*ledger.Delivery
		for range 500 {
			ds = append(ds, q.add("pacs", "e", ""))
		}
		o := started(t, q, map[string]Sender{"pacs": s})
		synctest.Wait()
		assert.Len(t, s.tried(), 1, "one attempt finds out")
		c, ok := o.Condition("pacs")
		require.True(t, ok)
		assert.False(t, c.Up)
		assert.Equal(t, "peer PACS cannot be reached", c.Reason)
		assert.Equal(t, 15*time.Second, time.Until(c.NextAt))
		assert.Equal(t, "peer PACS cannot be reached", q.get(ds[0]).Reason, "the ledger can tell why")
		assert.Zero(t, q.get(ds[1]).Attempts, "the others are not charged with it")

		o.Wake("pacs") // new work is no reason to hurry
		synctest.Wait()
		assert.Len(t, s.tried(), 1)

		time.Sleep(time.Hour)
		synctest.Wait()
		n := len(s.tried())
		assert.Less(t, n, 12)
		s.now(nil)
		time.Sleep(31 * time.Minute)
		synctest.Wait()
		assert.Len(t, s.tried(), n+500, "everything at once")
		for _, d := range ds {
			require.Equal(t, ledger.DeliveryDone, q.get(d).State)
		}
		c, _ = o.Condition("pacs")
		assert.True(t, c.Up)
	})
}

// TestOutbox_saysDownOnce: a change of the destination's state is said once, however many deliveries and attempts there are.
func TestOutbox_saysDownOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		q, s := newQueue(), &script{do: fails(DestinationDown, "peer PACS cannot be reached")}
		for range 500 {
			q.add("pacs", "e", "")
		}
		o := &Outbox{
			Queue: q, Senders: map[string]Sender{"pacs": s}, Log: slog.New(slog.NewTextHandler(&log, nil)), Jitter: func() float64 { return 0 },
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- o.Run(ctx) }()
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		s.now(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		said := log.String()
		assert.Equal(t, 1, strings.Count(said, "level=WARN"), said)
		assert.Equal(t, 1, strings.Count(said, `msg="destination is down`))
		assert.Contains(t, said, `reason="peer PACS cannot be reached" waiting=500`)
		assert.Equal(t, 1, strings.Count(said, `msg="destination is up again"`))
		assert.Regexp(t, `up again" destination=pacs down_for=3h\S+ waiting=500`, said)
	})
}

func TestOutbox_retryNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{do: fails(DestinationDown, "gone")}
		d := q.add("pacs", "e1", "")
		late := q.add("pacs", "e2", "")
		o := started(t, q, map[string]Sender{"pacs": s})
		synctest.Wait()
		s.now(nil)
		o.Retry("pacs")
		synctest.Wait()
		assert.Equal(t, ledger.DeliveryDone, q.get(late).State, "due, and somebody asked")
		assert.Equal(t, ledger.DeliveryDone, q.get(d).State, "deferred, and somebody asked")
		assert.Len(t, s.tried(), 3)
		o.Retry("nobody")
		o.Wake("nobody")
		_, ok := o.Condition("nobody")
		assert.False(t, ok)
	})
}

// TestOutbox_retryResets: after somebody asked, the waits begin with the shortest again.
func TestOutbox_retryResets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{do: fails(DestinationDown, "gone")}
		q.add("pacs", "e1", "")
		o := started(t, q, map[string]Sender{"pacs": s})
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		n := len(s.tried())
		o.Retry("pacs")
		synctest.Wait()
		assert.Len(t, s.tried(), n+1)
		c, _ := o.Condition("pacs")
		assert.Equal(t, 15*time.Second, time.Until(c.NextAt))
	})
}

// TestOutbox_notAuthorised: a peer that does not let us in is not asked for each object.
func TestOutbox_notAuthorised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{do: status(dimse.NotAuthorized)}
		for range 100 {
			q.add("pacs", "e", "")
		}
		o := started(t, q, map[string]Sender{"pacs": s})
		synctest.Wait()
		assert.Len(t, s.tried(), 1)
		begin := time.Now()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		c, _ := o.Condition("pacs")
		assert.False(t, c.Up)
		assert.Equal(t, begin, c.Since)
		assert.Equal(t, "peer PACS answered 0124 not authorised", c.Reason)
		for _, d := range q.deliveries {
			require.Equal(t, ledger.DeliveryPending, d.State)
		}
	})
}

// TestOutbox_refused: a kind that the peer does not take is offered once a day, and when somebody asks for it.
func TestOutbox_refused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{do: status(dimse.SOPClassNotSupported)}
		d := q.add("pacs", "e1", "")
		started(t, q, map[string]Sender{"pacs": s})
		time.Sleep(23 * time.Hour)
		synctest.Wait()
		assert.Len(t, s.tried(), 1)
		assert.Contains(t, q.get(d).Reason, "does not accept the SOP class")
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		assert.Len(t, s.tried(), 2)
		s.now(nil)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		assert.Equal(t, ledger.DeliveryDone, q.get(d).State)
	})
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{do: status(dimse.SOPClassNotSupported)}
		d := q.add("pacs", "e1", "")
		o := started(t, q, map[string]Sender{"pacs": s})
		synctest.Wait()
		s.now(nil)
		o.Retry("pacs")
		synctest.Wait()
		assert.Equal(t, ledger.DeliveryDone, q.get(d).State)
		assert.Len(t, s.rests, 1, "what the peer takes is negotiated anew")
	})
}

// TestOutbox_givesUpRefused: not for ever, as the bytes are kept so long.
func TestOutbox_givesUpRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{do: status(dimse.SOPClassNotSupported)}
		d := q.add("pacs", "e1", "")
		startedWith(t, Backoff{Dead: 7 * 24 * time.Hour}, 0.5, q, map[string]Sender{"pacs": s})
		time.Sleep(6*24*time.Hour + time.Hour)
		synctest.Wait()
		assert.Equal(t, ledger.DeliveryPending, q.get(d).State)
		time.Sleep(2 * 24 * time.Hour)
		synctest.Wait()
		assert.Equal(t, ledger.DeliveryParked, q.get(d).State)
		assert.Contains(t, q.get(d).Reason, "given up after 8 attempts; the last: peer PACS does not accept")
	})
}

// TestOutbox_impatient: asking again and again does not end what is refused.
func TestOutbox_impatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{do: status(dimse.SOPClassNotSupported)}
		d := q.add("pacs", "e1", "")
		o := startedWith(t, Backoff{Dead: 7 * 24 * time.Hour}, 0.5, q, map[string]Sender{"pacs": s})
		for range 20 {
			time.Sleep(time.Minute)
			o.Retry("pacs")
			synctest.Wait()
		}
		assert.Len(t, s.tried(), 21)
		assert.Equal(t, ledger.DeliveryPending, q.get(d).State)
	})
}

// TestOutbox_givesUpDown: what a dead destination was to get is parked in the end, each delivery after its own time.
func TestOutbox_givesUpDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{do: fails(DestinationDown, "peer PACS cannot be reached")}
		var old []*ledger.Delivery
		for range 200 {
			old = append(old, q.add("pacs", "e", ""))
		}
		startedWith(t, Backoff{Dead: 24 * time.Hour}, 0.5, q, map[string]Sender{"pacs": s})
		time.Sleep(20 * time.Hour)
		young := q.add("pacs", "e", "")
		for _, d := range old {
			require.Equal(t, ledger.DeliveryPending, q.get(d).State)
		}
		time.Sleep(6 * time.Hour)
		synctest.Wait()
		for _, d := range old {
			require.Equal(t, ledger.DeliveryParked, q.get(d).State)
			require.Contains(t, q.get(d).Reason, "given up after ")
			require.Contains(t, q.get(d).Reason, "peer PACS cannot be reached")
		}
		assert.Equal(t, ledger.DeliveryPending, q.get(young).State)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		assert.Equal(t, ledger.DeliveryParked, q.get(young).State)
	})
}

// TestOutbox_givesUpFull: nor does it matter that the destination answers, when it takes nothing.
func TestOutbox_givesUpFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{do: status(dimse.OutOfResources)}
		for range 200 {
			q.add("pacs", "e", "")
		}
		startedWith(t, Backoff{Dead: 24 * time.Hour}, 0.5, q, map[string]Sender{"pacs": s})
		time.Sleep(49 * time.Hour) // one may get up to twice its time, see spent
		synctest.Wait()
		for _, d := range q.deliveries {
			require.Equal(t, ledger.DeliveryParked, d.State)
		}
	})
}

// TestOutbox_wasOff: time in which the gateway was off is not held against a destination.
func TestOutbox_wasOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{do: fails(DestinationDown, "gone")}
		a, b := q.add("pacs", "e", ""), q.add("pacs", "e", "")
		time.Sleep(8 * 24 * time.Hour)
		startedWith(t, Backoff{Dead: 7 * 24 * time.Hour}, 0.5, q, map[string]Sender{"pacs": s})
		time.Sleep(time.Hour)
		s.now(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Equal(t, ledger.DeliveryDone, q.get(a).State)
		assert.Equal(t, ledger.DeliveryDone, q.get(b).State)
	})
}

// TestOutbox_neverGivesUp: Dead is 0.
func TestOutbox_neverGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{do: fails(DestinationDown, "gone")}
		d := q.add("pacs", "e", "")
		started(t, q, map[string]Sender{"pacs": s})
		time.Sleep(60 * 24 * time.Hour)
		synctest.Wait()
		assert.Equal(t, ledger.DeliveryPending, q.get(d).State)
	})
}

// TestOutbox_deadDelaysNoOther: a sender that hangs and one that is down, beside one that works.
func TestOutbox_deadDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, alive := newQueue(), &script{}
		hung := make(chan struct{})
		hanging := &script{do: func(Message) Outcome {
			<-hung
			return Outcome{Err: errors.New("after an hour")}
		}}
		var ds []*ledger.Delivery
		for range 100 {
			q.add("hanging", "e", "")
			q.add("dead", "e", "")
			ds = append(ds, q.add("alive", "e", ""))
		}
		start := time.Now()
		started(t, q, map[string]Sender{"alive": alive, "dead": &script{do: fails(DestinationDown, "gone")}, "hanging": hanging})
		synctest.Wait()
		for _, d := range ds {
			require.Equal(t, ledger.DeliveryDone, q.get(d).State)
		}
		assert.Equal(t, start, time.Now(), "no time has passed")
		close(hung)
		synctest.Wait()
	})
}

// TestOutbox_strikes: a peer that can take nothing is not asked for each of a thousand objects.
func TestOutbox_strikes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{do: status(dimse.OutOfResources)}
		for range 1000 {
			q.add("pacs", "e", "")
		}
		o := started(t, q, map[string]Sender{"pacs": s})
		synctest.Wait()
		assert.Len(t, s.tried(), maxStrikes)
		c, _ := o.Condition("pacs")
		assert.False(t, c.Up)
		s.now(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Len(t, s.tried(), maxStrikes+1000)
	})
}

// TestOutbox_ours: what lies with us, such as a disk that gives nothing to send, is not held against the destination.
func TestOutbox_ours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{do: func(Message) Outcome { return unreadable(syscall.EIO) }}
		for range 2 * maxStrikes {
			q.add("pacs", "e", "")
		}
		o := started(t, q, map[string]Sender{"pacs": s})
		synctest.Wait()
		assert.Len(t, s.tried(), 2*maxStrikes)
		c, asked := o.Condition("pacs")
		assert.True(t, c.Up || !asked)
		s.now(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Len(t, s.tried(), 4*maxStrikes)
	})
}

// TestOutbox_strikesOfTheSame: objects that fail each time, as for a peer that is full, do not keep a destination down for
// those that come behind them.
func TestOutbox_strikesOfTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{do: func(m Message) Outcome {
			if m.Entry == "bad" {
				return answered(dimse.OutOfResources, peerSays{}, "PACS")
			}
			return Outcome{Class: Done}
		}}
		q.add("pacs", "bad", "")
		q.add("pacs", "bad", "")
		o := started(t, q, map[string]Sender{"pacs": s})
		for range 20 {
			time.Sleep(10 * time.Minute)
			good := q.add("pacs", "good", "")
			o.Wake("pacs")
			time.Sleep(30 * time.Minute) // the longest wait of a destination that is down
			synctest.Wait()
			require.Equal(t, ledger.DeliveryDone, q.get(good).State)
		}
	})
}

func TestOutbox_alternate(t *testing.T) {
	only := func(accepted string) func(Message) Outcome {
		return func(m Message) Outcome {
			if m.Entry == accepted {
				return Outcome{Class: Done}
			}
			return Outcome{Class: SendAlternate, Reason: "peer PACS does not accept " + m.Entry}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{do: only("88.33")}
		with, without := q.add("pacs", "88.34", "88.33"), q.add("pacs", "88.34", "")
		var fates []Fate
		o := &Outbox{
			Queue: q, Senders: map[string]Sender{"pacs": s}, Log: slog.New(slog.DiscardHandler),
			Sent: func(_ string, fate Fate, _ time.Duration) { fates = append(fates, fate) },
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- o.Run(ctx) }()
		synctest.Wait()
		assert.Equal(t, ledger.DeliveryDone, q.get(with).State)
		assert.Equal(t, "88.33", q.get(with).Used)
		assert.Equal(t, ledger.DeliveryPending, q.get(without).State)
		assert.Equal(t, "peer PACS does not accept 88.34", q.get(without).Reason)

		neither := q.add("pacs", "88.34", "88.22")
		o.Wake("pacs")
		synctest.Wait()
		assert.Equal(t, ledger.DeliveryPending, q.get(neither).State)
		assert.Equal(t, "peer PACS does not accept 88.34; nor the alternate: peer PACS does not accept 88.22", q.get(neither).Reason)
		assert.Equal(t, []Fate{FateAlternate, FateDeferred, FateDeferred}, fates)
		cancel()
		assert.ErrorIs(t, <-done, context.Canceled)
	})
}

// TestOutbox_parked: what is parked keeps its reason, is not touched, and goes when it is put back.
// TestOutbox_takenBack sends nothing that was taken back while what was due before it was sent.
func TestOutbox_takenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{}
		q.add("pacs", "e1", "")
		second := q.add("pacs", "e2", "")
		s.do = func(Message) Outcome {
			q.mu.Lock()
			defer q.mu.Unlock()
			second.State = ledger.DeliveryDiscarded
			return Outcome{Class: Done}
		}
		started(t, q, map[string]Sender{"pacs": s})
		synctest.Wait()
		assert.Equal(t, []string{"e1"}, s.tried())
	})
}

func TestOutbox_parked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{do: status(0xC001)}
		d := q.add("pacs", "e1", "")
		o := started(t, q, map[string]Sender{"pacs": s})
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		assert.Len(t, s.tried(), 1)
		assert.Equal(t, "peer PACS answered C001 cannot understand", q.get(d).Reason)
		s.now(nil)
		q.unpark(d)
		o.Wake("pacs")
		synctest.Wait()
		assert.Equal(t, ledger.DeliveryDone, q.get(d).State)
	})
}

func TestOutbox_givesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{do: status(dimse.OutOfResources)}
		d := q.add("pacs", "e1", "")
		o := &Outbox{
			Queue: q, Senders: map[string]Sender{"pacs": s}, Log: slog.New(slog.DiscardHandler),
			Backoff: Backoff{First: time.Second, Last: 8 * time.Second, Dead: time.Minute}, Jitter: func() float64 { return 0.5 },
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- o.Run(ctx) }()
		time.Sleep(time.Hour)
		synctest.Wait()
		got := q.get(d)
		assert.Equal(t, ledger.DeliveryParked, got.State)
		assert.Equal(t, "given up after 13 attempts; the last: peer PACS answered A700 out of resources", got.Reason)
		cancel()
		assert.ErrorIs(t, <-done, context.Canceled)
	})
}

// TestOutbox_rests: an association is not kept open for nothing, nor given up between two messages.
func TestOutbox_rests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{}
		q.add("pacs", "e1", "")
		start := time.Now()
		o := started(t, q, map[string]Sender{"pacs": s})
		time.Sleep(10 * time.Second)
		q.add("pacs", "e2", "")
		o.Wake("pacs")
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, s.rests, 1)
		assert.Equal(t, 10*time.Second+defaultIdle, s.rests[0].Sub(start))
		assert.Len(t, s.tried(), 2)
	})
}

// TestOutbox_ledgerFails: without its ledger the outbox neither spins nor loses anything.
func TestOutbox_ledgerFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{}
		q.broken = errors.New("disk gone")
		d := q.add("pacs", "e1", "")
		started(t, q, map[string]Sender{"pacs": s})
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Len(t, s.tried(), 1, "what the peer has taken is not sent again")
		q.mu.Lock()
		q.broken = nil
		q.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, ledger.DeliveryDone, q.get(d).State)
		assert.Len(t, s.tried(), 1)
	})
}

func TestOutbox_panic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		bad, good := q.add("pacs", "bad", ""), q.add("pacs", "good", "")
		var log bytes.Buffer
		o := &Outbox{Queue: q, Log: slog.New(slog.NewTextHandler(&log, nil)), Senders: map[string]Sender{"pacs": &script{do: func(m Message) Outcome {
			if m.Entry == "bad" {
				panic("no such patient: Doe^Jane")
			}
			return Outcome{Class: Done}
		}}}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- o.Run(ctx) }()
		synctest.Wait()
		assert.Equal(t, ledger.DeliveryParked, q.get(bad).State)
		assert.Contains(t, q.get(bad).Reason, "internal fault")
		assert.Contains(t, log.String(), "sender panicked")
		assert.NotContains(t, log.String(), "Doe")
		cancel()
		assert.ErrorIs(t, <-done, context.Canceled)
		assert.Equal(t, ledger.DeliveryDone, q.get(good).State)
	})
}

// TestOutbox_stopped: an attempt that our own stop cuts off is no failure of the peer.
func TestOutbox_stopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		d := q.add("pacs", "e1", "")
		ctx, cancel := context.WithCancel(t.Context())
		s := &script{do: func(Message) Outcome {
			cancel()
			time.Sleep(defaultDrain + time.Second)
			return Outcome{Err: errors.New("connection closed")}
		}}
		o := &Outbox{Queue: q, Senders: map[string]Sender{"pacs": s}, Log: slog.New(slog.DiscardHandler)}
		assert.ErrorIs(t, o.Run(ctx), context.Canceled)
		assert.Zero(t, q.get(d).Attempts)
		assert.Len(t, s.rests, 1, "what was open is closed")
	})
}

// TestOutbox_stoppedBeforeTheAnswer: the answer to what is under way is waited for, or the peer would get it twice.
func TestOutbox_stoppedBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		taken, next := q.add("pacs", "e1", ""), q.add("pacs", "e2", "")
		ctx, cancel := context.WithCancel(t.Context())
		s := &slow{took: defaultDrain - time.Second, begun: cancel}
		o := &Outbox{Queue: q, Senders: map[string]Sender{"pacs": s}, Log: slog.New(slog.DiscardHandler)}
		assert.ErrorIs(t, o.Run(ctx), context.Canceled)
		assert.Equal(t, ledger.DeliveryDone, q.get(taken).State)
		assert.Equal(t, ledger.DeliveryPending, q.get(next).State, "nothing new is begun")
	})
}

// slow answers after a while, unless it is cut off.
type slow struct {
	took  time.Duration
	begun func()
}

func (s *slow) Send(ctx context.Context, _ Message) Outcome {
	s.begun()
	select {
	case <-time.After(s.took):
		return Outcome{Class: Done}
	case <-ctx.Done():
		return Outcome{Err: ctx.Err()}
	}
}

func (s *slow) Rest(context.Context) error { return nil }

// TestOutbox_silent: an object that the peer does not answer to delays the others by one attempt each time, goes behind
// them, and is a person's after some. The peer is there, so the destination is not down.
func TestOutbox_silent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 10 * time.Second
		q := newQueue()
		s := &script{do: func(m Message) Outcome {
			if m.Entry == "odd" {
				time.Sleep(timeout)
				return Outcome{Class: Later, Silent: true, Reason: "peer PACS gave no answer to the object"}
			}
			return Outcome{Class: Done}
		}}
		odd := []*ledger.Delivery{q.add("pacs", "odd", ""), q.add("pacs", "odd", ""), q.add("pacs", "odd", ""), q.add("pacs", "odd", "")}
		o := started(t, q, map[string]Sender{"pacs": s})
		for range 40 { // more than an hour, in which good ones come
			good := q.add("pacs", "good", "")
			o.Wake("pacs")
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			require.Equal(t, ledger.DeliveryDone, q.get(good).State)
			c, _ := o.Condition("pacs")
			require.True(t, c.Up)
		}
		for range 8 { // a quiet evening
			q.add("pacs", "good", "")
			time.Sleep(30 * time.Minute)
		}
		synctest.Wait()
		for _, d := range odd {
			assert.Equal(t, ledger.DeliveryParked, q.get(d).State)
			assert.Regexp(t, "^given up after 1[0-9] attempts; the last: peer PACS gave no answer to the object$", q.get(d).Reason)
		}
	})
}

// A peer that does one thing to some objects, of many studies and of one: the others are delivered soon all the same,
// whether they were there before or come while the bad ones are tried, and the bad ones are tried all, each by its own wait.
func TestOutbox_someAreBad(t *testing.T) {
	memory := installed.Watched(t)
	const timeout = 2 * time.Minute
	silence := func(m Message) Outcome {
		time.Sleep(min(m.Patience, timeout))
		return Outcome{Class: Later, Silent: true, Reason: "no answer to the object"}
	}
	kinds := map[string]struct {
		bad  func(Message) Outcome
		want ledger.DeliveryState // of the bad ones, after a day
	}{
		"silent":           {silence, ledger.DeliveryParked},
		"aborts":           {func(Message) Outcome { return Outcome{Class: Later, Silent: true, Reason: "broke off"} }, ledger.DeliveryParked},
		"breaks down":      {func(Message) Outcome { return Outcome{Class: DestinationDown, Silent: true, Reason: "broke off"} }, ledger.DeliveryParked},
		"full for some":    {status(dimse.OutOfResources), ledger.DeliveryPending},
		"fails for some":   {status(dimse.ProcessingFailure), ledger.DeliveryPending},
		"lets some not in": {status(dimse.NotAuthorized), ledger.DeliveryPending},
		"takes no class":   {status(dimse.SOPClassNotSupported), ledger.DeliveryPending},
		"refuses":          {status(0xC000), ledger.DeliveryParked},
		"does not read":    {func(Message) Outcome { return Outcome{Class: Later, Reason: "none of what it is offered"} }, ledger.DeliveryPending},
	}
	for name, kind := range kinds {
		for _, oneStudy := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, of one study %v", name, oneStudy), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					q := newQueue()
					tried := map[string]int{}
					s := &script{do: func(m Message) Outcome {
						if strings.HasPrefix(m.Entry, "bad") {
							tried[m.Entry]++
							return kind.bad(m)
						}
						time.Sleep(50 * time.Millisecond)
						return Outcome{Class: Done, Protocol: "dicom", Code: "0000"}
					}}
					var bad []*ledger.Delivery
					for i := range 16 {
						d := q.add("pacs", fmt.Sprint("bad", i), "")
						if oneStudy {
							d.Instance.StudyInstanceUID, d.Instance.SeriesInstanceUID = "1.1", "1.1.1"
						}
						bad = append(bad, d)
					}
					o := startedWith(t, Backoff{Dead: 7 * 24 * time.Hour}, 0.5, q, map[string]Sender{"pacs": s})
					soon := 0
					for range 30 {
						good := q.add("pacs", "good", "")
						o.Wake("pacs")
						came := time.Now()
						for q.get(good).State != ledger.DeliveryDone {
							time.Sleep(time.Second)
							require.Less(t, time.Since(came), timeout+30*time.Second)
						}
						if time.Since(came) < time.Minute {
							soon++
						}
						time.Sleep(time.Duration(rand.IntN(180)) * time.Second)
					}
					synctest.Wait()
					require.Greater(t, soon, 22)
					require.Len(t, tried, len(bad), "all were tried")
					for range 20 {
						q.add("pacs", "good", "")
						time.Sleep(time.Hour)
					}
					for _, d := range bad {
						require.Equal(t, kind.want, q.get(d).State, q.get(d).Reason)
					}
				})
			})
		}
	}
	installed.Tried(t, installed.Drill{
		Tried: fmt.Sprintf("a PACS that does one of %d things to sixteen objects for a day (silence, aborts, statuses), of one study and of many: the good ones go within two minutes", len(kinds)), Kept: len(kinds) * 2 * 30, Memory: memory.Memory(),
	})
}

// TestOutbox_allHaveTheirTurn: of many that a peer does not answer to none is forgotten behind those that were tried first.
func TestOutbox_allHaveTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		times := map[string][]time.Time{}
		s := &script{do: func(m Message) Outcome {
			times[m.Entry] = append(times[m.Entry], time.Now())
			time.Sleep(m.Patience)
			return Outcome{Class: Later, Silent: true, Reason: "no answer"}
		}}
		for i := range 16 {
			d := q.add("pacs", fmt.Sprint(i), "")
			d.Instance.StudyInstanceUID, d.Instance.SeriesInstanceUID = "1.1", "1.1.1"
		}
		startedWith(t, Backoff{First: 2500 * time.Millisecond, Last: 150 * time.Second}, 0.5, q, map[string]Sender{"pacs": s})
		time.Sleep(16*firstPatience - time.Second)
		synctest.Wait()
		require.Len(t, times, 16)
		for entry, at := range times {
			require.Len(t, at, 1, entry)
		}
	})
}

// TestOutbox_stuck: a peer that is there and answers to nothing is shown as failing; that is held against no object,
// and all go when it answers again.
func TestOutbox_stuck(t *testing.T) {
	for name, of := range map[string]struct {
		n     int
		study dicom.UID // of all; empty: each has its own
	}{"of many studies": {n: 5}, "of one study": {5, "1.1"}, "one alone": {n: 1}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue()
				var answers atomic.Bool
				s := &script{do: func(m Message) Outcome {
					if answers.Load() {
						return Outcome{Class: Done, Protocol: "dicom"}
					}
					time.Sleep(m.Patience)
					return Outcome{Class: Later, Silent: true, Reason: "peer PACS gave no answer to the object, and answers otherwise"}
				}}
				var ds []*ledger.Delivery
				for range of.n {
					d := q.add("pacs", "e", "")
					d.Instance.StudyInstanceUID = cmp.Or(of.study, d.Instance.StudyInstanceUID)
					ds = append(ds, d)
				}
				o := startedWith(t, Backoff{Dead: 7 * 24 * time.Hour}, 0.5, q, map[string]Sender{"pacs": s})
				time.Sleep(24 * time.Hour)
				c, _ := o.Condition("pacs")
				assert.False(t, c.Up)
				assert.Equal(t, "peer PACS gave no answer to the object, and answers otherwise, as before", c.Reason)
				for _, d := range ds {
					require.Equal(t, ledger.DeliveryPending, q.get(d).State)
					require.Greater(t, q.get(d).Attempts, maxSilent)
				}
				answers.Store(true)
				time.Sleep(time.Hour)
				synctest.Wait()
				for _, d := range ds {
					require.Equal(t, ledger.DeliveryDone, q.get(d).State)
				}
				c, _ = o.Condition("pacs")
				assert.True(t, c.Up)
			})
		})
	}
}

// TestOutbox_slow: a peer that takes long for each object is given its time, and then from the first try on.
func TestOutbox_slow(t *testing.T) {
	for _, answer := range []time.Duration{time.Second, 20 * time.Second, 100 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue()
			cut := 0
			s := &script{do: func(m Message) Outcome {
				if m.Patience < answer {
					cut++
					time.Sleep(m.Patience)
					return Outcome{Class: Later, Silent: true, Reason: "no answer"}
				}
				time.Sleep(answer)
				return Outcome{Class: Done, Protocol: "dicom", Code: "0000"}
			}}
			for range 20 {
				q.add("pacs", "e", "")
			}
			startedWith(t, Backoff{Dead: 7 * 24 * time.Hour}, 0.5, q, map[string]Sender{"pacs": s})
			time.Sleep(6 * time.Hour)
			synctest.Wait()
			for _, d := range q.deliveries {
				require.Equal(t, ledger.DeliveryDone, q.get(d).State)
			}
			assert.LessOrEqual(t, cut, 100)
			before := cut
			q.add("pacs", "e", "")
			time.Sleep(time.Hour)
			synctest.Wait()
			assert.Equal(t, before, cut, "by now it is known")
		})
	}
}

// TestOutbox_fullAndFresh: while a peer takes nothing, one that was never tried is, once in the shortest wait.
func TestOutbox_fullAndFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{do: status(dimse.OutOfResources)}
		for range 3 {
			q.add("pacs", "e", "")
		}
		o := startedWith(t, Backoff{}, 0, q, map[string]Sender{"pacs": s})
		time.Sleep(10 * time.Hour) // by now what failed waits for half an hour at least
		s.now(nil)
		fresh := q.add("pacs", "fresh", "")
		o.Wake("pacs")
		time.Sleep(30 * time.Second)
		synctest.Wait()
		require.Equal(t, ledger.DeliveryDone, q.get(fresh).State)
	})
}

// TestOutbox_fairTurns: whatever is due and however long each takes, what was tried before and what was not have the same
// time, and nothing is left.
func TestOutbox_fairTurns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &worker{tried: map[string]int{}}
		var due []ledger.Delivery
		for i, behind := range rapid.SliceOfN(rapid.Bool(), 0, 40).Draw(t, "behind") {
			due = append(due, ledger.Delivery{ID: int64(i), Behind: behind})
		}
		longest := time.Duration(0)
		left := map[bool]int{}
		for _, d := range due {
			left[d.Behind]++
		}
		seen := 0
		for d := range w.turns(due) {
			if left[true] > 0 && left[false] > 0 {
				require.LessOrEqual(t, (w.usedFresh - w.usedBehind).Abs(), longest)
			}
			took := time.Duration(rapid.IntRange(1, 100).Draw(t, "took")) * time.Second
			longest = max(longest, took)
			w.noteTime(d, Outcome{}, took)
			left[d.Behind]--
			seen++
		}
		require.Equal(t, len(due), seen)
	})
}

// TestOutbox_never: what a peer refuses for good goes as the alternate too, before a person is asked.
// TestOutbox_turnsReadAnew: where a destination is so slow that what is due is read anew after each attempt, or after some, sources have
// their turns all the same: four of each in the STAT lane, then one of each other.
func TestOutbox_turnsReadAnew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []ledger.Delivery
		sources := rapid.IntRange(1, 5).Draw(t, "sources")
		left := map[string]int{}
		for i := range sources {
			source := fmt.Sprint("ROOM", i)
			if rapid.Bool().Draw(t, "stat") {
				source = "\x01" + source
			}
			for range rapid.IntRange(1, 30).Draw(t, "of it") {
				all = append(all, ledger.Delivery{ID: int64(len(all)), Source: source})
				left[source]++
			}
		}
		size := maps.Clone(left)
		w := newWorker(&Outbox{Log: slog.New(slog.DiscardHandler)}, "pacs", nil)
		since := map[string]int{} // of others, since the last of a source
		for len(all) > 0 {
			due := asLedgerReads(all)
			w.joinTurns(due)
			n := rapid.IntRange(1, 3).Draw(t, "until read anew")
			for d := range w.turns(due) {
				all = slices.DeleteFunc(all, func(o ledger.Delivery) bool { return o.ID == d.ID })
				left[d.Source]--
				since[d.Source] = 0
				for source, some := range left {
					if source == d.Source || some == 0 {
						continue
					}
					if since[source]++; since[source] > 8*sources {
						t.Fatalf("%d others went since one of %q, of which are %d of %d", since[source], source, some, size[source])
					}
				}
				if n--; n == 0 {
					break
				}
			}
		}
	})
}

// asLedgerReads puts deliveries in the order of ledger.DueDeliveries.
func asLedgerReads(all []ledger.Delivery) []ledger.Delivery {
	round, seen := map[int64]int{}, map[string]int{}
	for _, d := range all {
		n := seen[d.Source]
		if seen[d.Source]++; d.Stat() {
			n /= 4
		}
		round[d.ID] = n
	}
	stat := func(d ledger.Delivery) int {
		if d.Stat() {
			return 0
		}
		return 1
	}
	return slices.SortedStableFunc(slices.Values(all), func(a, b ledger.Delivery) int {
		return cmp.Or(cmp.Compare(round[a.ID], round[b.ID]), cmp.Compare(stat(a), stat(b)), cmp.Compare(a.ID, b.ID))
	})
}

func TestOutbox_never(t *testing.T) {
	for _, row := range []struct {
		name      string
		alternate Outcome
		want      ledger.DeliveryState
		reason    string
	}{
		{"taken", Outcome{Class: Done}, ledger.DeliveryDone, ""},
		{"full", answered(dimse.OutOfResources, peerSays{}, "PACS"), ledger.DeliveryPending, "peer PACS answered A700 out of resources"},
		{"refused", answered(0xC000, peerSays{}, "PACS"), ledger.DeliveryParked, "peer PACS answered C000 cannot understand; nor the alternate: peer PACS answered C000 cannot understand"},
		{"unknown", answered(0x0122, peerSays{}, "PACS"), ledger.DeliveryParked, "peer PACS answered C000 cannot understand; nor the alternate: peer PACS does not accept the SOP class (0122 SOP class not supported)"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, s := newQueue(), &script{do: func(m Message) Outcome {
					if m.Entry == "88.33" {
						return row.alternate
					}
					return answered(0xC000, peerSays{}, "PACS")
				}}
				d := q.add("pacs", "88.34", "88.33")
				started(t, q, map[string]Sender{"pacs": s})
				synctest.Wait()
				assert.Equal(t, row.want, q.get(d).State)
				assert.Equal(t, row.reason, q.get(d).Reason)
			})
		})
	}
}

// TestOutbox_sent: a peer that commits later has its time, and is sent the object again when it does not.
func TestOutbox_sent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{do: func(Message) Outcome { return Outcome{Class: Sent, Protocol: "dicom", Code: "0000", Within: time.Hour} }}
		d := q.add("pacs", "e1", "")
		var fates []Fate
		o := &Outbox{
			Queue: q, Senders: map[string]Sender{"pacs": s}, Log: slog.New(slog.DiscardHandler), Backoff: Backoff{Dead: 3 * time.Hour},
			Sent: func(_ string, fate Fate, _ time.Duration) { fates = append(fates, fate) },
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- o.Run(ctx) }()
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		assert.Equal(t, ledger.DeliverySent, q.get(d).State)
		assert.Len(t, s.tried(), 1)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		assert.Equal(t, ledger.DeliverySent, q.get(d).State)
		assert.Len(t, s.tried(), 2)
		time.Sleep(12 * time.Hour)
		synctest.Wait()
		assert.Equal(t, ledger.DeliveryParked, q.get(d).State)
		assert.Equal(t, "sent 5 times, and never committed", q.get(d).Reason)
		assert.Equal(t, []Fate{FateSent, FateSent, FateSent, FateSent, FateParked}, fates)
		cancel()
		assert.ErrorIs(t, <-done, context.Canceled)
	})
}

// TestOutbox_clockSetBack: the clock was a year ahead when the destination was down.
func TestOutbox_clockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, s := newQueue(), &script{}
		d := q.add("pacs", "e1", "")
		d.NextAt = time.Now().Add(365 * 24 * time.Hour)
		refused := q.add("pacs", "e2", "")
		refused.NextAt = time.Now().Add(refusedPause)
		started(t, q, map[string]Sender{"pacs": s})
		synctest.Wait()
		assert.Equal(t, ledger.DeliveryDone, q.get(d).State)
		assert.Equal(t, ledger.DeliveryPending, q.get(refused).State, "this one is to wait for a day")
	})
}

// TestOutbox_text: what a peer says is kept, in a line of bounded length, and is in no log.
func TestOutbox_text(t *testing.T) {
	for _, class := range []Class{Never, Later, SendAlternate, DestinationDown, DoneWithWarning, Done} {
		synctest.Test(t, func(t *testing.T) {
			text := "no such\npatient:\x00 DOE^JANE \xff" + strings.Repeat(" x", maxText)
			q, s := newQueue(), &script{do: func(Message) Outcome {
				return Outcome{Class: class, Protocol: "dicom", Code: "C123", Text: text, Reason: "peer PACS answered C123"}
			}}
			d := q.add("pacs", "e1", "")
			var log bytes.Buffer
			o := &Outbox{
				Queue: q, Senders: map[string]Sender{"pacs": s},
				Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- o.Run(ctx) }()
			synctest.Wait()
			cancel()
			assert.ErrorIs(t, <-done, context.Canceled)
			got := q.get(d).Answer.Text
			assert.True(t, strings.HasPrefix(got, "no such patient: DOE^JANE x x"), got)
			assert.LessOrEqual(t, len(got), maxText)
			assert.NotContains(t, log.String(), "DOE")
		})
	}
}
