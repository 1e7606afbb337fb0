package dicomnode

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// A server that is asked before it serves has all its places; one that has stopped has none, and a policy set before it serves is the one it serves by.
func TestServer_Room(t *testing.T) {
	s := &Server{AETitle: "ENDOGATE"}
	require.NoError(t, s.Room())
	require.NoError(t, s.Change(Policy{MaxAssociations: 3}))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error)
	go func() { done <- s.Serve(ln) }()
	require.NoError(t, s.AssociateItself(t.Context(), ln.Addr(), false))
	require.NoError(t, s.Room())
	require.Equal(t, 3, s.policy.Load().MaxAssociations)
	require.NoError(t, s.Shutdown(t.Context()))
	require.ErrorIs(t, <-done, ErrServerClosed)
	require.ErrorContains(t, s.Room(), "no associations are taken any more")
}
