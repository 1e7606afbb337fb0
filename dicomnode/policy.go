package dicomnode

import (
	"cmp"
	"fmt"
	"time"

	"endogate/dicomnode/dicom"
)

// Policy is what a Server holds those to who ask for an association: its fields of the same names.
type Policy struct {
	Contexts        []PresentationContext
	Peers           []Peer
	RequireTLS      bool
	MaxAssociations int
	MaxPerPeer      int
	MaxPDULength    uint32
	ARTIM           time.Duration
	IdleTimeout     time.Duration
	PDUTimeout      time.Duration
}

// policy is one with its defaults filled in. It is not changed any more: a connection keeps the one under which it began.
type policy struct {
	Policy
	services map[dicom.UID]Service // of every context
}

// Change sets another policy for connections that come from now on; those that stand go on under theirs, to their end. With an error
// nothing has changed. It may be called from any goroutine.
func (s *Server) Change(p Policy) error {
	if !saneMaxPDULength(p.MaxPDULength) {
		return errMaxPDULength
	}
	services, err := s.servicesFor(p.Contexts)
	if err != nil {
		return err
	}
	p.MaxPDULength = cmp.Or(p.MaxPDULength, DefaultMaxPDULength)
	p.MaxAssociations = orDefault(p.MaxAssociations, 64)
	p.MaxPerPeer = orDefault(p.MaxPerPeer, 16)
	p.ARTIM = orDefault(p.ARTIM, 10*time.Second)
	p.IdleTimeout = orDefault(p.IdleTimeout, time.Minute)
	p.PDUTimeout = orDefault(p.PDUTimeout, time.Minute)
	s.policy.Store(&policy{p, services})
	return nil
}

// servicesFor finds a service for every context.
func (s *Server) servicesFor(contexts []PresentationContext) (map[dicom.UID]Service, error) {
	services := map[dicom.UID]Service{dicom.Verification: ServiceFunc(verification)}
	for _, pc := range contexts {
		service, ok := s.Services[pc.AbstractSyntax]
		switch {
		case ok:
			services[pc.AbstractSyntax] = service
		case s.Handler == nil && pc.AbstractSyntax != dicom.Verification:
			return nil, fmt.Errorf("dicomnode: server without a service for %s, and without a handler to store it", pc.AbstractSyntax)
		case pc.AbstractSyntax != dicom.Verification:
			services[pc.AbstractSyntax] = Storage{s.Handler}
		}
	}
	for uid := range s.Services {
		if services[uid] == nil {
			return nil, fmt.Errorf("dicomnode: server with a service for %s, but without a presentation context", uid)
		}
	}
	return services, nil
}
