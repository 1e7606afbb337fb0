package gateway

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/intake"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/ledger/ledgertest"
	"endogate/dicomnode/spool"
	"endogate/reports"
	"endogate/reports/secondlook"
)

// TestScreenStep_routesHaveChanged: a route was put before the one that a study's instances came by, and both have a model that has not
// seen them. They are passed over, however many they are, and what came by the new route is offered all the same.
func TestScreenStep_routesHaveChanged(t *testing.T) {
	dir, now := t.TempDir(), time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	sp, err := spool.Open(filepath.Join(dir, "spool"), spool.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sp.Close()) })
	l, err := ledgertest.Open(filepath.Join(dir, "ledger.db"), ledger.Open)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	const others = maxOffered + 1
	for n := range others + 2 {
		h := dicom.Header{SOPInstance: dicom.SOPInstance{
			SOPClassUID: "1.2", SOPInstanceUID: dicom.UID(fmt.Sprintf("1.2.3.%d", n+1)), SeriesInstanceUID: "1.2.3", StudyInstanceUID: "1.2",
		}}
		route := "old"
		if n >= others {
			route = "new"
		}
		w, err := sp.Create()
		require.NoError(t, err)
		e, err := w.Commit(spool.Entry{Kind: spool.Received, Header: h, CallingAE: "SCOPE", At: now})
		require.NoError(t, err)
		_, err = l.Receive(t.Context(), []ledger.Receipt{{ID: e.ID, Seq: e.Seq, At: now, Route: route, Models: []string{"one"}, Header: h}}, e.Seq)
		require.NoError(t, err)
	}
	router := intake.Router{{Name: "new", Models: []string{"one", "other"}}, {Name: "old", Models: []string{"one", "other"}}}
	g := &generation{
		parts:    &parts{ledger: l, log: slog.New(slog.DiscardHandler), now: func() time.Time { return now }},
		follower: &intake.Follower{Spool: sp, Ledger: l, Router: router}, exams: &reports.Assembler{}, looker: &secondlook.Looker{},
	}
	_, err = l.StartScreening(t.Context(), ledger.Screening{Name: "abc", From: now, Before: now.Add(time.Second), MadeAt: now})
	require.NoError(t, err)
	var s ledger.Screening
	for range 3 {
		_, err := g.screenStep(t.Context())
		require.NoError(t, err)
		s, err = l.Screening(t.Context(), "abc")
		require.NoError(t, err)
	}
	require.Equal(t, ledger.ScreeningDone, s.State, "two steps for a study, and one to end")
	require.Equal(t, [3]int{1, 2, 0}, [3]int{s.Studies, s.Offered, s.Gone})
}
