package dicomnode

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"endogate/dicomnode/pdu"
)

// drainLimit is how much of a data set is read after the handler has refused it, so that the peer gets the status.
const drainLimit = 32 << 20

// serve is one connection from accept to close.
func (s *Server) serve(ctx context.Context, c *conn) {
	a, err := s.associate(c)
	var reject *RejectError
	switch {
	case errors.As(err, &reject):
		c.awaitClose()
		return
	case err != nil:
		s.refuse(Refusal{Host: c.host, Why: c.handshakeFault(err)})
		s.aborted(c, err, "remote", c.RemoteAddr().String(), "state", "before an association")
		return
	}
	if s.Observe.Accepted != nil {
		s.Observe.Accepted()
	}
	s.log().Info("dicomnode: association accepted", "calling_ae", a.callingAE, "called_ae", a.calledAE,
		"remote", a.remote, "contexts", len(a.contexts))
	err = s.messages(ctx, a)
	s.leave(a) // before the peer hears of the end, so that it can come again at once
	if errors.Is(err, errReleaseRequested) {
		s.tell(a, AssociationEvent{Ended: EndReleased})
		s.released(a)
		return
	}
	s.tell(a, AssociationEvent{Ended: c.causeOf(err), Reason: err.Error()})
	s.aborted(c, err, "calling_ae", a.callingAE, "remote", a.remote)
}

// messages answers requests until the association ends, which is always an error.
func (s *Server) messages(ctx context.Context, a *association) error {
	for {
		if err := a.serveNext(ctx, a.policy.IdleTimeout); err != nil {
			return err
		}
	}
}

// released answers A-RELEASE-RQ (AR-2, AR-4 of PS3.8 table 9-10).
func (s *Server) released(a *association) {
	if err := a.send(&pdu.ReleaseRP{}); err != nil {
		s.aborted(a.conn, err, "calling_ae", a.callingAE, "remote", a.remote)
		return
	}
	s.log().Info("dicomnode: association released", "calling_ae", a.callingAE, "remote", a.remote, "elapsed", time.Since(a.began))
	a.awaitClose()
}

// aborted ends a connection that went wrong: A-ABORT where it is due, a log line, the wait for the peer to close.
func (s *Server) aborted(c *conn, err error, args ...any) {
	cause := c.causeOf(err)
	level := slog.LevelWarn
	if cause == CauseLost && c.maxSend == 0 && errors.Is(err, io.EOF) {
		level = slog.LevelDebug // connected and left: a port check
	}
	args = append(args, "cause", cause, "error", err)
	if c.maxSend > 0 {
		s.log().Log(context.Background(), level, "dicomnode: association ended without release", args...)
	} else {
		s.logThinned(level, "dicomnode: association ended without release", c.host.String(), args...)
	}
	if s.Observe.Aborted != nil {
		s.Observe.Aborted(cause)
	}
	c.abortFor(err)
	if cause != CausePeer && cause != CauseLost && (c.maxSend > 0 || cause == CauseProtocol) {
		c.awaitClose()
	}
}

func (c *conn) causeOf(err error) string {
	var (
		v       *violation
		invalid *pdu.Error
		peer    *AbortError
		timeout net.Error
	)
	switch {
	case errors.As(err, &v), errors.As(err, &invalid):
		return CauseProtocol
	case errors.As(err, &peer):
		return CausePeer
	case errors.Is(err, errDrainLimit):
		return CauseRefused
	case errors.As(err, &timeout) && timeout.Timeout():
		if c.isDraining() {
			return CauseShutdown
		}
		return CauseTimeout
	case errors.Is(err, net.ErrClosed):
		return CauseShutdown
	}
	return CauseLost
}

// handshakeFault says what of TLS could not be agreed on; empty: it was agreed on, or nobody asked for it. Who connects and
// says nothing is a port check.
func (c *conn) handshakeFault(err error) string {
	secured, ok := c.Conn.(*tls.Conn)
	if !ok || secured.ConnectionState().HandshakeComplete || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		return ""
	}
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return "the certificate that the node shows is not taken"
	}
	return "TLS was not agreed on"
}

func (c *conn) isDraining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

func (s *Server) rejected(host netip.Addr, err *RejectError, args ...any) {
	said := "dicomnode: association rejected"
	if err == unknownCaller && slices.Contains(args, any(hintAddress)) {
		said = "dicomnode: association rejected: the calling AE title is listed, and the network that it comes from is not; add it to the hosts of the title"
	}
	s.logThinned(slog.LevelWarn, said, host.String(), append(args, "reason", err.pdu().String())...)
	if s.Observe.Rejected != nil {
		s.Observe.Rejected(err)
	}
}

// logThinned writes a line about someone who may come again and again; lines that were left out are counted in a later one.
func (s *Server) logThinned(level slog.Level, msg, about string, args ...any) {
	left, ok := s.repeated.Due(msg+about, time.Now())
	if !ok {
		return
	}
	if left > 0 {
		args = append(args, "left_out", left)
	}
	s.log().Log(context.Background(), level, msg, args...)
}
