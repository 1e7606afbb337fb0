package dicomnode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/pdu"
)

// Association is an association that a Client has made. Its methods may be called from any goroutine; requests go one
// after the other (PS3.7 D.3.3.3). Cancelling the context of a method ends the association. After an error other than
// *ContextError the association has ended, and every further request gets ErrEnded.
type Association struct {
	CallingAE, CalledAE AETitle
	Contexts            []PresentationContext // as negotiated

	conn             *conn
	accepted         contextTable
	associateTimeout time.Duration
	responseTimeout  time.Duration

	mu        sync.Mutex // one operation at a time
	messageID uint16
	comment   string
	ended     error // why; nil while it stands
}

// Accepted reports whether instances of the abstract syntax can be sent in the transfer syntax.
func (a *Association) Accepted(abstractSyntax, transferSyntax dicom.UID) bool {
	_, err := a.context(abstractSyntax, transferSyntax)
	return err == nil
}

func (a *Association) context(abstractSyntax, transferSyntax dicom.UID) (PresentationContext, error) {
	missing := &ContextError{SOPClassUID: abstractSyntax, TransferSyntaxUID: transferSyntax}
	for _, pc := range a.Contexts {
		if pc.AbstractSyntax != abstractSyntax {
			continue
		}
		for _, ts := range pc.TransferSyntaxes {
			if ts == transferSyntax && pc.Result == ContextAccepted {
				return pc, nil
			}
			if ts == transferSyntax {
				missing.Result = pc.Result
			}
		}
	}
	return PresentationContext{}, missing
}

// Err returns nil while the association stands, else why it ended.
func (a *Association) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ended
}

// ErrorComment returns the Error Comment (0000,0902) of the last response. It is the peer's text and may hold anything.
func (a *Association) ErrorComment() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.comment
}

// Echo sends C-ECHO (PS3.7 9.1.5) and returns the peer's status. It needs a context of VerificationContexts.
// With an error the status is ProcessingFailure, and not the peer's.
func (a *Association) Echo(ctx context.Context) (dimse.Status, error) {
	for _, pc := range a.accepted {
		if pc.AbstractSyntax == dicom.Verification {
			return a.exchange(ctx, "echo", func(id uint16) error {
				return a.conn.writeCommand(pc.ID, &dimse.EchoRQ{MessageID: id, AffectedSOPClassUID: dicom.Verification})
			})
		}
	}
	return dimse.ProcessingFailure, &ContextError{SOPClassUID: dicom.Verification, TransferSyntaxUID: dicom.ImplicitVRLittleEndian, Result: a.verificationResult()}
}

func (a *Association) verificationResult() ContextResult {
	for _, pc := range a.Contexts {
		if pc.AbstractSyntax == dicom.Verification {
			return pc.Result
		}
	}
	return ContextAccepted
}

// Store sends req.Dataset with C-STORE (PS3.7 9.1.1), as it is, and returns the peer's status, whatever it is: the
// instance is stored if the class of the status is success or warning. It holds one PDU in memory.
// The error is a *ContextError if nothing was sent because the pair of SOP class and transfer syntax was not accepted;
// with it, or any other error, the status is ProcessingFailure, and not the peer's.
func (a *Association) Store(ctx context.Context, req *StoreRequest) (dimse.Status, error) {
	pc, err := a.context(req.SOPClassUID, req.TransferSyntax)
	switch {
	case err != nil:
		return dimse.ProcessingFailure, err
	case !digitsAndDots(req.SOPInstanceUID):
		return dimse.ProcessingFailure, errors.New("dicomnode: store: SOP Instance UID is missing or not a UID")
	case req.Dataset == nil:
		return dimse.ProcessingFailure, errors.New("dicomnode: store: no data set")
	}
	return a.exchange(ctx, "store", func(id uint16) error {
		return a.conn.writeMessage(pc.ID, &dimse.StoreRQ{
			MessageID: id, Priority: req.Priority, AffectedSOPClassUID: req.SOPClassUID, AffectedSOPInstanceUID: req.SOPInstanceUID,
			MoveOriginatorApplicationEntityTitle: string(req.MoveOriginatorAETitle), MoveOriginatorMessageID: req.MoveOriginatorMessageID,
		}, req.Dataset)
	})
}

// exchange sends one request and reads its response.
func (a *Association) exchange(ctx context.Context, what string, send func(id uint16) error) (dimse.Status, error) {
	status := dimse.ProcessingFailure
	err := a.do(ctx, func() error {
		a.messageID++
		if err := send(a.messageID); err != nil {
			return a.whySendFailed(err)
		}
		var err error
		status, err = a.response(a.messageID)
		return err
	})
	if err != nil {
		return dimse.ProcessingFailure, fmt.Errorf("dicomnode: %s to %s: %w", what, a.CalledAE, err)
	}
	return status, nil
}

// response reads the response to message id.
func (a *Association) response(id uint16) (dimse.Status, error) {
	_, cmd, err := a.conn.readCommand(a.accepted, a.responseTimeout)
	if errors.Is(err, errReleaseRequested) {
		_ = a.conn.send(&pdu.ReleaseRP{}) // AR-2, AR-4
	}
	if err != nil {
		return 0, midMessage(err)
	}
	var (
		status   dimse.Status
		answered uint16
	)
	switch rsp := cmd.(type) {
	case *dimse.EchoRSP:
		status, answered, a.comment = rsp.Status, rsp.MessageIDBeingRespondedTo, rsp.ErrorComment
	case *dimse.StoreRSP:
		status, answered, a.comment = rsp.Status, rsp.MessageIDBeingRespondedTo, rsp.ErrorComment
	default:
		return 0, violates(pdu.UnexpectedPDUParameter, "%s where a response is due", cmd.Field())
	}
	if answered != id {
		return 0, violates(pdu.UnexpectedPDUParameter, "a response to message %d, not to %d", answered, id)
	}
	return status, nil
}

// whySendFailed looks for the A-ABORT that a peer sends before it closes under our writing.
func (a *Association) whySendFailed(err error) error {
	var dataset errDataset
	if errors.As(err, &dataset) || errors.Is(err, net.ErrClosed) {
		return err
	}
	a.conn.credit = time.Second
	for {
		_, readErr := a.conn.pdv()
		var aborted *AbortError
		if errors.As(readErr, &aborted) {
			return aborted
		}
		if readErr != nil {
			return err
		}
	}
}

// do runs one operation. Whatever error it has ends the association.
func (a *Association) do(ctx context.Context, operation func() error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.stillStands(); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() {
		_ = a.conn.abort(pdu.AbortServiceUser, pdu.ReasonNotSpecified)
		_ = a.conn.Close()
	})
	err := operation()
	cut := !stop()
	switch {
	case err != nil && cut:
		err = context.Cause(ctx)
	case cut: // answered all the same, just before
		a.ended = context.Cause(ctx)
		return nil
	}
	if err != nil {
		a.fail(err)
	}
	return err
}

// stillStands finds out, before anything is sent, whether the peer has ended the association in the meantime.
func (a *Association) stillStands() error {
	if a.ended == nil && a.accepted != nil && a.conn.readable() && !a.silent() {
		a.conn.credit = time.Second
		_, err := a.conn.pdv()
		if err == nil {
			err = violates(pdu.UnexpectedPDUParameter, "P-DATA-TF that answers nothing")
		}
		if errors.Is(err, errReleaseRequested) {
			_ = a.conn.send(&pdu.ReleaseRP{}) // AR-2, AR-4
		}
		a.fail(err)
	}
	if a.ended != nil {
		return fmt.Errorf("%w: %w", ErrEnded, a.ended)
	}
	return nil
}

// silent reports that what can be read are no bytes of the association, but of the TLS beneath it.
func (a *Association) silent() bool {
	return errors.Is(a.conn.wait(20*time.Millisecond), os.ErrDeadlineExceeded)
}

// fail ends the association because of err, with the A-ABORT it calls for.
func (a *Association) fail(err error) {
	a.ended = err
	var reject *RejectError
	if !errors.As(err, &reject) {
		a.conn.abortFor(err)
	}
	_ = a.conn.Close()
}

// Release ends the association in order (PS3.8 7.2). It is an error if the peer does not confirm; the connection is
// closed either way. After the end of the association it does nothing.
func (a *Association) Release(ctx context.Context) error {
	if a.Err() != nil {
		return nil
	}
	err := a.do(ctx, a.release)
	if errors.Is(err, ErrEnded) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("dicomnode: release from %s: %w", a.CalledAE, err)
	}
	return nil
}

// release is Sta7, and Sta9 and Sta11 after a collision, of PS3.8 table 9-10, for the requestor of the association.
func (a *Association) release() error {
	if err := a.conn.send(&pdu.ReleaseRQ{}); err != nil {
		return a.whySendFailed(err)
	}
	a.conn.credit = a.conn.pduTimeout
	for collided := false; ; {
		if err := a.conn.wait(a.associateTimeout); err != nil {
			return midMessage(err)
		}
		p, err := a.conn.read()
		if err != nil {
			return midMessage(err)
		}
		switch p := p.(type) {
		case *pdu.ReleaseRP: // AR-3
			a.ended = errReleased
			_ = a.conn.Close()
			return nil
		case *pdu.Abort:
			return &AbortError{p.Source, p.Reason}
		case *pdu.ReleaseRQ: // AR-8, AR-9
			if collided {
				return violates(pdu.UnexpectedPDU, "A-RELEASE-RQ a second time")
			}
			if err := a.conn.send(&pdu.ReleaseRP{}); err != nil {
				return err
			}
			collided = true
		case *pdu.Data: // AR-6
			if collided {
				return violates(pdu.UnexpectedPDU, "P-DATA-TF after A-RELEASE-RQ")
			}
		default:
			return violates(pdu.UnexpectedPDU, "%s while releasing", p.Type())
		}
	}
}

var (
	errReleased = errors.New("released")
	errAborted  = errors.New("aborted by us")
)

// Abort ends the association at once (PS3.8 7.3), also under a request of another goroutine, which then fails.
// After the end of the association it does nothing, so that it can stand in a defer.
func (a *Association) Abort() error {
	if !a.mu.TryLock() {
		err := a.conn.abort(pdu.AbortServiceUser, pdu.ReasonNotSpecified)
		return errors.Join(unlessClosed(err), unlessClosed(a.conn.Close()))
	}
	defer a.mu.Unlock()
	if a.ended != nil {
		return nil
	}
	a.ended = errAborted
	err := a.conn.abort(pdu.AbortServiceUser, pdu.ReasonNotSpecified)
	if err == nil {
		a.conn.awaitClose()
	}
	return errors.Join(unlessClosed(err), unlessClosed(a.conn.Close()))
}

// unlessClosed drops the error of a connection that the goroutine of a request has closed in the meantime.
func unlessClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
