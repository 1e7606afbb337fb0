package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// memoryJournal is a journal that outlives the ledger of a test.
type memoryJournal struct {
	all    []Appended
	broken error
}

func (j *memoryJournal) Append(actions []byte) (uint64, error) {
	if j.broken != nil {
		return 0, j.broken
	}
	seq := uint64(3 * (len(j.all) + 1)) // there are other entries between
	j.all = append(j.all, Appended{seq, append([]byte(nil), actions...)})
	return seq, nil
}

func (j *memoryJournal) After(after uint64) iter.Seq2[Appended, error] {
	return func(yield func(Appended, error) bool) {
		for _, a := range j.all {
			if a.Seq > after && !yield(a, nil) {
				return
			}
		}
	}
}

// dump returns all rows of all tables.
func dump(t require.TestingT, l *Ledger) string {
	var out strings.Builder
	rows, err := l.readDB.Query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
	require.NoError(t, err)
	tables, err := scanAll(rows, scanString)
	require.NoError(t, err)
	for _, table := range tables {
		rows, err := l.readDB.Query("SELECT * FROM " + table + " ORDER BY 1, 2")
		require.NoError(t, err)
		columns, err := rows.Columns()
		require.NoError(t, err)
		for rows.Next() {
			values := make([]any, len(columns))
			into := make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			require.NoError(t, rows.Scan(into...))
			fmt.Fprintln(&out, table, values)
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
	}
	return out.String()
}

func keep(t testing.TB, path string, j Journal) (*Ledger, int) {
	t.Helper()
	l := reopen(t, path)
	done, err := l.Keep(t.Context(), j)
	require.NoError(t, err)
	return l, done
}

// TestJournal_everyAction does each of the actions, and has them done again in a new ledger.
func TestJournal_everyAction(t *testing.T) {
	j := &memoryJournal{}
	l, done := keep(t, filepath.Join(t.TempDir(), "ledger.db"), j)
	require.Zero(t, done)
	ctx := t.Context()
	person := By(ctx, Actor{Kind: ActorPerson})
	_, _, err := l.ReconcileDestinations(ctx, []string{"pacs", "archive"}, at(0))
	require.NoError(t, err)
	require.NoError(t, l.SetNotify(ctx, Notify{
		Urgent: []Urgency{{Class: "polyp", Threshold: 0.7, Frames: 1}},
		Rules:  []NotifyRule{{Name: "oncall", On: OnUrgent, To: []string{"pager"}}, {Name: "missed", On: OnReview, To: []string{"archive"}}},
	}, at(0)))
	first, second, third := receipt(1), receipt(2), receipt(3)
	first.Forward, second.Forward = []string{"pacs", "archive", "gone"}, []string{"pacs"}
	third.Models, third.Skip = nil, "no route matches"
	receive(t, l, first, second, third)
	lost := as(first, 4)
	lost.Kept = func(string) bool { return false }
	require.Equal(t, []Verdict{Restored}, receive(t, l, lost))
	require.NoError(t, l.Refuse(ctx, []string{"entry005"}, "cannot be read", 5, at(5)))
	require.NoError(t, l.Need(ctx, "entry006", "draft", at(5)))
	require.NoError(t, l.Unneed(ctx, "entry006", "draft", at(5)))
	_, err = l.StartJob(ctx, "entry004.demo", at(6))
	require.NoError(t, err)
	require.NoError(t, l.UnstartJob(ctx, "entry004.demo"))
	require.NoError(t, l.FinishJob(ctx, "entry004.demo", testModel, frames(), []Object{object(1, "pacs")}, at(7)))
	require.NoError(t, l.ParkJob(ctx, "entry002.demo", "it ends the process", at(8)))
	require.NoError(t, l.RetryJob(person, "entry002.demo", at(9)))
	require.NoError(t, l.ParkJob(ctx, "entry002.demo", "it ends the process", at(10)))
	require.NoError(t, l.DiscardJob(person, "entry002.demo", at(11)))
	require.ErrorIs(t, l.RetryJob(person, "entry002.demo", at(11)), ErrState)
	require.NoError(t, l.DiscardInstance(person, "entry003", at(12)))
	exams, err := l.DueExams(ctx, at(1000), 0, 0)
	require.NoError(t, err)
	require.Len(t, exams, 1)
	require.NoError(t, l.ParkExam(ctx, exams[0], "no UID", at(13)))
	require.NoError(t, l.RetryExam(person, exams[0].ID, at(14)))
	require.NoError(t, l.FinishReport(ctx, exams[0], []Object{object(2, "pacs", "archive")}, at(15)))
	due, err := l.DueDeliveries(ctx, "pacs", at(1000), longest, 10)
	require.NoError(t, err)
	require.Len(t, due, 4)
	require.NoError(t, l.Delivered(ctx, due[0].ID, due[0].Entry, said("0000"), at(16)))
	require.NoError(t, l.Defer(ctx, due[1].ID, Deferral{Next: at(20), Behind: true, Answer: said("a700"), Reason: "full"}, at(17)))
	require.NoError(t, l.Park(ctx, due[2].ID, said("a900"), "refused", at(18)))
	_, err = l.Unpark(person, due[2].ID, at(19))
	require.NoError(t, err)
	require.NoError(t, l.Sent(ctx, due[3].ID, due[3].Entry, at(20), said("0000"), at(19)))
	n, err := l.Uncommitted(ctx, "pacs", at(21), longest)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.NoError(t, l.Discard(person, due[3].ID, at(22)))
	_, err = l.RetryDeliveries(person, "archive", at(23))
	require.NoError(t, err)
	require.NoError(t, l.ParkLost(ctx, []string{due[1].Entry}, at(24)))
	for _, back := range []func(context.Context, time.Time) (bool, error){l.BringBack, l.BringBackAges} {
		some, err := back(ctx, at(0))
		require.NoError(t, err)
		require.True(t, some)
	}
	ids, err := l.Release(ctx, at(100), 100, at(101))
	require.NoError(t, err)
	require.NotEmpty(t, ids)

	require.NoError(t, l.SettleDraft(ctx, "1.2", dueDraft(t, l).Version, "a template has no end", at(101)))
	require.NoError(t, l.RetryDraft(person, "1.2", at(101)))
	require.NoError(t, l.RemakeReport(ctx, exams[0], []Object{object(2)}, at(101)))
	require.NoError(t, l.RemakeDraft(ctx, LostReport{"1.2", 1, 1}, nil, LostBytes, at(101)))
	d := draft(1, 1)
	d.Basis.Desk, d.Document, d.Edit = dueDraft(t, l).Version, json.RawMessage(` { "title" : "<polyp>" } `), json.RawMessage("[ 1 ]")
	require.NoError(t, l.PutDraft(ctx, d, []Agreement{{Finding: "2.25.7", Model: "demo", Class: "polyp", Decision: Accept}}, []Outgoing{
		{Kind: KindHL7, Entry: "oru001", Purpose: "oru", Destination: "archive", After: "sr001", Until: at(4000)},
		{
			Kind: KindDICOM, Entry: "sr001", Digest: "12", Purpose: "sr", Instance: instance("2.25.70"), Destination: "pacs",
			Alternate: &Outgoing{Kind: KindDICOM, Entry: "sr002", Digest: "13", Instance: instance("2.25.71")},
		},
	}))

	signed := draft(1, 2)
	signed.Event, signed.Standing = DraftSigned, "signed"
	require.NoError(t, l.PutDraft(person, signed, nil, []Outgoing{{Kind: KindFHIR, Entry: "bundle2", Purpose: "bundle", Destination: "archive"}}))

	skipped := receipt(7)
	receive(t, l, skipped)
	require.NoError(t, l.SkipJob(ctx, "entry007.demo", "nothing here decodes it", at(102)))
	unrouted := receipt(9)
	unrouted.Header.StudyInstanceUID, unrouted.Route, unrouted.Models, unrouted.Forward, unrouted.Skip = "1.8", "", nil, nil, "no route matches"
	receive(t, l, unrouted)
	left, err := l.LeftOut(ctx, at(9), at(0), "beyond the bounds", nil, 0, 100)
	require.NoError(t, err)
	for i := range left {
		require.Positive(t, left[i].After)
		left[i].After = 0
	}
	require.Contains(t, left, LeftOut{Entry: "entry007", SOPInstanceUID: "1.2.3.7", Job: "entry007.demo", Model: "demo", Reason: "nothing here decodes it", Old: true})
	require.Contains(t, left, LeftOut{Entry: "entry009", SOPInstanceUID: "1.2.3.9", Reason: "no route matches"})
	require.Len(t, left, 2, "not what a person has discarded")
	unrouted.Route, unrouted.Models, unrouted.Forward, unrouted.Skip, unrouted.At = "endoscopy", []string{"demo"}, []string{"pacs"}, "", at(103)
	require.NoError(t, l.TakeUp(ctx, unrouted))
	require.ErrorIs(t, l.TakeUp(ctx, unrouted), ErrState)
	unknown := unrouted
	unknown.ID = "unknown"
	require.ErrorIs(t, l.TakeUp(ctx, unknown), ErrNotFound)
	left, err = l.LeftOut(ctx, at(9), at(0), "beyond the bounds", nil, 0, 100)
	require.NoError(t, err)
	require.Len(t, left, 1)

	taken, err := l.TakeMessage(ctx, inbound("c1", OrderChange{Patch: patch(Order{Accession: "A9", StudyInstanceUID: "1.2"})}))
	require.NoError(t, err)
	require.Len(t, taken.Changed, 1)
	entries, err := l.ReleaseMessages(ctx, at(1000), 10, at(1000))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	_, err = l.TakeMessage(ctx, inbound("c2", OrderChange{Patch: patch(Order{Accession: "A10"})}))
	require.NoError(t, err)
	more, err := l.ForgetMessages(ctx, at(1000), 10, at(1000))
	require.NoError(t, err)
	require.True(t, more)

	change := PatientChange{Person: Person{Identifier: Identifier{"P9", "HOSP"}, Name: "Other^One"}, Prior: []Identifier{{"P8", "HOSP"}}}
	adt := inbound("c3", OrderChange{Patch: patch(Order{Accession: "A9", StudyInstanceUID: "1.2", Patient: change.Person})})
	adt.Patients = []PatientChange{change}
	_, err = l.TakeMessage(ctx, adt)
	require.NoError(t, err)
	require.NoError(t, l.ReleaseGate(person, "1.2", "looked at", at(500)))
	require.NoError(t, l.CorrectGate(person, "1.2", Correction{Patient: Person{Identifier: Identifier{"P8", "HOSP"}}, Reason: "wrong worklist entry"}, at(501)))
	stale, err := l.Stale(ctx, 10)
	require.NoError(t, err)
	require.Len(t, stale, 1)
	require.NoError(t, l.Readdress(ctx, stale[0].ID, Outgoing{Entry: "bundle3"}, change.Person, at(501)))
	sent := object(9)
	sent.Purpose, sent.Name = PurposeMap, "2.25.9"
	_, _, err = l.PutMap(ctx, sent, at(500))
	require.ErrorIs(t, err, ErrState, "results go nowhere")
	_, err = l.Retract(person, Retraction{Study: "1.2", Model: "demo", Version: "1.2", Reason: "trained on the wrong labels"}, at(502))
	require.NoError(t, err)

	said := inbound("r1")
	said.Type, said.Subjects = "ORU^R01", []Subject{{Accession: "A1"}}
	said.Readings = []ReportReading{{Subject: Subject{Accession: "A1"}, Status: "F", Reporter: Physician{Name: "Meier^Anna"}, Findings: []ReportFinding{{Finding: "polyp", Status: "negated", Sentence: "No polyps."}}}}
	_, err = l.TakeMessage(ctx, said)
	require.NoError(t, err)
	looks, err := l.DueLooks(ctx, 10)
	require.NoError(t, err)
	require.Len(t, looks, 2, "of two studies with one accession number")
	require.NoError(t, l.PutReviews(ctx, looks[0], []Review{{State: ReviewOpen, Kind: "missed", Finding: "polyp", Model: "demo"}}, at(503)))
	reviews, _, err := l.Reviews(ctx, ReviewFilter{State: ReviewOpen})
	require.NoError(t, err)
	require.NoError(t, l.DecideReview(person, reviews[0].Name, ReviewConfirmed, ReviewDecision{Suspicion: 4}, at(504)))
	_, err = l.ForgetReporters(ctx, 9, at(504))
	require.NoError(t, err)

	require.NoError(t, l.PutInForce(ctx, []BundleVersion{{Name: "demo", Version: "1.2", Digest: "d12", Dir: "/models/demo"}}, at(504)))
	_, err = l.StartScreening(ctx, Screening{Name: "abc", From: at(0), Before: at(900), MadeAt: at(505)})
	require.NoError(t, err)
	offer := receipt(1)
	offer.Models, offer.Kept = []string{"another"}, nil
	require.NoError(t, l.StepScreening(ctx, ScreeningStep{Screening: "abc", Study: "1.2", Offers: []Receipt{offer}, Over: true}, at(506)))
	require.NoError(t, l.CancelScreening(ctx, "abc", at(507)))

	forgotten := receipt(8)
	forgotten.Header.StudyInstanceUID, forgotten.Models, forgotten.Skip = "1.9", nil, "no route matches"
	receive(t, l, forgotten)
	require.NoError(t, l.DiscardInstance(person, "entry008", at(103)))
	_, err = l.Release(ctx, at(104), 100, at(104))
	require.NoError(t, err)
	more, err = l.Forget(ctx, at(1000), 100, at(1001))
	require.NoError(t, err)
	require.True(t, more)

	erased, err := l.ErasePatient(person, Identifier{ID: "P9"}, nil, at(1002))
	require.NoError(t, err)
	require.Len(t, erased.Kept, 1)

	var acted strings.Builder
	for _, a := range j.all {
		acted.Write(a.Actions)
	}
	source, err := os.ReadFile("journal.go")
	require.NoError(t, err)
	names := regexp.MustCompile(`case ("[a-z-]+"):`).FindAllSubmatch(source, -1)
	require.Greater(t, len(names), 20)
	for _, name := range names {
		require.Contains(t, acted.String(), `{"action":`+string(name[1]), "this test does all of them")
	}
	want := study(t, l)
	again, done := keep(t, filepath.Join(t.TempDir(), "ledger.db"), j)
	require.GreaterOrEqual(t, done, 33)
	require.Equal(t, want, study(t, again))
	require.Equal(t, dump(t, l), dump(t, again))
	requireTally(t, again)
}

// TestJournal_refuses changes no row that is not in the journal.
func TestJournal_refuses(t *testing.T) {
	j := &memoryJournal{}
	l, _ := keep(t, filepath.Join(t.TempDir(), "ledger.db"), j)
	receive(t, l, receipt(1))
	before := dump(t, l)
	j.broken = fmt.Errorf("disk is full")
	require.ErrorIs(t, l.ParkJob(t.Context(), "entry001.demo", "it ends the process", at(3)), j.broken)
	require.Equal(t, before, dump(t, l))
	j.broken = nil
	require.NoError(t, l.ParkJob(t.Context(), "entry001.demo", "it ends the process", at(3)))
	again, _ := keep(t, filepath.Join(t.TempDir(), "ledger.db"), j)
	require.Equal(t, dump(t, l), dump(t, again))
}

// TestJournal_rowFails lets the database refuse what is in the journal already: it is done before anything else is.
func TestJournal_rowFails(t *testing.T) {
	j := &memoryJournal{}
	l, _ := keep(t, filepath.Join(t.TempDir(), "ledger.db"), j)
	receive(t, l, receipt(1))
	full := func(pages int) {
		_, err := l.writes.tx.conn.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages))
		require.NoError(t, err)
	}
	full(1)
	long := strings.Repeat("a reason that takes pages ", 10_000)
	before := dump(t, l)
	require.ErrorContains(t, l.ParkJob(t.Context(), "entry001.demo", long, at(3)), "full")
	require.ErrorContains(t, l.Refuse(t.Context(), []string{"entry009"}, "not tried", 0, at(3)), "full")
	require.Equal(t, before, dump(t, l))
	require.Len(t, j.all, 2, "nothing goes behind what is not done")
	full(1 << 20)
	l.Look(t.Context())
	require.NoError(t, l.Refuse(t.Context(), []string{"entry002"}, "cannot be read", 2, at(4)))
	require.Equal(t, JobParked, study(t, l).InstanceViews[0].Jobs[0].State)
	again, _ := keep(t, filepath.Join(t.TempDir(), "ledger.db"), j)
	require.Equal(t, dump(t, l), dump(t, again))
}

func TestJournal_ofNewerRelease(t *testing.T) {
	j := &memoryJournal{}
	_, err := j.Append([]byte(`{"action":"fold","by":{}}`))
	require.NoError(t, err)
	l := openLedger(t)
	_, err = l.Keep(t.Context(), j)
	require.ErrorIs(t, err, errNewer)
	require.ErrorContains(t, err, "fold")
}

// TestJournal_goesOnWithoutOne loses an action: what does not hang on it is there.
func TestJournal_goesOnWithoutOne(t *testing.T) {
	j := &memoryJournal{}
	l, _ := keep(t, filepath.Join(t.TempDir(), "ledger.db"), j)
	receive(t, l, receipt(1))
	receive(t, l, receipt(2))
	require.NoError(t, l.ParkJob(t.Context(), "entry001.demo", "it ends the process", at(3)))
	require.NoError(t, l.ParkJob(t.Context(), "entry002.demo", "it ends the process", at(3)))
	j.all = j.all[1:]
	again, _ := keep(t, filepath.Join(t.TempDir(), "ledger.db"), j)
	views := study(t, again).InstanceViews
	require.Len(t, views, 1)
	require.Equal(t, JobParked, views[0].Jobs[0].State)
}

// gatedJournal is a journal on a slow disk.
type gatedJournal struct {
	memoryJournal
	begun chan struct{}
	sure  chan error // that it is on the disk, or why not
}

func (j *gatedJournal) Append(actions []byte) (uint64, error) {
	j.begun <- struct{}{}
	if err := <-j.sure; err != nil {
		return 0, err
	}
	return j.memoryJournal.Append(actions)
}

// TestJournal_rowsAfterIt has an action done while the journal writes it, and seen by nobody before the journal has it: where it is
// refused, it was never done.
func TestJournal_rowsAfterIt(t *testing.T) {
	j := &gatedJournal{begun: make(chan struct{}), sure: make(chan error, 1)}
	l, _ := keep(t, filepath.Join(t.TempDir(), "ledger.db"), j)
	write := func(sure error, do func() error) error {
		done := make(chan error)
		go func() { done <- do() }()
		<-j.begun
		before := dump(t, l)
		for range 10 {
			require.Equal(t, before, dump(t, l))
		}
		j.sure <- sure
		return <-done
	}
	require.NoError(t, write(nil, func() error {
		_, err := l.Receive(t.Context(), []Receipt{receipt(1)}, 1)
		return err
	}))
	start := func() error { _, err := l.StartJob(t.Context(), "entry001.demo", at(1)); return err }
	full := errors.New("disk full")
	require.ErrorIs(t, write(full, start), full)
	job, err := l.Job(t.Context(), "entry001.demo")
	require.NoError(t, err)
	require.Zero(t, job.Attempts)
	require.NoError(t, write(nil, start))
	job, err = l.Job(t.Context(), "entry001.demo")
	require.NoError(t, err)
	require.Equal(t, 1, job.Attempts)
}
