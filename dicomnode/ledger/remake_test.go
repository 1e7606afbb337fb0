package ledger

import (
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
)

// madeOfName is object n of a name with content.
func madeOfName(n int, name dicom.UID, content string, destinations ...string) Object {
	o := object(n, destinations...)
	o.Name, o.Digest = name, content
	return o
}

// again does the one job that is to be done once more, up to its end.
func again(t *testing.T, l *Ledger, now int) Job {
	t.Helper()
	jobs, err := l.JobsAgain(t.Context(), "", 10)
	require.NoError(t, err)
	require.Len(t, jobs, 1)
	job, err := l.StartJob(t.Context(), jobs[0].ID, at(now))
	require.NoError(t, err)
	require.True(t, job.Again)
	require.Equal(t, JobOpen, job.State)
	require.Equal(t, 1, job.Attempts)
	require.Equal(t, testModel, job.MadeBy)
	require.Equal(t, JobDone, study(t, l).InstanceViews[0].Jobs[0].State, "for whoever looks, it is done")
	return job
}

// lossy is a ledger with a heatmap to pacs and a report of it, with its twin, to pacs and archive, which archive has.
func lossy(t *testing.T) *Ledger {
	l := openLedger(t)
	ctx := t.Context()
	receive(t, l, receipt(1))
	_, err := l.StartJob(ctx, "entry001.demo", at(1))
	require.NoError(t, err)
	require.NoError(t, l.FinishJob(ctx, "entry001.demo", testModel, frames(), []Object{madeOfName(1, "2.25.91", "aa", "pacs")}, at(2)))
	report, twin := madeOfName(2, "2.25.92", "bb", "pacs", "archive"), madeOfName(3, "2.25.93", "cc")
	report.Purpose, report.Source, report.Revision, report.Alternate = "sr", "", 1, &twin
	require.NoError(t, l.FinishReport(ctx, dueOne(t, l, 100), []Object{report}, at(100)))
	for _, d := range study(t, l).Deliveries {
		if d.Destination == "archive" {
			require.NoError(t, l.Delivered(ctx, d.ID, d.Entry, said("0000"), at(101)))
		}
	}
	return l
}

// TestRemake_sameBytes: what comes out as it was stands where it stood.
func TestRemake_sameBytes(t *testing.T) {
	l := lossy(t)
	ctx := t.Context()
	require.NoError(t, l.ParkLost(ctx, []string{"made001", "made002", "made003"}, at(200)))
	requireTally(t, l)
	require.Empty(t, dueEntries(t, l, "pacs", 300))
	require.Empty(t, due(t, l, 300), "the report waits for the heatmap that it may speak of")
	job := again(t, l, 201)
	require.NoError(t, l.UnstartJob(ctx, job.ID))
	job = again(t, l, 202)
	found := study(t, l).InstanceViews[0].Jobs[0].Results
	require.NoError(t, l.FinishJob(ctx, job.ID, testModel, nil, []Object{func() Object { o := madeOfName(1, "2.25.91", "aa"); o.Entry = "again001"; return o }()}, at(203)))
	require.ErrorIs(t, l.FinishJob(ctx, job.ID, testModel, nil, nil, at(204)), ErrState, "it takes no second results")
	require.Equal(t, found, study(t, l).InstanceViews[0].Jobs[0].Results)
	require.Equal(t, []string{"again001"}, dueEntries(t, l, "pacs", 300))

	e := dueOne(t, l, 300)
	require.True(t, e.Again)
	require.Equal(t, 1, e.Revision)
	require.Len(t, results(t, l, e), 1)
	report, twin := madeOfName(2, "2.25.92", "bb"), madeOfName(3, "2.25.93", "cc")
	report.Entry, twin.Entry, report.Alternate = "again002", "again003", &twin
	require.NoError(t, l.RemakeReport(ctx, e, []Object{report}, at(301)))
	require.NoError(t, l.RemakeReport(ctx, e, []Object{report}, at(301)), "twice changes nothing")
	require.Empty(t, due(t, l, 400))
	require.Equal(t, []string{"again001", "again002"}, dueEntries(t, l, "pacs", 400))
	for _, d := range study(t, l).Deliveries {
		if d.Entry == "again002" {
			require.Equal(t, "again003", d.Alternate)
		}
	}
	needed, err := l.Needed(ctx, []string{"made001", "made002", "made003", "again001", "again002", "again003"})
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"again001": true, "again002": true, "again003": true}, needed)
	requireTally(t, l)
}

// TestRemake_otherBytes: what comes out otherwise is another object. It takes the place of the lost one in what is to be
// delivered and in the findings, and the report that spoke of it gets another revision in place of the lost one.
func TestRemake_otherBytes(t *testing.T) {
	l := lossy(t)
	ctx := t.Context()
	require.NoError(t, l.ParkLost(ctx, []string{"made001", "made002", "made003"}, at(200)))
	job := again(t, l, 201)
	require.NoError(t, l.FinishJob(ctx, job.ID, testModel, nil, []Object{madeOfName(11, "2.25.91", "ee")}, at(203)))
	require.Equal(t, dicom.UID("2.25.11"), study(t, l).InstanceViews[0].Jobs[0].Results[0].Findings[0].Heatmap)
	current, err := l.Current(ctx, "2.25.91")
	require.NoError(t, err)
	require.Equal(t, dicom.UID("2.25.11"), current.Instance.SOPInstanceUID)
	require.Equal(t, []string{"made011"}, dueEntries(t, l, "pacs", 300))

	e := dueOne(t, l, 300)
	require.False(t, e.Again)
	require.Equal(t, 2, e.Revision)
	next := madeOfName(12, "2.25.94", "ff", "pacs", "archive")
	next.Purpose, next.Source, next.Revision = "sr", "", 2
	require.NoError(t, l.FinishReport(ctx, e, []Object{next}, at(301)))
	require.Equal(t, []string{"made011", "made012"}, dueEntries(t, l, "pacs", 400))
	state := map[string]DeliveryState{}
	for _, d := range study(t, l).Deliveries {
		state[d.Entry+" to "+d.Destination] = d.State
	}
	require.Equal(t, map[string]DeliveryState{
		"made001 to pacs": DeliveryDiscarded, "made002 to pacs": DeliveryDiscarded, "made002 to archive": DeliveryDone,
		"made011 to pacs": DeliveryPending, "made012 to pacs": DeliveryPending, "made012 to archive": DeliveryPending,
	}, state)
	require.Empty(t, due(t, l, 500))
	requireTally(t, l)
}

// TestRemake_reportOtherwise: a report that comes out otherwise, though nothing that it speaks of has changed, is another
// revision too.
func TestRemake_reportOtherwise(t *testing.T) {
	l := lossy(t)
	require.NoError(t, l.ParkLost(t.Context(), []string{"made002", "made003"}, at(200)))
	e := dueOne(t, l, 300)
	require.True(t, e.Again)
	report := madeOfName(12, "2.25.92", "ff")
	require.NoError(t, l.RemakeReport(t.Context(), e, []Object{report}, at(301)))
	e = dueOne(t, l, 302)
	require.False(t, e.Again)
	require.Equal(t, 2, e.Revision)
}

// TestRemake_sourceLost: without what it was made from it waits, and says so; that comes again, and it is made.
func TestRemake_sourceLost(t *testing.T) {
	l := lossy(t)
	ctx := t.Context()
	require.NoError(t, l.ParkLost(ctx, []string{"entry001", "made001", "made002", "made003"}, at(200)))
	require.NoError(t, l.ParkJob(ctx, again(t, l, 201).ID, LostBytes+": no such entry", at(202)))
	e := dueOne(t, l, 300)
	require.NoError(t, l.ParkExam(ctx, e, "none of them: "+LostBytes, at(301)))
	require.Empty(t, due(t, l, 400))
	jobs, err := l.JobsAgain(ctx, "", 10)
	require.NoError(t, err)
	require.Empty(t, jobs)
	for _, d := range study(t, l).Deliveries {
		if d.Destination == "pacs" {
			require.Equal(t, DeliveryParked, d.State)
			require.Equal(t, lostSource, d.Reason)
			require.False(t, d.Bulk())
		}
	}
	receive(t, l, gone(as(receipt(1), 2), "entry001"))
	require.Equal(t, "again:entry002.demo", again(t, l, 401).ID)
	requireTally(t, l)
}

// TestRemake_cannotBe: another reason why it cannot be made again is said; a person who retries it has it tried once more.
func TestRemake_cannotBe(t *testing.T) {
	l := lossy(t)
	ctx := t.Context()
	require.NoError(t, l.ParkLost(ctx, []string{"made001"}, at(200)))
	require.NoError(t, l.FinishJob(ctx, again(t, l, 201).ID, testModel, nil, nil, at(202)))
	heatmap := study(t, l).Deliveries[0]
	require.Equal(t, "bytes lost: it cannot be made again: the analysis made no such picture this time; retract the result or discard", heatmap.Reason)
	_, err := l.Unpark(ctx, heatmap.ID, at(203))
	require.NoError(t, err)
	require.NoError(t, l.Park(ctx, heatmap.ID, Answer{}, "its bytes are no longer in the spool", at(204)))
	require.NoError(t, l.ParkLost(ctx, []string{"made001"}, at(204)))
	require.Equal(t, isMadeAgain, study(t, l).Deliveries[0].Reason)
	again(t, l, 205)
}

// TestRemake_nobodyWaits: what everybody has is not made again.
func TestRemake_nobodyWaits(t *testing.T) {
	l := lossy(t)
	ctx := t.Context()
	for _, d := range study(t, l).Deliveries {
		require.NoError(t, l.Delivered(ctx, d.ID, d.Entry, said("0000"), at(150)))
	}
	require.NoError(t, l.ParkLost(ctx, []string{"made001", "made002", "made003"}, at(200)))
	require.Empty(t, due(t, l, 300))
	held, err := l.Unreleased(ctx, "", 10)
	require.NoError(t, err)
	require.Equal(t, []string{"entry001"}, held)
}

// TestRemake_clip: a clip that comes out otherwise takes the place of the one that is lost, as a heatmap does.
func TestRemake_clip(t *testing.T) {
	l := openLedger(t)
	ctx := t.Context()
	receive(t, l, receipt(1))
	_, err := l.StartJob(ctx, "entry001.demo", at(1))
	require.NoError(t, err)
	clip := madeOfName(1, "2.25.91", "aa", "pacs")
	clip.Purpose = "clip"
	require.NoError(t, l.FinishJob(ctx, "entry001.demo", testModel, frames(), []Object{clip}, at(2)))
	require.NoError(t, l.ParkLost(ctx, []string{"made001"}, at(200)))
	require.Empty(t, dueEntries(t, l, "pacs", 300))
	otherwise := madeOfName(4, "2.25.91", "zz")
	otherwise.Purpose = "clip"
	require.NoError(t, l.FinishJob(ctx, again(t, l, 201).ID, testModel, nil, []Object{otherwise}, at(203)))
	require.Equal(t, []string{"made004"}, dueEntries(t, l, "pacs", 300))
	requireTally(t, l)
}
