package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, w.Code)
	return w.Body.String()
}

func TestMetrics_names(t *testing.T) {
	m := NewMetrics(Version{Version: "0.1.0", Commit: "abc", Go: "go1.26"}, newHospital(t).Gauges)
	m.Received("SCOPE1", 1000)
	m.Received("SCOPE1", 500)
	m.Refused("unknown_calling_ae")
	m.Stored(0xA700)
	m.Job("demo-colon", "done")
	m.Inference("demo-colon", 30*time.Millisecond)
	m.Delivery("pacs", "done")
	text := scrape(t, m)
	for _, line := range []string{
		`endogate_build_info{commit="abc",go="go1.26",version="0.1.0"} 1`,
		`endogate_received_total{calling_ae="SCOPE1"} 2`,
		`endogate_received_bytes_total{calling_ae="SCOPE1"} 1500`,
		`endogate_refused_total{cause="unknown_calling_ae"} 1`,
		`endogate_stored_total{status="A700"} 1`,
		`endogate_jobs_total{model="demo-colon",outcome="done"} 1`,
		`endogate_inference_seconds_bucket{model="demo-colon",le="0.05"} 1`,
		`endogate_delivery_total{destination="pacs",outcome="done"} 1`,
		`endogate_state_readable 1`,
		`endogate_queue_lag_jobs 2`,
		`endogate_queue_oldest_seconds 3.5`,
		`endogate_open_jobs 3`,
		`endogate_spool_lag_entries 1`,
		`endogate_delivery_queue_depth{destination="his"} 9`,
		`endogate_parked{kind="delivery"} 1`,
		`endogate_parked{kind="exam"} 1`,
		`endogate_parked{kind="job"} 1`,
		`endogate_held_instances 1`,
		`endogate_refused_entries 2`,
		`endogate_spool_entries 431`,
		`endogate_disk_free_bytes 4.42381631488e+11`,
		`endogate_disk_reserve_bytes 1.073741824e+10`,
		`go_goroutines`,
	} {
		require.Contains(t, text, line)
	}
}

func TestMetrics_withoutState(t *testing.T) {
	m := NewMetrics(Version{}, func(context.Context) (Gauges, error) { return Gauges{}, errors.New("ledger locked") })
	m.Stored(0)
	text := scrape(t, m)
	require.Contains(t, text, `endogate_state_readable 0`)
	require.Contains(t, text, `endogate_stored_total{status="0000"} 1`)
	require.NotContains(t, text, "endogate_open_jobs 0", "an unknown number is not zero")
}

// A peer chooses its AE title: neither its bytes nor their variety may hurt.
func TestMetrics_hostileTitles(t *testing.T) {
	m := NewMetrics(Version{}, newHospital(t).Gauges)
	m.Received("\xff\xfe", 1)
	for i := range 1000 {
		m.Received(fmt.Sprint("AE", i), 1)
	}
	text := scrape(t, m)
	require.Contains(t, text, `endogate_received_total{calling_ae="(other)"} 937`)
	require.NotContains(t, text, `calling_ae="AE999"`)
}
