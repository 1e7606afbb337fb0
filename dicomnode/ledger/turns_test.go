package ledger

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/dicomnode/dicom"
)

// from is an instance of a study of a source.
func from(source string, study, n int) Receipt {
	r := receipt(n)
	r.CallingAE = source
	r.Header.StudyInstanceUID = dicom.UID(fmt.Sprintf("1.2.%d", study))
	r.Forward = []string{"pacs"}
	return r
}

// TestLines: the jobs of each source wait in a line of their own, those that are urgent in another one; a job that is opened
// makes its line's number grow, also where it goes to another line or its instance is sent again by another source.
func TestLines(t *testing.T) {
	l, ctx := openLedger(t), t.Context()
	lines := func() map[string]int64 {
		all, err := l.Lines(ctx)
		require.NoError(t, err)
		by := map[string]int64{}
		for _, line := range all {
			by[line.Name] = line.Newest
		}
		require.Len(t, by, len(all))
		return by
	}
	in := func(line, after string) (entries []string) {
		jobs, err := l.JobsInLine(ctx, line, after, 2)
		require.NoError(t, err)
		for _, j := range jobs {
			entries = append(entries, j.Entry)
		}
		return entries
	}
	require.Empty(t, lines())
	receive(t, l, from("A", 1, 1), from("B", 2, 2), from("A", 1, 3), from("A", 1, 4))
	a, b := "demo\nROUTINE\nA", "demo\nROUTINE\nB"
	before := lines()
	require.Len(t, before, 2)
	require.Equal(t, []string{"entry001", "entry003"}, in(a, ""))
	require.Equal(t, []string{"entry004"}, in(a, "entry003.demo"))
	require.Equal(t, []string{"entry002"}, in(b, ""))

	require.NoError(t, l.ParkJob(ctx, "entry001.demo", "no", at(5)))
	require.NoError(t, l.RetryJob(ctx, "entry001.demo", at(6)))
	require.Greater(t, lines()[a], before[a])
	require.Equal(t, []string{"entry003", "entry004"}, in(a, ""), "it is the last now")

	take(t, l, inbound("1", OrderChange{Patch: patch(Order{
		Accession: "A9", StudyInstanceUID: "1.2.2", Placer: Identifier{ID: "P9"}, Patient: Person{Identifier: Identifier{ID: "PAT9"}}, Priority: Stat,
	})}))
	require.NotContains(t, lines(), b)
	require.Equal(t, []string{"entry002"}, in("demo\nSTAT\nB", ""))
	require.NoError(t, l.FinishJob(ctx, "entry002.demo", testModel, nil, nil, at(7)))
	require.Len(t, lines(), 1)
}

// TestDueDeliveries_turns: of what is due, each source has one in turn, each in its order, whoever has how many: at the front of
// the list there is one of every source, and in no part of it has one fewer than another, but where it has no more.
func TestDueDeliveries_turns(t *testing.T) {
	l, run, n := openLedger(t), 0, 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		pacs, all, left := fmt.Sprint("pacs", run), 0, map[string]int{}
		ctx := context.Background()
		for i, k := range rapid.SliceOfN(rapid.IntRange(1, 12), 1, 5).Draw(t, "backlogs") {
			for range k {
				n++
				r := from(fmt.Sprint("ROOM", i), 10*run+i, n)
				r.Forward = []string{pacs}
				_, err := l.Receive(ctx, []Receipt{r}, r.Seq)
				require.NoError(t, err)
			}
			left[fmt.Sprint("1.2.", 10*run+i)] = k
			all += k
		}
		if rapid.Bool().Draw(t, "behind others") {
			due, err := l.DueDeliveries(ctx, pacs, at(n+1), longest, 100)
			require.NoError(t, err)
			for _, d := range due {
				require.NoError(t, l.Defer(ctx, d.ID, Deferral{Next: at(n + 2), Behind: true}, at(n+1)))
			}
		}
		limit := rapid.IntRange(1, 60).Draw(t, "limit")
		due, err := l.DueDeliveries(ctx, pacs, at(n+3), longest, limit)
		require.NoError(t, err)
		require.Len(t, due, min(limit, all))
		taken, last := map[string]int{}, map[string]int64{}
		for _, d := range due {
			study := string(d.Instance.StudyInstanceUID)
			require.Greater(t, d.ID, last[study])
			last[study] = d.ID
			taken[study]++
			for other, some := range left {
				if taken[other] < some {
					require.LessOrEqual(t, taken[study], taken[other]+1, "%v of %v", taken, left)
				}
			}
		}
	})
}

// BenchmarkLines is what the lines cost beside 20,000 open jobs.
func BenchmarkLines(b *testing.B) {
	l := openLedger(b)
	var all []Receipt
	for n := range 20_000 {
		r := from(fmt.Sprint("ROOM", n%5), n%50, n+1)
		r.Forward = nil
		all = append(all, r)
	}
	for len(all) > 0 {
		receive(b, l, all[:1000]...)
		all = all[1000:]
	}
	for b.Loop() {
		lines, err := l.Lines(b.Context())
		require.NoError(b, err)
		require.Len(b, lines, 5)
	}
}
