package ledger

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
)

func TestReceive_verdicts(t *testing.T) {
	again := receipt(1)
	again.ID, again.Seq = "entry002", 2
	other := again
	other.Digest = receipt(9).Digest
	for _, c := range []struct {
		name     string
		receipts []Receipt
		want     []Verdict
		states   []InstanceState // of the instances kept
		jobs     int
		steps    []string
	}{
		{"new", []Receipt{receipt(1)}, []Verdict{New}, []InstanceState{InstanceQueued}, 1, []string{"received", "queued"}},
		{
			"duplicate",
			[]Receipt{receipt(1), again},
			[]Verdict{New, Duplicate},
			[]InstanceState{InstanceQueued},
			1,
			[]string{"received", "queued", "duplicate"},
		},
		{
			"conflict",
			[]Receipt{receipt(1), other},
			[]Verdict{New, Conflict},
			[]InstanceState{InstanceQueued, InstanceConflict},
			1,
			[]string{"received", "queued", "received", "conflict"},
		},
		{
			"duplicates of both",
			[]Receipt{receipt(1), other, as(receipt(1), 3), as(other, 4), as(other, 5)},
			[]Verdict{New, Conflict, Duplicate, Duplicate, Duplicate},
			[]InstanceState{InstanceQueued, InstanceConflict},
			1,
			[]string{"received", "queued", "received", "conflict", "duplicate", "duplicate x2"},
		},
		{
			"not analysed",
			[]Receipt{skipped(receipt(1))},
			[]Verdict{New},
			[]InstanceState{InstanceNotAnalysed},
			0,
			[]string{"received", "not-analysed"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, oneBatch := range []bool{true, false} {
				l := openLedger(t)
				var got []Verdict
				if oneBatch {
					got = receive(t, l, c.receipts...)
				} else {
					for _, r := range c.receipts {
						got = append(got, receive(t, l, r)...)
					}
				}
				require.Equal(t, c.want, got)
				before := study(t, l)
				require.Equal(t, c.want, receive(t, l, c.receipts...), "again")
				require.Equal(t, before, study(t, l), "again changes nothing")

				var states []InstanceState
				for _, v := range before.InstanceViews {
					states = append(states, v.State)
				}
				require.Equal(t, c.states, states)
				jobs, err := l.OpenJobs(t.Context(), "", 10)
				require.NoError(t, err)
				require.Len(t, jobs, c.jobs)
				require.Equal(t, c.steps, steps(before, "1.2.3.1"))
				requireTally(t, l)
			}
		})
	}
}

// as is r come again as entry n.
func as(r Receipt, n int) Receipt {
	other := receipt(n)
	r.ID, r.Seq, r.At = other.ID, other.Seq, other.At
	return r
}

func skipped(r Receipt) Receipt {
	r.Skip = "no frames"
	return r
}

func TestReceive_conflictWaitsForAPerson(t *testing.T) {
	l := openLedger(t)
	first := receipt(1)
	second := as(first, 2)
	second.Digest = receipt(2).Digest
	first.Forward, second.Forward = []string{"pacs"}, []string{"pacs"}
	receive(t, l, first, second)
	due, err := l.DueDeliveries(t.Context(), "pacs", at(100), longest, 10)
	require.NoError(t, err)
	require.Len(t, due, 1)
	require.Equal(t, "entry001", due[0].Entry)
	p, _, err := l.Parked(t.Context(), ParkedFilter{})
	require.NoError(t, err)
	require.Len(t, p.Deliveries, 1)
	require.Equal(t, "entry002", p.Deliveries[0].Entry)
	require.NotEmpty(t, p.Deliveries[0].Reason)
	needed, err := l.Needed(t.Context(), []string{"entry002"})
	require.NoError(t, err)
	require.True(t, needed["entry002"])
	all, total, err := l.Studies(t.Context(), StudyFilter{Status: StudyConflict})
	require.NoError(t, err)
	require.Equal(t, 1, total)
	require.Len(t, all, 1)
	require.Equal(t, 1, all[0].Conflicts)
}

func TestReceive_positionNeverFalls(t *testing.T) {
	l := openLedger(t)
	for _, c := range []struct{ give, want uint64 }{{5, 5}, {3, 5}, {9, 9}} {
		_, err := l.Receive(t.Context(), nil, c.give)
		require.NoError(t, err)
		p, err := l.Position(t.Context())
		require.NoError(t, err)
		require.Equal(t, c.want, p)
	}
}

func TestReceive_allOrNothing(t *testing.T) {
	l := openLedger(t)
	bad := receipt(2)
	bad.ID = "entry001" // another instance of the same entry
	_, err := l.Receive(t.Context(), []Receipt{receipt(1), bad}, 2)
	require.ErrorContains(t, err, "entry entry001")
	require.NotContains(t, err.Error(), "Hébert")
	_, err = l.Study(t.Context(), "1.2", Page{})
	require.ErrorIs(t, err, ErrNotFound)
	p, err := l.Position(t.Context())
	require.NoError(t, err)
	require.Zero(t, p)
}

func TestReceive_studyAttributesFillIn(t *testing.T) {
	l := openLedger(t)
	empty := receipt(1)
	empty.Header.PatientID, empty.Header.AccessionNumber = "", ""
	other := receipt(3)
	other.Header.PatientID = "P2"
	receive(t, l, empty)
	receive(t, l, receipt(2), other)
	s := study(t, l).Study
	require.Equal(t, "P1", s.PatientID, "the first that is there stays")
	require.Equal(t, "A1", s.AccessionNumber)
	require.Equal(t, at(1), s.FirstAt)
	require.Equal(t, at(3), s.LastAt)
	require.Equal(t, 3, s.Instances)
}

// The timeline is in the order in which things happened, also where the clock was set back between them.
func TestStudy_eventsInOrder(t *testing.T) {
	l := openLedger(t)
	before := receipt(1)
	before.At = at(9)
	receive(t, l, before)
	receive(t, l, receipt(2))
	require.NoError(t, l.FinishJob(t.Context(), "entry001.demo", testModel, nil, nil, at(-5000)))
	d := study(t, l)
	var order []string
	for _, e := range d.Events {
		order = append(order, string(e.What)+" "+string(e.SOPInstanceUID))
	}
	require.Equal(t, []string{"received 1.2.3.1", "queued 1.2.3.1", "received 1.2.3.2", "queued 1.2.3.2", "analysed 1.2.3.1"}, order)
	page, err := l.Study(t.Context(), "1.2", Page{Limit: 1, Offset: 1})
	require.NoError(t, err)
	require.Equal(t, d.Events[1:2], page.Events, "of pages as well")
}

func TestStudies_filters(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	for n := 1; n <= 4; n++ {
		r := receipt(n)
		r.Header.StudyInstanceUID = dicom.UID("1.2." + string(rune('0'+n)))
		r.Header.PatientID, r.Header.AccessionNumber = "P"+string(rune('0'+n%2)), "A"+string(rune('0'+n))
		r.Models = nil
		if n == 2 {
			r.Models = []string{"demo"}
		}
		if n == 3 {
			r.Header.PatientName = "Østby^Kåre"
		}
		if n == 4 {
			r.Header.PatientName = "van der Berg^Jan"
		}
		receive(t, l, r)
	}
	for _, entry := range []string{"entry001", "entry003"} {
		require.NoError(t, l.DiscardInstance(ctx, entry, at(5)))
	}
	parked := receipt(5)
	parked.Header.StudyInstanceUID, parked.Header.PatientID, parked.Header.AccessionNumber, parked.Header.PatientName = "1.2.5", "P9", "A9", "WEIß^Anna^^Dr."
	receive(t, l, parked)
	require.NoError(t, l.ParkJob(ctx, "entry005.demo", "cannot decode", at(6)))
	for _, c := range []struct {
		name string
		f    StudyFilter
		want []dicom.UID
	}{
		{"all", StudyFilter{}, []dicom.UID{"1.2.5", "1.2.4", "1.2.3", "1.2.2", "1.2.1"}},
		{"page", StudyFilter{Limit: 2, Offset: 1}, []dicom.UID{"1.2.4", "1.2.3"}},
		{"patient", StudyFilter{PatientID: "P1"}, []dicom.UID{"1.2.3", "1.2.1"}},
		{"accession", StudyFilter{Accession: "A4"}, []dicom.UID{"1.2.4"}},
		{"uid", StudyFilter{StudyUID: "1.2.3"}, []dicom.UID{"1.2.3"}},
		{"both", StudyFilter{PatientID: "P1", Accession: "A4"}, nil},
		{"search by accession", StudyFilter{Search: "A4"}, []dicom.UID{"1.2.4"}},
		{"search by study", StudyFilter{Search: "1.2.3"}, []dicom.UID{"1.2.3"}},
		{"search by patient, not asked for", StudyFilter{Search: "P9"}, nil},
		{"search by patient", StudyFilter{Search: "P9", Patients: true}, []dicom.UID{"1.2.5"}},
		{"search by name", StudyFilter{Search: "weiß anna", Patients: true}, []dicom.UID{"1.2.5"}},
		{"search by name as written", StudyFilter{Search: "Weiß, A", Patients: true}, []dicom.UID{"1.2.5"}},
		{"search by a name of two words", StudyFilter{Search: "van der  berg", Patients: true}, []dicom.UID{"1.2.4"}},
		{"search by a name of three words and the given one", StudyFilter{Search: "Van der Berg j", Patients: true}, []dicom.UID{"1.2.4"}},
		{"search by a name of three words as written", StudyFilter{Search: "van der Berg, Jan", Patients: true}, []dicom.UID{"1.2.4"}},
		{"search by a name in capital letters", StudyFilter{Search: "ØSTBY KÅRE", Patients: true}, []dicom.UID{"1.2.3"}},
		{"search by a name in small letters", StudyFilter{Search: "østby, k", Patients: true}, []dicom.UID{"1.2.3"}},
		{"search by a name whose ring is a character", StudyFilter{Search: "østby ka\u030are", Patients: true}, []dicom.UID{"1.2.3"}},
		{"search by blanks", StudyFilter{Search: "  ", Patients: true}, nil},
		{"search by another's name", StudyFilter{Search: "Weißer", Patients: true}, nil},
		{"working", StudyFilter{Status: StudyWorking}, []dicom.UID{"1.2.2"}},
		{"parked", StudyFilter{Status: StudyParked}, []dicom.UID{"1.2.5", "1.2.4"}},
		{"done", StudyFilter{Status: StudyDone}, nil},
		{"not analysed", StudyFilter{Status: StudyNotAnalysed}, []dicom.UID{"1.2.3", "1.2.1"}},
		{"partly analysed", StudyFilter{Status: StudyPartlyAnalysed}, nil},
		{"conflict", StudyFilter{Status: StudyConflict}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			studies, total, err := l.Studies(ctx, c.f)
			require.NoError(t, err)
			if c.f.Limit == 0 {
				require.Len(t, studies, total)
			} else {
				require.Equal(t, 5, total)
			}
			var got []dicom.UID
			for _, s := range studies {
				got = append(got, s.StudyInstanceUID)
				if c.f.Status != "" {
					require.Equal(t, c.f.Status, s.Status)
				}
			}
			require.Equal(t, c.want, got)
		})
	}
	_, _, err := l.Studies(ctx, StudyFilter{Status: "lost"})
	require.ErrorContains(t, err, `"lost"`)
}

func TestTrace(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	receive(t, l, receipt(1), receipt(2))
	o := object(7, "pacs")
	require.NoError(t, l.FinishJob(ctx, "entry001.demo", testModel, frames(), []Object{o}, at(3)))
	for _, c := range []struct {
		name               string
		instances, objects int
		steps              int
	}{
		{"1.2", 2, 1, 6},     // study
		{"A1", 2, 1, 6},      // accession
		{"1.2.3.1", 1, 1, 4}, // source: with what was made of it
		{"1.2.3.2", 1, 0, 2},
		{"2.25.7", 1, 1, 4}, // heatmap: with what it was made from
	} {
		t.Run(c.name, func(t *testing.T) {
			ds, err := l.Trace(ctx, c.name)
			require.NoError(t, err)
			require.Len(t, ds, 1)
			require.Len(t, ds[0].InstanceViews, c.instances)
			require.Len(t, ds[0].Objects, c.objects)
			require.Len(t, ds[0].Events, c.steps)
		})
	}
	for _, name := range []string{"", "1.2.99"} {
		_, err := l.Trace(ctx, name)
		require.ErrorIs(t, err, ErrNotFound)
		_, err = l.EntryOf(ctx, name)
		require.ErrorIs(t, err, ErrNotFound)
	}
	for name, want := range map[string]string{"entry001": "entry001", "1.2.3.1": "entry001", "2.25.7": "made007", "made007": "made007"} {
		entry, err := l.EntryOf(ctx, name)
		require.NoError(t, err)
		require.Equal(t, want, entry)
	}
}

func TestReceive_contextOver(t *testing.T) {
	l := openLedger(t)
	_, err := l.Receive(done(t), []Receipt{receipt(1)}, 1)
	require.ErrorContains(t, err, "canceled")
}

func TestTimes_areKeptToTheMicrosecond(t *testing.T) {
	l := openLedger(t)
	receive(t, l, receipt(1))
	when := time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.FixedZone("CET", 3600))
	for range 2 {
		j, err := l.StartJob(t.Context(), "entry001.demo", when)
		require.NoError(t, err)
		require.Equal(t, time.Date(2026, 1, 2, 2, 4, 5, 123456000, time.UTC), j.InferredAt)
		when = when.Add(time.Hour)
	}
}

// What a study is of is filled in by each image that says more, also where one batch brings them all.
func TestReceive_studyOfABatch(t *testing.T) {
	first, second := receipt(1), receipt(2)
	first.Header.AccessionNumber, first.Header.PatientName, first.Header.StudyDate = "", "", ""
	for name, batches := range map[string][][]Receipt{"one": {{first, second}}, "two": {{first}, {second}}} {
		t.Run(name, func(t *testing.T) {
			l := openLedger(t)
			take(t, l, inbound("1", OrderChange{Patch: patch(Order{Accession: "A1", Patient: Person{Identifier: Identifier{ID: "P1"}}, Priority: Stat})}))
			for _, b := range batches {
				_, err := l.Receive(t.Context(), b, b[len(b)-1].Seq)
				require.NoError(t, err)
			}
			s, err := l.Study(t.Context(), "1.2", Page{})
			require.NoError(t, err)
			require.Equal(t, []string{"A1", "Hébert^Zoë", "20260304"}, []string{s.AccessionNumber, s.PatientName, s.StudyDate})
			require.Equal(t, 2, s.Instances)
			jobs, err := l.OpenJobs(t.Context(), "", 10)
			require.NoError(t, err)
			for _, j := range jobs {
				require.Equal(t, Stat, j.Priority, "that of the order which the second says, for the first too")
			}
		})
	}
}
