package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
)

func draft(number, version int) Draft {
	return Draft{
		Study: "1.2", Number: number, Version: version, Event: DraftDrafted, Standing: "draft", System: true, At: at(100*number + version),
		Document: json.RawMessage(fmt.Sprintf(`{"number":%d,"version":%d}`, number, version)), Basis: Basis{Desk: 1},
	}
}

// reported is a ledger with a study whose only exam is reported on.
func reported(t *testing.T) *Ledger {
	l := openLedger(t)
	receive(t, l, receipt(1))
	settle(t, l, 1)
	return l
}

// settle finishes the job of entry n, and the report of its exam.
func settle(t *testing.T, l *Ledger, n int) {
	t.Helper()
	require.NoError(t, l.FinishJob(t.Context(), fmt.Sprintf("entry%03d.demo", n), testModel, frames(), nil, at(n+1)))
	exams, err := l.DueExams(t.Context(), at(1000), 0, 0)
	require.NoError(t, err)
	require.Len(t, exams, 1)
	require.NoError(t, l.FinishReport(t.Context(), exams[0], nil, at(n+2)))
}

func dueDraft(t testing.TB, l *Ledger) DueDraft {
	t.Helper()
	due, err := l.DueDrafts(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, due, 1)
	return due[0]
}

func requireNoDraftDue(t testing.TB, l *Ledger) {
	t.Helper()
	due, err := l.DueDrafts(t.Context(), 10)
	require.NoError(t, err)
	require.Empty(t, due)
}

// TestDraft_due makes a draft due when all exams of its study are settled, and again when something changes.
func TestDraft_due(t *testing.T) {
	l, ctx := openLedger(t), t.Context()
	first := receipt(1)
	first.Models = []string{"demo", "other"}
	receive(t, l, first)
	requireNoDraftDue(t, l)
	settle(t, l, 1) // of demo
	requireNoDraftDue(t, l)
	require.NoError(t, l.ParkJob(ctx, "entry001.other", "it ends the process", at(5)))
	exams, err := l.DueExams(ctx, at(1000), 0, 0)
	require.NoError(t, err)
	require.NoError(t, l.ParkExam(ctx, exams[0], "no UID", at(6)))
	due := dueDraft(t, l)
	require.Equal(t, dicom.UID("1.2"), due.Study)

	d := draft(1, 1)
	d.Basis.Desk = due.Version
	require.NoError(t, l.PutDraft(ctx, d, nil, nil))
	requireNoDraftDue(t, l)

	require.NoError(t, l.RetryExam(ctx, exams[0].ID, at(7)))
	requireNoDraftDue(t, l)
	require.NoError(t, l.FinishReport(ctx, exams[0], nil, at(8)))
	due = dueDraft(t, l)
	require.NoError(t, l.SettleDraft(ctx, due.Study, due.Version, "a template has no end", at(9)))
	require.NoError(t, l.SettleDraft(ctx, due.Study, due.Version-1, "stale", at(9)))
	requireNoDraftDue(t, l)
	state, err := l.Desk(ctx, "1.2")
	require.NoError(t, err)
	require.Equal(t, DeskState{Version: due.Version, Covered: due.Version, Number: 1, Reason: "a template has no end"}, state)
	n, parked, why, err := l.ParkedDrafts(ctx)
	require.NoError(t, err)
	require.Equal(t, []any{1, due.Study, "a template has no end"}, []any{n, parked, why})
	work, total, err := l.Parked(ctx, ParkedFilter{Kind: ParkedDesks})
	require.NoError(t, err)
	require.Equal(t, 1, total)
	require.Equal(t, []ParkedDraft{{due.Study, "a template has no end", at(9)}}, work.Drafts)
	require.NoError(t, l.RetryDraft(ctx, due.Study, at(10)))
	_, total, err = l.Parked(ctx, ParkedFilter{Kind: ParkedDesks})
	require.NoError(t, err)
	require.Zero(t, total)
	n, _, _, err = l.ParkedDrafts(ctx)
	require.NoError(t, err)
	require.Zero(t, n, "it is tried again")
	require.Equal(t, due.Version+1, dueDraft(t, l).Version)
	require.ErrorIs(t, l.RetryDraft(ctx, "1.9.9", at(10)), ErrNotFound)
}

// TestPutDraft has one of many who change a version win, and tells the others of both versions.
func TestPutDraft(t *testing.T) {
	l, ctx := reported(t), t.Context()
	require.ErrorIs(t, l.PutDraft(ctx, Draft{Study: "1.9.9", Number: 1, Version: 1, Document: json.RawMessage("{}")}, nil, nil), ErrNotFound)
	var conflict *DraftConflictError
	require.ErrorAs(t, l.PutDraft(ctx, draft(1, 2), nil, nil), &conflict)
	require.ErrorAs(t, l.PutDraft(ctx, draft(2, 1), nil, nil), &conflict)
	require.NoError(t, l.PutDraft(ctx, draft(1, 1), nil, nil))
	require.NoError(t, l.PutDraft(ctx, draft(1, 1), nil, nil), "again after a crash")

	var won sync.Map
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			d := draft(1, 2)
			d.System, d.Event, d.Author, d.Unauthenticated = false, DraftEdited, fmt.Sprint("editor ", i), true
			d.Document, d.Edit = fmt.Appendf(nil, `{"by":%d}`, i), json.RawMessage(`[{"op":"accept"}]`)
			err := l.PutDraft(ctx, d, nil, nil)
			var lost *DraftConflictError
			switch {
			case err == nil:
				won.Store(i, d)
			case errors.As(err, &lost):
				if lost.Expected != 1 || lost.Latest != 2 || lost.Number != 1 || lost.LatestAuthor == "" || !lost.LatestUnauthenticated {
					t.Errorf("conflict is %+v", lost)
				}
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	winners := 0
	won.Range(func(_, d any) bool {
		winners++
		got, err := l.Draft(ctx, "1.2", 0, 0)
		require.NoError(t, err)
		require.Equal(t, d, got)
		return true
	})
	require.Equal(t, 1, winners)

	require.NoError(t, l.PutDraft(ctx, draft(2, 1), nil, nil))
	require.NoError(t, l.PutDraft(ctx, draft(1, 3), nil, nil), "the first can still be withdrawn")
	newest, err := l.Draft(ctx, "1.2", 0, 0)
	require.NoError(t, err)
	require.Equal(t, draft(2, 1), newest)
	old, err := l.Draft(ctx, "1.2", 1, 1)
	require.NoError(t, err)
	require.Equal(t, draft(1, 1), old)
	_, err = l.Draft(ctx, "1.2", 3, 0)
	require.ErrorIs(t, err, ErrNotFound)
	history, err := l.Drafts(ctx, "1.2", Page{})
	require.NoError(t, err)
	var said []string
	for _, d := range history {
		said = append(said, fmt.Sprintf("%d.%d %s", d.Number, d.Version, d.Event))
		require.Empty(t, d.Document)
	}
	require.Equal(t, []string{"1.1 drafted", "1.2 edited", "1.3 drafted", "2.1 drafted"}, said)
	require.Equal(t, []string{"drafted", "edited", "drafted", "drafted"}, eventsOf(t, l, "drafted", "edited"))
}

func eventsOf(t *testing.T, l *Ledger, whats ...string) (got []string) {
	t.Helper()
	for _, e := range study(t, l).Events {
		for _, w := range whats {
			if string(e.What) == w {
				got = append(got, w)
			}
		}
	}
	return got
}

// TestDraft_sends makes objects of what is a SOP Instance, keeps the rest as long, and has what waits for another wait.
func TestDraft_sends(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(l *Ledger, sr Delivery) error
		due  bool
	}{
		{"the archive has it", func(l *Ledger, sr Delivery) error {
			return l.Delivered(t.Context(), sr.ID, sr.Entry, said("0000"), at(300))
		}, true},
		{"nobody wants it", func(l *Ledger, sr Delivery) error { return l.Discard(t.Context(), sr.ID, at(300)) }, true},
		{"the archive refuses it", func(l *Ledger, sr Delivery) error {
			return l.Park(t.Context(), sr.ID, said("a900"), "refused", at(300))
		}, false},
		{"the archive is full", func(l *Ledger, sr Delivery) error {
			return l.Defer(t.Context(), sr.ID, Deferral{Next: at(500)}, at(300))
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, ctx := reported(t), t.Context()
			require.NoError(t, l.PutDraft(ctx, draft(1, 1), nil, []Outgoing{
				{Kind: KindHL7, Entry: "oru1", Purpose: "oru", Destination: "ris", Rank: 5, After: "sr1", Until: at(4000)},
				{Kind: KindHL7, Entry: "oru2", Purpose: "oru", Destination: "ris", Rank: 6, After: "not one of ours", Until: at(4000)},
				{
					Kind: KindDICOM, Entry: "sr1", Digest: "12", Purpose: "sr", Instance: instance("2.25.70"), Destination: "pacs", Rank: RankSR,
					Alternate: &Outgoing{Kind: KindDICOM, Entry: "sr2", Digest: "13", Instance: instance("2.25.71")},
				},
				{Kind: KindFHIR, Entry: "kept", Purpose: "bundle"},
			}))
			require.Equal(t, []string{"oru2"}, dueEntries(t, l, "ris", 299))
			require.Equal(t, []string{"oru1", "oru2"}, dueEntries(t, l, "ris", 4000), "no longer than that")
			asked, err := l.DueDeliveries(ctx, "ris", at(299), -longest, 10)
			require.NoError(t, err)
			require.Len(t, asked, 1, "nor does a person who has all tried now send it before")
			pacs, err := l.DueDeliveries(ctx, "pacs", at(299), longest, 10)
			require.NoError(t, err)
			require.Len(t, pacs, 1)
			require.Equal(t, "sr2", pacs[0].Alternate)
			require.Len(t, study(t, l).Objects, 2)

			needed, err := l.Needed(ctx, []string{"oru1", "oru2", "sr1", "sr2", "kept", "other"})
			require.NoError(t, err)
			require.Equal(t, map[string]bool{"oru1": true, "oru2": true, "sr1": true, "sr2": true, "kept": true}, needed)

			require.NoError(t, c.end(l, pacs[0]))
			want := []string{"oru2"}
			if c.due {
				want = []string{"oru1", "oru2"}
			}
			require.Equal(t, want, dueEntries(t, l, "ris", 300))
			requireTally(t, l)

			released, err := l.Release(ctx, at(200), 100, at(301))
			require.NoError(t, err)
			require.Contains(t, released, "kept")
			require.NotContains(t, released, "oru1", "it is on its way")
		})
	}
}

// What an older version was to say is not said after the newer one has; what was signed before the draft began is.
func TestDraft_supersedes(t *testing.T) {
	l, ctx := reported(t), t.Context()
	put := func(number, version int, entry string) {
		t.Helper()
		d := draft(number, version)
		require.NoError(t, l.PutDraft(ctx, d, nil, []Outgoing{
			{Kind: KindHL7, Entry: "oru" + entry, Purpose: "oru", Destination: "ris"}, {Kind: KindFHIR, Entry: "fhir" + entry, Purpose: "bundle", Destination: "emr"},
		}))
	}
	put(1, 1, "1.1")
	due, err := l.DueDeliveries(ctx, "ris", at(101), longest, 10)
	require.NoError(t, err)
	require.NoError(t, l.Park(ctx, due[0].ID, Answer{}, "refused", at(101)))
	put(1, 2, "1.2")
	require.Equal(t, []string{"oru1.2"}, dueEntries(t, l, "ris", 9000), "a parked one too: a retry would send it last")
	require.Equal(t, []string{"fhir1.2"}, dueEntries(t, l, "emr", 9000))
	require.NoError(t, l.Defer(ctx, due[0].ID, Deferral{Next: at(104)}, at(103)), "one that was on its way just then is not sent again")
	put(2, 1, "2.1")
	require.Equal(t, []string{"oru1.2", "oru2.1"}, dueEntries(t, l, "ris", 9000))
	put(2, 2, "2.2")
	require.Equal(t, []string{"oru1.2", "oru2.2"}, dueEntries(t, l, "ris", 9000))
	requireTally(t, l)
	require.Len(t, eventsOf(t, l, string(EventDeliveryDiscarded)), 4)
}

func dueEntries(t *testing.T, l *Ledger, destination string, when int) (entries []string) {
	t.Helper()
	due, err := l.DueDeliveries(t.Context(), destination, at(when), longest, 10)
	require.NoError(t, err)
	for _, d := range due {
		entries = append(entries, d.Entry)
	}
	return entries
}

// TestDraft_otherContent gives no SOP Instance UID twice.
func TestDraft_otherContent(t *testing.T) {
	l := reported(t)
	sr := Outgoing{Kind: KindDICOM, Entry: "sr1", Digest: "12", Purpose: "sr", Instance: instance("2.25.70")}
	require.NoError(t, l.PutDraft(t.Context(), draft(1, 1), nil, []Outgoing{sr}))
	sr.Entry, sr.Digest = "sr2", "13"
	require.ErrorIs(t, l.PutDraft(t.Context(), draft(1, 2), nil, []Outgoing{sr}), ErrOtherContent)
	newest, err := l.Draft(t.Context(), "1.2", 0, 0)
	require.NoError(t, err)
	require.Equal(t, 1, newest.Version, "all or nothing")
}

// TestAgreement counts each finding once, by the last decision on it.
func TestAgreement(t *testing.T) {
	l, ctx := reported(t), t.Context()
	require.NoError(t, l.PutDraft(ctx, draft(1, 1), nil, nil))
	colon := dicom.Code{Value: "71854001", Scheme: "SCT", Meaning: "Colon"}
	decide := func(version int, finding, model, class string, site dicom.Code, what Decision) {
		d := draft(1, version)
		d.System, d.Event, d.Author, d.Unauthenticated = false, DraftEdited, "Dr. No", true
		require.NoError(t, l.PutDraft(ctx, d, []Agreement{
			{Finding: finding, Model: model, ModelVersion: "1.2", Route: "endoscopy", Class: class, Site: site, Decision: what},
		}, nil))
	}
	decide(2, "2.25.1", "demo", "polyp", colon, Accept)
	decide(3, "2.25.2", "demo", "polyp", colon, Accept)
	decide(4, "2.25.3", "demo", "polyp", dicom.Code{}, Reject)
	decide(5, "2.25.4", "other", "cecum", colon, Modify)
	decide(6, "2.25.2", "demo", "polyp", colon, Reject) // on second thoughts
	decide(7, "2.25.4", "other", "cecum", colon, Undone)

	counts := func(f AgreementFilter) (got []string) {
		all, err := l.AgreementCounts(ctx, f)
		require.NoError(t, err)
		for _, c := range all {
			got = append(got, fmt.Sprintf("%s %s %s %s %d %d %d", c.Model, c.ModelVersion, c.Class, c.Site.Value, c.Accepted, c.Rejected, c.Modified))
		}
		return got
	}
	require.Equal(t, []string{"demo 1.2 polyp  0 1 0", "demo 1.2 polyp 71854001 1 1 0"}, counts(AgreementFilter{}))
	require.Equal(t, []string{"demo 1.2 polyp 71854001 1 1 0"}, counts(AgreementFilter{Site: "71854001", Model: "demo", ModelVersion: "1.2", Route: "endoscopy", Class: "polyp"}))
	require.Equal(t, []string{"demo 1.2 polyp 71854001 0 1 0"}, counts(AgreementFilter{From: at(106), Before: at(107)}))
	require.Empty(t, counts(AgreementFilter{Model: "other"}))
	page, total, err := l.Agreements(ctx, AgreementFilter{Page: Page{Limit: 1, Offset: 1}})
	require.NoError(t, err)
	require.Equal(t, 3, total)
	page[0].ID = 0
	require.Equal(t, []Agreement{{
		Study: "1.2", Finding: "2.25.3", Model: "demo", ModelVersion: "1.2", Route: "endoscopy", Class: "polyp", Decision: Reject,
		Number: 1, Version: 4, Author: "Dr. No", Unauthenticated: true, At: at(104),
	}}, page)
}

// TestDraft_forgotten keeps the number of the last draft, and what was decided.
func TestDraft_forgotten(t *testing.T) {
	l, ctx := reported(t), t.Context()
	require.NoError(t, l.PutDraft(ctx, draft(1, 1), []Agreement{{Finding: "2.25.1", Model: "demo", Decision: Accept}}, nil))
	require.NoError(t, l.PutDraft(ctx, draft(2, 1), nil, nil))
	_, err := l.Release(ctx, at(1000), 100, at(1000))
	require.NoError(t, err)
	for more := true; more; {
		more, err = l.Forget(ctx, at(2000), 1, at(2000))
		require.NoError(t, err)
	}
	_, err = l.Draft(ctx, "1.2", 0, 0)
	require.ErrorIs(t, err, ErrNotFound)
	_, total, err := l.Agreements(ctx, AgreementFilter{})
	require.NoError(t, err)
	require.Equal(t, 1, total)
	var conflict *DraftConflictError
	require.ErrorAs(t, l.PutDraft(ctx, draft(1, 1), nil, nil), &conflict)
	require.NoError(t, l.PutDraft(ctx, draft(3, 1), nil, nil))
}
