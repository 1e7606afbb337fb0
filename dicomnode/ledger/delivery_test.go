package ledger

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var deliverySteps = map[string]func(l *Ledger, ctx context.Context) error{
	"deliver": func(l *Ledger, ctx context.Context) error {
		return l.Delivered(ctx, 1, "entry001", said("B007"), at(10))
	},
	"defer": func(l *Ledger, ctx context.Context) error {
		return l.Defer(ctx, 1, Deferral{Next: at(60), Answer: said("A700"), Reason: "peer is full"}, at(11))
	},
	"park": func(l *Ledger, ctx context.Context) error {
		return l.Park(ctx, 1, said("0122"), "SOP class refused", at(12))
	},
	"unpark":  func(l *Ledger, ctx context.Context) error { _, err := l.Unpark(ctx, 1, at(13)); return err },
	"discard": func(l *Ledger, ctx context.Context) error { return l.Discard(ctx, 1, at(14)) },
}

func TestDelivery_states(t *testing.T) {
	for _, c := range []struct {
		name    string
		before  []string
		step    string
		want    DeliveryState
		err     error
		changes bool
	}{
		{"pending", nil, "deliver", DeliveryDone, nil, true},
		{"pending", nil, "defer", DeliveryPending, nil, true},
		{"pending", nil, "park", DeliveryParked, nil, true},
		{"pending", nil, "unpark", DeliveryPending, nil, false},
		{"pending", nil, "discard", DeliveryDiscarded, nil, true},
		{"done", []string{"deliver"}, "deliver", DeliveryDone, nil, false},
		{"done", []string{"deliver"}, "defer", DeliveryDone, nil, false},
		{"done", []string{"deliver"}, "park", DeliveryDone, nil, false},
		{"done", []string{"deliver"}, "unpark", DeliveryDone, ErrState, false},
		{"done", []string{"deliver"}, "discard", DeliveryDone, ErrState, false},
		{"parked", []string{"park"}, "deliver", DeliveryDone, nil, true},
		{"parked", []string{"park"}, "defer", DeliveryParked, nil, false},
		{"parked", []string{"park"}, "park", DeliveryParked, nil, false},
		{"parked", []string{"park"}, "unpark", DeliveryPending, nil, true},
		{"parked", []string{"park"}, "discard", DeliveryDiscarded, nil, true},
		{"discarded", []string{"discard"}, "deliver", DeliveryDone, nil, true},
		{"discarded", []string{"discard"}, "defer", DeliveryDiscarded, nil, false},
		{"discarded", []string{"discard"}, "park", DeliveryDiscarded, nil, false},
		{"discarded", []string{"discard"}, "unpark", DeliveryDiscarded, ErrState, false},
		{"discarded", []string{"discard"}, "discard", DeliveryDiscarded, nil, false},
	} {
		t.Run(c.name+"/"+c.step, func(t *testing.T) {
			l := openLedger(t)
			r := receipt(1)
			r.Forward = []string{"pacs"}
			receive(t, l, r)
			for _, step := range c.before {
				require.NoError(t, deliverySteps[step](l, t.Context()))
			}
			before := study(t, l)
			require.ErrorIs(t, deliverySteps[c.step](l, t.Context()), c.err)
			after := study(t, l)
			require.Equal(t, c.want, after.Deliveries[0].State)
			require.Equal(t, c.changes, !equal(before, after))
			requireTally(t, l)
		})
	}
}

func TestDelivery_unknown(t *testing.T) {
	l := openLedger(t)
	for name, step := range deliverySteps {
		require.ErrorIs(t, step(l, t.Context()), ErrNotFound, name)
	}
}

func TestDueDeliveries_order(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	kos, sr, heatmap := object(1, "pacs", "dead"), object(2, "pacs", "dead"), object(3, "pacs", "dead")
	kos.Rank, kos.Purpose = RankKOS, "kos"
	sr.Rank, sr.Purpose = RankSR, "sr"
	for n := 1; n <= 2; n++ {
		r := receipt(n)
		r.Forward = []string{"pacs"}
		receive(t, l, r)
	}
	require.NoError(t, l.FinishJob(ctx, job1, testModel, nil, []Object{kos, sr, heatmap}, at(3)))
	due, err := l.DueDeliveries(ctx, "pacs", at(3), longest, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"source", "source", "heatmap", "sr", "kos"}, purposes(due))
	require.Equal(t, []string{"entry001", "entry002"}, []string{due[0].Entry, due[1].Entry})
	due, err = l.DueDeliveries(ctx, "pacs", at(3), longest, 3)
	require.NoError(t, err)
	require.Len(t, due, 3)
	due, err = l.DueDeliveries(ctx, "pacs", at(1), longest, 10)
	require.NoError(t, err)
	require.Len(t, due, 1, "what was made later is not due yet")

	dead, err := l.DueDeliveries(ctx, "dead", at(3), longest, 10)
	require.NoError(t, err)
	for _, d := range dead {
		require.NoError(t, l.Park(ctx, d.ID, Answer{}, "nobody answers", at(4)))
	}
	due, err = l.DueDeliveries(ctx, "pacs", at(3), longest, 10)
	require.NoError(t, err)
	require.Len(t, due, 5, "a dead destination holds up no other")
	_, ok, err := l.NextDelivery(ctx, "dead")
	require.NoError(t, err)
	require.False(t, ok)
}

func TestDefer_countsInOneEvent(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	r := receipt(1)
	r.Forward = []string{"pacs"}
	receive(t, l, r)
	for n := range 1000 {
		require.NoError(t, l.Defer(ctx, 1, Deferral{Next: at(100 + n), Answer: Answer{}, Reason: "nobody answers"}, at(2+n)))
	}
	require.NoError(t, l.Defer(ctx, 1, Deferral{Next: at(2000), Answer: said("A700"), Reason: "peer is full"}, at(1500)))
	next, ok, err := l.NextDelivery(ctx, "pacs")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, at(2000), next)
	due, err := l.DueDeliveries(ctx, "pacs", at(1999), longest, 10)
	require.NoError(t, err)
	require.Empty(t, due)

	d := study(t, l)
	require.Equal(t, []string{"received", "queued", "deferred x1000", "deferred"}, steps(d, "1.2.3.1"))
	e := d.Events[2]
	require.Equal(t, at(2), e.At)
	require.Equal(t, at(1001), e.LastAt)
	require.Equal(t, "nobody answers", e.Detail)
	require.Equal(t, "pacs", e.Destination)
	require.Equal(t, "A700", d.Events[3].Answer.Code)
	require.Equal(t, 1001, d.Deliveries[0].Attempts)
	require.Equal(t, "peer is full", d.Deliveries[0].Reason)
}

func TestDelivered_byTheAlternate(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	receive(t, l, receipt(1))
	o, twin := object(1, "pacs"), object(2)
	o.Alternate = &twin
	require.NoError(t, l.FinishJob(ctx, job1, testModel, nil, []Object{o}, at(2)))
	require.Empty(t, releasable(t, l, 100), "the alternate may still be sent")
	require.NoError(t, l.Delivered(ctx, 1, twin.Entry, said("0000"), at(3)))
	d := study(t, l)
	require.Equal(t, twin.Entry, d.Deliveries[0].Used)
	require.Equal(t, "0000", d.Deliveries[0].Answer.Code)
	require.Len(t, d.Objects, 2)
	require.Equal(t, o.Instance.SOPInstanceUID, d.Objects[1].TwinOf)
	require.Equal(t, []string{"pacs"}, d.Objects[0].Destinations)
	require.Equal(t, DeliveryDone, d.Objects[0].State)
	require.Equal(t, []string{o.Entry, twin.Entry}, releasable(t, l, 100))
}

func TestRelease(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []string // of the job, then of the delivery
		want  bool
	}{
		{"job open", []string{"deliver"}, false},
		{"delivery pending", []string{"finish", "report"}, false},
		{"delivery parked", []string{"finish", "report", "park delivery"}, false},
		{"exam not reported", []string{"finish", "deliver"}, false},
		{"all ended", []string{"finish", "report", "deliver"}, true},
		{"delivery discarded", []string{"finish", "report", "discard delivery"}, true},
		{"job parked", []string{"park", "report", "deliver"}, false},
		{"job discarded", []string{"park", "discard", "report", "deliver"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := openLedger(t)
			ctx := t.Context()
			r := receipt(1)
			r.Forward = []string{"pacs"}
			receive(t, l, r)
			do := map[string]func() error{
				"finish":  func() error { return l.FinishJob(ctx, job1, testModel, frames(), nil, at(2)) },
				"park":    func() error { return l.ParkJob(ctx, job1, "no", at(2)) },
				"discard": func() error { return l.DiscardJob(ctx, job1, at(2)) },
				"report": func() error {
					exams, err := l.DueExams(ctx, at(100), time.Second, time.Hour)
					require.NoError(t, err)
					require.Len(t, exams, 1)
					return l.FinishReport(ctx, exams[0], nil, at(100))
				},
				"deliver":          func() error { return l.Delivered(ctx, 1, "entry001", said("0000"), at(3)) },
				"park delivery":    func() error { return l.Park(ctx, 1, Answer{}, "no", at(3)) },
				"discard delivery": func() error { return l.Discard(ctx, 1, at(3)) },
			}
			for _, step := range c.steps {
				require.NoError(t, do[step]())
			}
			require.Empty(t, releasable(t, l, 1), "not old enough")
			require.Equal(t, c.want, len(releasable(t, l, 2)) == 1)
		})
	}
}

func TestOutbox_filters(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	r := receipt(1)
	r.Forward = []string{"a", "b", "c"}
	receive(t, l, r)
	require.NoError(t, l.Delivered(ctx, 1, "entry001", said("0000"), at(2)))
	require.NoError(t, l.Park(ctx, 2, Answer{}, "no", at(2)))
	for _, c := range []struct {
		name string
		f    OutboxFilter
		want []int64
	}{
		{"all", OutboxFilter{}, []int64{3, 2, 1}},
		{"page", OutboxFilter{Limit: 1, Offset: 1}, []int64{2}},
		{"destination", OutboxFilter{Destination: "b"}, []int64{2}},
		{"pending", OutboxFilter{State: DeliveryPending}, []int64{3}},
		{"parked", OutboxFilter{State: DeliveryParked}, []int64{2}},
		{"done", OutboxFilter{State: DeliveryDone}, []int64{1}},
		{"none", OutboxFilter{Destination: "a", State: DeliveryParked}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			ds, total, err := l.Outbox(ctx, c.f)
			require.NoError(t, err)
			if c.f.Limit == 0 {
				require.Len(t, ds, total)
			} else {
				require.Equal(t, 3, total)
			}
			var got []int64
			for _, d := range ds {
				got = append(got, d.ID)
			}
			require.Equal(t, c.want, got)
		})
	}
	_, _, err := l.Outbox(ctx, OutboxFilter{State: "lost' OR 1 --"})
	require.Error(t, err)
	counts, err := l.Counts(ctx)
	require.NoError(t, err)
	require.Equal(t, Counts{
		Position: 1, Instances: map[InstanceState]int64{InstanceQueued: 1},
		Jobs:       map[string]map[JobState]int64{"demo": {JobOpen: 1}},
		Exams:      map[string]map[ExamState]int64{"demo": {ExamOpen: 1}},
		Deliveries: map[string]map[DeliveryState]int64{"a": {DeliveryPending: 0, DeliveryDone: 1}, "b": {DeliveryPending: 0, DeliveryParked: 1}, "c": {DeliveryPending: 1}},
	}, counts)
}

// TestParked_pages: kinds one after another, with the number there is of all of them.
func TestParked_pages(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	for n := 1; n <= 3; n++ {
		r := receipt(n)
		r.Forward = []string{"pacs"}
		receive(t, l, r)
		require.NoError(t, l.ParkJob(ctx, JobID(r.ID, "demo"), "no", at(n)))
		require.NoError(t, l.Park(ctx, int64(n), Answer{}, "no", at(n)))
	}
	held := receipt(4)
	held.Models = nil
	receive(t, l, held)
	require.NoError(t, l.ParkExam(ctx, dueOne(t, l, 1000), "no", at(1000)))
	all := []string{"job entry001.demo", "job entry002.demo", "job entry003.demo", "exam 1", "delivery 1", "delivery 2", "delivery 3", "instance entry004"}
	read := func(f ParkedFilter) (got []string, total int) {
		p, total, err := l.Parked(ctx, f)
		require.NoError(t, err)
		for _, j := range p.Jobs {
			got = append(got, "job "+j.ID)
		}
		for _, e := range p.Exams {
			got = append(got, fmt.Sprint("exam ", e.ID))
		}
		for _, d := range p.Deliveries {
			got = append(got, fmt.Sprint("delivery ", d.ID))
		}
		for _, v := range p.Instances {
			got = append(got, "instance "+v.Entry)
		}
		return got, total
	}
	for limit := range 10 {
		for offset := range 10 {
			got, total := read(ParkedFilter{Page: Page{limit, offset}})
			want := all[min(offset, len(all)):]
			if limit > 0 {
				want = want[:min(limit, len(want))]
			}
			require.Equal(t, append([]string(nil), want...), got, "%d from %d", limit, offset)
			require.Equal(t, len(all), total)
		}
	}
	got, total := read(ParkedFilter{Kind: ParkedDeliveries, Page: Page{Limit: 2, Offset: 1}})
	require.Equal(t, []string{"delivery 2", "delivery 3"}, got)
	require.Equal(t, 3, total)
}

// TestStudy_pages: the same part of each list, and how long each is.
func TestStudy_pages(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	for n := 1; n <= 5; n++ {
		r := receipt(n)
		r.Forward = []string{"pacs"}
		receive(t, l, r)
		require.NoError(t, l.FinishJob(ctx, JobID(r.ID, "demo"), testModel, frames(), []Object{object(n, "pacs", "archive")}, at(n)))
	}
	whole := study(t, l)
	require.Equal(t, StudyTotals{5, 5, 15, len(whole.Events)}, whole.Totals)
	var parts StudyDetail
	for offset := 0; offset < len(whole.Events); offset += 2 {
		d, err := l.Study(ctx, "1.2", Page{Limit: 2, Offset: offset})
		require.NoError(t, err)
		require.LessOrEqual(t, len(d.InstanceViews), 2)
		require.LessOrEqual(t, len(d.Events), 2)
		parts.Study, parts.Totals, parts.Exams, parts.Gate = d.Study, d.Totals, d.Exams, d.Gate
		parts.InstanceViews = append(parts.InstanceViews, d.InstanceViews...)
		parts.Objects = append(parts.Objects, d.Objects...)
		parts.Deliveries = append(parts.Deliveries, d.Deliveries...)
		parts.Events = append(parts.Events, d.Events...)
	}
	require.Equal(t, whole, parts)
}
