package dicomnode_test

import (
	"log/slog"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"endogate/dicomnode"
	"endogate/dicomnode/dicom"
	"endogate/dicomnode/pdu"
)

func TestServe_refusesToStart(t *testing.T) {
	for name, change := range map[string]func(s *dicomnode.Server){
		"no AE title":    func(s *dicomnode.Server) { s.AETitle = "" },
		"wrong AE title": func(s *dicomnode.Server) { s.AETitle = `A\B` },
		"no handler":     func(s *dicomnode.Server) { s.Handler = nil },
		"tiny PDUs":      func(s *dicomnode.Server) { s.MaxPDULength = 100 },
		"huge PDUs":      func(s *dicomnode.Server) { s.MaxPDULength = 1 << 30 },
	} {
		s := newServer(new(storing))
		change(s)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		require.ErrorContains(t, s.Serve(ln), "dicomnode: ", name)
		_, err = ln.Accept()
		require.ErrorIs(t, err, net.ErrClosed, "the listener is closed")
	}
}

// failingListener fails with each of errs before it accepts.
type failingListener struct {
	net.Listener
	errs []error
}

func (l *failingListener) Accept() (net.Conn, error) {
	if len(l.errs) == 0 {
		return l.Listener.Accept()
	}
	err := l.errs[0]
	l.errs = l.errs[1:]
	return nil, &net.OpError{Op: "accept", Err: err}
}

// Running out of file descriptors passes; the listener is not given up.
func TestServe_acceptFails(t *testing.T) {
	var log syncBuffer
	s := newServer(new(storing))
	s.Log = slog.New(slog.NewTextHandler(&log, nil))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	stopped := make(chan error, 1)
	go func() {
		stopped <- s.Serve(&failingListener{ln, []error{syscall.EMFILE, syscall.ECONNABORTED}})
	}()
	a := associate(t, ln.Addr().String(), dicomnode.VerificationContexts())
	require.NoError(t, a.Release(t.Context()))
	require.Contains(t, log.String(), "too many open files")
	require.NoError(t, s.Shutdown(t.Context()))
	require.ErrorIs(t, <-stopped, dicomnode.ErrServerClosed)

	ln, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.ErrorIs(t, newServer(new(storing)).Serve(&failingListener{ln, []error{syscall.EINVAL}}), syscall.EINVAL)
}

func TestErrors_sayWhatToKnow(t *testing.T) {
	for want, err := range map[string]error{
		"dicomnode: association rejected, permanent: calling AE title not recognised (1/1/3)":                         &dicomnode.RejectError{Result: 1, Source: 1, Reason: 3},
		"dicomnode: association aborted by the service provider: unexpected PDU (2/2)":                                &dicomnode.AbortError{Source: pdu.AbortServiceProvider, Reason: pdu.UnexpectedPDU},
		"dicomnode: no presentation context for 1.2 in 1.2.840.10008.1.2.1: abstract syntax not supported":            &dicomnode.ContextError{SOPClassUID: "1.2", TransferSyntaxUID: dicom.ExplicitVRLittleEndian, Result: dicomnode.AbstractSyntaxNotSupported},
		"dicomnode: no presentation context for 1.2 in 1.2.840.10008.1.2.1: not proposed, or accepted in another one": &dicomnode.ContextError{SOPClassUID: "1.2", TransferSyntaxUID: dicom.ExplicitVRLittleEndian},
	} {
		require.EqualError(t, err, want)
	}
	require.Equal(t, "reserved result 9", dicomnode.ContextResult(9).String())
}
