package ledger

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"endogate/dicomnode/clock"
)

func setBack(t require.TestingT, l *Ledger, now time.Time) bool {
	some, err := l.BringBack(bg, now)
	require.NoError(t, err)
	return some
}

// TestBringBack_exam: frames came while the clock was a year ahead.
func TestBringBack_exam(t *testing.T) {
	l := openLedger(t)
	r := receipt(1)
	r.At = at(0).Add(365 * 24 * time.Hour)
	receive(t, l, r)
	require.NoError(t, l.FinishJob(t.Context(), job1, testModel, frames(), nil, r.At))
	require.Empty(t, due(t, l, 9))
	require.True(t, setBack(t, l, at(10)))
	require.False(t, setBack(t, l, at(10)), "there is nothing more")
	require.Empty(t, due(t, l, 69), "more may come")
	e := dueOne(t, l, 70)
	require.Equal(t, r.At, e.LastAt, "what was said stays")
	require.NoError(t, l.FinishReport(t.Context(), e, nil, at(70)))
	require.Empty(t, due(t, l, 72))
	var said []What
	for _, e := range study(t, l).Events {
		said = append(said, e.What)
	}
	require.Contains(t, said, EventClockBack)

	open, second := receipt(2), receipt(3)
	open.At, second.At = r.At, r.At
	receive(t, l, open, second)
	require.NoError(t, l.FinishJob(t.Context(), "entry003.demo", testModel, frames(), nil, r.At))
	require.True(t, setBack(t, l, at(100)))
	require.Empty(t, due(t, l, 699))
	dueOne(t, l, 700) // with a job open, after the maximum wait
}

// TestBringBack_waits: in whatever way the clock steps, each wait is over when its time has passed after the last step.
func TestBringBack_waits(t *testing.T) {
	l := openLedger(t)
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		r := receipt(n)
		r.Forward, r.Header.StudyInstanceUID = []string{"pacs"}, r.Header.SOPInstanceUID
		steps := rapid.SliceOfN(rapid.Int64Range(-3e9, 3e9), 1, 6).Draw(t, "steps by seconds")
		waits := rapid.SampledFrom([]string{"due", "deferred", "sent"}).Draw(t, "delivery")
		wait := time.Duration(rapid.Int64Range(1, 7*24*3600).Draw(t, "wait in seconds")) * time.Second
		during := rapid.IntRange(0, len(steps)).Draw(t, "arrives after this many steps")
		now := at(0)
		arrive := func() {
			r.At = now
			_, err := l.Receive(bg, []Receipt{r}, uint64(n))
			require.NoError(t, err)
			require.NoError(t, l.FinishJob(bg, r.ID+".demo", testModel, frames(), nil, now))
			if waits == "due" {
				return
			}
			id := idOfDelivery(t, l, r.ID)
			if waits == "sent" {
				require.NoError(t, l.Sent(bg, id, r.ID, now.Add(wait), Answer{}, now))
				return
			}
			require.NoError(t, l.Defer(bg, id, Deferral{Next: now.Add(wait)}, now))
		}
		for i, by := range steps {
			if i == during {
				arrive()
			}
			now = now.Add(time.Duration(by) * time.Second)
			setBack(t, l, now)
		}
		if during == len(steps) {
			arrive()
		}
		const tolerance = 2 * time.Second
		done := now.Add(wait + tolerance)
		_, err := l.Uncommitted(bg, "pacs", done, ahead)
		require.NoError(t, err)
		ds, err := l.DueDeliveries(bg, "pacs", done, ahead, 1000)
		require.NoError(t, err)
		var entries []string
		for _, d := range ds {
			entries = append(entries, d.Entry)
		}
		require.Contains(t, entries, r.ID)
		require.NoError(t, l.Delivered(bg, idOfDelivery(t, l, r.ID), r.ID, Answer{}, done))

		exams, err := l.DueExams(bg, now.Add(quiet+tolerance), quiet, maxWait)
		require.NoError(t, err)
		require.Len(t, exams, 1)
		require.NoError(t, l.FinishReport(bg, exams[0], nil, now))
	})
}

// ahead is further off than anything waits, so that only the beginning of a wait tells that it is over.
const ahead = 250 * 365 * 24 * time.Hour

func idOfDelivery(t require.TestingT, l *Ledger, entry string) (id int64) {
	require.NoError(t, l.readDB.QueryRowContext(bg, "SELECT id FROM delivery WHERE entry = ?", entry).Scan(&id))
	return id
}

// TestBringBackAges: what was received ahead of the clock is kept no longer than what comes today, and stands behind it.
func TestBringBackAges(t *testing.T) {
	l := openLedger(t)
	r, day := receipt(1), 24*time.Hour
	r.At, r.Models, r.Skip, r.Forward = at(0).Add(365*day), nil, "", []string{"pacs"}
	receive(t, l, r)
	require.NoError(t, l.Delivered(bg, idOfDelivery(t, l, r.ID), r.ID, Answer{}, r.At))
	ids, err := l.Release(bg, at(0).Add(3*day), 10, at(0))
	require.NoError(t, err)
	require.Empty(t, ids)
	some, err := l.BringBackAges(bg, at(0).Add(day))
	require.NoError(t, err)
	require.True(t, some)
	require.Equal(t, at(0).Add(day), study(t, l).LastAt)
	ids, err = l.Release(bg, at(0).Add(day), 10, at(0))
	require.NoError(t, err)
	require.Empty(t, ids, "it is no older than that")
	ids, err = l.Release(bg, at(0).Add(3*day), 10, at(0))
	require.NoError(t, err)
	require.Equal(t, []string{r.ID}, ids)
}

func TestClock_kept(t *testing.T) {
	l := openLedger(t)
	m, err := l.Clock(bg)
	require.NoError(t, err)
	require.Zero(t, m)
	want := clock.Mark{Wall: at(3), Proven: at(2)}
	require.NoError(t, l.KeepClock(bg, want))
	m, err = l.Clock(bg)
	require.NoError(t, err)
	require.Equal(t, want, m)
}

// TestAges: the oldest of each kind, and not what is held or waits for another one.
func TestAges(t *testing.T) {
	l := openLedger(t)
	a, err := l.Ages(bg, []string{"pacs"})
	require.NoError(t, err)
	require.Equal(t, Ages{Jobs: map[string]time.Time{}, Deliveries: map[string]time.Time{}}, a)
	for n := 5; n <= 6; n++ {
		r := receipt(n)
		r.Forward = []string{"pacs"}
		receive(t, l, r)
	}
	require.NoError(t, l.Defer(bg, idOfDelivery(t, l, "entry005"), Deferral{Next: at(500)}, at(20)))
	a, err = l.Ages(bg, []string{"pacs", "archive"})
	require.NoError(t, err)
	require.Equal(t, Ages{Jobs: map[string]time.Time{"demo": at(5)}, Deliveries: map[string]time.Time{"pacs": at(5)}, Exams: at(5)}, a)
	n, err := l.Waiting(bg, "pacs")
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.NoError(t, l.Delivered(bg, idOfDelivery(t, l, "entry005"), "entry005", Answer{}, at(21)))
	require.NoError(t, l.Park(bg, idOfDelivery(t, l, "entry006"), Answer{}, "refused", at(22)))
	_, err = l.Unpark(bg, idOfDelivery(t, l, "entry006"), at(900))
	require.NoError(t, err)
	a, err = l.Ages(bg, []string{"pacs"})
	require.NoError(t, err)
	require.Equal(t, at(900), a.Deliveries["pacs"], "since somebody put it back")
}
