package ledger

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What was given up is read in pages, of which none cuts an instance in two, and all of it is.
func TestLeftOut_pages(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	want := map[string]bool{}
	for n := 1; n <= 5; n++ {
		r := receipt(n)
		r.Models = []string{"demo", "other"}
		receive(t, l, r)
		for _, model := range r.Models {
			require.NoError(t, l.ParkJob(ctx, r.ID+"."+model, "boom", at(10)))
			want[r.ID+"."+model] = true
		}
	}
	found := map[string]bool{}
	pages := 0
	for after := int64(0); ; pages++ {
		page, err := l.LeftOut(ctx, at(0), at(0), "beyond the bounds", []string{"demo", "other"}, after, 3)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		for _, o := range page {
			require.False(t, found[o.Job], o.Job)
			found[o.Job], after = true, o.After
		}
	}
	require.Equal(t, want, found)
	require.Equal(t, 5, pages, "two of three are of one instance")
}

// What was for a model that is configured no more waits for nobody: it is parked, and offered again when the model is there again.
func TestParkOrphans(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	r := receipt(1)
	r.Models = []string{"demo", "other"}
	receive(t, l, r)
	for _, parked := range []int{1, 0} {
		n, err := l.ParkOrphans(ctx, []string{"other"}, at(10))
		require.NoError(t, err)
		require.Equal(t, parked, n)
	}
	j, err := l.Job(ctx, r.ID+".demo")
	require.NoError(t, err)
	require.Equal(t, JobParked, j.State)
	require.Equal(t, "model demo is not configured any more; configure it again or discard", j.Reason)
	n, err := l.ParkOrphans(ctx, nil, at(10))
	require.NoError(t, err)
	require.Equal(t, 1, n, "a gateway without models")
	page, err := l.LeftOut(ctx, at(0), at(0), "beyond the bounds", nil, 0, 3)
	require.NoError(t, err)
	require.Len(t, page, 2)
}

// A model that is configured no more is remembered: what its version gave up is offered to the next one, whenever that comes.
func TestSetModels(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	for _, all := range []map[string]string{{"demo": "1", "other": "1"}, {"other": "2"}, {}} {
		require.NoError(t, l.SetModels(ctx, all))
	}
	known, err := l.Models(ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"demo": "1", "other": "2"}, known)
}
