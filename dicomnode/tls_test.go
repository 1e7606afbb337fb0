package dicomnode_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode"
	"endogate/dicomnode/dicomtest"
	"endogate/dicomnode/dimse"
)

// Listener and dialler are the caller's, so an association over TLS is one like any other; the session tickets that
// arrive in the meantime are not taken for a word of the peer.
func TestTLS(t *testing.T) {
	web := httptest.NewTLSServer(nil) // for its certificate
	defer web.Close()
	h := new(storing)
	s := newServer(h)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	stopped := make(chan error, 1)
	go func() { stopped <- s.Serve(tls.NewListener(ln, &tls.Config{Certificates: web.TLS.Certificates})) }()

	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	client := &dicomnode.Client{
		AETitle: "SCOPE1",
		Dial:    (&tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: "example.com"}}).DialContext,
	}
	ds, req := instance(dicomtest.Options{Rows: 300, Columns: 300})
	a, err := client.Associate(t.Context(), ln.Addr().String(), "ENDOGATE", contextsFor(req))
	require.NoError(t, err)
	for range 3 {
		req.Dataset = bytes.NewReader(ds)
		status, err := a.Store(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, dimse.Success, status)
	}
	require.True(t, bytes.Equal(ds, h.get(req.SOPInstanceUID)))
	require.NoError(t, a.Release(t.Context()))
	require.NoError(t, s.Shutdown(context.Background()))
	require.ErrorIs(t, <-stopped, dicomnode.ErrServerClosed)
}
