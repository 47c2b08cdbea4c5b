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

// A Server serves the protocol over a Storage. After Start it listens on its own address. It is also an [http.Handler],
// for programs with their own [http.Server]. Any goroutine may call its methods.
type Server struct {
	handler *handler
	opened  io.Closer // the storage, if New has opened it; nil if the caller has given a storage
	close   sync.Once

	mu       sync.Mutex // guards the fields below
	closed   bool
	listener net.Listener // nil before Start
	http     *http.Server
	served   chan error // holds the error with which http has ended
}

var _ http.Handler = (*Server)(nil)

// New makes a server. If c.Data names a file, New opens the file. The caller must close the server in the end, even if
// it was never started.
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

// Start listens on a TCP address, and serves there. "127.0.0.1:0" means a free port of the loopback interface. Start
// may be called once.
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

// URL is the URL of the server, for example "http://127.0.0.1:43210". URL is "" before Start.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return ""
	}
	return "http://" + s.listener.Addr().String()
}

// Close ends everything that waits, mainly live readers, as if its time were over. Later requests do not wait. Then
// Close breaks the connections that Start has accepted. If New has opened the storage, Close also closes the storage. A
// second Close does nothing.
//
// A program with its own http.Server gives New a Storage, and registers Close with [http.Server.RegisterOnShutdown].
// Otherwise a shutdown would wait for the live readers.
func (s *Server) Close() error { return s.stop(func(h *http.Server) error { return h.Close() }) }

// Shutdown ends live readers, and waits until the other requests have finished. If ctx is done first, Shutdown breaks
// their connections and returns the error of ctx; their changes in the storage may still be made. In the end Shutdown
// closes the storage as Close does.
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
		// The waits end before http does. Otherwise Shutdown would wait for live readers until their time is over.
		s.handler.endWaits()
		if started != nil {
			err = end(started)
			// The goroutine of Serve has ended when stop returns, and its own error is not lost.
			if cause := <-served; !errors.Is(cause, http.ErrServerClosed) {
				err = errors.Join(err, cause)
			}
		}
		// The storage is closed last, because requests use it until http has ended.
		if s.opened != nil {
			err = errors.Join(err, s.opened.Close())
		}
	})
	return err
}
