package ledger

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// skippedAndReported leaves an instance whose one job was skipped and reported: nothing needs it.
func skippedAndReported(t *testing.T) (*Ledger, Receipt) {
	l, r := openLedger(t), receipt(1)
	receive(t, l, r)
	require.NoError(t, l.SkipJob(t.Context(), job1, "no decoder", at(2)))
	require.NoError(t, l.FinishReport(t.Context(), dueOne(t, l, 1000), nil, at(1001)))
	require.Equal(t, []string{r.ID}, releasable(t, l, 2000))
	return l, r
}

// TestRelease_races has work come between the reclaimer's question and its deed, on either side of the transaction
// that is both: no job is open on bytes that are released.
func TestRelease_races(t *testing.T) {
	for _, work := range []struct {
		name      string
		open      func(t *testing.T, l *Ledger, r Receipt) error
		afterward error // what opening it says when the bytes are released
		restored  bool
	}{
		{"received again", func(t *testing.T, l *Ledger, r Receipt) error {
			receive(t, l, as(r, 2))
			return nil
		}, nil, true},
		{"retried", func(t *testing.T, l *Ledger, _ Receipt) error { return l.RetryJob(t.Context(), job1, at(2000)) }, ErrState, false},
	} {
		t.Run(work.name+" before", func(t *testing.T) {
			l, r := skippedAndReported(t)
			require.NoError(t, work.open(t, l, r))
			ids, err := l.Release(t.Context(), at(2000), 10, at(2001))
			require.NoError(t, err)
			require.Empty(t, ids)
			j, err := l.Job(t.Context(), job1)
			require.NoError(t, err)
			require.Equal(t, JobOpen, j.State)
		})
		t.Run(work.name+" after", func(t *testing.T) {
			l, r := skippedAndReported(t)
			ids, err := l.Release(t.Context(), at(2000), 10, at(2001))
			require.NoError(t, err)
			require.Equal(t, []string{r.ID}, ids)
			require.ErrorIs(t, work.open(t, l, r), work.afterward)
			v := study(t, l).InstanceViews[0]
			require.Equal(t, work.restored, v.Jobs[0].State == JobOpen)
			require.Equal(t, work.restored, v.ReleasedAt.IsZero())
			require.Equal(t, work.restored, v.Entry == "entry002", "on the new bytes")
			requireTally(t, l)
		})
	}
}

// TestParkLost_restoredMeanwhile has what was looked for in the spool change before the ledger is told.
func TestParkLost_restoredMeanwhile(t *testing.T) {
	l := openLedger(t)
	r := receipt(1)
	r.Forward = []string{"pacs"}
	receive(t, l, r)
	held, err := l.Unreleased(t.Context(), "", 10)
	require.NoError(t, err)
	receive(t, l, gone(as(r, 2), r.ID))
	before := study(t, l)
	require.NoError(t, l.ParkLost(t.Context(), held, at(3)))
	require.Equal(t, before, study(t, l), "its bytes are those of another entry by now")
}

// TestDelivered_restoredMeanwhile: the bytes that the peer took were those of the entry before.
func TestDelivered_restoredMeanwhile(t *testing.T) {
	l := openLedger(t)
	r := receipt(1)
	r.Forward = []string{"pacs"}
	receive(t, l, r)
	receive(t, l, gone(as(r, 2), r.ID))
	require.NoError(t, l.Delivered(t.Context(), 1, r.ID, said("0000"), at(3)))
	e := study(t, l).Events
	require.Equal(t, EventDelivered, e[len(e)-1].What)
	require.Empty(t, e[len(e)-1].Detail, "it is not the alternate")
}
