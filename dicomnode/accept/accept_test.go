package accept

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scripted is a listener that fails as it is told, and then waits.
type scripted struct {
	net.Listener
	fails  []error
	at     []time.Time
	closed chan struct{}
}

func (s *scripted) Accept() (net.Conn, error) {
	s.at = append(s.at, time.Now())
	if len(s.fails) > 0 {
		err := s.fails[0]
		s.fails = s.fails[1:]
		if err == nil {
			near, _ := net.Pipe()
			return near, nil
		}
		return nil, err
	}
	<-s.closed
	return nil, net.ErrClosed
}

func (s *scripted) Close() error   { close(s.closed); s.closed = nil; return nil }
func (s *scripted) Addr() net.Addr { return &net.TCPAddr{} }

// TestServe_pauses waits longer each time for what the machine lacks, a second at most, and not at all after a connection.
func TestServe_pauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := &net.OpError{Op: "accept", Err: syscall.EMFILE}
		ln := &scripted{closed: make(chan struct{})}
		for range 10 {
			ln.fails = append(ln.fails, full)
		}
		ln.fails = append(ln.fails, nil, full)
		var all Listeners
		taken, told, done := 0, 0, make(chan error)
		go func() {
			done <- all.Serve(ln, func(net.Conn) { taken++ }, func(err error, _ time.Duration) {
				assert.ErrorIs(t, err, syscall.EMFILE)
				told++
			})
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		var waits []time.Duration
		for i := range ln.at[1:] {
			waits = append(waits, ln.at[i+1].Sub(ln.at[i]))
		}
		ms := time.Millisecond
		assert.Equal(t, []time.Duration{5 * ms, 10 * ms, 20 * ms, 40 * ms, 80 * ms, 160 * ms, 320 * ms, 640 * ms, time.Second, time.Second, 0, 5 * ms}, waits)
		assert.Equal(t, 1, taken)
		assert.Equal(t, 11, told)
		closed := ln.closed
		ln.closed = make(chan struct{}) // Serve closes it once more
		close(closed)
		require.ErrorIs(t, <-done, net.ErrClosed, "somebody else has closed it")
	})
}

func TestServe_closed(t *testing.T) {
	var all Listeners
	done := make(chan error)
	for range 2 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		go func() { done <- all.Serve(ln, func(net.Conn) {}, nil) }()
	}
	require.Eventually(t, func() bool {
		all.mu.Lock()
		defer all.mu.Unlock()
		return len(all.all) == 2
	}, time.Minute, time.Millisecond)
	all.Close()
	require.ErrorIs(t, <-done, ErrClosed)
	require.ErrorIs(t, <-done, ErrClosed)
	require.True(t, all.Closed())
	all.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.ErrorIs(t, all.Serve(ln, nil, nil), ErrClosed)
	_, err = ln.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}

// TestServe_silentHandshake: over TLS too, who says nothing holds up nobody.
func TestServe_silentHandshake(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all Listeners
	taken, done := make(chan net.Conn, 3), make(chan error)
	go func() {
		done <- all.Serve(tls.NewListener(ln, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("none") }}),
			func(nc net.Conn) { taken <- nc }, nil)
	}()
	for range 3 {
		nc, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		defer nc.Close()
	}
	for range 3 {
		nc := <-taken
		assert.Equal(t, "127.0.0.1", Host(nc).String())
		assert.NoError(t, nc.Close())
	}
	all.Close()
	require.ErrorIs(t, <-done, ErrClosed)
}

func TestListed(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("10.1.2.0/24"), netip.MustParsePrefix("fe80::/10")}
	for host, want := range map[string]bool{"10.1.2.3": true, "10.1.3.1": false, "fe80::1": true, "::1": false} {
		assert.Equal(t, want, Listed(networks, netip.MustParseAddr(host)), host)
	}
	assert.False(t, Listed([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, netip.Addr{}), "no address is in no network")
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	assert.Equal(t, netip.Addr{}, Host(near))
}
