package dicomnode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/dimse"
	"endogate/dicomnode/failure"
	"endogate/dicomnode/pdu"
)

// maxResponseDataset bounds the data set of a response, in bytes: an identifier or an attribute list, kept in memory.
const maxResponseDataset = 16 << 20

// link is one side of an established association: it sends requests and answers those of the peer, one at a time
// (PS3.7 D.3.3.3). Methods are for one goroutine, except cancel.
type link struct {
	*conn
	callingAE, calledAE dicom.AETitle
	user                string // whom the requestor has proved to be; empty: it was not asked
	remote              string
	requestor           bool // the association is ours
	contexts            contextTable
	services            map[dicom.UID]Service // by abstract syntax
	responseTimeout     time.Duration
	log                 *slog.Logger
	stored              func(StoreResult) // nil, or told of every C-STORE that was answered
	told                func(Answered)    // nil, or told of every request that was answered

	messageID  uint16 // of the last request sent
	repeated   int    // answers that came once more since the last that was waited for
	unnumbered func() // told once of a peer that answers with message ID 0; nil: nobody is
	answering  bool
	later      []func(context.Context) error // what services go on with once their response is sent

	mu   sync.Mutex
	sent sentRequest // under way, and can be cancelled
}

type sentRequest struct {
	contextID uint8
	id        uint16
}

// outOfTurn is a message while another one is due.
func outOfTurn(cmd dimse.Command) error {
	return violates(pdu.UnexpectedPDUParameter, "%s out of turn", cmd.Field())
}

// serveNext answers the peer's next request, if it begins within wait.
func (l *link) serveNext(ctx context.Context, wait time.Duration) error {
	pc, cmd, err := l.readCommand(l.contexts, l.wait, wait)
	if err != nil {
		return err
	}
	rq, ok := cmd.(*dimse.Request)
	if rsp, isResponse := cmd.(*dimse.Response); isResponse && l.isRepeated(l.messageID+1, "", rsp) {
		return l.passOver(pc, rsp)
	}
	if !ok {
		return violates(pdu.UnexpectedPDUParameter, "%s that answers nothing", cmd.Field())
	}
	if err := l.answer(ctx, pc, rq); err != nil {
		return err
	}
	return l.goOn(ctx)
}

// goOn lets services go on after their responses.
func (l *link) goOn(ctx context.Context) error {
	for len(l.later) > 0 {
		next := l.later[0]
		l.later = l.later[1:]
		if err := next(ctx); err != nil {
			return err
		}
	}
	return nil
}

// answer serves one request: check, service, the rest of the data set, response.
func (l *link) answer(ctx context.Context, pc PresentationContext, rq *dimse.Request) error {
	switch {
	case rq.CommandField == dimse.CCancelRQ:
		return nil // it has no answer, and what it cancels has been answered
	case l.answering:
		return outOfTurn(rq)
	}
	l.answering = true
	defer func() { l.answering = false }()
	began := time.Now()
	dataset := &datasetReader{c: l.conn, id: pc.ID, last: !rq.HasDataset}
	req := &Request{
		Request: *rq, AbstractSyntax: pc.AbstractSyntax, TransferSyntax: pc.TransferSyntaxes[0], Dataset: dataset,
		CallingAE: l.callingAE, CalledAE: l.calledAE, User: l.user, RemoteAddr: l.remote, link: l, context: pc, dataset: dataset,
	}
	rsp, err := l.serve(ctx, req)
	if req.broken == nil {
		req.broken = dataset.drain(drainLimit)
	}
	if req.broken != nil {
		l.log.Warn("dicomnode: request broken off", "request", rq.CommandField.String(), "sop_instance_uid", loggable(rq.SOPInstanceUID),
			"bytes", dataset.n, "calling_ae", l.callingAE, "remote", l.remote, "error", req.broken, "service", err)
		return req.broken
	}
	if err != nil {
		rsp.Status, rsp.ErrorComment = dimse.StatusOf(err), dimse.CommentOf(err)
	}
	if rsp.Status.Class() == dimse.ClassPending {
		rsp.Status, err = dimse.ProcessingFailure, errors.New("the service ended with a pending status")
	}
	if err != nil {
		l.log.Warn("dicomnode: request refused", "request", rq.CommandField.String(), "sop_instance_uid", loggable(rq.SOPInstanceUID),
			"status", rsp.Status.String(), "calling_ae", l.callingAE, "remote", l.remote, "error", err)
	}
	if err := l.respond(req, rsp); err != nil {
		return err
	}
	req.answered = true
	if l.stored != nil && rq.CommandField == dimse.CStoreRQ {
		l.stored(StoreResult{rsp.Status, dataset.n, time.Since(began)})
	}
	if l.told != nil {
		l.told(Answered{rq.CommandField.String(), loggable(rq.SOPClassUID), loggable(rq.SOPInstanceUID), req.TransferSyntax, rsp.Status, dataset.n, time.Since(began)})
	}
	return l.postpone(req, rsp.Then)
}

// maxLater bounds what waits for its turn after responses, when the peer asks on and answers nothing.
const maxLater = 16

// postpone keeps for later how a service goes on. Only what breaks the association is an error of it.
func (l *link) postpone(req *Request, then func(context.Context, *Request) error) error {
	switch {
	case then == nil:
		return nil
	case len(l.later) == maxLater:
		return violates(pdu.UnexpectedPDUParameter, "%d requests, and no answer to ours", maxLater)
	}
	l.later = append(l.later, func(ctx context.Context) error {
		if err := l.guard(req, func() error { return then(ctx, req) }); err != nil {
			l.log.Warn("dicomnode: after the response", "request", req.CommandField.String(), "sop_instance_uid", loggable(req.SOPInstanceUID),
				"calling_ae", l.callingAE, "remote", l.remote, "error", err)
		}
		return req.broken
	})
	return nil
}

// serve finds the service and calls it.
func (l *link) serve(ctx context.Context, req *Request) (rsp *Response, err error) {
	if err = l.check(req); err == nil {
		err = l.guard(req, func() (err error) {
			rsp, err = l.services[req.AbstractSyntax].Serve(ctx, req)
			return err
		})
	}
	if rsp == nil {
		rsp = new(Response)
	}
	return rsp, err
}

// guard calls into a service. A panic there is one request's failure, not the gateway's.
func (l *link) guard(req *Request, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			l.log.Error("dicomnode: service panicked", "request", req.CommandField.String(), "sop_instance_uid", loggable(req.SOPInstanceUID),
				"panic", failure.Reason(p), "stack", string(debug.Stack()))
			err = &dimse.Error{Status: dimse.ProcessingFailure, Err: errors.New("service panicked")}
		}
	}()
	return f()
}

// check refuses what a service need not see. An N-service may be for any SOP class of its context's meta SOP class.
func (l *link) check(req *Request) error {
	field := req.CommandField
	switch {
	case !field.Known() || l.services[req.AbstractSyntax] == nil:
		return ErrNotOffered
	case field.Composite() && req.SOPClassUID != req.AbstractSyntax:
		return &dimse.Error{Status: dimse.SOPClassNotSupported, Comment: "SOP class is not that of the presentation context"}
	case field != dimse.NEventReportRQ && !req.context.Roles.allows(field, !l.requestor): // SCPs send events without asking for the role
		return &dimse.Error{Status: dimse.UnrecognizedOperation, Comment: "not of the role that was negotiated"}
	}
	return nil
}

// respond sends a response to req.
func (l *link) respond(req *Request, rsp *Response) error {
	c := rsp.Response
	answer := req.Answer(c.Status)
	c.CommandField, c.MessageIDBeingRespondedTo, c.HasDataset = answer.CommandField, answer.MessageIDBeingRespondedTo, rsp.Dataset != nil
	if c.SOPClassUID == "" {
		c.SOPClassUID = answer.SOPClassUID
	}
	if c.SOPInstanceUID == "" {
		c.SOPInstanceUID = answer.SOPInstanceUID
	}
	c.EventTypeID, c.ActionTypeID = req.EventTypeID, req.ActionTypeID
	if rsp.Dataset == nil {
		return l.writeCommand(req.context.ID, &c)
	}
	return l.writeMessage(req.context.ID, &c, bytes.NewReader(rsp.Dataset))
}

// contextOf finds the presentation context to send req on, in which we have the role for it.
func (l *link) contextOf(req *Request) (PresentationContext, error) {
	abstract := req.AbstractSyntax
	if abstract == "" {
		abstract = req.SOPClassUID
	}
	var err error = &ContextError{SOPClassUID: abstract, TransferSyntaxUID: req.TransferSyntax}
	for _, pc := range l.contexts {
		switch {
		case pc.AbstractSyntax != abstract || req.TransferSyntax != "" && pc.TransferSyntaxes[0] != req.TransferSyntax:
		case pc.Roles.allows(req.CommandField, l.requestor):
			return pc, nil
		default:
			err = &RoleError{abstract, req.CommandField}
		}
	}
	return PresentationContext{}, err
}

// invoke sends a request and returns the final response; pending, unless nil, gets those before it. What the peer asks
// for meanwhile is answered. outer is the request that is being served, if this one is part of it.
// The first error of pending cancels the request, and is returned with the final response as an errStopped.
func (l *link) invoke(ctx context.Context, pc PresentationContext, req *Request, pending func(*Response) error, outer *Request) (*Response, error) {
	l.messageID++
	rq := req.Request
	rq.MessageID, rq.HasDataset = l.messageID, req.Dataset != nil
	before, err := l.begin(pc.ID, &rq, req.Dataset)
	if err != nil {
		return nil, l.whySendFailed(err)
	}
	defer l.underWay(before)
	var stopped error
	timeout, began := orDefault(req.ResponseTimeout, l.responseTimeout), time.Now()
	for {
		wait := timeout
		if rq.CommandField.AnsweredBare() { // it has no pending responses: who gives some all the same does not gain time by them
			wait -= time.Since(began)
		}
		rsp, err := l.nextResponse(ctx, &rq, wait, outer)
		switch {
		case err != nil:
			return nil, err
		case rsp.Status.Class() != dimse.ClassPending && stopped != nil:
			return rsp, errStopped{stopped}
		case rsp.Status.Class() != dimse.ClassPending:
			return rsp, nil
		case pending == nil || stopped != nil:
			continue
		}
		if stopped = pending(rsp); stopped != nil {
			if err := l.cancel(); err != nil {
				return nil, err
			}
		}
	}
}

// errStopped marks an error with which the caller has stopped a request; the association stands.
type errStopped struct{ error }

func (e errStopped) Unwrap() error { return e.error }

func (l *link) transmit(contextID uint8, cmd dimse.Command, dataset io.Reader) error {
	if dataset == nil {
		return l.writeCommand(contextID, cmd)
	}
	return l.writeMessage(contextID, cmd, dataset)
}

// begin sends a request, for which cancel waits: the peer may be at work before the last byte is out. It returns the
// request that was under way before.
func (l *link) begin(contextID uint8, rq *dimse.Request, dataset io.Reader) (before sentRequest, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err = l.transmit(contextID, rq, dataset); err == nil {
		before, l.sent = l.sent, sentRequest{contextID, rq.MessageID}
	}
	return before, err
}

// underWay sets the request that cancel is about.
func (l *link) underWay(s sentRequest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = s
}

var errNothingToCancel = errors.New("dicomnode: no request is under way that could be cancelled")

// cancel sends C-CANCEL-RQ for the request that is under way. It may be called from any goroutine.
func (l *link) cancel() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sent.contextID == 0 {
		return errNothingToCancel
	}
	return l.writeAside(l.sent.contextID, &dimse.Request{CommandField: dimse.CCancelRQ, MessageID: l.sent.id})
}

// maxRepeated is how many answers to requests before are passed over while one is waited for.
const maxRepeated = 16

// nextResponse reads up to the next response to rq and answers requests that come before it. Answers that a peer gives
// once more to requests before are passed over.
func (l *link) nextResponse(ctx context.Context, rq *dimse.Request, timeout time.Duration, outer *Request) (*Response, error) {
	for began := time.Now(); ; {
		pc, cmd, err := l.readCommand(l.contexts, l.expect, timeout-time.Since(began))
		if err != nil {
			if l.repeated > 0 {
				err = fmt.Errorf("%w: %w", ErrWrongResponse, err)
			}
			return nil, midMessage(err)
		}
		rsp, ok := cmd.(*dimse.Response)
		switch {
		case ok && l.isRepeated(rq.MessageID, rq.SOPInstanceUID, rsp):
			err = l.passOver(pc, rsp)
		case ok:
			l.repeated = 0
			return l.response(pc, rq, rsp)
		case outer != nil:
			err = outer.interrupt(cmd)
		default:
			err = l.answer(ctx, pc, cmd.(*dimse.Request))
		}
		if err != nil {
			return nil, err
		}
	}
}

// isRepeated says whether a response is to a request before the one of number next, which has had its own: its number is
// lower, and it does not name the instance of that one.
func (l *link) isRepeated(next uint16, instance dicom.UID, c *dimse.Response) bool {
	id := c.MessageIDBeingRespondedTo
	return l.repeated < maxRepeated && id > 0 && id < next && (c.SOPInstanceUID == "" || c.SOPInstanceUID != instance)
}

// passOver reads the rest of a response that has come before.
func (l *link) passOver(pc PresentationContext, c *dimse.Response) error {
	l.repeated++
	if c.HasDataset && c.CommandField.AnsweredBare() {
		l.stray = pc.ID
		return nil
	}
	return (&datasetReader{c: l.conn, id: pc.ID, last: !c.HasDataset}).drain(maxResponseDataset)
}

// answersTo says whether a response is to rq. One to message 0, which was never sent, is: one request alone is outstanding
// (PS3.7 D.3.3.3), and there are peers that leave the number away.
func (l *link) answersTo(rq *dimse.Request, c *dimse.Response) bool {
	if c.MessageIDBeingRespondedTo != 0 || rq.MessageID == 0 || c.SOPInstanceUID != "" && c.SOPInstanceUID != rq.SOPInstanceUID {
		return c.MessageIDBeingRespondedTo == rq.MessageID
	}
	if l.unnumbered != nil {
		l.unnumbered()
	}
	return true
}

// response reads the rest of a response to rq.
func (l *link) response(pc PresentationContext, rq *dimse.Request, c *dimse.Response) (*Response, error) {
	switch {
	case c.CommandField != rq.CommandField|dimse.ResponseBit:
		return nil, violates(pdu.UnexpectedPDUParameter, "%s in answer to %s", c.CommandField, rq.CommandField)
	case !l.answersTo(rq, c):
		return nil, fmt.Errorf("%w: %w", ErrWrongResponse,
			violates(pdu.UnexpectedPDUParameter, "a response to message %d, not to %d", c.MessageIDBeingRespondedTo, rq.MessageID))
	case !c.HasDataset:
		return &Response{Response: *c}, nil
	case rq.CommandField.AnsweredBare(): // nobody waits for a data set that there is not; one that comes is passed over
		l.stray = pc.ID
		return &Response{Response: *c}, nil
	}
	b, err := io.ReadAll(io.LimitReader(&datasetReader{c: l.conn, id: pc.ID}, maxResponseDataset+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > maxResponseDataset:
		return nil, violates(pdu.InvalidPDUParameterValue, "data set of a response above %d bytes", maxResponseDataset)
	}
	return &Response{Response: *c, Dataset: b}, nil
}
