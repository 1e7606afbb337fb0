package ledger

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// forwarded is a ledger with one delivery of a source, that has ID 1.
func forwarded(t *testing.T) *Ledger {
	l, r := openLedger(t), receipt(1)
	r.Forward, r.Models = []string{"pacs"}, nil
	receive(t, l, r)
	return l
}

func deliveryOf(t *testing.T, l *Ledger) Delivery { return study(t, l).Deliveries[0] }

func TestSent_committed(t *testing.T) {
	l := forwarded(t)
	ctx := t.Context()
	require.NoError(t, l.Sent(ctx, 1, "entry001", at(100), said("0000"), at(2)))
	d := deliveryOf(t, l)
	require.Equal(t, DeliverySent, d.State)
	require.Equal(t, at(100), d.NextAt)
	require.Equal(t, "entry001", d.Used)
	require.Equal(t, StudyWorking, study(t, l).Status, "it is not done before the peer commits to it")
	require.Equal(t, 1, study(t, l).Study.Deliveries.Sent)
	require.Empty(t, releasable(t, l, 1000), "it may have to be sent again")
	due, err := l.DueDeliveries(ctx, "pacs", at(1000), longest, 10)
	require.NoError(t, err)
	require.Empty(t, due)
	n, err := l.Uncommitted(ctx, "pacs", at(99), longest)
	require.NoError(t, err)
	require.Zero(t, n)
	_, err = l.Unpark(ctx, 1, at(50))
	require.NoError(t, err)
	require.Equal(t, d, deliveryOf(t, l))

	require.NoError(t, l.Delivered(ctx, 1, "entry001", Answer{Protocol: "dicom", Code: "0000", Text: "committed"}, at(90)))
	require.Equal(t, DeliveryDone, deliveryOf(t, l).State)
	require.Equal(t, StudyNotAnalysed, study(t, l).Status, "nothing waits any more")
	require.Equal(t, []string{"received", "not-analysed", "sent", "delivered"}, steps(study(t, l), "1.2.3.1"))
	require.Equal(t, []string{"entry001"}, releasable(t, l, 1000))
	requireTally(t, l)
}

func TestUncommitted(t *testing.T) {
	l := forwarded(t)
	ctx := t.Context()
	for round := range 2 {
		require.NoError(t, l.Sent(ctx, 1, "entry001", at(100+round), said("0000"), at(2)))
		n, err := l.Uncommitted(ctx, "archive", at(1000), longest)
		require.NoError(t, err)
		require.Zero(t, n, "of another destination")
		n, err = l.Uncommitted(ctx, "pacs", at(101), longest)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		due, err := l.DueDeliveries(ctx, "pacs", at(101), longest, 10)
		require.NoError(t, err)
		require.Len(t, due, 1)
		require.Equal(t, round+1, due[0].Attempts, "they count")
		require.Equal(t, uncommitted, due[0].Reason)
	}
	require.Contains(t, steps(study(t, l), "1.2.3.1"), "sent x2")
	requireTally(t, l)
}

func TestSent_discardedOrGone(t *testing.T) {
	for name, end := range map[string]func(l *Ledger) error{
		"discarded":   func(l *Ledger) error { return l.Discard(t.Context(), 1, at(3)) },
		"parked":      func(l *Ledger) error { return l.Park(t.Context(), 1, said("0112"), "not committed", at(3)) },
		"deferred":    func(l *Ledger) error { return l.Defer(t.Context(), 1, Deferral{Next: at(9)}, at(3)) },
		"destination": func(l *Ledger) error { _, _, err := l.ReconcileDestinations(t.Context(), nil, at(3)); return err },
	} {
		t.Run(name, func(t *testing.T) {
			l := forwarded(t)
			require.NoError(t, l.Sent(t.Context(), 1, "entry001", at(100), said("0000"), at(2)))
			require.NoError(t, end(l))
			want := map[string]DeliveryState{"discarded": DeliveryDiscarded, "parked": DeliveryParked, "deferred": DeliveryPending, "destination": DeliveryParked}
			require.Equal(t, want[name], deliveryOf(t, l).State)
			require.NoError(t, l.Sent(t.Context(), 1, "entry001", at(200), said("0000"), at(4)))
			if name != "deferred" {
				require.Equal(t, want[name], deliveryOf(t, l).State, "it is no longer on its way")
			}
			requireTally(t, l)
		})
	}
}

// TestDelivery_clockSetBack: what was deferred under a clock that was a year ahead does not wait for it.
func TestDelivery_clockSetBack(t *testing.T) {
	l := forwarded(t)
	ctx := t.Context()
	day := 24 * time.Hour
	ahead := at(0).Add(365 * day)
	require.NoError(t, l.Defer(ctx, 1, Deferral{Next: ahead}, at(2)))
	due, err := l.DueDeliveries(ctx, "pacs", at(3), day, 10)
	require.NoError(t, err)
	require.Len(t, due, 1)
	require.NoError(t, l.Defer(ctx, 1, Deferral{Next: at(3).Add(day)}, at(3)))
	due, err = l.DueDeliveries(ctx, "pacs", at(4), day, 10)
	require.NoError(t, err)
	require.Empty(t, due, "that is a day's wait")

	require.NoError(t, l.Sent(ctx, 1, "entry001", ahead, said("0000"), at(5)))
	n, err := l.Uncommitted(ctx, "pacs", at(6), day)
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

// TestDelivery_behind: what the peer did not take goes behind the others, and so does the rest of its series, which may be
// like it; of what is behind, that goes first which has waited longest.
func TestDelivery_behind(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	for n := 1; n <= 5; n++ {
		r := receipt(n)
		r.Forward = []string{"pacs", "archive"}
		if n > 3 {
			r.Header.SeriesInstanceUID = "1.2.4"
		}
		receive(t, l, r)
	}
	ids := map[int64]int{} // to the number of the object
	all, err := l.DueDeliveries(ctx, "pacs", at(100), longest, 10)
	require.NoError(t, err)
	for i, d := range all {
		require.False(t, d.Behind)
		ids[d.ID] = i + 1
	}
	order := func(destination string) (numbers []int) {
		due, err := l.DueDeliveries(ctx, destination, at(100), longest, 10)
		require.NoError(t, err)
		for _, d := range due {
			numbers = append(numbers, ids[d.ID])
		}
		return numbers
	}
	require.NoError(t, l.Defer(ctx, all[0].ID, Deferral{Next: at(19), Behind: true}, at(6)))
	require.Equal(t, []int{4, 5, 2, 3, 1}, order("pacs"), "the other series, then those that are like it, then it")
	archive, err := l.DueDeliveries(ctx, "archive", at(100), longest, 10)
	require.NoError(t, err)
	for _, d := range archive {
		require.False(t, d.Behind, "another destination says nothing of it")
	}
	require.NoError(t, l.Defer(ctx, all[1].ID, Deferral{Next: at(20)}, at(7)))
	require.Equal(t, []int{4, 5, 3, 1, 2}, order("pacs"), "what was behind stays there, whatever it fails by")
	some, err := l.DueDeliveries(ctx, "pacs", at(100), longest, 1)
	require.NoError(t, err)
	require.Len(t, some, 2, "some of both")

	require.NoError(t, l.Park(ctx, all[0].ID, Answer{}, "no answer", at(8)))
	_, err = l.Unpark(ctx, all[0].ID, at(9))
	require.NoError(t, err)
	require.Equal(t, []int{1, 4, 5, 3, 2}, order("pacs"), "a person has looked at it")
}

// TestAnswer_text: what a peer says is stored and shown beside our reason, which stays without it.
func TestAnswer_text(t *testing.T) {
	l := forwarded(t)
	answer := Answer{Protocol: "dicom", Code: "C123", Text: "no such patient: DOE^JANE"}
	require.NoError(t, l.Park(t.Context(), 1, answer, "peer PACS answered C123", at(2)))
	d := deliveryOf(t, l)
	require.Equal(t, answer, d.Answer)
	require.Equal(t, "peer PACS answered C123", d.Reason)
	require.Equal(t, "peer PACS answered C123: no such patient: DOE^JANE", d.Why())
	events := study(t, l).Events
	require.Equal(t, d.Why(), events[len(events)-1].Why())
	require.Equal(t, "no reason but ours", Delivery{Reason: "no reason but ours"}.Why())
	require.Equal(t, "theirs", Delivery{Answer: Answer{Text: "theirs"}}.Why())
}

// TestNeed keeps an entry of another kind for a delivery of its own and for whoever needs it beside that.
func TestNeed(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	receive(t, l, receipt(1))
	require.NoError(t, l.write(ctx, func(t *tx) error {
		d := Delivery{Kind: "hl7", Entry: "message1", Purpose: "oru", State: DeliveryPending, NextAt: at(2)}
		return t.deliver(1, d, []string{"ris"}, at(2))
	}))
	for _, by := range []string{"draft 7", "report 9"} {
		for range 2 {
			require.NoError(t, l.Need(ctx, "message1", by, at(2)))
		}
	}
	due, err := l.DueDeliveries(ctx, "ris", at(2), longest, 10)
	require.NoError(t, err)
	require.Len(t, due, 1)
	require.Equal(t, "hl7", due[0].Kind)
	require.EqualValues(t, "1.2", due[0].Instance.StudyInstanceUID, "the study it is about")
	require.Empty(t, due[0].Instance.SOPInstanceUID)
	needs := func(want bool) {
		t.Helper()
		needed, err := l.Needed(ctx, []string{"message1"})
		require.NoError(t, err)
		require.Equal(t, want, needed["message1"])
	}
	held, err := l.Unreleased(ctx, "entry001", 10)
	require.NoError(t, err)
	require.Equal(t, []string{"message1"}, held)
	require.NoError(t, l.Unneed(ctx, "message1", "draft 7", at(3)))
	needs(true)
	require.NoError(t, l.Delivered(ctx, due[0].ID, "message1", Answer{Protocol: "hl7", Code: "AA"}, at(4)))
	needs(true)
	require.Empty(t, releasable(t, l, 100))
	require.NoError(t, l.Unneed(ctx, "message1", "report 9", at(5)))
	needs(true) // for as long as anything is kept after its end
	require.Equal(t, []string{"message1"}, releasable(t, l, 100))
	ids, err := l.Release(ctx, at(100), 10, at(100))
	require.NoError(t, err)
	require.Equal(t, []string{"message1"}, ids)
	needs(false)
	require.Empty(t, releasable(t, l, 100), "once")

	require.NoError(t, l.Need(ctx, "entry001", "draft 7", at(2)))
	require.NoError(t, l.SkipJob(ctx, job1, "no", at(2)))
	require.NoError(t, l.FinishReport(ctx, dueOne(t, l, 1000), nil, at(1000)))
	require.Empty(t, releasable(t, l, 2000), "a draft needs the instance")
	require.NoError(t, l.Unneed(ctx, "entry001", "draft 7", at(1001)))
	require.Equal(t, []string{"entry001"}, releasable(t, l, 2000))
}
