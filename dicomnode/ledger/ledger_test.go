package ledger

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger/ledgertest"
	"endogate/inference/analysis"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(crashFileEnv); path != "" {
		crashChild(path)
	}
	goleak.VerifyTestMain(explained{m})
}

// start is when the tests' clock begins.
var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// at is n seconds after the start.
func at(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }

// longest is further off than anything the tests defer.
const longest = 365 * 24 * time.Hour

func said(code string) Answer { return Answer{Protocol: "dicom", Code: code} }

func openLedger(t testing.TB) *Ledger {
	t.Helper()
	return reopen(t, filepath.Join(t.TempDir(), "ledger.db"))
}

func reopen(t testing.TB, path string) *Ledger {
	t.Helper()
	l, err := ledgertest.Open(path, Open)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

// receipt is that of instance n, received n seconds after the start.
func receipt(n int) Receipt {
	return Receipt{
		ID: fmt.Sprintf("entry%03d", n), Seq: uint64(n),
		Header: dicom.Header{
			SOPInstance: instance(fmt.Sprintf("1.2.3.%d", n)),
			PatientID:   "P1", PatientName: "Hébert^Zoë", AccessionNumber: "A1", Modality: "ES",
			StudyDate: "20260304", InstanceNumber: n,
		},
		TransferSyntaxUID: dicom.JPEGBaseline8Bit, CallingAE: "SCOPE1", CalledAE: "ENDOGATE",
		At: at(n), Size: 1000, Digest: fmt.Sprintf("%064x", n),
		Route: "endoscopy", Models: []string{"demo"},
	}
}

func instance(uid string) dicom.SOPInstance {
	return dicom.SOPInstance{
		SOPClassUID: "1.2.840.10008.5.1.4.1.1.77.1.1", SOPInstanceUID: dicom.UID(uid),
		SeriesInstanceUID: "1.2.3", StudyInstanceUID: "1.2",
	}
}

func object(n int, destinations ...string) Object {
	return Object{
		Entry: fmt.Sprintf("made%03d", n), Instance: instance(fmt.Sprintf("2.25.%d", n)), Purpose: "heatmap", Model: "demo",
		Source: "1.2.3.1", Span: analysis.Still(1), Rank: RankHeatmap, Destinations: destinations,
	}
}

// testModel made the results of these tests.
var testModel = analysis.Model{Manufacturer: "Maker", Name: "demo", Version: "1.2", Digest: "abcd"}

func frames() []analysis.Result {
	return []analysis.Result{{
		Span: analysis.Still(1), Rows: 576, Columns: 720, Scores: map[string]float64{"polyp": 0.75, "normal": 0.1 + 0.2},
		Notes: []string{"polyp: map has no maximum", "only the first frame is analysed"},
		Findings: []analysis.Finding{{
			Class: "polyp", Probability: 0.75, Threshold: 0.5, Role: "finding", Heatmap: "2.25.1",
			Contours: [][][2]float64{{{0, 0}, {1.5, 0}, {1.5, 2.25}, {0, 0}}},
			Finding:  dicom.Code{Value: "41329004", Scheme: "SCT", Meaning: "Polyp"},
		}},
	}}
}

func receive(t testing.TB, l *Ledger, receipts ...Receipt) []Verdict {
	t.Helper()
	position := uint64(0)
	for _, r := range receipts {
		position = max(position, r.Seq)
	}
	v, err := l.Receive(t.Context(), receipts, position)
	require.NoError(t, err)
	require.Len(t, v, len(receipts))
	return v
}

func study(t testing.TB, l *Ledger) StudyDetail {
	t.Helper()
	d, err := l.Study(t.Context(), "1.2", Page{})
	require.NoError(t, err)
	return d
}

// steps lists what happened to uid, with counts above one.
func steps(d StudyDetail, uid dicom.UID) []string {
	var all []string
	for _, e := range d.Events {
		if e.SOPInstanceUID != uid {
			continue
		}
		s := string(e.What)
		if e.Count > 1 {
			s += fmt.Sprintf(" x%d", e.Count)
		}
		all = append(all, s)
	}
	return all
}

func TestLifecycle(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	r := receipt(1)
	r.Forward, r.Destinations = []string{"archive"}, []string{"archive", "pacs"}
	require.Equal(t, []Verdict{New}, receive(t, l, r))
	p, err := l.Position(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, p)

	jobs, err := l.OpenJobs(ctx, "", 10)
	require.NoError(t, err)
	require.Equal(t, []Job{{
		ID: "entry001.demo", Entry: "entry001", Model: "demo", Instance: r.Header.SOPInstance, Route: "endoscopy", State: JobOpen, Priority: Routine,
		Destinations: r.Destinations, Size: r.Size, ReceivedAt: r.At,
	}}, jobs)
	j, err := l.StartJob(ctx, jobs[0].ID, at(2))
	require.NoError(t, err)
	require.Equal(t, 1, j.Attempts)
	require.Equal(t, at(2), j.InferredAt)
	require.NoError(t, l.FinishJob(ctx, j.ID, testModel, frames(), []Object{object(1, "pacs", "archive")}, at(3)))

	exams, err := l.DueExams(ctx, at(60), 60*time.Second, time.Hour)
	require.NoError(t, err)
	require.Empty(t, exams)
	exams, err = l.DueExams(ctx, at(61), 60*time.Second, time.Hour)
	require.NoError(t, err)
	require.Len(t, exams, 1)
	require.Equal(t, 1, exams[0].Revision)
	results, err := l.ExamResults(ctx, exams[0])
	require.NoError(t, err)
	require.Equal(t, []ExamResult{{
		Entry: "entry001", Instance: r.Header.SOPInstance, Header: r.Header, TransferSyntaxUID: dicom.JPEGBaseline8Bit,
		InferredAt: at(2), MadeBy: testModel, Order: 2, Results: frames(), Heatmaps: []dicom.SOPInstance{instance("2.25.1")},
	}}, results)
	sr := object(2, "pacs")
	sr.Purpose, sr.Rank, sr.Revision, sr.Source, sr.Span = "sr", RankSR, 1, "", analysis.Span{}
	twin := object(3)
	sr.Alternate = &twin
	require.NoError(t, l.FinishReport(ctx, exams[0], []Object{sr}, at(62)))

	due, err := l.DueDeliveries(ctx, "pacs", at(62), longest, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"heatmap", "sr"}, purposes(due))
	require.Equal(t, "made003", due[1].Alternate)
	require.NoError(t, l.Delivered(ctx, due[0].ID, "made001", said("0000"), at(63)))
	require.NoError(t, l.Delivered(ctx, due[1].ID, "made003", said("B000"), at(63)))
	due, err = l.DueDeliveries(ctx, "archive", at(62), longest, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"source", "heatmap"}, purposes(due))
	for _, d := range due {
		require.NoError(t, l.Delivered(ctx, d.ID, d.Entry, said("0000"), at(64)))
	}

	d := study(t, l)
	require.Equal(t, StudyDone, d.Status)
	require.Equal(t, []string{"received", "queued", "analysed", "delivered"}, steps(d, "1.2.3.1"))
	require.Equal(t, []string{"made", "delivered", "delivered"}, steps(d, "2.25.1"))
	require.Equal(t, []string{"made", "delivered"}, steps(d, "2.25.2"))
	require.Equal(t, []string{"reported"}, steps(d, ""))
	require.Equal(t, frames(), d.InstanceViews[0].Jobs[0].Results)
	require.Equal(t, InstanceAnalysed, d.InstanceViews[0].State)

	ids := releasable(t, l, 1000)
	require.Equal(t, []string{"entry001", "made001", "made002", "made003"}, ids)
	needed, err := l.Needed(ctx, append(ids, "unknown"))
	require.NoError(t, err)
	require.Len(t, needed, 4)
	released, err := l.Release(ctx, at(1000), 10, at(1001))
	require.NoError(t, err)
	require.Equal(t, ids, released)
	needed, err = l.Needed(ctx, ids)
	require.NoError(t, err)
	require.Empty(t, needed)
	require.Empty(t, releasable(t, l, 1000))
	requireTally(t, l)
}

// releasable lists what Release would release of what was received or made before n seconds after the start.
func releasable(t testing.TB, l *Ledger, n int) (ids []string) {
	t.Helper()
	require.NoError(t, l.write(t.Context(), func(t *tx) (err error) {
		ids, err = t.releasable(at(n), 1000)
		return err
	}))
	return ids
}

// markReleased has the entries ids released, whoever needs them.
func markReleased(t testing.TB, l *Ledger, n int, ids ...string) {
	t.Helper()
	for _, id := range ids {
		require.NoError(t, l.write(t.Context(), func(t *tx) error { return t.markReleased(id, at(n)) }))
	}
}

func purposes(ds []Delivery) []string {
	var all []string
	for _, d := range ds {
		all = append(all, d.Purpose)
	}
	return all
}

// requireTally compares every counter that a trigger keeps with what it counts.
func requireTally(t require.TestingT, l *Ledger) {
	for _, check := range []string{
		`SELECT count(*) FROM (
			SELECT 'instance', '', state, count(*) FROM instance GROUP BY state
			UNION SELECT 'job', model, state, count(*) FROM job GROUP BY model, state
			UNION SELECT 'exam', model, state, count(*) FROM exam GROUP BY model, state
			UNION SELECT 'delivery', destination, state, count(*) FROM delivery GROUP BY destination, state
			EXCEPT SELECT * FROM tally)`,
		`SELECT abs((SELECT coalesce(sum(n), 0) FROM tally WHERE kind IN ('instance', 'job', 'exam', 'delivery')) - (SELECT count(*) FROM instance) - (SELECT count(*) FROM job)
			- (SELECT count(*) FROM exam) - (SELECT count(*) FROM delivery))`,
		`SELECT count(*) FROM study s WHERE
			instances <> (SELECT count(*) FROM instance WHERE study = s.id)
			OR conflicts <> (SELECT count(*) FROM instance WHERE study = s.id AND state = 'conflict')
			OR open <> (SELECT count(*) FROM job WHERE study = s.id AND state = 'open')
				+ (SELECT count(*) FROM exam WHERE study = s.id AND state = 'open')
				+ (SELECT count(*) FROM delivery WHERE study = s.id AND state IN ('pending', 'sent'))
			OR parked <> (SELECT count(*) FROM job WHERE study = s.id AND state = 'parked')
				+ (SELECT count(*) FROM exam WHERE study = s.id AND state = 'parked')
				+ (SELECT count(*) FROM delivery WHERE study = s.id AND state = 'parked')
				+ (SELECT count(*) FROM instance WHERE study = s.id AND held = 1)
			OR flagged <> (SELECT count(DISTINCT j.instance || ' ' || r.first) FROM job j JOIN span r ON r.job = j.id, json_each(r.findings)
				WHERE j.study = s.id AND j.retracted = '' AND value ->> 'role' = 'finding')
			OR forgotten_at IS NULL AND modality <> coalesce((SELECT max(header ->> 'modality') FROM instance WHERE study = s.id), '')
			OR unanalysed <> (SELECT count(*) FROM instance WHERE study = s.id AND state IN ('failed', 'not-analysed'))`,
		`SELECT count(*) FROM (SELECT status, count(*) FROM study WHERE forgotten_at IS NULL GROUP BY status
			EXCEPT SELECT state, n FROM tally WHERE kind = 'study')`,
		"SELECT abs((SELECT coalesce(sum(n), 0) FROM tally WHERE kind = 'study') - (SELECT count(*) FROM study WHERE forgotten_at IS NULL))",
		"SELECT abs((SELECT studies FROM meta) - (SELECT count(*) FROM study WHERE forgotten_at IS NULL))",
		`SELECT count(*) FROM exam e WHERE open_jobs <> (SELECT count(*) FROM job WHERE exam = e.id AND state = 'open')
			OR covered > version OR results > version
			OR (state = 'open' AND version = covered) OR (state = 'reported' AND version <> covered)`,
	} {
		var wrong int
		require.NoError(t, l.readDB.QueryRowContext(context.Background(), check).Scan(&wrong))
		require.Zero(t, wrong, check)
	}
}
