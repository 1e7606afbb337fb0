package ledger

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func equal(a, b StudyDetail) bool { return reflect.DeepEqual(a, b) }

const (
	quiet   = 60 * time.Second
	maxWait = 600 * time.Second
)

func due(t testing.TB, l *Ledger, now int) []Exam {
	t.Helper()
	exams, err := l.DueExams(t.Context(), at(now), quiet, maxWait)
	require.NoError(t, err)
	return exams
}

// dueOne returns the one exam that is due.
func dueOne(t testing.TB, l *Ledger, now int) Exam {
	t.Helper()
	exams := due(t, l, now)
	require.Len(t, exams, 1)
	return exams[0]
}

func results(t testing.TB, l *Ledger, e Exam) []ExamResult {
	t.Helper()
	rs, err := l.ExamResults(t.Context(), e)
	require.NoError(t, err)
	return rs
}

func TestDueExams_quiet(t *testing.T) {
	l := openLedger(t)
	receive(t, l, receipt(1))
	receive(t, l, receipt(30))
	require.NoError(t, l.FinishJob(t.Context(), job1, testModel, frames(), nil, at(31)))
	require.Empty(t, due(t, l, 500), "a job is open")
	require.NoError(t, l.FinishJob(t.Context(), "entry030.demo", testModel, frames(), nil, at(32)))
	require.Empty(t, due(t, l, 89))
	e := dueOne(t, l, 90)
	require.Equal(t, 1, e.Revision)
	require.Equal(t, at(1), e.FirstAt)
	require.Equal(t, at(30), e.LastAt)
	require.NoError(t, l.FinishReport(t.Context(), e, nil, at(90)))
	require.Empty(t, due(t, l, 1<<20))
}

func TestDueExams_maxWait(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	receive(t, l, receipt(1), receipt(2))
	require.Empty(t, due(t, l, 5000), "nothing to report yet")
	require.NoError(t, l.FinishJob(ctx, job1, testModel, frames(), nil, at(3)))
	require.Empty(t, due(t, l, 600))
	e := dueOne(t, l, 601)
	require.Len(t, results(t, l, e), 1, "the open job is not among the results")
	require.NoError(t, l.FinishReport(ctx, e, nil, at(601)))
	require.Empty(t, due(t, l, 5000))

	require.NoError(t, l.FinishJob(ctx, "entry002.demo", testModel, frames(), nil, at(700)))
	e = dueOne(t, l, 700)
	require.Equal(t, 2, e.Revision)
	require.Len(t, results(t, l, e), 2)
}

func TestDueExams_lateFrame(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	receive(t, l, receipt(1))
	require.NoError(t, l.FinishJob(ctx, job1, testModel, frames(), nil, at(2)))
	require.NoError(t, l.FinishReport(ctx, dueOne(t, l, 61), []Object{object(1, "pacs")}, at(61)))

	receive(t, l, receipt(100))
	require.Empty(t, due(t, l, 161))
	require.NoError(t, l.FinishJob(ctx, "entry100.demo", testModel, frames(), nil, at(101)))
	require.Empty(t, due(t, l, 159), "quiet time counts anew")
	e := dueOne(t, l, 160)
	require.Equal(t, 2, e.Revision)
	require.Len(t, results(t, l, e), 2)
}

func TestDueExams_lateFramesWaitFromTheirArrival(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	receive(t, l, receipt(1))
	require.NoError(t, l.FinishJob(ctx, job1, testModel, frames(), nil, at(2)))
	require.NoError(t, l.FinishReport(ctx, dueOne(t, l, 61), nil, at(61)))
	receive(t, l, receipt(500))
	receive(t, l, receipt(501))
	require.NoError(t, l.FinishJob(ctx, "entry500.demo", testModel, frames(), nil, at(502)))
	require.Empty(t, due(t, l, 1099))
	require.Equal(t, 2, dueOne(t, l, 1100).Revision)
}

func TestDueExams_onlyFailures(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	receive(t, l, receipt(1), skipped(receipt(2)))
	require.NoError(t, l.ParkJob(ctx, job1, "cannot decode", at(3)))
	e := dueOne(t, l, 62)
	rs := results(t, l, e)
	require.Len(t, rs, 2)
	require.Equal(t, "cannot decode", rs[0].Failed)
	require.Equal(t, "no frames", rs[1].Failed)
	require.Empty(t, rs[0].Results)
	require.NoError(t, l.FinishReport(ctx, e, nil, at(62)))

	require.NoError(t, l.RetryJob(ctx, job1, at(70)))
	require.Empty(t, due(t, l, 5000))
	require.NoError(t, l.FinishJob(ctx, job1, testModel, frames(), nil, at(71)))
	e = dueOne(t, l, 71)
	require.Equal(t, 2, e.Revision)
	require.Empty(t, results(t, l, e)[0].Failed)
}

func TestDueExams_onlySkipped(t *testing.T) {
	l := openLedger(t)
	receive(t, l, skipped(receipt(1)), receipt(2))
	require.NoError(t, l.SkipJob(t.Context(), "entry002.demo", "no decoder", at(3)))
	require.Len(t, results(t, l, dueOne(t, l, 62)), 2)
	require.Equal(t, "no frames", results(t, l, dueOne(t, l, 62))[0].Failed)
}

func TestExamResults_order(t *testing.T) {
	l := openLedger(t)
	for i, number := range []int{3, 1, 2, 1} {
		r := receipt(i + 1)
		r.Header.InstanceNumber = number
		receive(t, l, r)
		require.NoError(t, l.FinishJob(t.Context(), r.ID+".demo", testModel, nil, nil, at(9)))
	}
	var got []string
	for _, r := range results(t, l, dueOne(t, l, 100)) {
		got = append(got, r.Entry)
	}
	require.Equal(t, []string{"entry002", "entry004", "entry003", "entry001"}, got)
}

func TestFinishReport_onlyWhatItSaw(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	receive(t, l, receipt(1))
	require.NoError(t, l.FinishJob(ctx, job1, testModel, frames(), nil, at(2)))
	e := dueOne(t, l, 61)

	receive(t, l, receipt(62))
	require.NoError(t, l.FinishJob(ctx, "entry062.demo", testModel, frames(), nil, at(63)))
	require.Len(t, results(t, l, e), 1, "as of when the exam was due")
	require.NoError(t, l.FinishReport(ctx, e, []Object{object(1, "pacs")}, at(64)))
	require.NoError(t, l.FinishReport(ctx, e, []Object{object(2, "pacs")}, at(65)), "a second time changes nothing")
	require.Len(t, study(t, l).Objects, 1)

	next := dueOne(t, l, 122)
	require.Equal(t, 2, next.Revision)
	require.Len(t, results(t, l, next), 2)
	next.Revision = 3
	require.ErrorIs(t, l.FinishReport(ctx, next, nil, at(123)), ErrState)
	require.ErrorIs(t, l.FinishReport(ctx, Exam{ID: 99, Revision: 1}, nil, at(123)), ErrNotFound)
}

func TestParkExam(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	receive(t, l, receipt(1))
	require.NoError(t, l.FinishJob(ctx, job1, testModel, frames(), nil, at(2)))
	e := dueOne(t, l, 61)
	require.NoError(t, l.ParkExam(ctx, e, "the report breaks a rule", at(61)))
	require.Empty(t, due(t, l, 5000))
	p, _, err := l.Parked(ctx, ParkedFilter{})
	require.NoError(t, err)
	require.Len(t, p.Exams, 1)
	require.Equal(t, "the report breaks a rule", p.Exams[0].Reason)
	require.Equal(t, StudyParked, study(t, l).Status)

	require.NoError(t, l.RetryExam(ctx, e.ID, at(70)))
	require.NoError(t, l.RetryExam(ctx, e.ID, at(70)))
	require.ErrorIs(t, l.RetryExam(ctx, 99, at(70)), ErrNotFound)
	e = dueOne(t, l, 70)
	require.NoError(t, l.ParkExam(ctx, e, "again", at(71)))
	receive(t, l, receipt(80))
	require.NoError(t, l.FinishJob(ctx, "entry080.demo", testModel, frames(), nil, at(81)))
	require.NoError(t, l.ParkExam(ctx, e, "too late", at(82)), "something has come since")
	e = dueOne(t, l, 140)
	require.Equal(t, 1, e.Revision)
	requireTally(t, l)
}

func TestExams_byRouteAndModel(t *testing.T) {
	l := openLedger(t)
	a, b := receipt(1), receipt(2)
	a.Models = []string{"demo", "other"}
	b.Route = "second"
	receive(t, l, a, b)
	for _, id := range []string{"entry001.demo", "entry001.other", "entry002.demo"} {
		require.NoError(t, l.FinishJob(t.Context(), id, testModel, nil, nil, at(3)))
	}
	exams := due(t, l, 100)
	require.Len(t, exams, 3)
	for _, e := range exams {
		require.Len(t, results(t, l, e), 1)
	}
}
