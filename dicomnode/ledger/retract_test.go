package ledger

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
)

var person = Actor{Kind: ActorPerson, Name: "anna"}

// TestRetract_unsaid has a message that waits for its report, one that a receiver has not taken yet, one that it refused
// and a page say nothing of what is taken back. What a person has signed is sent, and what comes later says so.
func TestRetract_unsaid(t *testing.T) {
	l, ctx := openLedger(t), t.Context()
	receive(t, l, receipt(1))
	require.NoError(t, l.FinishJob(ctx, "entry001.demo", testModel, frames(), nil, at(2)))
	exams, err := l.DueExams(ctx, at(1000), 0, 0)
	require.NoError(t, err)
	report := object(1, "pacs")
	report.Purpose, report.Entry = "sr", "sr1"
	require.NoError(t, l.FinishReport(ctx, exams[0], []Object{report}, at(3)))
	send := func(number, version int, standing, entry string) {
		t.Helper()
		d := draft(number, version)
		d.Standing = standing
		require.NoError(t, l.PutDraft(ctx, d, nil, []Outgoing{
			{Kind: KindHL7, Entry: "oru" + entry, Purpose: "oru", Destination: "ris", After: "sr1", Until: at(9000)},
			{Kind: KindHL7, Entry: "also" + entry, Purpose: "oru", Destination: "down"},
			{Kind: KindFHIR, Entry: "fhir" + entry, Purpose: "bundle", Destination: "emr"},
			{Kind: KindDICOM, Entry: "pdf" + entry, Digest: entry, Purpose: "pdf", Instance: instance("2.25.7" + entry), Destination: "pacs"},
		}))
	}
	send(1, 1, "signed", "1")
	send(2, 1, "draft", "2")
	require.Empty(t, dueEntries(t, l, "ris", 300), "they wait for the report")
	due, err := l.DueDeliveries(ctx, "emr", at(300), longest, 10)
	require.NoError(t, err)
	require.Len(t, due, 2)
	require.NoError(t, l.Park(ctx, due[1].ID, Answer{}, "refused", at(301)))

	done, err := l.Retract(By(ctx, person), Retraction{Study: "1.2", Reason: "a wrong result"}, at(302))
	require.NoError(t, err)
	require.Len(t, done, 1)
	require.Equal(t, []string{"oru1"}, dueEntries(t, l, "ris", 303), "and waits no more")
	require.Equal(t, []string{"also1"}, dueEntries(t, l, "down", 303))
	require.Equal(t, []string{"pdf1"}, dueEntries(t, l, "pacs", 303))
	for _, d := range study(t, l).Deliveries {
		if d.Entry == "fhir2" {
			require.Equal(t, DeliveryDiscarded, d.State, "a retry would say it")
		}
	}
	requireTally(t, l)
}

// TestRetract_spooled: what rests on results that were taken back is handed to nobody any more, and what is said of it is; of a
// result that stands everything is.
func TestRetract_spooled(t *testing.T) {
	l, ctx := openLedger(t), t.Context()
	receive(t, l, receipt(1), receipt(2))
	heatmaps := []Object{object(1, "pacs"), object(2, "pacs")}
	for i := range heatmaps {
		heatmaps[i].Instance.SOPInstanceUID, heatmaps[i].Source, heatmaps[i].Model = dicom.UID(fmt.Sprint("2.25.8", i)), receipt(i+1).Header.SOPInstanceUID, "demo"
	}
	require.NoError(t, l.FinishJob(ctx, "entry001.demo", testModel, frames(), heatmaps[:1], at(2)))
	later := testModel
	later.Version = "2"
	require.NoError(t, l.FinishJob(ctx, "entry002.demo", later, frames(), heatmaps[1:], at(2)))
	report := func(n, second int) {
		t.Helper()
		exams, err := l.DueExams(ctx, at(1000), 0, 0)
		require.NoError(t, err)
		require.Len(t, exams, 1)
		o := object(n, "pacs")
		o.Entry, o.Purpose, o.Model, o.Source = fmt.Sprint("sr", n), "sr", "demo", ""
		o.Instance.SOPInstanceUID = dicom.UID(fmt.Sprint("2.25.7", n))
		e := exams[0]
		e.Revision = n
		require.NoError(t, l.FinishReport(ctx, e, []Object{o}, at(second)))
	}
	report(1, 3)
	seen := func() []string {
		t.Helper()
		all, err := l.SpooledInstances(ctx, SpooledInstances{Study: "1.2"})
		require.NoError(t, err)
		series, err := l.SpooledSeries(ctx, "1.2")
		require.NoError(t, err)
		n := 0
		for _, s := range series {
			n += s.Instances
		}
		require.Len(t, all, n)
		return sops(all)
	}
	require.Equal(t, []string{"1.2.3.1", "1.2.3.2", "2.25.80", "2.25.81", "2.25.71"}, seen())
	_, err := l.Retract(By(ctx, person), Retraction{Model: "demo", Version: testModel.Version, Reason: "wrong"}, at(4))
	require.NoError(t, err)
	require.Equal(t, []string{"1.2.3.1", "1.2.3.2", "2.25.81"}, seen())
	report(2, 5)
	require.Equal(t, []string{"1.2.3.1", "1.2.3.2", "2.25.81", "2.25.72"}, seen(), "and what says so")
	for sop, want := range map[dicom.UID]Fate{"2.25.80": {Known: true, Retracted: true}, "2.25.71": {Known: true, Retracted: true}, "2.25.81": {Known: true}, "2.25.99": {}} {
		fate, err := l.Fate(ctx, SpooledInstances{Study: "1.2", SOP: sop})
		require.NoError(t, err)
		require.Equal(t, want, fate, sop)
	}
	fate, err := l.Fate(ctx, SpooledInstances{Study: "1.9", SOP: "2.25.80"})
	require.NoError(t, err)
	require.Equal(t, Fate{}, fate, "it is of another study")
}

// TestRetract_batches takes back the results of many exams some at a time, each once.
func TestRetract_batches(t *testing.T) {
	l, ctx := openLedger(t), By(t.Context(), person)
	const exams = 2*retractBatch + 1
	for n := range exams {
		r := receipt(n + 1)
		r.Header.StudyInstanceUID = dicom.UID(fmt.Sprintf("1.2.%d", n+1))
		receive(t, l, r)
		require.NoError(t, l.FinishJob(ctx, fmt.Sprintf("entry%03d.demo", n+1), testModel, frames(), nil, at(n+2)))
	}
	asked := Retraction{Model: "demo", Reason: "wrong weights"}
	before, err := l.Retractable(ctx, asked)
	require.NoError(t, err)
	some, err := l.retractOf(ctx, asked, []examName{{Study: "1.2.1", Route: before[0].Route, Model: "demo"}, {Study: "1.9", Model: "demo"}}, at(499))
	require.NoError(t, err)
	require.Len(t, some, 1, "only what is named, of what is there")
	some, err = l.retractOf(ctx, asked, []examName{{Study: "1.9", Model: "demo"}}, at(499))
	require.NoError(t, err)
	require.Empty(t, some)
	done, err := l.Retract(ctx, asked, at(500))
	require.NoError(t, err)
	require.Len(t, before, exams)
	require.Equal(t, before[1:], done)
	done, err = l.Retract(ctx, asked, at(501))
	require.NoError(t, err)
	require.Empty(t, done)
}

// watched is a journal that remembers what the ledger had when an action was appended: that of all before it.
type watched struct {
	memoryJournal
	had func() string
	at  []string
}

func (j *watched) Append(actions []byte) (uint64, error) {
	j.at = append(j.at, j.had())
	return j.memoryJournal.Append(actions)
}

// TestRetract_rebuilt loses the ledger at every point of a retraction in batches, some of it on the way to receivers: what is
// rebuilt is what was there, and asked again it does what is left, each exam once.
func TestRetract_rebuilt(t *testing.T) {
	j := &watched{had: func() string { return "" }}
	l, _ := keep(t, filepath.Join(t.TempDir(), "ledger.db"), j)
	ctx := By(t.Context(), person)
	const exams = 2*retractBatch + 1
	for n := range exams {
		r := receipt(n + 1)
		r.Header.StudyInstanceUID = dicom.UID(fmt.Sprintf("1.2.%d", n+1))
		receive(t, l, r)
		heatmap := object(n+1, "pacs")
		heatmap.Instance.StudyInstanceUID, heatmap.Instance.SOPInstanceUID = r.Header.StudyInstanceUID, dicom.UID(fmt.Sprintf("2.25.9%d", n))
		require.NoError(t, l.FinishJob(ctx, fmt.Sprintf("entry%03d.demo", n+1), testModel, frames(), []Object{heatmap}, at(n+2)))
	}
	before := len(j.all)
	j.had = func() string { return dump(t, l) }
	asked := Retraction{Model: "demo", Reason: "wrong weights"}
	done, err := l.Retract(ctx, asked, at(500))
	require.NoError(t, err)
	require.Len(t, done, exams)
	requireTally(t, l)
	all := dump(t, l)
	had := append(j.at[before:], all)
	require.Len(t, had, 4, "three batches")
	for k, want := range had {
		rest := &memoryJournal{all: slices.Clone(j.all[:before+k])}
		again, _ := keep(t, filepath.Join(t.TempDir(), "ledger.db"), rest)
		require.Equal(t, want, dump(t, again), "after %d batches", k)
		left, err := again.Retract(ctx, asked, at(500))
		require.NoError(t, err)
		require.Equal(t, done[min(k*retractBatch, exams):], append([]Retracted{}, left...))
		require.Equal(t, all, dump(t, again), "after %d batches", k)
	}
}
