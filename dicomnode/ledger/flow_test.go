package ledger

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What went through is counted from when on it is asked for: instances by their arrival, analyses and deliveries by their end.
func TestSince(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	late := receipt(2)
	late.At = at(100)
	receive(t, l, receipt(1), late)
	require.NoError(t, l.FinishJob(ctx, "entry001.demo", testModel, frames(), []Object{object(7, "pacs")}, at(50)))
	require.NoError(t, l.SkipJob(ctx, "entry002.demo", "a video", at(101)))
	for _, row := range []struct {
		since int
		want  Flow
	}{{0, Flow{2, 1, 0}}, {60, Flow{1, 0, 0}}, {101, Flow{}}} {
		f, err := l.Since(ctx, at(row.since), []string{"pacs"})
		require.NoError(t, err)
		require.Equal(t, row.want, f)
	}
	require.NoError(t, l.Delivered(ctx, 1, "", said("0000"), at(120)))
	f, err := l.Since(ctx, at(110), []string{"pacs", "none"})
	require.NoError(t, err)
	require.Equal(t, Flow{0, 0, 1}, f)
	f, err = l.Since(ctx, at(0), nil)
	require.NoError(t, err)
	require.Equal(t, Flow{2, 1, 0}, f, "of those destinations alone")
}
