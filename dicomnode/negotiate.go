package dicomnode

import (
	"crypto/tls"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/pdu"
	"endogate/dicomnode/secure"
)

// Rejects of PS3.8 table 9-21 that we give.
var (
	badVersion    = &RejectError{pdu.RejectedPermanent, pdu.RejectProviderACSE, pdu.ProtocolVersionNotSupported}
	badContext    = &RejectError{pdu.RejectedPermanent, pdu.RejectServiceUser, pdu.ApplicationContextNotSupported}
	unknownCalled = &RejectError{pdu.RejectedPermanent, pdu.RejectServiceUser, pdu.CalledAETitleNotRecognized}
	unknownCaller = &RejectError{pdu.RejectedPermanent, pdu.RejectServiceUser, pdu.CallingAETitleNotRecognized}
	overLimit     = &RejectError{pdu.RejectedTransient, pdu.RejectProviderPresentation, pdu.LocalLimitExceeded}
)

// association is an accepted association as the server sees it.
type association struct {
	*link
	slot   string // in Server.perPeer
	number uint64
	began  time.Time

	refused   string // why it is rejected, of a node that is not let in
	fault     error  // of ours, for which who it is could not be found out
	confirmed *pdu.UserIdentityResponse
}

// associate is Sta2 and Sta3 of PS3.8 table 9-10: it reads A-ASSOCIATE-RQ and answers it.
// After *RejectError the reject has been sent; any other error is yet to be answered by abortFor.
func (s *Server) associate(c *conn) (*association, error) {
	rq, err := c.readRequest()
	if err != nil {
		return nil, err
	}
	if err := checkContextIDs(rq.Contexts); err != nil {
		return nil, err
	}
	a := &association{began: time.Now(), link: &link{
		conn: c, callingAE: dicom.ReadableAETitle(rq.CallingAE), calledAE: dicom.AETitle(rq.CalledAE), remote: c.RemoteAddr().String(),
		services: c.policy.services, responseTimeout: c.policy.IdleTimeout, log: s.log(), stored: s.Observe.Stored,
	}}
	a.number = s.asked.Add(1)
	if s.Observe.Association != nil {
		a.told = func(answered Answered) { s.tell(a, AssociationEvent{Answered: &answered}) }
	}
	if err := s.admit(a, rq); err != nil {
		s.rejected(a.host, err, append(s.hint(err, a), "called_ae", a.calledAE, "calling_ae", a.callingAE, "remote", a.remote)...)
		s.refuse(Refusal{a.callingAE, a.user, a.host, a.refused})
		s.tell(a, AssociationEvent{Ended: EndRejected, Reason: err.pdu().String()})
		if sendErr := c.send(err.pdu()); sendErr != nil {
			return nil, sendErr
		}
		return nil, err
	}
	if err := s.accept(a, rq); err != nil {
		s.leave(a)
		s.tell(a, AssociationEvent{Ended: c.causeOf(err), Reason: err.Error()})
		return nil, err
	}
	return a, nil
}

// readRequest reads the first PDU. Nothing but an A-ASSOCIATE-RQ is read beyond its header.
func (c *conn) readRequest() (*pdu.AssociateRQ, error) {
	deadline := time.Now().Add(c.artim)                  // ARTIM runs from the connection to the whole request
	if err := c.SetWriteDeadline(deadline); err != nil { // a TLS handshake writes
		return nil, err
	}
	if err := c.wait(c.artim); err != nil {
		return nil, err
	}
	if err := c.SetReadDeadline(deadline); err != nil {
		return nil, err
	}
	t, err := c.r.Peek()
	switch {
	case err != nil:
		return nil, err
	case t != pdu.TypeAssociateRQ && t != pdu.TypeAbort:
		// AA-1 of PS3.8 table 9-10 names the service user as source; only the provider can give the reason.
		c.lost = true
		return nil, violates(pdu.UnexpectedPDU, "%s before an association", t)
	}
	p, err := c.r.Next()
	if err != nil {
		return nil, err
	}
	if abort, ok := p.(*pdu.Abort); ok {
		return nil, &AbortError{abort.Source, abort.Reason}
	}
	return p.(*pdu.AssociateRQ), nil
}

// checkContextIDs: odd, and each once (PS3.8 table 9-13), so 128 at most.
func checkContextIDs(contexts []pdu.PresentationContextRQ) error {
	var seen [256]bool
	for _, pc := range contexts {
		if pc.ID%2 == 0 || seen[pc.ID] {
			return violates(pdu.InvalidPDUParameterValue, "presentation context ID %d is even or proposed twice", pc.ID)
		}
		seen[pc.ID] = true
	}
	return nil
}

// admit decides whether the association may be, and takes a place for it.
func (s *Server) admit(a *association, rq *pdu.AssociateRQ) *RejectError {
	switch {
	case rq.ProtocolVersion&pdu.ProtocolVersion == 0:
		return badVersion
	case rq.ApplicationContext != pdu.ApplicationContext:
		return badContext
	case a.calledAE != s.AETitle:
		a.refused = "the called AE title is not ours"
		return unknownCalled
	}
	is := a.policy
	peer, ok := is.peer(a.callingAE, a.host)
	if !ok {
		a.refused = hintNeither // or a part of it is listed, which hint finds out
		return unknownCaller
	}
	if a.refused = is.clear(peer, a); a.refused != "" {
		return unknownCaller
	}
	if err := s.identify(peer, a, rq.User.UserIdentityRQ); err != nil {
		return err
	}
	a.slot = titleSlot(a.callingAE)
	if peer.anyTitle() {
		a.slot = "host " + a.host.String()
	}
	if s.Admit != nil {
		if err := s.Admit(); err != nil {
			s.logThinned(slog.LevelWarn, "dicomnode: not admitting associations", "", "error", err)
			return overLimit
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	room := is.MaxAssociations
	if peer.anyTitle() || s.perPeer[a.slot] > 0 {
		room -= s.kept(is)
	}
	if s.listeners.Closed() || s.active >= room || s.perPeer[a.slot] >= is.MaxPerPeer {
		return overLimit
	}
	s.active++
	s.perPeer[a.slot]++
	a.crowd.leave(a.host)
	a.crowd = nil
	return nil
}

// kept is how many places are left for listed titles that have no association: one for each, half of all at most. The
// caller holds mu.
func (s *Server) kept(is *policy) int {
	titles := map[dicom.AETitle]bool{}
	for _, p := range is.Peers {
		if !p.anyTitle() && s.perPeer[titleSlot(p.AETitle)] == 0 {
			titles[p.AETitle] = true
		}
	}
	return min(len(titles), is.MaxAssociations/2)
}

func titleSlot(title dicom.AETitle) string { return "ae " + string(title) }

// Hints about callers that are no peers.
const (
	hintAddress = "the title is listed, but not with this address"
	hintTitle   = "the address is listed, but not with this title"
	hintNeither = "neither title nor address is listed"
)

// hint says for the log why a node is not let in: of an unknown caller what is listed, so that the rest can be.
func (s *Server) hint(err *RejectError, a *association) []any {
	switch {
	case a.fault != nil:
		return []any{"hint", a.refused, "error", a.fault}
	case a.refused == "" || err == unknownCalled:
		return nil
	case a.refused != hintNeither:
		return []any{"hint", a.refused}
	}
	who := Stranger{
		CallingAE: a.callingAE, Host: a.host, Address: a.policy.listed(a.host),
		Title: slices.ContainsFunc(a.policy.Peers, func(p Peer) bool { return p.AETitle == a.callingAE }),
	}
	if s.Observe.Unknown != nil {
		s.Observe.Unknown(who)
	}
	switch {
	case who.Title:
		a.refused = hintAddress
	case who.Address:
		a.refused = hintTitle
	}
	return []any{"hint", a.refused}
}

// refuse tells of a node that was not let in; one that found no room is none.
func (s *Server) refuse(r Refusal) {
	if s.Observe.Refused != nil && r.Why != "" {
		s.Observe.Refused(r)
	}
}

// clear says why a peer may not come as it does: without TLS, or with a certificate of another name. Empty: it may.
func (is *policy) clear(peer Peer, a *association) string {
	secured, ok := a.Conn.(*tls.Conn)
	switch {
	case !ok && is.RequireTLS && !peer.Clear:
		return "the peer is to come by TLS, and came in clear"
	case !ok || len(peer.Names) == 0:
		return ""
	}
	shown := secured.ConnectionState().PeerCertificates
	if len(shown) == 0 {
		return "the peer shows no certificate, and names are listed for it"
	}
	for _, name := range secure.Names(shown[0]) {
		if slices.ContainsFunc(peer.Names, func(listed string) bool { return strings.EqualFold(listed, name) }) {
			return ""
		}
	}
	return "the peer's certificate has none of the names that are listed for its title"
}

// leave gives the place back. Until its end the connection is one without an association again.
func (s *Server) leave(a *association) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
	if s.perPeer[a.slot]--; s.perPeer[a.slot] == 0 {
		delete(s.perPeer, a.slot)
	}
	a.crowd = &s.waiting
	a.crowd.enter(a.host)
}

func (p Peer) anyTitle() bool { return p.AETitle == "" || p.AETitle == "*" }

func (p Peer) from(host netip.Addr) bool {
	return slices.ContainsFunc(p.Hosts, func(prefix netip.Prefix) bool { return prefix.Contains(host) })
}

// peer finds who may call from addr under the title; an entry with the title itself goes first.
func (is *policy) peer(title dicom.AETitle, addr netip.Addr) (Peer, bool) {
	if title == "" {
		return Peer{}, false
	}
	for _, byTitle := range []bool{true, false} {
		for _, p := range is.Peers {
			named := byTitle && p.AETitle == title || !byTitle && p.anyTitle()
			if named && p.from(addr) {
				return p, true
			}
		}
	}
	return Peer{}, false
}

// accept answers every proposed context and sends A-ASSOCIATE-AC. That none is accepted is no reason to reject.
func (s *Server) accept(a *association, rq *pdu.AssociateRQ) error {
	if err := a.sendUpTo(rq.User.MaximumLength, DefaultMaxPDULength); err != nil {
		return err
	}
	supported := append(slices.Clone(a.policy.Contexts), VerificationContexts()...)
	ac := &pdu.AssociateAC{
		ProtocolVersion: pdu.ProtocolVersion, CalledAE: rq.CalledAE, CallingAE: rq.CallingAE,
		ApplicationContext: pdu.ApplicationContext, User: a.policy.userInformation(&rq.User, supported),
	}
	ac.User.UserIdentityAC = a.confirmed
	var contexts []PresentationContext
	for _, proposed := range rq.Contexts {
		pc := answer(supported, proposed)
		for _, role := range ac.User.Roles {
			if role.SOPClassUID == proposed.AbstractSyntax {
				pc = pc.withRoles(role.SCU, role.SCP)
			}
		}
		contexts = append(contexts, pc)
		ac.Contexts = append(ac.Contexts, pdu.PresentationContextAC{
			ID: pc.ID, Result: uint8(pc.Result), TransferSyntax: string(agreed(pc)),
		})
	}
	a.contexts = accepted(contexts)
	told := slices.Clone(contexts)
	for i := range told {
		told[i].AbstractSyntax = loggable(told[i].AbstractSyntax) // of a stranger it may be any text, of any length
	}
	s.tell(a, AssociationEvent{Contexts: told})
	a.receiveUpTo(a.policy.MaxPDULength)
	return a.send(ac)
}

// agreed returns the transfer syntax of an accepted context. A rejected one must carry one too,
// which means nothing (PS3.8 table 9-18).
func agreed(pc PresentationContext) dicom.UID {
	if len(pc.TransferSyntaxes) == 0 {
		return dicom.ImplicitVRLittleEndian
	}
	return pc.TransferSyntaxes[0]
}

// userInformation answers the negotiation items: of the roles proposed those that are supported (PS3.7 D.3.3.4), one
// operation at a time (PS3.7 D.3.3.3).
func (is *policy) userInformation(rq *pdu.UserInformation, supported []PresentationContext) pdu.UserInformation {
	u := pdu.UserInformation{
		MaximumLength:             is.MaxPDULength,
		ImplementationClassUID:    string(dicom.ImplementationClassUID),
		ImplementationVersionName: dicom.ImplementationVersionName,
	}
	if rq.AsynchronousOperations != nil {
		u.AsynchronousOperations = &pdu.AsynchronousOperations{Invoked: 1, Performed: 1}
	}
	for _, role := range rq.Roles {
		scu, scp := rolesOf(supported, dicom.UID(role.SOPClassUID))
		u.Roles = append(u.Roles, pdu.RoleSelection{SOPClassUID: role.SOPClassUID, SCU: role.SCU && scu, SCP: role.SCP && scp})
	}
	return u
}
