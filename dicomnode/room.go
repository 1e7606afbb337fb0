package dicomnode

import (
	"errors"
	"fmt"
)

// Room returns nil while an association would find a place, whoever is listed, and a listener that accepts it.
func (s *Server) Room() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.listeners.Open() {
		return errors.New("nobody listens for associations")
	}
	if most := s.policy.Load().MaxAssociations; s.active >= most {
		return fmt.Errorf("all %d associations are taken: see who holds them, or raise dicom.max_associations", most)
	}
	return nil
}
