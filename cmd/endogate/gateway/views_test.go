package gateway

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/intake"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/ledger/ledgertest"
	"endogate/dicomnode/spool"
)

// TestViews_heldInstances shows a person what is kept because nobody else has it, and lets it go.
func TestViews_heldInstances(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	store, err := spool.Open(filepath.Join(t.TempDir(), "spool"), spool.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	l, err := ledgertest.Open(filepath.Join(t.TempDir(), "ledger.db"), ledger.Open)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	w, err := store.Create()
	require.NoError(t, err)
	e, err := w.Commit(spool.Entry{Kind: spool.Received, At: now, Header: dicom.Header{SOPInstance: dicom.SOPInstance{
		SOPClassUID: "1.2.840.10008.5.1.4.1.1.77.1.1", SOPInstanceUID: "1.2.3.1", SeriesInstanceUID: "1.2.3", StudyInstanceUID: "1.2",
	}}})
	require.NoError(t, err)
	id := e.ID
	follow := &intake.Follower{Spool: store, Ledger: l, Jobs: func() {}, Deliveries: func() {}, Log: slog.New(slog.DiscardHandler)}
	require.NoError(t, follow.CatchUp(t.Context()))
	clean := &intake.Reclaimer{Spool: store, Ledger: l, Now: func() time.Time { return now }}
	v := &views{ledger: l, spool: store, now: func() time.Time { return now }, jobs: func() {}}
	parked, total, err := v.Parked(t.Context(), admin.ParkedFilter{})
	require.NoError(t, err)
	require.Equal(t, []admin.Parked{{
		Kind: admin.ParkedInstance, ID: id, StudyInstanceUID: "1.2", SOPInstanceUID: "1.2.3.1", Reason: "no route matches", At: now,
	}}, parked)
	require.Equal(t, 1, total)
	now = now.Add(time.Hour)
	require.NoError(t, clean.Expired(t.Context()))
	require.True(t, store.Has(id), "kept beyond the retention")

	require.ErrorIs(t, v.Retry(t.Context(), admin.ParkedInstance, id), admin.ErrConflict)
	require.ErrorIs(t, v.Discard(t.Context(), admin.ParkedInstance, "unknown"), admin.ErrNotFound)
	require.NoError(t, v.Discard(t.Context(), admin.ParkedInstance, id))
	parked, total, err = v.Parked(t.Context(), admin.ParkedFilter{})
	require.NoError(t, err)
	require.Empty(t, parked)
	require.Zero(t, total)
	require.NoError(t, clean.Expired(t.Context()))
	require.False(t, store.Has(id))
}

// TestViews_parkedDraft: a draft that cannot be made is listed with its reason, and made due by retrying it.
func TestViews_parkedDraft(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	l, err := ledgertest.Open(filepath.Join(t.TempDir(), "ledger.db"), ledger.Open)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	_, err = l.Receive(t.Context(), []ledger.Receipt{{ID: "entry001", Seq: 1, At: now, Header: dicom.Header{SOPInstance: dicom.SOPInstance{
		SOPClassUID: "1.2.840.10008.5.1.4.1.1.77.1.1", SOPInstanceUID: "1.2.3.1", SeriesInstanceUID: "1.2.3", StudyInstanceUID: "1.2",
	}}}}, 1)
	require.NoError(t, err)
	require.NoError(t, l.RetryDraft(t.Context(), "1.2", now))
	require.NoError(t, l.SettleDraft(t.Context(), "1.2", 1, "a template has no end", now))
	woken := 0
	v := &views{ledger: l, now: func() time.Time { return now }, jobs: func() { woken++ }}
	parked, _, err := v.Parked(t.Context(), admin.ParkedFilter{Kind: admin.ParkedDraft})
	require.NoError(t, err)
	require.Equal(t, []admin.Parked{{Kind: admin.ParkedDraft, ID: "1.2", StudyInstanceUID: "1.2", Reason: "a template has no end", At: now, Bulk: true}}, parked)
	require.NoError(t, v.Retry(t.Context(), admin.ParkedDraft, "1.2"))
	require.Equal(t, 1, woken)
	parked, _, err = v.Parked(t.Context(), admin.ParkedFilter{Kind: admin.ParkedDraft})
	require.NoError(t, err)
	require.Empty(t, parked)
}
