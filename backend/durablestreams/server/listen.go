package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// A Server is a Handler that listens on an address of its own. Programs with other pages to serve give the Handler to an
// [http.Server] themselves.
type Server struct {
	handler *Handler
	http    *http.Server
	address string
	failed  chan error
}

// Start listens on a TCP address ("127.0.0.1:0" for any free port) and serves h there until Shutdown.
func Start(address string, h *Handler) (*Server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	s := &Server{handler: h, address: l.Addr().String(), failed: make(chan error, 1)}
	s.http = &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	go func() { s.failed <- s.http.Serve(l) }()
	return s, nil
}

// Address is the host and port that the server listens on.
func (s *Server) Address() string { return s.address }

// Shutdown ends live readers and lets the other requests finish. When ctx is done first, it breaks their connections and
// returns the error of ctx: what they were doing in the storage may then still come to its end. It is called once.
func (s *Server) Shutdown(ctx context.Context) error {
	_ = s.handler.Close()
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close()
	}
	if end := <-s.failed; !errors.Is(end, http.ErrServerClosed) {
		return end
	}
	return err
}
