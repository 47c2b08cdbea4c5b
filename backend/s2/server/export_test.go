package server

import "net"

// StartOn is Start on a listener of the test.
func (s *Server) StartOn(l net.Listener) {
	s.startMu.Lock()
	defer s.startMu.Unlock()
	s.serveLocked(l)
}
