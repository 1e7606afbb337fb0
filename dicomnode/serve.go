package dicomnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
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
		s.released(a)
		return
	}
	s.aborted(c, err, "calling_ae", a.callingAE, "remote", a.remote)
}

// messages answers requests until the association ends, which is always an error.
func (s *Server) messages(ctx context.Context, a *association) error {
	for {
		pc, cmd, err := a.readCommand(a.contexts, s.IdleTimeout)
		if err != nil {
			return err
		}
		switch cmd := cmd.(type) {
		case *dimse.EchoRQ:
			err = s.echo(a, pc, cmd)
		case *dimse.StoreRQ:
			err = s.store(ctx, a, pc, cmd)
		case *dimse.Other:
			err = s.refuse(a, pc, cmd)
		default:
			err = violates(pdu.UnexpectedPDUParameter, "%s that answers nothing", cmd.Field())
		}
		if err != nil {
			return err
		}
	}
}

// echo answers C-ECHO-RQ (PS3.7 9.1.5).
func (s *Server) echo(a *association, pc PresentationContext, rq *dimse.EchoRQ) error {
	rsp := &dimse.EchoRSP{MessageIDBeingRespondedTo: rq.MessageID, AffectedSOPClassUID: dicom.Verification}
	if rq.AffectedSOPClassUID != dicom.Verification || pc.AbstractSyntax != dicom.Verification {
		rsp.Status, rsp.AffectedSOPClassUID = dimse.SOPClassNotSupported, rq.AffectedSOPClassUID
	}
	return a.writeCommand(pc.ID, rsp)
}

// refuse answers a service that is not offered. C-CANCEL-RQ has no answer, and there is nothing to cancel.
func (s *Server) refuse(a *association, pc PresentationContext, rq *dimse.Other) error {
	if rq.Dataset {
		if err := (&datasetReader{c: a.conn, id: pc.ID}).drain(drainLimit); err != nil {
			return err
		}
	}
	rsp, ok := rq.Refuse(dimse.UnrecognizedOperation)
	switch {
	case ok:
		s.log().Warn("dicomnode: request refused", "request", rq.CommandField.String(), "status", rsp.Status.String(),
			"calling_ae", a.callingAE, "remote", a.remote)
		return a.writeCommand(pc.ID, rsp)
	case rq.CommandField == dimse.CCancelRQ:
		return nil
	}
	return violates(pdu.UnexpectedPDUParameter, "%s that answers nothing", rq.CommandField)
}

// store answers C-STORE-RQ (PS3.7 9.1.1): check, handler, the rest of the data set, status.
func (s *Server) store(ctx context.Context, a *association, pc PresentationContext, rq *dimse.StoreRQ) error {
	began := time.Now()
	dataset := &datasetReader{c: a.conn, id: pc.ID, last: !rq.HasDataset()}
	err := checkStore(pc, rq)
	if err == nil {
		err = s.handle(ctx, &StoreRequest{
			SOPClassUID: rq.AffectedSOPClassUID, SOPInstanceUID: rq.AffectedSOPInstanceUID, TransferSyntax: pc.TransferSyntaxes[0],
			Priority: rq.Priority, CallingAE: a.callingAE, CalledAE: a.calledAE, RemoteAddr: a.remote,
			MoveOriginatorAETitle:   AETitle(rq.MoveOriginatorApplicationEntityTitle),
			MoveOriginatorMessageID: rq.MoveOriginatorMessageID, Dataset: dataset,
		})
	}
	if broken := dataset.drain(drainLimit); broken != nil {
		s.log().Warn("dicomnode: instance not received whole", "sop_instance_uid", loggable(rq.AffectedSOPInstanceUID), "bytes", dataset.n,
			"calling_ae", a.callingAE, "remote", a.remote, "error", broken, "handler", err)
		return broken
	}
	rsp := &dimse.StoreRSP{
		MessageIDBeingRespondedTo: rq.MessageID, AffectedSOPClassUID: rq.AffectedSOPClassUID,
		AffectedSOPInstanceUID: rq.AffectedSOPInstanceUID, Status: dimse.StatusOf(err), ErrorComment: dimse.CommentOf(err),
	}
	if err != nil {
		s.log().Warn("dicomnode: instance refused", "sop_instance_uid", loggable(rq.AffectedSOPInstanceUID), "status", rsp.Status.String(),
			"calling_ae", a.callingAE, "remote", a.remote, "error", err)
	}
	if s.Observe.Stored != nil {
		defer func() {
			s.Observe.Stored(StoreResult{rsp.Status, dataset.n, time.Since(began)})
		}()
	}
	return a.writeCommand(pc.ID, rsp)
}

// checkStore refuses what the handler need not see (PS3.7 9.1.1.1.9). UIDs with leading zeros exist and are let
// through; anything but digits and dots is not.
func checkStore(pc PresentationContext, rq *dimse.StoreRQ) error {
	switch {
	case rq.AffectedSOPClassUID != pc.AbstractSyntax || pc.AbstractSyntax == dicom.Verification:
		return &dimse.Error{Status: dimse.SOPClassNotSupported, Comment: "SOP class is not that of the presentation context"}
	case !rq.HasDataset():
		return &dimse.Error{Status: dimse.CannotUnderstand, Comment: "no data set"}
	case !digitsAndDots(rq.AffectedSOPInstanceUID):
		return &dimse.Error{Status: dimse.InvalidSOPInstance, Comment: "SOP Instance UID is missing or wrong"}
	}
	return nil
}

// loggable keeps out of the log whatever a peer has put in the place of a UID.
func loggable(uid dicom.UID) dicom.UID {
	if !digitsAndDots(uid) {
		return "not a UID"
	}
	return uid
}

func digitsAndDots(uid dicom.UID) bool {
	for _, c := range []byte(uid) {
		if c != '.' && (c < '0' || c > '9') {
			return false
		}
	}
	return len(uid) > 0 && len(uid) <= 64
}

// handle calls the handler. A panic there is one instance's failure, not the gateway's.
func (s *Server) handle(ctx context.Context, req *StoreRequest) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log().Error("dicomnode: handler panicked", "sop_instance_uid", req.SOPInstanceUID, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			err = &dimse.Error{Status: dimse.ProcessingFailure, Err: errors.New("handler panicked")}
		}
	}()
	return s.Handler.Store(ctx, req)
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

func (c *conn) isDraining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

func (s *Server) rejected(host netip.Addr, err *RejectError, args ...any) {
	s.logThinned(slog.LevelWarn, "dicomnode: association rejected", host.String(), append(args, "reason", err.pdu().String())...)
	if s.Observe.Rejected != nil {
		s.Observe.Rejected(err)
	}
}

// logThinned writes a line about someone who may come again and again; lines that were left out are counted in a later one.
func (s *Server) logThinned(level slog.Level, msg, about string, args ...any) {
	left, ok := s.repeated.due(msg+about, time.Now())
	if !ok {
		return
	}
	if left > 0 {
		args = append(args, "left_out", left)
	}
	s.log().Log(context.Background(), level, msg, args...)
}
