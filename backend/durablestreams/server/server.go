package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// A Server serves the protocol over a Storage. It listens on an address of its own after Start. It is also an
// [http.Handler], for programs that have an [http.Server] of their own. Any goroutine may call its methods.
type Server struct {
	handler *handler
	opened  io.Closer // the storage, if the server has opened it
	close   sync.Once

	mu       sync.Mutex // guards the fields below
	closed   bool
	listener net.Listener // nil before Start
	http     *http.Server
	served   chan error // holds why http serves no more
}

var _ http.Handler = (*Server)(nil)

// New makes a server. It opens the file of c.Data, if there is one. Close the server in the end, also when it was never
// started.
func New(c Config) (*Server, error) {
	s := &Server{}
	switch {
	case c.Storage != nil:
	case c.Data != "":
		b, err := OpenBolt(c.Data, Retain(c.Retain))
		if err != nil {
			return nil, err
		}
		c.Storage, s.opened = b, b
	default:
		m := NewMemory(Retain(c.Retain))
		c.Storage, s.opened = m, m
	}
	s.handler = newHandler(c)
	return s, nil
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Start listens on a TCP address ("127.0.0.1:0" for any free port of the loopback) and serves there. It is called once.
func (s *Server) Start(addr string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.listener != nil:
		return errors.New("server: started already")
	case s.closed:
		return errors.New("server: closed")
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	s.listener, s.served = l, make(chan error, 1)
	s.http = &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	go func() { s.served <- s.http.Serve(l) }()
	return nil
}

// URL is where the server listens, such as "http://127.0.0.1:43210". It is "" before Start.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return ""
	}
	return "http://" + s.listener.Addr().String()
}

// Close ends whatever waits, live readers above all, as if its time was over, and lets nothing wait later. Then it breaks
// the connections that Start has let in, and closes the storage, if New has opened it. A second Close does nothing.
//
// A program with an http.Server of its own gives New a Storage, and registers Close with
// [http.Server.RegisterOnShutdown]: a shutdown would otherwise wait for the live readers.
func (s *Server) Close() error { return s.stop(func(h *http.Server) error { return h.Close() }) }

// Shutdown ends live readers and lets the other requests finish. When ctx is done first, it breaks their connections and
// returns the error of ctx: what they were doing in the storage may then still come to its end. Then it closes the storage,
// as Close does.
func (s *Server) Shutdown(ctx context.Context) error {
	return s.stop(func(h *http.Server) error {
		err := h.Shutdown(ctx)
		if err != nil {
			_ = h.Close()
		}
		return err
	})
}

func (s *Server) stop(end func(*http.Server) error) (err error) {
	s.close.Do(func() {
		s.mu.Lock()
		s.closed = true
		started, served := s.http, s.served
		s.mu.Unlock()
		s.handler.endWaits()
		if started != nil {
			err = end(started)
			if cause := <-served; !errors.Is(cause, http.ErrServerClosed) {
				err = errors.Join(err, cause)
			}
		}
		if s.opened != nil {
			err = errors.Join(err, s.opened.Close())
		}
	})
	return err
}
