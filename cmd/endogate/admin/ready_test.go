package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
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
		p := &prober{timeout: probeTime, patience: probePatience, checks: []Check{{Name: "disk", Probe: func(context.Context) error { started.Add(1); <-release; return nil }}}}
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
		p := &prober{timeout: probeTime, patience: probePatience, checks: []Check{{Name: "disk", Probe: func(context.Context) error { <-hang; return nil }}}}
		_, ready := p.run(t.Context())
		require.False(t, ready)
		close(hang)
		synctest.Wait()
		_, ready = p.run(t.Context())
		require.True(t, ready)
	})
}

func TestProber_advisoryCheckDoesNotGate(t *testing.T) {
	p := &prober{timeout: time.Second, patience: time.Second, checks: []Check{
		{Name: "broker", Advisory: true, Probe: func(context.Context) error { return errors.New("it is away") }},
		{Name: "disk", Probe: func(context.Context) error { return nil }},
	}}
	results, ready := p.run(t.Context())
	require.True(t, ready)
	require.False(t, results[0].OK, "it is shown all the same")
	require.Equal(t, "it is away", results[0].Reason)
	require.NoError(t, p.close(t.Context()))
}

// TestProber_sharesAnswers: however many ask at once or one after the other, a check is made as often as it wants to be.
func TestProber_sharesAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made atomic.Int32
		p := &prober{timeout: probeTime, patience: probePatience, checks: []Check{{Name: "disk", Every: 3 * time.Second, Probe: func(ctx context.Context) error {
			made.Add(1)
			time.Sleep(time.Second)
			return ctx.Err()
		}}}}
		gone, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				_, ready := p.run(t.Context())
				require.True(t, ready)
			})
		}
		all.Go(func() { p.run(gone) })
		time.Sleep(500 * time.Millisecond)
		cancel() // whoever leaves takes nobody else's answer along
		all.Wait()
		require.EqualValues(t, 1, made.Load())
		began := time.Now()
		for range 30 {
			p.run(t.Context())
			time.Sleep(time.Second)
		}
		require.LessOrEqual(t, made.Load(), int32(time.Since(began)/(3*time.Second))+2)
		require.NoError(t, p.close(t.Context()))
	})
}

// TestProber_logsChanges: each change is one line, however long it lasts and whatever numbers the reason has.
func TestProber_logsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var disk, broker atomic.Bool
		n := 0
		p := &prober{timeout: probeTime, patience: probePatience, checks: []Check{
			{Name: "disk", Probe: func(context.Context) error {
				if n++; disk.Load() {
					return fmt.Errorf("read-only, %d", n)
				}
				return nil
			}},
			{Name: "broker", Advisory: true, Probe: func(context.Context) error {
				if broker.Load() {
					return errors.New("down")
				}
				return nil
			}},
		}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { p.watch(ctx, slog.New(slog.NewTextHandler(&log, nil))); close(done) }()
		for range 2 {
			time.Sleep(time.Minute)
			disk.Store(true)
			broker.Store(true)
			time.Sleep(time.Hour)
			disk.Store(false)
			broker.Store(false)
		}
		time.Sleep(time.Minute)
		cancel()
		<-done
		require.NoError(t, p.close(t.Context()))
		said := log.String()
		require.Equal(t, 2, strings.Count(said, `level=ERROR msg="not ready: nothing can be taken over" check=disk reason="read-only, `), said)
		require.Equal(t, 2, strings.Count(said, `level=WARN msg="check fails: what depends on it waits" check=broker reason=down`), said)
		require.Equal(t, 4, strings.Count(said, "level=INFO msg=\"check holds again\""), said)
		require.Equal(t, 8, strings.Count(said, "\n"), said)
	})
}

// TestProber_slow: a disk that takes its time is no reason to send modalities away, one that hangs is. What was not known to hold is
// not said to.
func TestProber_slow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		takes := make(chan time.Duration, 1)
		p := &prober{timeout: probeTime, patience: probePatience, checks: []Check{{Name: "disk", Probe: func(ctx context.Context) error {
			time.Sleep(<-takes)
			return ctx.Err()
		}}}}
		asked := func(takesNow time.Duration) bool {
			takes <- takesNow
			began := time.Now()
			_, ready := p.run(t.Context())
			require.LessOrEqual(t, time.Since(began), probeTime, "whoever asks is answered")
			return ready
		}
		require.False(t, asked(5*time.Second), "nothing is known yet")
		time.Sleep(5 * time.Second)
		require.True(t, asked(5*time.Second))
		time.Sleep(5 * time.Second)
		require.True(t, asked(time.Minute), "slow")
		time.Sleep(probePatience)
		_, ready := p.run(t.Context())
		require.False(t, ready, "hangs")
		time.Sleep(time.Minute)
		require.False(t, asked(5*time.Second), "the last did not hold")
		time.Sleep(5 * time.Second)
		require.NoError(t, p.close(t.Context()))
	})
}
