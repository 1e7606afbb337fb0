package mllp

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode/secure"
	"endogate/dicomnode/secure/securetest"
)

// house is a server in a bubble, whose clock runs only while everybody waits. Its connections are pipes.
type house struct {
	t      *testing.T
	server *Server
	came   chan net.Conn
	closed chan struct{}
	causes chan string
}

func newHouse(t *testing.T, s *Server) *house {
	h := &house{t: t, server: s, came: make(chan net.Conn), closed: make(chan struct{}), causes: make(chan string, 1)}
	s.Handler, s.Allow, s.Log = echoing, []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, slog.New(slog.DiscardHandler)
	s.Observe.Ended = func(cause string) { h.causes <- cause }
	served := make(chan error, 1)
	go func() { served <- s.Serve(h) }()
	t.Cleanup(func() {
		require.NoError(t, s.Shutdown(context.Background()))
		require.ErrorIs(t, <-served, ErrServerClosed)
	})
	return h
}

// Accept implements net.Listener.
func (h *house) Accept() (net.Conn, error) {
	select {
	case nc := <-h.came:
		return nc, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *house) Close() error {
	select {
	case <-h.closed:
	default:
		close(h.closed)
	}
	return nil
}

// Addr implements net.Listener.
func (h *house) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// from is a connection that knows where it comes from.
type from struct {
	net.Conn
	addr net.Addr
}

// RemoteAddr implements net.Conn.
func (f from) RemoteAddr() net.Addr { return f.addr }

func (h *house) dial() *sender {
	ours, theirs := net.Pipe()
	h.t.Cleanup(func() { _ = ours.Close() })
	h.came <- from{theirs, h.Addr()}
	return &sender{h.t, ours, bufio.NewReader(ours)}
}

// drip writes a byte again and again until the server has had enough, and returns how long that took.
func (s *sender) drip(every time.Duration) time.Duration {
	began := time.Now()
	for {
		if _, err := io.WriteString(s, "x"); err != nil {
			return time.Since(began)
		}
		time.Sleep(every)
	}
}

func TestServer_lastByteLateOrNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, &Server{})
		s := h.dial()
		s.write(strings.TrimSuffix(framed("1"), "\r"))
		time.Sleep(endTimeout - time.Millisecond)
		go s.write("\r" + framed("2"))
		assert.Equal(t, "MSA|AA|1", s.answered())
		assert.Equal(t, "MSA|AA|2", s.answered())
		s.write(strings.TrimSuffix(framed("3"), "\r"))
		began := time.Now()
		assert.Equal(t, "MSA|AA|3", s.answered())
		assert.Equal(t, endTimeout, time.Since(began))
	})
	t.Run("the sender leaves", func(t *testing.T) {
		s := dial(t, serve(t, &Server{}), "127.0.0.1")
		s.write(strings.TrimSuffix(framed("4"), "\r"))
		require.NoError(t, s.Conn.(*net.TCPConn).CloseWrite())
		assert.Equal(t, "MSA|AA|4", s.answered())
	})
}

func TestServer_deadlines(t *testing.T) {
	const idle, read, tick = 10 * time.Second, 30 * time.Second, 5 * time.Millisecond
	for name, meets := range map[string]func(*testing.T, *house, *sender){
		"idle": func(t *testing.T, h *house, s *sender) {
			began := time.Now()
			assert.Equal(t, "closed", s.answered())
			assert.Equal(t, idle, time.Since(began))
			assert.Equal(t, CauseIdle, <-h.causes)
		},
		"bytes between frames are no message": func(t *testing.T, h *house, s *sender) {
			assert.InDelta(t, idle, s.drip(tick), float64(tick))
			assert.Equal(t, CauseIdle, <-h.causes)
		},
		"slow message": func(t *testing.T, h *house, s *sender) {
			s.write("\x0bMSH|")
			assert.InDelta(t, read, s.drip(tick), float64(tick))
			assert.Equal(t, CauseTimeout, <-h.causes)
		},
		"a large message has more time": func(t *testing.T, h *house, s *sender) {
			message := framed("1")
			s.write(message[:len(message)-2] + strings.Repeat("x", 4*minimumRate))
			time.Sleep(read + 4*time.Second - tick)
			s.write("\x1c\r")
			assert.Equal(t, "MSA|AA|1", s.answered())
			assert.Equal(t, "closed", s.answered())
			assert.Equal(t, CauseIdle, <-h.causes)
		},
		"but not for ever": func(t *testing.T, h *house, s *sender) {
			s.write("\x0b" + strings.Repeat("x", 4*minimumRate))
			began := time.Now()
			assert.Equal(t, "closed", s.answered())
			assert.Equal(t, read+4*time.Second, time.Since(began))
			assert.Equal(t, CauseTimeout, <-h.causes)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, &Server{IdleTimeout: idle, ReadTimeout: read})
				meets(t, h, h.dial())
			})
		})
	}
}

// A server that shuts down waits neither for who does not begin TLS nor for who is idle in it.
func TestTLS_shutdown(t *testing.T) {
	a, now := securetest.NewAuthority(t), time.Now()
	var f secure.Files
	f.CertFile, f.KeyFile = a.Issue("gateway")
	config, err := f.Server()
	require.NoError(t, err)
	trusting, err := secure.Files{CAFile: a.CAFile}.Client()
	require.NoError(t, err)
	trusting.ServerName, trusting.Time = "127.0.0.1", func() time.Time { return now }
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, &Server{TLS: config})
		h.causes = make(chan string, 2)
		silent, plain := h.dial(), h.dial()
		nc := tls.Client(plain.Conn, trusting)
		idle := &sender{t, nc, bufio.NewReader(nc)}
		idle.write(framed("1"))
		assert.Equal(t, "MSA|AA|1", idle.answered())
		left := make(chan string, 1)
		go func() { left <- idle.answered() }() // a pipe holds nothing: somebody has to read that the server leaves
		synctest.Wait()
		began := time.Now()
		require.NoError(t, h.server.Shutdown(t.Context()))
		assert.Zero(t, time.Since(began))
		assert.Equal(t, "closed", silent.answered())
		assert.Equal(t, "closed", <-left)
	})
}
