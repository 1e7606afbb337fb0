package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReadyz_namesWhatFails(t *testing.T) {
	srv := newServer(t, newHospital(t))
	srv.Checks[0].Probe = func(context.Context) error {
		return errors.New("9.1 GiB free, 10 GiB in reserve: free some space")
	}
	s := srv.Handler()
	require.Equal(t, http.StatusOK, ask(s, "GET", "/healthz").Code, "up even when not ready")
	w := ask(s, "GET", "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	var r readiness
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &r))
	require.False(t, r.Ready)
	require.Equal(t, CheckResult{"disk above reserve", false, "9.1 GiB free, 10 GiB in reserve: free some space"}, r.Checks[0])
	require.Equal(t, CheckResult{"ledger readable", true, ""}, r.Checks[1])
	require.Equal(t, http.StatusServiceUnavailable, ask(s, "HEAD", "/readyz").Code)
	require.Equal(t, http.StatusServiceUnavailable, ask(s, "GET", "/readyz", "Host", "balancer.example").Code, "probes may use any host name")
}

func TestReadyz_whenAllHold(t *testing.T) {
	require.Equal(t, http.StatusOK, ask(newServer(t, newHospital(t)).Handler(), "GET", "/readyz").Code)
}

// A check that ignores its deadline is reported, is not started over and over, and comes back by itself.
func TestProber_hangingCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var started atomic.Int32
		p := &prober{timeout: probeTime, checks: []Check{{Name: "disk", Probe: func(context.Context) error { started.Add(1); <-release; return nil }}}}
		for range 3 {
			begin := time.Now()
			results, ready := p.run(t.Context())
			require.False(t, ready)
			require.NotEmpty(t, results[0].Reason)
			require.LessOrEqual(t, time.Since(begin), probeTime)
			time.Sleep(time.Second)
		}
		require.EqualValues(t, 1, started.Load())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		require.ErrorIs(t, p.close(ctx), context.DeadlineExceeded)
		cancel()
		close(release)
		require.NoError(t, p.close(t.Context()))
		results, _ := p.run(t.Context())
		require.Equal(t, "shutting down", results[0].Reason)
	})
}

func TestProber_recovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		p := &prober{timeout: probeTime, checks: []Check{{Name: "disk", Probe: func(context.Context) error { <-hang; return nil }}}}
		_, ready := p.run(t.Context())
		require.False(t, ready)
		close(hang)
		synctest.Wait()
		_, ready = p.run(t.Context())
		require.True(t, ready)
	})
}

func TestProber_advisoryCheckDoesNotGate(t *testing.T) {
	p := &prober{timeout: time.Second, checks: []Check{
		{Name: "broker", Advisory: true, Probe: func(context.Context) error { return errors.New("it is away") }},
		{Name: "disk", Probe: func(context.Context) error { return nil }},
	}}
	results, ready := p.run(t.Context())
	require.True(t, ready)
	require.False(t, results[0].OK, "it is shown all the same")
	require.Equal(t, "it is away", results[0].Reason)
	require.NoError(t, p.close(t.Context()))
}
