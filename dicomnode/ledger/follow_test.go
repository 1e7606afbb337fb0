package ledger

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/dicomnode/ledger/ledgertest"
)

// stated is a message that says the state of the order of the study of receipt.
func stated(control string, state OrderState, n int) Inbound {
	o := Order{Accession: receipt(1).Header.AccessionNumber, Placer: Identifier{ID: "P1"}}
	m := inbound(control, OrderChange{Patch: patch(o), State: state})
	m.At = at(n)
	return m
}

func jobsByState(t require.TestingT, l *Ledger) map[string]JobState {
	d, err := l.Study(context.Background(), "1.2", Page{})
	require.NoError(t, err)
	all := map[string]JobState{}
	for _, i := range d.InstanceViews {
		for _, j := range i.Jobs {
			all[j.ID] = j.State
		}
	}
	return all
}

func whats(t require.TestingT, l *Ledger, what What) (details []string) {
	d, err := l.Study(context.Background(), "1.2", Page{})
	require.NoError(t, err)
	for _, e := range d.Events {
		if e.What == what {
			details = append(details, e.Detail)
		}
	}
	return details
}

// TestFollow_cancel: each interleaving of a cancel with arrival, beginning and end of an analysis.
func TestFollow_cancel(t *testing.T) {
	const job = "entry001.demo"
	arrive := func(t *testing.T, l *Ledger) { receive(t, l, receipt(1)) }
	start := func(t *testing.T, l *Ledger) {
		_, err := l.StartJob(t.Context(), job, at(502))
		require.NoError(t, err)
	}
	unstart := func(t *testing.T, l *Ledger) { require.NoError(t, l.UnstartJob(t.Context(), job)) }
	finish := func(t *testing.T, l *Ledger) {
		require.NoError(t, l.FinishJob(t.Context(), job, testModel, frames(), nil, at(503)))
	}
	reported := func(t *testing.T, l *Ledger) { report(t, l) }
	order := func(t *testing.T, l *Ledger) { take(t, l, stated("new", "", 490)) }
	late := 0
	cancel := func(t *testing.T, l *Ledger) { late += take(t, l, stated("cancel", OrderCancelled, 504)).Late }
	again := func(t *testing.T, l *Ledger) { take(t, l, stated("again", OrderOpen, 505)) }
	retry := func(t *testing.T, l *Ledger) { require.NoError(t, l.RetryJob(t.Context(), job, at(506))) }
	type step = func(*testing.T, *Ledger)
	for _, c := range []struct {
		name  string
		steps []step
		want  JobState
		said  []string
	}{
		{"before the images", []step{order, cancel, arrive}, JobSkipped, nil},
		{"after the images", []step{order, arrive, cancel}, JobSkipped, []string{"1 analyses had not begun and are left out"}},
		{"the order comes after the images, cancelled", []step{arrive, cancel}, JobSkipped, []string{"1 analyses had not begun and are left out"}},
		{"while it is done", []step{order, arrive, start, cancel}, JobOpen, []string{"0 analyses had not begun and are left out; 1 are done or under way: what they make stays, tell who has it"}},
		{"while it is done, to its end", []step{order, arrive, start, cancel, finish}, JobDone, []string{"0 analyses had not begun and are left out; 1 are done or under way: what they make stays, tell who has it"}},
		{"after its end", []step{order, arrive, start, finish, cancel}, JobDone, []string{"0 analyses had not begun and are left out; 1 are done or under way: what they make stays, tell who has it"}},
		{"after its report", []step{order, arrive, start, finish, reported, cancel}, JobDone, []string{"0 analyses had not begun and are left out; 1 are done or under way: what they make stays, tell who has it"}},
		{"while it is interrupted", []step{order, arrive, start, cancel, unstart, start}, JobSkipped, []string{"0 analyses had not begun and are left out; 1 are done or under way: what they make stays, tell who has it"}},
		{"interrupted before", []step{order, arrive, start, unstart, cancel}, JobSkipped, []string{"1 analyses had not begun and are left out"}},
		{"and ordered again", []step{order, arrive, cancel, again}, JobOpen, []string{"1 analyses had not begun and are left out"}},
		{"and ordered again after a report", []step{order, arrive, cancel, reported, again, start, finish}, JobDone, []string{"1 analyses had not begun and are left out"}},
		{"a person wants it all the same", []step{order, arrive, cancel, retry, start, finish}, JobDone, []string{"1 analyses had not begun and are left out"}},
		{"cancelled once more", []step{order, arrive, cancel, retry, func(t *testing.T, l *Ledger) { take(t, l, stated("more", OrderCancelled, 507)) }}, JobSkipped, []string{"1 analyses had not begun and are left out", "1 analyses had not begun and are left out"}},
		{"the same message again", []step{order, arrive, cancel, cancel}, JobSkipped, []string{"1 analyses had not begun and are left out"}},
		{"nothing is received", []step{order, cancel}, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := openLedger(t)
			late = 0
			for _, step := range c.steps {
				step(t, l)
			}
			tooLate := 0
			if len(c.said) > 0 && strings.Contains(c.said[0], "done or under way") {
				tooLate = 1
			}
			require.Equal(t, tooLate, late)
			if c.want == "" {
				return
			}
			require.Equal(t, c.want, jobsByState(t, l)[job])
			require.Equal(t, c.said, whats(t, l, EventOrderCancelled))
			requireTally(t, l)
		})
	}
}

// TestFollow_anotherOrder: of two orders of a study, the one that stands decides; one that disagrees with the images decides nothing.
func TestFollow_anotherOrder(t *testing.T) {
	l := openLedger(t)
	take(t, l, stated("new", "", 490))
	second := inbound("second", OrderChange{Patch: patch(Order{Accession: receipt(1).Header.AccessionNumber, Placer: Identifier{ID: "P2"}})})
	take(t, l, second)
	receive(t, l, receipt(1))
	take(t, l, stated("cancel", OrderCancelled, 504))
	require.Equal(t, JobOpen, jobsByState(t, l)["entry001.demo"])

	l = openLedger(t)
	r := receipt(1)
	r.Gate = GateWarn
	receive(t, l, r)
	other := inbound("other", OrderChange{State: OrderCancelled, Patch: patch(Order{
		Accession: r.Header.AccessionNumber, Placer: Identifier{ID: "P3"}, Patient: Person{Identifier: Identifier{ID: "somebody else"}, Name: "Else^Somebody"},
	})})
	take(t, l, other)
	require.Equal(t, JobOpen, jobsByState(t, l)["entry001.demo"], "it may be another study's order")
}

// TestFollow_completed: an examination that is over is reported once nothing is open, and not before.
func TestFollow_completed(t *testing.T) {
	const long = 3600 * time.Second
	dueAt := func(l *Ledger, n int) int {
		exams, err := l.DueExams(t.Context(), at(n), long, 2*long)
		require.NoError(t, err)
		return len(exams)
	}
	finish := func(l *Ledger, job string) {
		require.NoError(t, l.FinishJob(t.Context(), job, testModel, frames(), nil, at(520)))
	}
	l := openLedger(t)
	take(t, l, stated("new", "", 0))
	receive(t, l, receipt(1))
	take(t, l, stated("completed", OrderCompleted, 510))
	require.Zero(t, dueAt(l, 511), "a job is open")
	finish(l, "entry001.demo")
	require.Equal(t, 1, dueAt(l, 521), "at once")
	require.Equal(t, []string{"no report waits for more images"}, whats(t, l, EventOrderCompleted))
	report(t, l)

	late := receipt(2)
	late.At = at(600)
	receive(t, l, late)
	finish(l, "entry002.demo")
	require.Zero(t, dueAt(l, 601), "one that comes after it may have others behind it")
	require.Equal(t, 1, dueAt(l, 600+3601))
	take(t, l, stated("once more", OrderCompleted, 602))
	require.Equal(t, 1, dueAt(l, 603))

	l = openLedger(t)
	receive(t, l, receipt(1))
	finish(l, "entry001.demo")
	require.Zero(t, dueAt(l, 521))
	take(t, l, stated("an order after its images", OrderCompleted, 522))
	require.Equal(t, 1, dueAt(l, 523))
	take(t, l, stated("another status", OrderCompleted, 524))
	require.Equal(t, []string{"no report waits for more images"}, whats(t, l, EventOrderCompleted), "it is said once")

	l = openLedger(t)
	take(t, l, stated("before the images", OrderCompleted, 0))
	receive(t, l, receipt(1))
	finish(l, "entry001.demo")
	require.Zero(t, dueAt(l, 521))
}

// TestFollow_any holds for any order of steps: what is done stays done, a cancelled order leaves no job that has not begun and
// that no person wants, and one that stands leaves none out.
func TestFollow_any(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("/dev/shm", "ledger") // a sync costs nothing there
		require.NoError(t, err)
		defer func() { require.NoError(t, os.RemoveAll(dir)) }()
		l, err := ledgertest.Open(filepath.Join(dir, "ledger.db"), Open)
		require.NoError(t, err)
		defer func() { require.NoError(t, l.Close()) }()
		ctx, n, messages := context.Background(), 500, 0
		attempts, retried, done, received := map[string]int{}, map[string]bool{}, map[string]bool{}, map[int]bool{}
		state := OrderState("")
		jobs := func() map[string]JobState {
			if len(received) == 0 {
				return nil
			}
			return jobsByState(t, l)
		}
		for range rapid.IntRange(3, 14).Draw(t, "steps") {
			n++
			i := rapid.IntRange(1, 3).Draw(t, "instance")
			job := JobID(receipt(i).ID, "demo")
			switch step := rapid.SampledFrom([]string{"receive", "start", "unstart", "finish", "cancel", "open", "complete", "retry"}).Draw(t, "step"); step {
			case "receive":
				receiveAll(t, l, receipt(i))
				received[i] = true
			case "start", "unstart", "finish", "retry":
				was := jobs()[job]
				if was == "" || was == JobDone {
					continue
				}
				switch {
				case step == "start":
					j, err := l.StartJob(ctx, job, at(n))
					require.NoError(t, err)
					if j.State == JobOpen {
						attempts[job]++
					}
				case step == "unstart" && attempts[job] > 0: // an attempt before it may have ended without a word
					require.NoError(t, l.UnstartJob(ctx, job))
					attempts[job]--
				case step == "finish" && was == JobOpen && attempts[job] > 0:
					require.NoError(t, l.FinishJob(ctx, job, testModel, frames(), nil, at(n)))
					done[job] = true
				case step == "retry" && was == JobSkipped:
					require.NoError(t, l.RetryJob(ctx, job, at(n)))
					retried[job], attempts[job] = true, 0
				}
			default:
				messages++
				state = map[string]OrderState{"cancel": OrderCancelled, "open": OrderOpen, "complete": OrderCompleted}[step]
				take(t, l, stated(step+string(rune('a'+messages)), state, n))
				if state == OrderCancelled {
					maps.DeleteFunc(retried, func(job string, _ bool) bool { return attempts[job] == 0 }) // what is under way stays, and stays wanted
				}
			}
			for job, s := range jobs() {
				switch {
				case done[job]:
					require.Equal(t, JobDone, s)
				case state == OrderCancelled && s == JobOpen:
					require.True(t, attempts[job] > 0 || retried[job] || begins(l, ctx, t, job), "%s is open though its order is cancelled", job)
				case state != OrderCancelled && state != "":
					require.NotEqual(t, JobSkipped, s, "%s is left out though its order stands", job)
				}
			}
		}
		requireTally(t, l)
	})
}

// begins begins a job whose beginning was taken back: it is left out then.
func begins(l *Ledger, ctx context.Context, t require.TestingT, job string) bool {
	j, err := l.StartJob(ctx, job, at(900))
	require.NoError(t, err)
	return j.State == JobSkipped
}
