package ledger

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
)

// A map that a person sends goes where results of its model go, once for each name; not of what is not there, what was taken back, or
// where results go nowhere; and it goes with the results that it was made of. When its bytes are lost, it is not made again by itself.
func TestPutMap(t *testing.T) {
	ctx := By(t.Context(), Actor{Kind: ActorPerson, Name: "Anna"})
	l := openLedger(t)
	r := receipt(1)
	r.Destinations = []string{"pacs"}
	receive(t, l, r)
	sent := func(n int, name dicom.UID) Object {
		o := object(n)
		o.Purpose, o.Name = PurposeMap, name
		return o
	}
	put, held, err := l.PutMap(ctx, sent(21, "2.25.100"), at(2))
	require.NoError(t, err)
	assert.False(t, held)
	require.Equal(t, []string{"pacs"}, put.Destinations)
	again, _, err := l.PutMap(ctx, sent(22, "2.25.100"), at(3))
	require.NoError(t, err)
	assert.Equal(t, put.Entry, again.Entry, "there is one of that name")
	stranger := sent(23, "2.25.101")
	stranger.Source = "1.2.3.99"
	_, _, err = l.PutMap(ctx, stranger, at(3))
	require.ErrorIs(t, err, ErrNotFound)
	other := sent(24, "2.25.102")
	other.Model = "another"
	put, _, err = l.PutMap(ctx, other, at(3))
	require.NoError(t, err)
	assert.NotEmpty(t, put.Destinations, "a model that is none of the study's: where its results go")

	noWay := receipt(2)
	noWay.Header.StudyInstanceUID = "1.3"
	receive(t, l, noWay)
	nowhere := sent(25, "2.25.103")
	nowhere.Source, nowhere.Instance.StudyInstanceUID = noWay.Header.SOPInstanceUID, "1.3"
	_, _, err = l.PutMap(ctx, nowhere, at(3))
	require.ErrorIs(t, err, ErrState)

	require.NoError(t, l.ParkLost(context.WithoutCancel(ctx), []string{"made021"}, at(4)))
	d := study(t, l).Deliveries
	reasons := ""
	for _, d := range d {
		reasons += d.Reason + "\n"
	}
	assert.Contains(t, reasons, "send it again")

	revision, err := l.MapRevision(ctx, "2.25.100")
	require.NoError(t, err)
	require.Equal(t, 1, revision)
	anew := sent(26, "2.25.100")
	for range 2 {
		anew.Revision = revision
		put, _, err = l.PutMap(ctx, anew, at(5))
		require.NoError(t, err)
		assert.Equal(t, anew.Entry, put.Entry, "in the place of the one that was lost, once")
	}
	put, _, err = l.PutMap(ctx, sent(21, "2.25.100"), at(6))
	require.NoError(t, err)
	assert.Equal(t, anew.Entry, put.Entry, "as a rebuild does it again")
	states := map[string]DeliveryState{}
	for _, d := range study(t, l).Deliveries {
		states[d.Entry] = d.State
	}
	assert.Equal(t, []DeliveryState{DeliveryDiscarded, DeliveryPending}, []DeliveryState{states["made021"], states["made026"]})
	revision, err = l.MapRevision(ctx, "2.25.100")
	require.NoError(t, err)
	assert.Zero(t, revision)
}
