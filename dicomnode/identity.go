package dicomnode

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"endogate/dicomnode/dicom"
	"endogate/dicomnode/pdu"
)

// IdentityType is how a requestor says who it is (PS3.7 table D.3-14).
type IdentityType uint8

// The types.
const (
	IdentityName     IdentityType = 1 // a user name alone
	IdentityPasscode IdentityType = 2 // a user name with a passcode
	IdentityKerberos IdentityType = 3
	IdentitySAML     IdentityType = 4
	IdentityJWT      IdentityType = 5 // a JSON Web Token
)

func (t IdentityType) String() string {
	switch t {
	case IdentityName:
		return "user name"
	case IdentityPasscode:
		return "user name and passcode"
	case IdentityKerberos:
		return "Kerberos ticket"
	case IdentitySAML:
		return "SAML assertion"
	case IdentityJWT:
		return "JSON Web Token"
	}
	return fmt.Sprintf("user identity of type %d", uint8(t))
}

// Identity is what a requestor presents (PS3.7 D.3.3.7.1). It holds secrets, and prints without them.
type Identity struct {
	Type      IdentityType
	Primary   []byte // user name, ticket, assertion or token
	Secondary []byte // the passcode
	Confirm   bool   // a positive response is asked for
}

// Format writes the type alone, whatever the verb.
func (i Identity) Format(w fmt.State, _ rune) { _, _ = fmt.Fprint(w, i.Type) }

// Presented is an identity and who presents it: nothing but what the peer says, until it is found to be true.
type Presented struct {
	Identity
	CallingAE dicom.AETitle
	Host      netip.Addr
}

// IdentityPolicy is what a peer has to prove besides its title, address and certificate (PS3.7 D.3.3.7).
type IdentityPolicy struct {
	Required bool // an association without an identity is rejected; else what is presented has to be right
	// Verify returns who it is. The error is a *IdentityError, with a name where one is known; any other is a fault of ours.
	// ctx ends with the time for an association to be asked for.
	Verify func(ctx context.Context, p Presented) (user string, err error)
}

// IdentityError is why an identity is not taken. It holds nothing of what was presented.
type IdentityError struct {
	Reason  string
	Passing bool // the same may be taken later
}

func (e *IdentityError) Error() string { return "identity: " + e.Reason }

// Rejects for want of an identity. The standard has no reason of its own for it (PS3.8 table 9-21).
var (
	notIdentified = &RejectError{pdu.RejectedPermanent, pdu.RejectServiceUser, pdu.UserNoReason}
	notNow        = &RejectError{pdu.RejectedTransient, pdu.RejectServiceUser, pdu.UserNoReason}
)

// identify holds what the requestor says of itself to the peer's policy.
func (s *Server) identify(peer Peer, a *association, rq *pdu.UserIdentity) *RejectError {
	policy := peer.Identity
	switch {
	case policy == nil || rq == nil && !policy.Required:
		return nil
	case rq == nil:
		a.refused = "no user identity is presented, and the peer is to have one"
		return notIdentified
	}
	presented := Presented{
		Identity:  Identity{IdentityType(rq.Type), rq.Primary, rq.Secondary, rq.ResponseRequested},
		CallingAE: a.callingAE, Host: a.host,
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.policy.ARTIM)
	defer cancel()
	user, err := policy.Verify(ctx, presented)
	a.user = user
	if err != nil {
		return a.unproved(presented.Type, err)
	}
	if rq.ResponseRequested {
		a.confirmed = &pdu.UserIdentityResponse{}
		if presented.Type == IdentityJWT {
			a.confirmed.Data = rq.Primary // PS3.7 D.3.3.7.2: the token; of a name there is nothing to say
		}
	}
	return nil
}

func (a *association) unproved(kind IdentityType, err error) *RejectError {
	var refused *IdentityError
	if !errors.As(err, &refused) {
		a.fault, a.refused = err, "who it is could not be found out"
		return notNow
	}
	a.refused = fmt.Sprintf("%s: %s", kind, refused.Reason)
	if refused.Passing {
		return notNow
	}
	return notIdentified
}

// ErrNotConfirmed says that a peer takes the association and does not confirm who we are, which was asked for: it may not
// have looked.
var ErrNotConfirmed = errors.New("dicomnode: the peer does not confirm the user identity")

func (i *Identity) item() *pdu.UserIdentity {
	if i == nil {
		return nil
	}
	return &pdu.UserIdentity{Type: uint8(i.Type), ResponseRequested: i.Confirm, Primary: i.Primary, Secondary: i.Secondary}
}
