package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"endogate/cmd/endogate/admin"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/ledger"
	"endogate/dicomnode/ledger/ledgertest"
	"endogate/inference/analysis"
	"endogate/inference/jobs"
	"endogate/reports"
)

// TestParkJob: a job is told of as parked when it is, and not when another worker has ended it.
func TestParkJob(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	l, err := ledgertest.Open(filepath.Join(t.TempDir(), "ledger.db"), ledger.Open)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	_, err = l.Receive(t.Context(), []ledger.Receipt{{ID: "e", Seq: 1, At: now, Models: []string{"one", "other"}, Header: dicom.Header{
		SOPInstance: dicom.SOPInstance{SOPClassUID: "1.2", SOPInstanceUID: "1.2.3.1", SeriesInstanceUID: "1.2.3", StudyInstanceUID: "1.2"},
	}}}, 1)
	require.NoError(t, err)
	var log strings.Builder
	g := &generation{parts: &parts{ledger: l, log: slog.New(slog.NewTextHandler(&log, nil)), now: func() time.Time { return now }}, exams: &reports.Assembler{}}
	require.NoError(t, l.FinishJob(t.Context(), "e.one", analysis.Model{}, nil, nil, now))
	for _, id := range []string{"e.one", "gone.one"} {
		require.NoError(t, g.parkJob(t.Context(), jobs.Job{ID: id}, "boom"))
		require.Empty(t, log.String(), id)
	}
	for range 2 {
		require.NoError(t, g.parkJob(t.Context(), jobs.Job{ID: "e.other"}, "boom"))
		require.Equal(t, 1, strings.Count(log.String(), "job parked"))
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, g.parkJob(stopped, jobs.Job{ID: "e.other"}, "boom"), context.Canceled)
	require.Equal(t, 1, strings.Count(log.String(), "job parked"))
}

// TestCounted: a call that found nothing left to do is no job.
func TestCounted(t *testing.T) {
	g := &generation{parts: &parts{metrics: admin.NewMetrics(admin.Version{}, func(context.Context) (admin.Gauges, error) { return admin.Gauges{}, nil })}}
	j := jobs.Job{Model: jobs.Model{Name: "demo"}}
	require.NoError(t, g.counted(j, nil))
	boom := errors.New("boom")
	require.ErrorIs(t, g.counted(j, boom), boom)
	w := httptest.NewRecorder()
	g.metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Contains(t, w.Body.String(), `endogate_jobs_total{model="demo",outcome="failed"} 1`)
	require.NotContains(t, w.Body.String(), `outcome="done"`)
}
