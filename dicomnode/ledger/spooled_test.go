package ledger

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
)

func sops(all []SpooledInstance) (uids []string) {
	for _, i := range all {
		uids = append(uids, string(i.SOPInstanceUID))
	}
	return uids
}

// What the spool holds of a study is found, a page after the other, without what may not be seen, and with less when it goes.
func TestSpooled(t *testing.T) {
	l := openLedger(t)
	var receipts []Receipt
	for n := range 7 {
		r := receipt(n + 1)
		r.Header.InstanceNumber = 3 - n
		receipts = append(receipts, r)
	}
	other := receipt(8)
	other.Header.SOPInstanceUID, other.Digest = receipts[0].Header.SOPInstanceUID, "other bytes"
	receive(t, l, append(receipts, other)...)
	o, twin := object(1, "pacs"), object(2)
	o.Alternate, o.Instance.SeriesInstanceUID = &twin, "1.2.4"
	require.NoError(t, l.FinishJob(t.Context(), job1, testModel, nil, []Object{o}, at(2)))

	want := []string{"1.2.3.7", "1.2.3.6", "1.2.3.5", "1.2.3.4", "1.2.3.3", "1.2.3.2", "1.2.3.1", string(o.Instance.SOPInstanceUID)}
	for _, size := range []int{1, 2, 3, 7, 8, 9} {
		f := SpooledInstances{Study: "1.2", Limit: size}
		var all []string
		for {
			page, err := l.SpooledInstances(t.Context(), f)
			require.NoError(t, err)
			all = append(all, sops(page)...)
			if len(page) < size {
				break
			}
			f.After = page[len(page)-1].Place
		}
		require.Equal(t, want, all, "in pages of %d", size)
	}
	one, err := l.SpooledInstances(t.Context(), SpooledInstances{Study: "1.2", SOP: "1.2.3.1"})
	require.NoError(t, err)
	require.Equal(t, []string{"1.2.3.1"}, sops(one))
	require.Equal(t, receipts[0].ID, one[0].Entry, "the first of those with this UID")
	for _, f := range []SpooledInstances{{Study: "1.9", SOP: "1.2.3.1"}, {Study: "1.2", SOP: twin.Instance.SOPInstanceUID}, {Study: "1.2", Series: "9", SOP: "1.2.3.1"}, {Study: "1.9"}, {Study: "1.2", Series: "9"}} {
		none, err := l.SpooledInstances(t.Context(), f)
		require.NoError(t, err)
		require.Empty(t, none, f)
	}
	series, err := l.SpooledSeries(t.Context(), "1.2")
	require.NoError(t, err)
	require.Len(t, series, 2)
	require.Equal(t, []int{7, 1}, []int{series[0].Instances, series[1].Instances})
	require.Equal(t, o.Instance, series[1].First.SOPInstance)
	l2 := openLedger(t)
	receive(t, l2, receipts[0])
	o.Instance.SeriesInstanceUID, o.Alternate = "1.2.3", nil
	require.NoError(t, l2.FinishJob(t.Context(), job1, testModel, nil, []Object{o}, at(2)))
	series, err = l2.SpooledSeries(t.Context(), "1.2")
	require.NoError(t, err)
	require.Len(t, series, 1, "what is made may stand in a series that was received")
	require.Equal(t, 2, series[0].Instances)

	_, err = l.writes.tx.conn.ExecContext(t.Context(), "UPDATE gate SET held = 1 WHERE study = 1")
	require.NoError(t, err)
	held, err := l.SpooledInstances(t.Context(), SpooledInstances{Study: "1.2"})
	require.NoError(t, err)
	require.Equal(t, want[:7], sops(held), "results that wait for a person are handed to nobody")
	fate, err := l.Fate(t.Context(), SpooledInstances{Study: "1.2", SOP: o.Instance.SOPInstanceUID})
	require.NoError(t, err)
	require.Equal(t, Fate{Known: true, Held: true}, fate)
}

// A study is found by what it says while anything of it is kept, and no longer.
func TestSpooledStudies(t *testing.T) {
	l := openLedger(t)
	for n := range 5 {
		r := receipt(n + 1)
		r.Header.StudyInstanceUID, r.Header.PatientID, r.Header.AccessionNumber = dicom.UID(fmt.Sprint("1.", n)), fmt.Sprint("P", n%2), fmt.Sprint("A", n)
		r.Header.StudyDate, r.Models, r.At = fmt.Sprint(20260101+n), nil, at(n)
		r.Forward = []string{"pacs"}
		receive(t, l, r)
	}
	find := func(f SpooledStudies) (uids []string) {
		all, err := l.SpooledStudies(t.Context(), f)
		require.NoError(t, err)
		for _, s := range all {
			uids = append(uids, string(s.StudyInstanceUID))
		}
		return uids
	}
	all := []string{"1.4", "1.3", "1.2", "1.1", "1.0"}
	for _, row := range []struct {
		f    SpooledStudies
		want []string
	}{
		{SpooledStudies{}, all},
		{SpooledStudies{Limit: 2}, all[:2]},
		{SpooledStudies{Limit: 2, After: Cursor{At: at(3), ID: "1.3"}}, all[2:4]},
		{SpooledStudies{Patient: "P1"}, []string{"1.3", "1.1"}},
		{SpooledStudies{Patient: "P1", After: Cursor{At: at(3), ID: "1.3"}}, []string{"1.1"}},
		{SpooledStudies{Accession: "A2"}, []string{"1.2"}},
		{SpooledStudies{UIDs: []dicom.UID{"1.0", "1.4", "1.9"}}, []string{"1.4", "1.0"}},
		{SpooledStudies{From: "20260102", To: "20260103"}, []string{"1.2", "1.1"}},
		{SpooledStudies{From: "20260104", Patient: "P0"}, []string{"1.4"}},
	} {
		require.Equal(t, row.want, find(row.f), "%+v", row.f)
	}
	for n := range 5 {
		require.NoError(t, l.Delivered(t.Context(), int64(n+1), "", said("0000"), at(10)))
	}
	released, err := l.Release(t.Context(), at(20), 3, at(20))
	require.NoError(t, err)
	require.Len(t, released, 3)
	require.Equal(t, all[:2], find(SpooledStudies{}))
	require.Empty(t, find(SpooledStudies{UIDs: []dicom.UID{"1.0"}}))
	fate, err := l.Fate(t.Context(), SpooledInstances{Study: "1.0"})
	require.NoError(t, err)
	require.Equal(t, Fate{Known: true, Some: true}, fate)
	problems, err := l.Check(t.Context())
	require.NoError(t, err)
	require.Empty(t, problems)
}
