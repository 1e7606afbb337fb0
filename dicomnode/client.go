package dicomnode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/pdu"
	"endogate/dicomnode/secure"
)

// Client makes associations as a service class user. The zero value of every field but AETitle is its default.
// A Client may be used from any goroutine.
type Client struct {
	AETitle      dicom.AETitle // our own
	MaxPDULength uint32        // advertised, and sent at most, in bytes; DefaultMaxPDULength by default
	SendAtMost   uint32        // sent at most, where that is less than MaxPDULength and what the peer advertises; 0: as these say

	ConnectTimeout   time.Duration // 10 s by default
	AssociateTimeout time.Duration // for the answers to A-ASSOCIATE-RQ and A-RELEASE-RQ; 30 s by default
	ResponseTimeout  time.Duration // for a DIMSE response to begin; 120 s by default
	PDUTimeout       time.Duration // for a PDU once begun, and for a write; 60 s by default

	// Services answer what the peer asks on our associations, by abstract syntax: N-EVENT-REPORT to an SCU, or anything
	// for which RequestorIsSCP or RequestorIsBoth is proposed. What no service is for is refused. They are called under
	// Send, Serve and the other methods of the association, of which they may call Cancel and Abort alone.
	Services map[dicom.UID]Service
	Log      *slog.Logger // of what is refused; slog.Default by default

	// Identity is what is presented of us at every association; nil: nothing. Where it asks to be confirmed, a peer that does
	// not is ErrNotConfirmed.
	Identity func() (*Identity, error)

	// Dial makes the transport connection; a net.Dialer's by default.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	unnumbered sync.Once // it is said once of a peer that answers with message ID 0
}

// Associate connects to addr (host:port) and proposes the contexts to the application entity called.
// The error is a *RejectError when the peer said no, an *AbortError when it broke off; that no context was accepted
// is no error. Cancelling ctx ends the attempt. The caller ends the association with Release or Abort.
func (c *Client) Associate(ctx context.Context, addr string, called dicom.AETitle, propose []PresentationContext) (*Association, error) {
	switch {
	case !c.AETitle.Valid():
		return nil, fmt.Errorf("dicomnode: our AE title %q: %s", c.AETitle, dicom.AETitleRule)
	case !called.Valid():
		return nil, fmt.Errorf("dicomnode: called AE title %q: %s", called, dicom.AETitleRule)
	case !saneMaxPDULength(c.MaxPDULength), !saneMaxPDULength(c.SendAtMost):
		return nil, errMaxPDULength
	case len(propose) == 0 || len(propose) > mostContexts:
		return nil, fmt.Errorf("dicomnode: %d presentation contexts to propose: want 1 to %d (PS3.8 9.3.2.2)", len(propose), mostContexts)
	}
	var identity *Identity
	if c.Identity != nil {
		var err error
		if identity, err = c.Identity(); err != nil {
			return nil, fmt.Errorf("dicomnode: user identity for %s: %w", called, err)
		}
	}
	nc, err := c.dial(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("dicomnode: connect to %s: %w", called, err)
	}
	a := &Association{
		CallingAE: c.AETitle, CalledAE: called, Contexts: numbered(propose),
		conn:             newConn(nc, time.Second, orDefault(c.PDUTimeout, time.Minute)),
		associateTimeout: orDefault(c.AssociateTimeout, 30*time.Second),
	}
	a.link = &link{
		conn: a.conn, callingAE: c.AETitle, calledAE: called, remote: addr, requestor: true, services: c.Services,
		responseTimeout: orDefault(c.ResponseTimeout, 2*time.Minute), log: c.Log,
	}
	if c.Log == nil {
		a.link.log = slog.Default()
	}
	a.link.unnumbered = func() {
		c.unnumbered.Do(func() {
			a.link.log.Warn("dicomnode: the peer answers with message ID 0, not with that of the request: it is taken for the one outstanding",
				"called_ae", called, "remote", addr)
		})
	}
	own := orDefault(c.MaxPDULength, DefaultMaxPDULength)
	most := min(own, cmp.Or(c.SendAtMost, own))
	if err := a.do(ctx, a.hasEnded, func() error { return a.negotiate(own, most, identity) }); err != nil {
		return nil, fmt.Errorf("dicomnode: associate with %s: %w", called, secure.Advised(err))
	}
	return a, nil
}

func (c *Client) dial(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, orDefault(c.ConnectTimeout, 10*time.Second))
	defer cancel()
	if c.Dial != nil {
		return c.Dial(ctx, "tcp", addr)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

// numbered gives the contexts their IDs: odd, from 1 (PS3.8 table 9-13).
func numbered(propose []PresentationContext) []PresentationContext {
	contexts := slices.Clone(propose)
	for i := range contexts {
		contexts[i].ID = uint8(2*i + 1)
		contexts[i].Result = ContextUnanswered
	}
	return contexts
}

// negotiate is Sta5 of PS3.8 table 9-10.
func (a *Association) negotiate(own, most uint32, identity *Identity) error {
	rq := a.request(own)
	rq.User.UserIdentityRQ = identity.item()
	if err := a.conn.send(rq); err != nil {
		return err
	}
	if err := a.conn.wait(a.associateTimeout); err != nil {
		return err
	}
	p, err := a.conn.read()
	if err != nil {
		return err
	}
	switch p := p.(type) {
	case *pdu.AssociateAC:
		if identity != nil && identity.Confirm && p.User.UserIdentityAC == nil {
			return errors.Join(ErrNotConfirmed, a.conn.abort(pdu.AbortServiceUser, pdu.ReasonNotSpecified))
		}
		return a.established(p, own, most)
	case *pdu.AssociateRJ:
		return &RejectError{p.Result, p.Source, p.Reason}
	case *pdu.Abort:
		return &AbortError{p.Source, p.Reason}
	default: // AA-8
		return violates(pdu.UnexpectedPDU, "%s in answer to A-ASSOCIATE-RQ", p.Type())
	}
}

func (a *Association) request(own uint32) *pdu.AssociateRQ {
	rq := &pdu.AssociateRQ{
		ProtocolVersion: pdu.ProtocolVersion, CalledAE: string(a.CalledAE), CallingAE: string(a.CallingAE),
		ApplicationContext: pdu.ApplicationContext,
		User: pdu.UserInformation{
			MaximumLength:             own,
			ImplementationClassUID:    string(dicom.ImplementationClassUID),
			ImplementationVersionName: dicom.ImplementationVersionName,
		},
	}
	for _, pc := range a.Contexts {
		proposed := pdu.PresentationContextRQ{ID: pc.ID, AbstractSyntax: string(pc.AbstractSyntax)}
		for _, ts := range pc.TransferSyntaxes {
			proposed.TransferSyntaxes = append(proposed.TransferSyntaxes, string(ts))
		}
		rq.Contexts = append(rq.Contexts, proposed)
	}
	rq.User.Roles = proposedRoles(a.Contexts)
	return rq
}

// proposedRoles names the abstract syntaxes that are to have other roles than the default ones.
func proposedRoles(contexts []PresentationContext) []pdu.RoleSelection {
	var roles []pdu.RoleSelection
	for _, pc := range contexts {
		uid := string(pc.AbstractSyntax)
		if pc.Roles == RequestorIsSCU || slices.ContainsFunc(roles, func(r pdu.RoleSelection) bool { return r.SOPClassUID == uid }) {
			continue
		}
		scu, scp := rolesOf(contexts, pc.AbstractSyntax)
		roles = append(roles, pdu.RoleSelection{SOPClassUID: uid, SCU: scu, SCP: scp})
	}
	return roles
}

// negotiated returns the context with the roles that were agreed on: the default ones where the peer says nothing.
func negotiated(pc PresentationContext, proposed, answered []pdu.RoleSelection) PresentationContext {
	for _, p := range proposed {
		if p.SOPClassUID != string(pc.AbstractSyntax) {
			continue
		}
		for _, r := range answered {
			if r.SOPClassUID == p.SOPClassUID {
				return pc.withRoles(p.SCU && r.SCU, p.SCP && r.SCP)
			}
		}
	}
	return pc.withRoles(true, false)
}

// established takes over what the acceptor answered. A context that is accepted in a syntax that was not proposed
// is as good as refused; one that is left out of the answer is, too.
func (a *Association) established(ac *pdu.AssociateAC, own, most uint32) error {
	roles := proposedRoles(a.Contexts)
	for i := range a.Contexts {
		pc := &a.Contexts[i]
		at := slices.IndexFunc(ac.Contexts, func(answer pdu.PresentationContextAC) bool { return answer.ID == pc.ID })
		if at < 0 {
			continue
		}
		answer := ac.Contexts[at]
		ts := dicom.UID(answer.TransferSyntax)
		switch {
		case answer.Result != uint8(ContextAccepted):
			pc.Result = ContextResult(answer.Result)
		case slices.Contains(pc.TransferSyntaxes, ts):
			pc.Result, pc.TransferSyntaxes = ContextAccepted, []dicom.UID{ts}
			*pc = negotiated(*pc, roles, ac.User.Roles)
		default:
			pc.Result = ContextSyntaxNotProposed
		}
	}
	a.link.contexts = accepted(a.Contexts)
	if err := a.conn.sendUpTo(ac.User.MaximumLength, most); err != nil {
		return err
	}
	a.conn.receiveUpTo(own)
	return nil
}
