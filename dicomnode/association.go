package dicomnode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
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
	CallingAE, CalledAE dicom.AETitle
	Contexts            []PresentationContext // as negotiated

	conn             *conn
	link             *link
	associateTimeout time.Duration

	mu    sync.Mutex     // one operation at a time
	last  dimse.Response // the last one
	ended error          // why; nil while it stands
}

// Accepted reports whether instances of the abstract syntax can be sent in the transfer syntax.
func (a *Association) Accepted(abstractSyntax, transferSyntax dicom.UID) bool {
	return slices.ContainsFunc(a.Contexts, func(pc PresentationContext) bool {
		return pc.Result == ContextAccepted && pc.AbstractSyntax == abstractSyntax && pc.TransferSyntaxes[0] == transferSyntax
	})
}

// TransferSyntax returns the transfer syntax in which data sets of the abstract syntax can be sent, the one of the
// first context if there are several. The error is a *ContextError.
func (a *Association) TransferSyntax(abstractSyntax dicom.UID) (dicom.UID, error) {
	for _, pc := range a.Contexts {
		if pc.Result == ContextAccepted && pc.AbstractSyntax == abstractSyntax {
			return pc.TransferSyntaxes[0], nil
		}
	}
	return "", a.answered(&ContextError{SOPClassUID: abstractSyntax})
}

// answered adds to the lack of a context what the peer has said of it.
func (a *Association) answered(missing *ContextError) *ContextError {
	for _, pc := range a.Contexts {
		if pc.AbstractSyntax == missing.SOPClassUID && (missing.TransferSyntaxUID == "" || slices.Contains(pc.TransferSyntaxes, missing.TransferSyntaxUID)) {
			missing.Result = pc.Result
		}
	}
	return missing
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
	return a.last.ErrorComment
}

// OffendingElement returns the Offending Element (0000,0901) of the last response: what the peer finds fault with.
func (a *Association) OffendingElement() []dicom.Tag {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last.OffendingElement
}

// Echo sends C-ECHO (PS3.7 9.1.5) and returns the peer's status. It needs a context of VerificationContexts.
// With an error the status is ProcessingFailure, and not the peer's.
func (a *Association) Echo(ctx context.Context) (dimse.Status, error) {
	return a.status(a.Send(ctx, &Request{Request: dimse.Request{CommandField: dimse.CEchoRQ, SOPClassUID: dicom.Verification}}, nil))
}

// Store sends req.Dataset with C-STORE (PS3.7 9.1.1), as it is, and returns the peer's status, whatever it is: the
// instance is stored if the class of the status is success or warning. It holds one PDU in memory.
// The error is a *ContextError if nothing was sent because the pair of SOP class and transfer syntax was not accepted;
// with it, or any other error, the status is ProcessingFailure, and not the peer's.
func (a *Association) Store(ctx context.Context, req *StoreRequest) (dimse.Status, error) {
	switch {
	case !req.SOPInstanceUID.Fileable():
		return dimse.ProcessingFailure, errors.New("dicomnode: store: SOP Instance UID is missing or not a UID")
	case req.Dataset == nil:
		return dimse.ProcessingFailure, errors.New("dicomnode: store: no data set")
	}
	return a.status(a.Send(ctx, req.request(), nil))
}

func (a *Association) status(rsp *Response, err error) (dimse.Status, error) {
	if err != nil {
		return dimse.ProcessingFailure, err
	}
	return rsp.Status, nil
}

// Send sends a request and returns the final response, whatever its status; pending, unless nil, is called with each
// one before it. If pending returns an error, C-CANCEL-RQ is sent, further pending responses are dropped, and Send
// returns the final response, which the peer may give when it likes, with that error; the association stands.
// With a *ContextError or *RoleError nothing was sent. Requests that the peer makes meanwhile go to Client.Services.
func (a *Association) Send(ctx context.Context, req *Request, pending func(*Response) error) (*Response, error) {
	pc, err := a.link.contextOf(req)
	if err != nil {
		if missing, ok := err.(*ContextError); ok {
			err = a.answered(missing)
		}
		return nil, err
	}
	var rsp *Response
	var stopped errStopped
	err = a.do(ctx, a.stillStands, func() error {
		var err error
		rsp, err = a.link.invoke(ctx, pc, req, pending, nil)
		if err == nil || errors.As(err, &stopped) {
			a.last = rsp.Response
			err = a.link.goOn(ctx)
		}
		return err
	})
	if invalid := (*pdu.Error)(nil); errors.As(err, &invalid) {
		err = fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if err != nil {
		return nil, fmt.Errorf("dicomnode: %s to %s: %w", req.CommandField, a.CalledAE, err)
	}
	return rsp, stopped.error
}

// Cancel sends C-CANCEL-RQ for the C-FIND, C-GET or C-MOVE that another goroutine, or a service called by it, is in;
// its Send then returns when the peer has answered. The error is that nothing is under way, or that of the connection.
func (a *Association) Cancel() error { return a.link.cancel() }

// Serve waits for a request of the peer, up to the time given, and answers it through Client.Services. It reports
// whether one has come; if not, and there is no error, the association stands as it did.
func (a *Association) Serve(ctx context.Context, wait time.Duration) (bool, error) {
	served := false
	err := a.do(ctx, a.hasEnded, func() error {
		if !a.conn.arrived() {
			if err := a.conn.wait(wait); errors.Is(err, os.ErrDeadlineExceeded) {
				return nil
			}
		}
		served = true
		return a.serveNext(ctx)
	})
	if err != nil {
		return false, fmt.Errorf("dicomnode: serving %s: %w", a.CalledAE, err)
	}
	return served, nil
}

// serveNext answers a request that has begun to arrive.
func (a *Association) serveNext(ctx context.Context) error {
	return a.link.serveNext(ctx, a.conn.pduTimeout)
}

// do runs one operation if check lets it. Whatever error it has ends the association.
func (a *Association) do(ctx context.Context, check func(context.Context) error, operation func() error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := check(ctx); err != nil {
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

func (a *Association) hasEnded(context.Context) error {
	if a.ended != nil {
		return fmt.Errorf("%w: %w", ErrEnded, a.ended)
	}
	return nil
}

// stillStands finds out, before anything is sent, whether the peer has ended the association in the meantime, and
// answers what it has asked.
func (a *Association) stillStands(ctx context.Context) error {
	if a.ended == nil {
		if err := a.conn.passStray(); err != nil {
			a.fail(err)
		}
	}
	for a.ended == nil && a.conn.arrived() {
		if err := a.serveNext(ctx); err != nil {
			a.fail(err)
		}
	}
	return a.hasEnded(ctx)
}

// fail ends the association because of err, with the A-ABORT it calls for.
func (a *Association) fail(err error) {
	a.ended = err
	if errors.Is(err, errReleaseRequested) {
		_ = a.conn.send(&pdu.ReleaseRP{}) // AR-2, AR-4
	}
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
	err := a.do(ctx, a.stillStands, a.release)
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
		return a.conn.whySendFailed(err)
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
