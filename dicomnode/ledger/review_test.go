package ledger

import (
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
