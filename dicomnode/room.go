package dicomnode

import (
	"errors"
	"fmt"
)

// Room returns nil while an association would find a place, whoever is listed. Whether one is answered, [Server.AssociateItself] finds out.
func (s *Server) Room() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listeners.Closed() {
		return errors.New("no associations are taken any more")
	}
	if is := s.policy.Load(); is != nil && s.active >= is.MaxAssociations { // nil: Serve is about to begin
		return fmt.Errorf("all %d associations are taken: see who holds them, or raise dicom.max_associations", is.MaxAssociations)
	}
	return nil
}
