package ledger

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDestinations_ofTheExam(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	r := receipt(1)
	r.Destinations = []string{"pacs", "archive"}
	receive(t, l, r)
	job, err := l.StartJob(ctx, "entry001.demo", at(2))
	require.NoError(t, err)
	require.Equal(t, r.Destinations, job.Destinations)
	require.NoError(t, l.FinishJob(ctx, job.ID, testModel, nil, nil, at(3)))
	exams, err := l.DueExams(ctx, at(1000), quiet, maxWait)
	require.NoError(t, err)
	require.Equal(t, r.Destinations, exams[0].Destinations)

	later := receipt(2)
	receive(t, l, later)
	exams, err = l.DueExams(ctx, at(2000), quiet, maxWait)
	require.NoError(t, err)
	require.Empty(t, exams[0].Destinations, "the last arrival names none")
}

func deliveries(t *testing.T, l *Ledger) map[string]DeliveryState {
	states := map[string]DeliveryState{}
	for _, d := range study(t, l).Deliveries {
		states[d.Entry+" "+d.Destination] = d.State
	}
	return states
}

func TestReconcileDestinations(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	r := receipt(1)
	r.Forward = []string{"pacs", "pacs2"}
	receive(t, l, r, as(receipt(2), 2))
	require.NoError(t, l.FinishJob(ctx, "entry001.demo", testModel, nil, []Object{object(1, "pacs2")}, at(3)))
	require.NoError(t, l.Park(ctx, 2, said("0122"), "refused", at(3))) // entry001 to pacs2, by the peer

	parked, back, err := l.ReconcileDestinations(ctx, []string{"pacs"}, at(4))
	require.NoError(t, err)
	require.Equal(t, []int{1, 0}, []int{parked, back})
	require.NoError(t, l.FinishJob(ctx, "entry002.demo", testModel, nil, []Object{object(2, "pacs2", "pacs")}, at(5)))
	want := map[string]DeliveryState{
		"entry001 pacs": DeliveryPending, "entry001 pacs2": DeliveryParked, "made001 pacs2": DeliveryParked,
		"made002 pacs2": DeliveryParked, "made002 pacs": DeliveryPending,
	}
	require.Equal(t, want, deliveries(t, l))
	p, _, err := l.Parked(ctx, ParkedFilter{})
	require.NoError(t, err)
	require.Equal(t, "destination pacs2 is not configured any more; configure it again or discard", p.Deliveries[1].Reason)
	_, err = l.RetryDeliveries(ctx, "pacs2", at(6))
	require.ErrorIs(t, err, ErrState)
	requireTally(t, l)

	parked, back, err = l.ReconcileDestinations(ctx, []string{"pacs", "pacs2"}, at(7))
	require.NoError(t, err)
	require.Equal(t, []int{0, 2}, []int{parked, back})
	want["made001 pacs2"], want["made002 pacs2"] = DeliveryPending, DeliveryPending
	require.Equal(t, want, deliveries(t, l), "what the peer refused stays parked")
	requireTally(t, l)

	parked, _, err = l.ReconcileDestinations(ctx, nil, at(8))
	require.NoError(t, err)
	require.Equal(t, 4, parked)
}

func TestRetryDeliveries(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	one, other, lost := receipt(1), as(receipt(1), 2), receipt(3)
	other.Digest = receipt(9).Digest
	one.Forward, other.Forward, lost.Forward = []string{"pacs", "archive"}, []string{"pacs"}, []string{"pacs"}
	receive(t, l, one, other, lost)
	for _, id := range []int64{1, 2} {
		require.NoError(t, l.Park(ctx, id, Answer{}, "unreachable", at(4)))
	}
	require.NoError(t, l.ParkLost(ctx, []string{"entry003"}, at(4)))
	promised, err := l.BulkRetriable(ctx, "pacs")
	require.NoError(t, err)
	require.Equal(t, 1, promised)
	bulk := map[string]bool{}
	for _, d := range study(t, l).Deliveries {
		bulk[d.Entry+" "+d.Destination] = d.Bulk()
		if d.Conflict {
			require.Equal(t, other.At, d.EndedAt, "parked since it was received")
		}
	}
	require.Equal(t, map[string]bool{"entry001 pacs": true, "entry001 archive": true, "entry002 pacs": false, "entry003 pacs": false}, bulk)
	n, err := l.RetryDeliveries(ctx, "pacs", at(5))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, map[string]DeliveryState{
		"entry001 pacs": DeliveryPending, "entry001 archive": DeliveryParked, "entry002 pacs": DeliveryParked, "entry003 pacs": DeliveryParked,
	}, deliveries(t, l))
	due, err := l.DueDeliveries(ctx, "pacs", at(5), longest, 10)
	require.NoError(t, err)
	require.Len(t, due, 1)
	require.Zero(t, due[0].Attempts)
	require.Contains(t, steps(study(t, l), "1.2.3.1"), "delivery-unparked")
	requireTally(t, l)
}
