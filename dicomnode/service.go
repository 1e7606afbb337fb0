package dicomnode

import (
	"context"
	"errors"
	"io"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
)

// Service serves the SOP classes of some presentation contexts, on either side of an association.
type Service interface {
	// Serve handles one request and returns what answers it. An error is answered with dimse.StatusOf and
	// dimse.CommentOf, whatever else the response says; no response and no error is Success. The association goes on.
	// It is called by one goroutine for each association. ctx ends with the association and when Shutdown gives up
	// waiting; Serve must return then.
	Serve(ctx context.Context, req *Request) (*Response, error)
}

// ServiceFunc is a Service that is one function.
type ServiceFunc func(ctx context.Context, req *Request) (*Response, error)

// Serve calls f.
func (f ServiceFunc) Serve(ctx context.Context, req *Request) (*Response, error) { return f(ctx, req) }

// Errors that a Service returns for what has a status of its own.
var (
	// ErrNotOffered refuses an operation that the service does not have.
	ErrNotOffered error = &dimse.Error{Status: dimse.UnrecognizedOperation}
	// ErrCanceled ends an operation that the peer has cancelled.
	ErrCanceled error = &dimse.Error{Status: dimse.Canceled}
)

// Request is a request, received or to be sent. Of one to be sent, MessageID, HasDataset and what stands below Dataset
// are not looked at, and an empty TransferSyntax is whichever was accepted. Methods are for the goroutine that Serve
// was called in, until it has returned, and for Response.Then.
type Request struct {
	dimse.Request

	// AbstractSyntax is that of the presentation context; empty, of a request to be sent, is the SOP class. It is
	// another one where a context is for several SOP classes (PS3.4 H.2.1.2).
	AbstractSyntax dicom.UID
	TransferSyntax dicom.UID // of the data sets of request and responses

	// Dataset is the bytes of the data set in TransferSyntax. Of a received request it is still on the wire, is empty
	// if there is none, and gives io.EOF only after the last fragment. Of one to be sent, nil is none.
	Dataset io.Reader

	// ResponseTimeout, of a request to be sent, is how long a response may take to begin; the Client's by default.
	ResponseTimeout time.Duration

	CallingAE, CalledAE dicom.AETitle // of the association
	User                string        // whom the requestor has proved to be (PS3.7 D.3.3.7); empty: it was not asked
	RemoteAddr          string        // host:port

	link     *link
	context  PresentationContext
	dataset  *datasetReader
	canceled bool
	answered bool
	broken   error // what has ended the association while the request was served
}

// Response answers a request: sent by a service, or received. MessageIDBeingRespondedTo and HasDataset are filled in,
// SOP class and instance where they are empty.
type Response struct {
	dimse.Response
	Dataset []byte // in the transfer syntax of the request; nil is none

	// Then is called after the response is sent, to go on where the request came from: N-EVENT-REPORT on the association
	// of an N-ACTION. Its error is logged.
	Then func(ctx context.Context, req *Request) error
}

// Pending sends a response that another one will follow; the status is PendingMatches unless rsp has one.
// It returns ErrCanceled, and has not sent anything, once the peer has cancelled the request. What is left of the data
// set is lost.
func (r *Request) Pending(rsp *Response) error {
	if rsp.Status == dimse.Success {
		rsp.Status = dimse.PendingMatches
	}
	if rsp.Status.Class() != dimse.ClassPending {
		return errors.New("dicomnode: a pending response with status " + rsp.Status.String())
	}
	if err := r.Canceled(); err != nil {
		return err
	}
	r.broken = r.link.respond(r, rsp)
	return r.broken
}

// Canceled looks, without waiting, whether the peer has sent C-CANCEL-RQ; it is ErrCanceled then. A service that works
// for long without a pending response asks it now and then. What is left of the data set is lost.
func (r *Request) Canceled() error {
	if r.broken == nil {
		r.broken = r.dataset.drain(drainLimit)
	}
	for r.broken == nil && !r.canceled && !r.answered && r.link.arrived() {
		_, cmd, err := r.link.readCommand(r.link.contexts, r.link.expect, r.link.pduTimeout)
		if err == nil {
			err = r.interrupt(cmd)
		}
		r.broken = err
	}
	if r.broken == nil && r.canceled {
		return ErrCanceled
	}
	return r.broken
}

// interrupt takes what the peer sends before it has its answer: C-CANCEL-RQ, and nothing else (PS3.7 D.3.3.3).
func (r *Request) interrupt(cmd dimse.Command) error {
	cancel, ok := cmd.(*dimse.Request)
	if !ok || cancel.CommandField != dimse.CCancelRQ {
		return outOfTurn(cmd)
	}
	r.canceled = r.canceled || cancel.MessageID == r.MessageID
	return nil
}

// Send sends a request of our own on the association that r came on, and returns the response: C-STORE of a C-GET,
// N-EVENT-REPORT in Response.Then. The error is a *ContextError if nothing was sent for want of a presentation context,
// *RoleError for want of the role; any other ends the association.
func (r *Request) Send(ctx context.Context, req *Request) (*Response, error) {
	pc, err := r.link.contextOf(req)
	if err != nil {
		return nil, err
	}
	if r.broken == nil {
		r.broken = r.dataset.drain(drainLimit)
	}
	if r.broken != nil {
		return nil, r.broken
	}
	outer := r
	if r.answered { // the peer's next request may come before its answer to ours
		outer = nil
	}
	var rsp *Response
	rsp, r.broken = r.link.invoke(ctx, pc, req, nil, outer)
	return rsp, r.broken
}
