package admin

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// serve starts s on a free loopback port and returns its address; the test's end shuts it down and waits.
func serve(t *testing.T, s *Server) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		require.NoError(t, s.Shutdown(context.Background()))
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	return "http://" + ln.Addr().String()
}

func TestServe_untilShutdown(t *testing.T) {
	h := newHospital(t)
	s := newServer(t, h)
	asked, release := make(chan struct{}), make(chan struct{})
	h.images["slow"] = func() (image.Image, error) {
		close(asked)
		<-release
		return image.NewRGBA(image.Rect(0, 0, 2, 2)), nil
	}
	base := serve(t, s)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

	answered := make(chan string, 1)
	go func() {
		r, err := client.Get(base + "/api/v1/instances/slow/frames/1.png")
		if err != nil {
			answered <- err.Error()
			return
		}
		body, err := io.ReadAll(r.Body)
		answered <- fmt.Sprint(r.StatusCode, " ", len(body) > 0, " ", errors.Join(err, r.Body.Close()))
	}()
	<-asked
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	for { // the listener is closed first, while the request under way goes on
		r, err := client.Get(base + "/healthz")
		if err != nil {
			break
		}
		require.NoError(t, r.Body.Close())
	}
	close(release)
	require.Equal(t, "200 true <nil>", <-answered)
	require.NoError(t, <-stopped)
}

func TestShutdown_endsStuckRequests(t *testing.T) {
	h := newHospital(t)
	s := newServer(t, h)
	asked, release := make(chan struct{}), make(chan struct{})
	h.images["stuck"] = func() (image.Image, error) {
		close(asked)
		<-release
		return nil, ErrNotFound
	}
	base := serve(t, s)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	failed := make(chan error, 1)
	go func() {
		r, err := client.Get(base + "/api/v1/instances/stuck/frames/1.png")
		if err == nil {
			err = r.Body.Close()
		}
		failed <- err
	}()
	<-asked
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, s.Shutdown(ctx), context.Canceled)
	require.Error(t, <-failed, "the connection was closed")
	close(release)
}

func TestShutdown_beforeServe(t *testing.T) {
	s := newServer(t, newHospital(t))
	require.NoError(t, s.Shutdown(context.Background()))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.ErrorIs(t, s.Serve(ln), http.ErrServerClosed)
	_, err = net.Dial("tcp", ln.Addr().String())
	require.Error(t, err, "the listener is closed")
}
