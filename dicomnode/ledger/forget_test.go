package ledger

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/installed"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger/ledgertest"
)

// doneStudy leaves a study with everything that an exam leaves, delivered, reported and released by 2000 s after the start.
func doneStudy(t testing.TB, l *Ledger, n int) {
	t.Helper()
	ctx := context.Background()
	r := receipt(n)
	r.Header.StudyInstanceUID = dicom.UID(fmt.Sprintf("1.2.%d", n))
	r.Forward, r.Destinations = []string{"pacs"}, []string{"pacs"}
	_, err := l.Receive(ctx, []Receipt{r}, r.Seq)
	require.NoError(t, err)
	heatmap, report, twin := object(3*n, "pacs"), object(3*n+1, "pacs"), object(3*n+2)
	heatmap.Digest, report.Digest, twin.Digest = receipt(3*n).Digest, receipt(3*n+1).Digest, receipt(3*n+2).Digest
	report.Alternate = &twin
	require.NoError(t, l.ParkJob(ctx, JobID(r.ID, "demo"), "no memory", at(n)))
	require.NoError(t, l.RetryJob(ctx, JobID(r.ID, "demo"), at(n)))
	require.NoError(t, l.FinishJob(ctx, JobID(r.ID, "demo"), testModel, frames(), []Object{heatmap}, at(n)))
	exams, err := l.DueExams(ctx, at(1000), quiet, maxWait)
	require.NoError(t, err)
	for _, e := range exams {
		require.NoError(t, l.FinishReport(ctx, e, []Object{report}, at(1000)))
	}
	ds, err := l.DueDeliveries(ctx, "pacs", at(1000), longest, 100)
	require.NoError(t, err)
	for _, d := range ds {
		require.NoError(t, l.Delivered(ctx, d.ID, d.Entry, said("0000"), at(1001)))
	}
	ids, err := l.Release(ctx, at(2000), 100, at(2000))
	require.NoError(t, err)
	require.Len(t, ids, 4)
}

// forgetAll forgets, at most limit rows of a table at a time, what nothing has happened in since n seconds after the
// start. It returns in how many transactions.
func forgetAll(t testing.TB, l *Ledger, n, limit int) (times int) {
	t.Helper()
	for more := true; more; times++ {
		var err error
		more, err = l.Forget(context.Background(), at(n), limit, at(9000))
		require.NoError(t, err)
	}
	return times - 1
}

func TestForget(t *testing.T) {
	for _, limit := range []int{1, 3, 1000} {
		l := openLedger(t)
		ctx := t.Context()
		doneStudy(t, l, 1)
		require.Zero(t, forgetAll(t, l, 2000, limit), "the last step was then")
		require.Positive(t, forgetAll(t, l, 2001, limit))
		requireTally(t, l)
		require.Zero(t, forgetAll(t, l, 99999, limit), "once")
		for _, table := range []string{"instance", "job", "span", "object", "delivery"} {
			var n int
			require.NoError(t, l.readDB.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&n))
			require.Zero(t, n, table)
		}
		studies, total, err := l.Studies(ctx, StudyFilter{})
		require.NoError(t, err)
		require.Empty(t, studies)
		require.Zero(t, total)

		d, err := l.Study(ctx, "1.2.1", Page{})
		require.NoError(t, err)
		require.Empty(t, d.PatientID+d.PatientName+d.AccessionNumber+d.StudyDate+d.StudyTime+d.StudyDescription)
		require.Equal(t, []string{"retried"}, steps(d, "1.2.3.1"), "what a person did stays")
		require.Equal(t, []string{"forgotten"}, steps(d, ""))
		require.Equal(t, 1, d.Exams[0].Revision)

		again := receipt(7)
		again.Header, again.Digest, again.At = receipt(1).Header, receipt(1).Digest, at(100_000)
		again.Header.StudyInstanceUID = "1.2.1"
		require.Equal(t, []Verdict{Duplicate}, receive(t, l, again), "sent again years later")
		require.Equal(t, []Verdict{Duplicate}, receive(t, l, again))
		_, total, err = l.Studies(ctx, StudyFilter{})
		require.NoError(t, err)
		require.Zero(t, total)
		d, err = l.Study(ctx, "1.2.1", Page{})
		require.NoError(t, err)
		require.Equal(t, []string{"retried", "duplicate"}, steps(d, "1.2.3.1"), "it leaves a trace")
		require.Equal(t, Actor{ActorPeer, "SCOPE1"}, d.Events[len(d.Events)-1].By)
		other := again
		other.ID, other.Seq, other.Digest = "entry008", 8, receipt(8).Digest
		require.Equal(t, []Verdict{Conflict}, receive(t, l, other), "with other bytes")
		requireTally(t, l)
	}
}

// TestForget_comesBack: a late frame of a study that is forgotten starts its next revision, and no UID that was given
// gets other content.
func TestForget_comesBack(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	doneStudy(t, l, 1)
	forgetAll(t, l, 2001, 1000)
	late := receipt(9)
	late.Header.StudyInstanceUID = "1.2.1"
	require.Equal(t, []Verdict{New}, receive(t, l, late))
	studies, _, err := l.Studies(ctx, StudyFilter{PatientID: "P1"})
	require.NoError(t, err)
	require.Len(t, studies, 1)
	require.Equal(t, 1, studies[0].Instances)
	o := object(3) // its UID was a heatmap's
	o.Digest = "other"
	require.ErrorIs(t, l.FinishJob(ctx, "entry009.demo", testModel, frames(), []Object{o}, at(3000)), ErrOtherContent)
	o.Digest = receipt(3).Digest
	require.NoError(t, l.FinishJob(ctx, "entry009.demo", testModel, frames(), []Object{o}, at(3000)))
	e := dueOne(t, l, 4000)
	require.Equal(t, 2, e.Revision)
	requireTally(t, l)
}

// TestForget_nobodyWorkedOn: what is forgotten and nobody ever had is not taken for done when it is sent again.
func TestForget_nobodyWorkedOn(t *testing.T) {
	unrouted := receipt(1)
	unrouted.Route, unrouted.Models, unrouted.Skip = "", nil, "no route matches"
	forwarded := receipt(1)
	forwarded.Models, forwarded.Forward = nil, []string{"pacs"}
	discardJob := func(l *Ledger) error {
		return errors.Join(l.ParkJob(t.Context(), job1, "no", at(2)), l.DiscardJob(t.Context(), job1, at(2)))
	}
	for _, c := range []struct {
		name   string
		first  Receipt
		end    func(l *Ledger) error
		worked bool
	}{
		{"matched no route", unrouted, func(l *Ledger) error { return l.DiscardInstance(t.Context(), "entry001", at(2)) }, false},
		{"job discarded", receipt(1), discardJob, false},
		{"not analysed", receipt(1), func(l *Ledger) error { return l.SkipJob(t.Context(), job1, "no decoder", at(2)) }, false},
		{"delivery discarded", forwarded, func(l *Ledger) error { return l.Discard(t.Context(), 1, at(2)) }, false},
		{"analysed", receipt(1), func(l *Ledger) error { return l.FinishJob(t.Context(), job1, testModel, frames(), nil, at(2)) }, true},
		{"forwarded", forwarded, func(l *Ledger) error { return l.Delivered(t.Context(), 1, "entry001", said("0000"), at(2)) }, true},
	} {
		for _, limit := range []int{1, 1000} {
			t.Run(c.name, func(t *testing.T) {
				l := openLedger(t)
				receive(t, l, c.first)
				require.NoError(t, c.end(l))
				for _, e := range due(t, l, 1000) {
					require.NoError(t, l.FinishReport(t.Context(), e, nil, at(1000)))
				}
				require.Equal(t, []string{"entry001"}, releasable(t, l, 1000))
				markReleased(t, l, 1001, "entry001")
				require.Positive(t, forgetAll(t, l, 2000, limit))
				want, jobs := New, 1
				if c.worked {
					want, jobs = Duplicate, 0
				}
				require.Equal(t, []Verdict{want}, receive(t, l, as(receipt(1), 2)))
				open, err := l.OpenJobs(t.Context(), "", 10)
				require.NoError(t, err)
				require.Len(t, open, jobs)
				requireTally(t, l)
			})
		}
	}
}

// TestForget_conflict: of two data sets with one UID, only the one that was worked on is known.
func TestForget_conflict(t *testing.T) {
	l := openLedger(t)
	other := as(receipt(1), 2)
	other.Digest = receipt(9).Digest
	require.Equal(t, []Verdict{New, Conflict}, receive(t, l, receipt(1), other))
	require.NoError(t, l.FinishJob(t.Context(), job1, testModel, frames(), nil, at(3)))
	require.NoError(t, l.DiscardInstance(t.Context(), "entry002", at(3)))
	require.NoError(t, l.FinishReport(t.Context(), dueOne(t, l, 1000), nil, at(1000)))
	markReleased(t, l, 1001, "entry001", "entry002")
	require.Positive(t, forgetAll(t, l, 2000, 1000))
	again := as(other, 3)
	require.Equal(t, []Verdict{Conflict}, receive(t, l, again), "it waits for a person again")
	require.Empty(t, releasable(t, l, 3000))
	require.Equal(t, []Verdict{Duplicate}, receive(t, l, as(receipt(1), 4)))
}

func TestForget_notBefore(t *testing.T) {
	for name, keep := range map[string]func(l *Ledger) error{
		"parked": func(l *Ledger) error {
			r := receipt(9)
			r.Header.StudyInstanceUID = "1.2.1"
			_, err := l.Receive(t.Context(), []Receipt{r}, 9)
			if err == nil {
				err = l.ParkJob(t.Context(), "entry009.demo", "no", at(9))
			}
			return err
		},
		"held": func(l *Ledger) error {
			r := receipt(9)
			r.Header.StudyInstanceUID, r.Models = "1.2.1", nil
			_, err := l.Receive(t.Context(), []Receipt{r}, 9)
			return err
		},
		"a step since": func(l *Ledger) error {
			return l.write(t.Context(), func(t *tx) error { return t.event(event{study: 1, what: EventDiscarded, at: at(4000)}) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := openLedger(t)
			doneStudy(t, l, 1)
			require.NoError(t, keep(l))
			require.Zero(t, forgetAll(t, l, 3000, 1000))
		})
	}
}

// TestForget_room: the file has room again for as much as is forgotten. What stays of a study is small.
func TestForget_room(t *testing.T) {
	l := openLedger(t)
	n := 0
	grows := func(forget bool) int {
		var before, after int
		require.NoError(t, l.readDB.QueryRowContext(t.Context(), "PRAGMA page_count").Scan(&before))
		for range 40 {
			n++
			doneStudy(t, l, n)
		}
		if forget {
			forgetAll(t, l, 2001, 1000)
		}
		require.NoError(t, l.readDB.QueryRowContext(t.Context(), "PRAGMA page_count").Scan(&after))
		return after - before
	}
	grows(true)
	grows(true)
	kept := grows(true)
	grows(false) // into the room that there is
	all := grows(false)
	require.Less(t, kept*5, all, "%d pages stay of %d", kept, all)
}

// TestForget_page: the page of what was signed is kept, however short the retention of bytes is, until the study is forgotten.
func TestForget_page(t *testing.T) {
	for _, limit := range []int{1, 1000} {
		l, ctx := openLedger(t), t.Context()
		doneStudy(t, l, 1)
		signed := draft(1, 1)
		signed.Study, signed.Standing = "1.2.1", "signed"
		require.NoError(t, l.PutDraft(ctx, signed, nil, []Outgoing{{Kind: "pdf", Entry: "page", Purpose: PurposePage}}))
		other := draft(1, 2)
		other.Study = "1.2.1"
		require.NoError(t, l.PutDraft(ctx, other, nil, nil))
		d, err := l.Draft(ctx, "1.2.1", 1, 1)
		require.NoError(t, err)
		require.Equal(t, "page", d.Page)
		entries := func() []string {
			ids, err := l.Release(ctx, at(50_000), 100, at(50_000))
			require.NoError(t, err)
			return ids
		}
		require.Empty(t, entries())
		needed, err := l.Needed(ctx, []string{"page"})
		require.NoError(t, err)
		require.True(t, needed["page"], "at the next start, too")
		require.Positive(t, forgetAll(t, l, 99_999, limit))
		require.Equal(t, []string{"page"}, entries())
		requireTally(t, l)
	}
}

// TestForget_atSize forgets a past of many studies, one of them large, a bounded number of rows at a time, between which others
// write. The file uses the room again.
func TestForget_atSize(t *testing.T) {
	const limit = 50
	path := filepath.Join(t.TempDir(), "ledger.db")
	l, err := Open(path)
	require.NoError(t, err)
	analysed := func(first, n int, study dicom.UID) {
		var all []Receipt
		for i := range n {
			r := receipt(first + i)
			r.Header.StudyInstanceUID = study
			all = append(all, r)
		}
		receive(t, l, all...)
		for i, r := range all {
			heatmap := object(first + i)
			heatmap.Digest = r.Digest
			require.NoError(t, l.FinishJob(t.Context(), JobID(r.ID, "demo"), testModel, frames(), []Object{heatmap}, at(first)))
		}
	}
	settled := func() {
		exams, err := l.DueExams(t.Context(), at(1_000_000), quiet, maxWait)
		require.NoError(t, err)
		for _, e := range exams {
			require.NoError(t, l.FinishReport(t.Context(), e, nil, at(9_000)))
		}
		for {
			ids, err := l.Release(t.Context(), at(10_000), 1000, at(10_000))
			require.NoError(t, err)
			if len(ids) == 0 {
				return
			}
		}
	}
	analysed(1, 10, "1.2.1")
	settled()
	require.NoError(t, l.Close())
	past := installed.Scaled(200, 30_000)
	ledgertest.Multiply(t, path, past, 24*time.Hour)
	l = reopen(t, path)
	problems, err := l.Check(t.Context())
	require.NoError(t, err)
	require.Empty(t, problems, "what was made is a ledger")
	analysed(1000, 20*limit, "1.2.2")
	settled()
	pages := func(pragma string) (n int) {
		require.NoError(t, l.readDB.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&n))
		return n
	}
	full := pages("page_count")

	changed := func() (n int) {
		require.NoError(t, l.write(t.Context(), func(t *tx) error { return t.row("SELECT total_changes()", nil, &n) }))
		return n
	}
	batches := 0
	for more := true; more; batches++ {
		r := receipt(10_000 + batches) // others write between any two
		r.Header.StudyInstanceUID, r.Models, r.At = dicom.UID(fmt.Sprintf("1.3.%d", batches/100)), nil, at(50_000)
		receive(t, l, r)
		before := changed()
		more, err = l.Forget(t.Context(), at(20_000), limit, at(60_000))
		require.NoError(t, err)
		require.Less(t, changed()-before, 40*limit, "rows changed at a time, with those that triggers change")
	}
	require.GreaterOrEqual(t, batches, past+20)
	requireTally(t, l)
	require.LessOrEqual(t, pages("page_count"), full+full/20, "what came in has the room of what was forgotten")
	require.Less(t, pages("page_count")-pages("freelist_count"), full/2)
}
