package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A listed title from elsewhere stays to be seen, and has a number of its own, whatever else calls and under how many names.
func TestMetrics_turnedAway(t *testing.T) {
	m := NewMetrics(Version{}, func(context.Context) (Gauges, error) { return Gauges{}, nil })
	now := sampleTime
	call := func(title, address, why string) {
		now = now.Add(time.Second)
		m.TurnedAway(title, address, why, now)
	}
	for range 3 {
		call("SCOPE1", "10.1.9.4", NotAddress)
	}
	for n := range 10_000 {
		call(fmt.Sprint("X", n), "10.9.9.9", NotListed)
		if n%1000 == 0 {
			call("TYPO", "10.1.2.3", NotTitle)
		}
	}
	all := m.TurnedAwayLately()
	require.Len(t, all, maxTurnedAway)
	assert.Contains(t, all, TurnedAway{AETitle: "SCOPE1", Address: "10.1.9.4", Why: NotAddress, Count: 3, FirstAt: sampleTime.Add(time.Second), LastAt: sampleTime.Add(3 * time.Second)})
	assert.Equal(t, "X9999", all[0].AETitle, "the last is first")
	for n := range 2 * maxTurnedAway {
		call("SCOPE2", fmt.Sprint("10.1.9.", n), NotAddress)
	}
	call("X", "10.9.9.9", NotListed)
	all = m.TurnedAwayLately()
	require.Len(t, all, maxTurnedAway)
	for _, one := range all {
		require.Equal(t, NotAddress, one.Why)
	}

	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, line := range []string{
		`endogate_turned_away_total{calling_ae="SCOPE1",not_listed="address"} 3`, `endogate_turned_away_total{calling_ae="(not listed)",not_listed="title"} 10`,
		`endogate_turned_away_total{calling_ae="(not listed)",not_listed="both"} 10001`,
	} {
		assert.Contains(t, w.Body.String(), line+"\n")
	}
}
