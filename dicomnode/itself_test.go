package dicomnode_test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"endogate/dicomnode"
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
	require.NoError(t, s.AssociateItself(t.Context(), addr))
	require.Empty(t, log.String())
	for range 40 { // more than strangers may be
		nc, err := net.Dial("tcp", addr.String())
		require.NoError(t, err)
		defer nc.Close()
	}
	for range 3 {
		require.NoError(t, s.AssociateItself(t.Context(), addr))
	}
	for _, unspecified := range []net.IP{net.IPv4zero, net.IPv6unspecified} {
		require.NoError(t, s.AssociateItself(t.Context(), &net.TCPAddr{IP: unspecified, Port: addr.Port}))
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
	require.ErrorContains(t, s.AssociateItself(ctx, ln.Addr()), "no association with ourselves")
	require.NoError(t, ln.Close())
	require.ErrorContains(t, s.AssociateItself(t.Context(), ln.Addr()), "no association with ourselves")
}
