package deployment

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"endogate/cmd/endogate/admin"
	"endogate/cmd/endogate/installed"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestAlerts holds the alert rules against Prometheus' own tool and their unit tests, each metric in them against what is served, and
// each alert against the page that says what to do.
func TestAlerts(t *testing.T) {
	installed.Require(t, "promtool")
	const rules = "../../../deploy/prometheus/endogate.rules"
	for _, args := range [][]string{{"check", "rules", rules + ".yaml"}, {"test", "rules", rules + ".test.yaml"}} {
		out, err := exec.Command("promtool", args...).CombinedOutput()
		require.NoError(t, err, string(out))
	}
	text, err := os.ReadFile(rules + ".yaml")
	require.NoError(t, err)
	tests, err := os.ReadFile(rules + ".test.yaml")
	require.NoError(t, err)
	docs, err := os.ReadFile("../../../docs/deploy.md")
	require.NoError(t, err)
	alerts := regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, alerts)
	for _, a := range alerts {
		assert.Contains(t, string(docs), "`"+a[1]+"`", "docs/deploy.md says what to do")
		assert.Regexp(t, "alertname: "+a[1]+", exp_alerts", string(tests), "it is seen to fire")
		assert.Regexp(t, "alertname: "+a[1]+"}", string(tests), "and seen not to")
	}
	served := exposition(t)
	for _, name := range regexp.MustCompile(`endogate_\w+`).FindAllString(string(text), -1) {
		assert.Contains(t, served, "\n"+name+"{", "/metrics has it")
	}
}

// exposition is what a gateway serves that has a destination, a model and work of all kinds; names without labels get empty ones.
func exposition(t *testing.T) string {
	m := admin.NewMetrics(admin.Version{}, func(context.Context) (admin.Gauges, error) {
		return admin.Gauges{Ages: admin.Ages{
			Jobs: map[string]float64{"m": 1}, OpenJobs: map[string]int{"m": 1}, Destinations: []admin.DestinationAge{{Name: "pacs", Kind: "dicom"}},
		}}, nil
	})
	m.Stored(0)
	m.Notified("endoscopy", time.Second)
	m.Certificates(func() map[string]time.Time { return map[string]time.Time{"dicom.tls": time.Now()} })
	m.TurnedAway("SCOPE1", "10.1.9.4", admin.NotAddress, time.Now())
	check := admin.Check{Name: "disk", Probe: func(context.Context) error { return nil }}
	web := &admin.Server{Metrics: m, Checks: []admin.Check{check}, Log: slog.New(slog.DiscardHandler)}
	w := httptest.NewRecorder()
	web.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	require.Equal(t, http.StatusOK, w.Code)
	w = httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.NoError(t, web.Shutdown(t.Context()))
	return regexp.MustCompile(`(?m)^(\w+) `).ReplaceAllString(w.Body.String(), "$1{} ")
}
