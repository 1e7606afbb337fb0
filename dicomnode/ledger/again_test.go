package ledger

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func gone(r Receipt, entries ...string) Receipt {
	r.Kept = func(entry string) bool {
		for _, e := range entries {
			if e == entry {
				return false
			}
		}
		return true
	}
	return r
}

func TestReceive_restoredAfterRelease(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	first := receipt(1)
	first.Forward = []string{"pacs"}
	receive(t, l, first)
	require.NoError(t, l.FinishJob(ctx, "entry001.demo", testModel, frames(), nil, at(2)))
	require.NoError(t, l.Delivered(ctx, 1, "entry001", said("0000"), at(3)))
	markReleased(t, l, 5, "entry001")

	again := as(first, 2)
	again.At = at(6)
	require.Equal(t, []Verdict{Restored}, receive(t, l, again))
	in := study(t, l).InstanceViews[0]
	require.Equal(t, "entry002", in.Entry)
	require.Zero(t, in.ReleasedAt)
	require.Equal(t, InstanceAnalysed, in.State, "the work is not done twice")
	require.Equal(t, "entry002.demo", in.Jobs[0].ID)
	require.Equal(t, frames(), in.Jobs[0].Results)
	require.Equal(t, []string{"received", "queued", "analysed", "delivered", "released", "restored"}, steps(study(t, l), "1.2.3.1"))
	due, err := l.DueDeliveries(ctx, "pacs", at(100), longest, 10)
	require.NoError(t, err)
	require.Empty(t, due)
	needed, err := l.Needed(ctx, []string{"entry001", "entry002"})
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"entry002": true}, needed)
	before := study(t, l)
	require.Equal(t, []Verdict{New}, receive(t, l, again), "after a crash")
	require.Equal(t, before, study(t, l))
	require.Equal(t, []Verdict{Duplicate}, receive(t, l, as(first, 3)), "while they are kept")
}

func TestReceive_restoredAfterLoss(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	first := receipt(1)
	first.Forward, first.Models = []string{"pacs", "archive"}, []string{"demo", "done", "poison", "running"}
	receive(t, l, first)
	require.NoError(t, l.FinishJob(ctx, "entry001.done", testModel, frames(), nil, at(2)))
	require.NoError(t, l.ParkJob(ctx, "entry001.poison", "ends the process", at(2)))
	require.NoError(t, l.Park(ctx, 2, said("0122"), "refused", at(2)))
	_, err := l.StartJob(ctx, "entry001.running", at(2))
	require.NoError(t, err)
	require.NoError(t, l.ParkLost(ctx, []string{"entry001", "unknown"}, at(3)))
	d := study(t, l)
	for _, j := range d.InstanceViews[0].Jobs {
		want := map[string]JobState{"demo": JobParked, "running": JobParked, "poison": JobParked, "done": JobDone}[j.Model]
		require.Equal(t, want, j.State, j.Model)
	}
	require.Equal(t, DeliveryParked, d.Deliveries[0].State)
	require.Equal(t, LostBytes, d.Deliveries[0].Reason)
	requireTally(t, l)

	require.Equal(t, []Verdict{Restored}, receive(t, l, gone(as(first, 2), "entry001")))
	d = study(t, l)
	for _, j := range d.InstanceViews[0].Jobs {
		want := map[string]JobState{"demo": JobOpen, "running": JobOpen, "poison": JobParked, "done": JobDone}[j.Model]
		require.Equal(t, want, j.State, j.Model)
		require.Equal(t, JobID("entry002", j.Model), j.ID)
		require.Equal(t, "entry002", j.Entry)
	}
	due, err := l.DueDeliveries(ctx, "pacs", at(100), longest, 10)
	require.NoError(t, err)
	require.Len(t, due, 1)
	require.Equal(t, "entry002", due[0].Entry)
	require.Equal(t, DeliveryParked, d.Deliveries[1].State, "the peer refused it: other bytes would not help")
	_, err = l.StartJob(ctx, "entry001.demo", at(9))
	require.ErrorIs(t, err, ErrNotFound, "a message about the bytes that are gone starts nothing")
	requireTally(t, l)
}

func TestReceive_restoredBeforeAnyoneNoticed(t *testing.T) {
	l := openLedger(t)
	receive(t, l, receipt(1), receipt(2))
	require.Equal(t, []Verdict{Restored}, receive(t, l, gone(as(receipt(1), 3), "entry001")))
	jobs, err := l.OpenJobs(t.Context(), "entry002.demo", 10)
	require.NoError(t, err)
	require.Len(t, jobs, 1, "it is new to whoever has seen the others")
	require.Equal(t, "entry003.demo", jobs[0].ID)
}

func TestParkLost_object(t *testing.T) {
	l := openLedger(t)
	receive(t, l, receipt(1))
	require.NoError(t, l.FinishJob(t.Context(), "entry001.demo", testModel, frames(), []Object{object(1, "pacs")}, at(2)))
	held, err := l.Unreleased(t.Context(), "", 10)
	require.NoError(t, err)
	require.Equal(t, []string{"entry001", "made001"}, held)
	held, err = l.Unreleased(t.Context(), "entry001", 10)
	require.NoError(t, err)
	require.Equal(t, []string{"made001"}, held)
	require.NoError(t, l.ParkLost(t.Context(), []string{"made001"}, at(3)))
	d := study(t, l).Deliveries[0]
	require.Equal(t, DeliveryParked, d.State)
	require.Equal(t, isMadeAgain, d.Reason)
}

func TestReceive_oneModelTwice(t *testing.T) {
	for _, skip := range []string{"", "no decoder"} {
		l := openLedger(t)
		twice := receipt(1)
		twice.Models, twice.Skip = []string{"demo", "demo"}, skip
		require.Equal(t, []Verdict{New}, receive(t, l, twice))
		require.Len(t, study(t, l).InstanceViews[0].Jobs, 1)
		requireTally(t, l)
	}
}

func TestReceive_analysedLate(t *testing.T) {
	unrouted := receipt(1)
	unrouted.Route, unrouted.Models, unrouted.Skip = "", nil, "no route matches"
	skippedNow := skipped(receipt(1))
	noModel := receipt(1)
	noModel.Models, noModel.Skip = nil, "the route names no model"
	for _, c := range []struct {
		name string
		was  Receipt
		held bool
	}{{"unrouted", unrouted, true}, {"skipped", skippedNow, false}, {"no model", noModel, true}} {
		for _, released := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				l := openLedger(t)
				ctx := t.Context()
				receive(t, l, c.was)
				again := as(c.was, 2)
				require.Equal(t, []Verdict{Duplicate}, receive(t, l, again), "with nothing new")
				require.Empty(t, releasable(t, l, 1000))
				want, entry := Duplicate, "entry001"
				if released {
					markReleased(t, l, 3, "entry001")
					want, entry = Restored, "entry003"
				}
				routed := as(receipt(1), 3)
				routed.Forward = []string{"pacs"}
				require.Equal(t, []Verdict{want}, receive(t, l, routed))
				in := study(t, l).InstanceViews[0]
				require.Equal(t, InstanceQueued, in.State)
				require.Equal(t, "endoscopy", in.Route)
				require.Empty(t, in.Reason)
				jobs, err := l.OpenJobs(ctx, "", 10)
				require.NoError(t, err)
				require.Len(t, jobs, 1)
				require.Equal(t, entry, jobs[0].Entry)
				due, err := l.DueDeliveries(ctx, "pacs", at(100), longest, 10)
				require.NoError(t, err)
				if c.was.Route == "" {
					require.Len(t, due, 1)
					require.Equal(t, entry, due[0].Entry)
				}
				requireTally(t, l)
			})
		}
	}
}

func TestRelease_heldUntilDiscarded(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	unrouted := receipt(1)
	unrouted.Route, unrouted.Models, unrouted.Skip = "", nil, "no route matches"
	one := receipt(2)
	one.Models, one.Forward = nil, []string{"pacs"}
	other := as(one, 3)
	other.Digest, other.Forward = receipt(9).Digest, nil
	receive(t, l, unrouted, one, other)
	require.NoError(t, l.Delivered(ctx, 1, "entry002", said("0000"), at(4)))
	require.Equal(t, []string{"entry002"}, releasable(t, l, 1000))
	counts, err := l.Counts(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 2, counts.Held)
	work, _, err := l.Parked(ctx, ParkedFilter{})
	require.NoError(t, err)
	require.Len(t, work.Instances, 2)
	require.Equal(t, "no route matches", work.Instances[0].Reason)
	require.Equal(t, unrouted.Header, work.Instances[0].Header)
	require.Equal(t, InstanceConflict, work.Instances[1].State)
	require.Equal(t, "entry003", work.Instances[1].Entry)
	s := study(t, l).Study
	require.Equal(t, []any{StudyParked, 2, 2}, []any{s.Status, s.Parked, s.NotAnalysed}, "one was passed on, and is not analysed either")
	for _, entry := range []string{"entry001", "entry003", "entry001"} {
		require.NoError(t, l.DiscardInstance(ctx, entry, at(5)))
	}
	work, _, err = l.Parked(ctx, ParkedFilter{})
	require.NoError(t, err)
	require.Empty(t, work.Instances)
	s = study(t, l).Study
	require.Equal(t, []any{StudyNotAnalysed, 0, 2}, []any{s.Status, s.Parked, s.NotAnalysed}, "nothing is open, and no model has seen it")
	requireTally(t, l)
	require.ErrorIs(t, l.DiscardInstance(ctx, "unknown", at(5)), ErrNotFound)
	require.Equal(t, []string{"entry001", "entry002", "entry003"}, releasable(t, l, 1000))
	require.Equal(t, []string{"received", "not-analysed", "discarded"}, steps(study(t, l), "1.2.3.1"))
}

func TestRefuse(t *testing.T) {
	l := openLedger(t)
	for range 2 {
		require.NoError(t, l.Refuse(t.Context(), []string{"entry007"}, "no", 7, at(1)))
	}
	p, err := l.Position(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 7, p)
	needed, err := l.Needed(t.Context(), []string{"entry007", "entry008"})
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"entry007": true}, needed)
	counts, err := l.Counts(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, counts.Refused)

	refused, err := l.Refused(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"entry007"}, refused)
	require.Equal(t, []Verdict{New}, receive(t, l, receipt(7)), "although the position is past it")
	refused, err = l.Refused(t.Context())
	require.NoError(t, err)
	require.Empty(t, refused)
}

func TestOpenJobs_order(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	for _, n := range []int{3, 1, 2} { // not that of the IDs
		receive(t, l, receipt(n))
	}
	after := func(id string) (ids []string) {
		jobs, err := l.OpenJobs(ctx, id, 10)
		require.NoError(t, err)
		for _, j := range jobs {
			ids = append(ids, j.ID)
		}
		return ids
	}
	require.Equal(t, []string{"entry003.demo", "entry001.demo", "entry002.demo"}, after(""))
	require.Equal(t, []string{"entry002.demo"}, after("entry001.demo"))
	require.Len(t, after("unknown"), 3)
	require.NoError(t, l.FinishJob(ctx, "entry002.demo", testModel, nil, nil, at(5)))
	require.Empty(t, after("entry002.demo"), "the cursor may be done")
	require.NoError(t, l.ParkJob(ctx, "entry003.demo", "no", at(6)))
	require.NoError(t, l.RetryJob(ctx, "entry003.demo", at(7)))
	require.Equal(t, []string{"entry003.demo"}, after("entry002.demo"), "opened again is opened since")
}
