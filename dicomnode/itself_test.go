package dicomnode_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode"
	"endogate/dicomnode/secure"
	"endogate/dicomnode/secure/securetest"
)

// TestServer_associateItself needs no peer in the list and no place, is answered while strangers crowd the listener, and is
// neither logged nor counted.
func TestServer_associateItself(t *testing.T) {
	var log syncBuffer
	s := newServer(&storing{})
	s.Peers, s.MaxAssociations, s.Log = []dicomnode.Peer{{AETitle: "SCOPE", Hosts: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}}, 1, slog.New(slog.NewTextHandler(&log, nil))
	s.Observe.Accepted = func() { assert.Fail(t, "counted as an association") }
	addr, err := net.ResolveTCPAddr("tcp", serve(t, s))
	require.NoError(t, err)
	require.NoError(t, s.AssociateItself(t.Context(), addr, false))
	require.Empty(t, log.String())
	for range 40 { // more than strangers may be
		nc, err := net.Dial("tcp", addr.String())
		require.NoError(t, err)
		defer nc.Close()
	}
	for range 3 {
		require.NoError(t, s.AssociateItself(t.Context(), addr, false))
	}
	for _, unspecified := range []net.IP{net.IPv4zero, net.IPv6unspecified} {
		require.NoError(t, s.AssociateItself(t.Context(), &net.TCPAddr{IP: unspecified, Port: addr.Port}, false))
	}
	for line := range strings.Lines(log.String()) {
		require.Contains(t, line, "rejected", "of the strangers alone")
	}
}

// TestServer_associateItself_unanswered: that connections go to a queue which nobody takes them from is an error.
func TestServer_associateItself_unanswered(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	s := newServer(&storing{})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, s.AssociateItself(ctx, ln.Addr(), false), "no association with ourselves")
	require.NoError(t, ln.Close())
	require.ErrorContains(t, s.AssociateItself(t.Context(), ln.Addr(), false), "no association with ourselves")
}

// TestServer_associateItself_secured: over TLS it needs no certificate of a client, and others still do; a listener that does not get to the
// end of the handshake is an error.
func TestServer_associateItself_secured(t *testing.T) {
	authority := securetest.NewAuthority(t)
	cert, key := authority.Issue("gateway")
	config, err := secure.Files{CertFile: cert, KeyFile: key, CAFile: authority.CAFile}.Server()
	require.NoError(t, err)
	s := newServer(&storing{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(tls.NewListener(ln, s.Sparing(config))) }()
	defer func() {
		require.NoError(t, s.Shutdown(t.Context()))
		require.ErrorIs(t, <-ended, dicomnode.ErrServerClosed)
	}()
	require.NoError(t, s.AssociateItself(t.Context(), ln.Addr(), true))
	require.Error(t, s.AssociateItself(t.Context(), ln.Addr(), false), "in clear nobody is answered there")

	other, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err == nil { // TLS 1.3: the alert comes when it is read
		_, err = other.Read(make([]byte, 1))
		require.NoError(t, other.Close())
	}
	require.ErrorContains(t, err, "certificate required")
	require.NoError(t, s.AssociateItself(t.Context(), ln.Addr(), true))

	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, s.AssociateItself(ctx, silent.Addr(), true), "no association with ourselves")
}
