package ledger

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
)

// reportSays is a message with a report on the accession number A1.
func reportSays(control, sentence string) Inbound {
	m := inbound(control)
	m.Type, m.Subjects = "ORU^R01", []Subject{{Accession: "A1"}}
	m.Readings = []ReportReading{{
		Subject: Subject{Accession: "A1"}, Status: "F", Patient: Identifier{ID: "P1"}, Findings: []ReportFinding{{Finding: "polyp", Status: "negated", Sentence: sentence}},
	}}
	return m
}

// TestReviews: a report that comes before the images or after them has its study looked at, and so has a report of ours; what a
// person decides stands, and what is forgotten or erased leaves no sentence.
func TestReviews(t *testing.T) {
	l := openLedger(t)
	due := func() []Look {
		all, err := l.DueLooks(bg, 10)
		require.NoError(t, err)
		return all
	}
	list := func(f ReviewFilter) (all []Review, total int) {
		all, total, err := l.Reviews(bg, f)
		require.NoError(t, err)
		return all, total
	}
	take(t, l, reportSays("r1", "No polyps."))
	require.Empty(t, due(), "its images are not here")
	receive(t, l, receipt(1))
	require.Len(t, due(), 1)
	readings, err := l.ReadingsOf(bg, "1.2", 5)
	require.NoError(t, err)
	require.Len(t, readings, 1)
	require.Equal(t, "messager1", readings[0].Entry)
	missed := Review{State: ReviewOpen, Kind: "missed", Priority: 1, Model: "demo", ModelVersion: "1", Finding: "polyp", Report: readings[0].Findings[0], Site: dicom.Code{Value: "71854001"}}
	agreed := Review{State: ReviewAgreed, Kind: "agree", Priority: 9, Model: "demo", ModelVersion: "1", Finding: "ulcer"}
	require.NoError(t, l.PutReviews(bg, due()[0], []Review{missed, agreed}, at(600)))
	require.Empty(t, due())

	open, total := list(ReviewFilter{State: ReviewOpen})
	require.Len(t, open, 1)
	require.Equal(t, 1, total)
	require.Equal(t, "No polyps.", open[0].Report.Sentence)
	require.ErrorIs(t, l.DecideReview(bg, "none", ReviewConfirmed, ReviewDecision{}, at(601)), ErrNotFound)
	require.NoError(t, l.DecideReview(bg, open[0].Name, ReviewConfirmed, ReviewDecision{Suspicion: 5, Comment: "sessile", Author: "Dr A"}, at(601)))
	of, total := list(ReviewFilter{Study: "1.2"})
	require.Equal(t, 2, total)
	require.Equal(t, ReviewConfirmed, of[0].State)
	require.Equal(t, "sessile", of[0].Comment)
	rest, _ := list(ReviewFilter{Study: "1.2", After: Cursor{ID: of[0].Name}})
	require.Equal(t, of[1:], rest)
	var no *Refusal
	require.ErrorAs(t, l.DecideReview(bg, of[1].Name, ReviewRejected, ReviewDecision{}, at(601)), &no)

	withdrawn := func() (n int) {
		_, n = list(ReviewFilter{Study: "1.2", State: ReviewWithdrawn})
		return n
	}
	again := Look{Study: "1.2", Waits: []Uncompared{{"", "demo"}, {"other", "demo"}}}
	require.NoError(t, l.PutReviews(bg, again, nil, at(601)))
	require.Zero(t, withdrawn(), "of an exam that is not compared now")
	again.Waits = []Uncompared{{"other", "demo"}, {"", "another"}}
	require.NoError(t, l.PutReviews(bg, again, nil, at(601)))
	require.Equal(t, 1, withdrawn(), "others wait")

	take(t, l, reportSays("r2", "Now a polyp.")) // corrected: it agrees
	require.Len(t, due(), 1)
	require.NoError(t, l.PutReviews(bg, due()[0], []Review{{State: ReviewAgreed, Kind: "agree", Finding: "polyp", Model: "demo", ModelVersion: "1"}}, at(602)))
	counts, err := l.ReviewCounts(bg, time.Time{}, time.Time{})
	require.NoError(t, err)
	require.Len(t, counts, 2)
	require.Equal(t, 1, counts[0].Confirmed+counts[1].Confirmed, "what a person decided stands")
	problems, err := l.Check(bg)
	require.NoError(t, err)
	require.Empty(t, problems)

	require.NoError(t, l.act(bg, "test", &action{Name: "test"}, func(t *tx) error { return t.blankReviews(1) }))
	require.NotContains(t, dump(t, l), "polyps.")
	require.NotContains(t, dump(t, l), "sessile")
	of, _ = list(ReviewFilter{Study: "1.2"})
	require.Equal(t, []ReviewState{ReviewAgreed, ReviewConfirmed, ReviewWithdrawn}, []ReviewState{of[0].State, of[1].State, of[2].State}, "and that it was decided stays")
	require.NotContains(t, dump(t, l), "Now a polyp")
}

// TestPhysicians: comparisons are counted by who reported, as far as that was kept; one identifier is one person. It goes with the history of
// a study, and all at once where it is not allowed any more; a ledger made of the journal has the same.
func TestPhysicians(t *testing.T) {
	j := &memoryJournal{}
	l, _ := keep(t, filepath.Join(t.TempDir(), "ledger.db"), j)
	anna, again, other := Physician{Identifier{"4711", "HOSP"}, "Meier^Anna"}, Physician{Identifier{"4711", "HOSP"}, "MEIER"}, Physician{Name: "Other^One"}
	for n, by := range []Physician{anna, again, other, {}} {
		study := dicom.UID(fmt.Sprint("1.2.", n))
		r := receipt(n + 1)
		r.Header.StudyInstanceUID, r.Header.AccessionNumber = study, fmt.Sprint("B", n)
		receive(t, l, r)
		m := reportSays(fmt.Sprint("r", n), "No polyps.")
		m.Subjects, m.Readings[0].Subject = []Subject{{StudyInstanceUID: study}}, Subject{StudyInstanceUID: study}
		m.Readings[0].Reporter = by
		take(t, l, m)
		due, err := l.DueLooks(bg, 10)
		require.NoError(t, err)
		require.Len(t, due, 1)
		readings, err := l.ReadingsOf(bg, study, 5)
		require.NoError(t, err)
		require.Equal(t, by, readings[0].Reporter)
		require.NoError(t, l.PutReviews(bg, due[0], []Review{
			{State: ReviewOpen, Kind: "missed", Model: "demo", ModelVersion: "1", Finding: "polyp", Threshold: 0.5, Reporter: by},
			{State: ReviewAgreed, Kind: "agree", Model: "demo", ModelVersion: "1", Finding: "polyp", Threshold: 0.5, Reporter: by},
		}, at(600)))
	}
	all, _, err := l.Reviews(bg, ReviewFilter{State: ReviewOpen})
	require.NoError(t, err)
	for _, r := range all {
		require.Empty(t, r.Reporter, "who decides is not told whose report it is")
	}
	require.NoError(t, l.DecideReview(bg, all[0].Name, ReviewConfirmed, ReviewDecision{}, at(601)))
	require.NoError(t, l.DecideReview(bg, all[2].Name, ReviewRejected, ReviewDecision{}, at(601)))
	type line struct {
		by                                        Physician
		agreed, open, confirmed, rejected, missed int
	}
	counts := func() (out []line) {
		all, err := l.PhysicianCounts(bg, time.Time{}, time.Time{})
		require.NoError(t, err)
		for _, n := range all {
			require.Empty(t, n.Month)
			require.InDelta(t, 0.5, n.Threshold, 0)
			out = append(out, line{*n.Physician, n.Agreed, n.Open, n.Confirmed, n.Rejected, n.Missed})
		}
		return out
	}
	require.Equal(t, []line{{Physician{}, 1, 1, 0, 0, 0}, {anna, 2, 1, 1, 0, 1}, {other, 1, 0, 0, 1, 0}}, counts())
	none, err := l.PhysicianCounts(bg, at(601), time.Time{})
	require.NoError(t, err)
	require.Empty(t, none)

	// What is read anew stays of whom it was.
	require.NoError(t, l.act(bg, "test", &action{Name: "test"}, func(t *tx) error {
		_, err := t.readAnew(ReadAnew{"messager0", []ReportReading{{Status: "F", Reporter: other}}})
		return err
	}))
	readings, err := l.ReadingsOf(bg, "1.2.0", 5)
	require.NoError(t, err)
	require.Equal(t, anna, readings[0].Reporter)

	require.NoError(t, l.act(bg, "test", &action{Name: "test"}, func(t *tx) error { return t.blankReviews(3) }))
	require.Equal(t, []line{{Physician{}, 2, 1, 0, 1, 0}, {anna, 2, 1, 1, 0, 1}}, counts(), "a study whose history has ended")

	for range 4 { // a row of each table at a time: there are four reviews and two reports
		any, err := l.ForgetReporters(bg, 1, at(700))
		require.NoError(t, err)
		require.True(t, any)
	}
	require.NotContains(t, dump(t, l), "4711")
	require.NotContains(t, strings.ToLower(dump(t, l)), "meier")
	require.Equal(t, []line{{Physician{}, 4, 2, 1, 1, 1}}, counts())
	unkept, err := l.Unkept(bg)
	require.NoError(t, err)
	require.True(t, unkept, "the journal still says it")
	require.NoError(t, l.Replaced(bg))
	unkept, err = l.Unkept(bg)
	require.NoError(t, err)
	require.False(t, unkept)
	any, err := l.ForgetReporters(bg, 1, at(701))
	require.NoError(t, err)
	require.False(t, any, "there is nothing more")
}

// TestPhysicians_sender: a number that no authority has given is one of its sender.
func TestPhysicians_sender(t *testing.T) {
	l := openLedger(t)
	receive(t, l, receipt(1))
	m := reportSays("r1", "No polyps.")
	m.Readings[0].Reporter = Physician{Identifier: Identifier{ID: "17"}}
	take(t, l, m)
	readings, err := l.ReadingsOf(bg, "1.2", 5)
	require.NoError(t, err)
	require.Equal(t, Identifier{"17", m.sender()}, readings[0].Reporter.Identifier)
}
