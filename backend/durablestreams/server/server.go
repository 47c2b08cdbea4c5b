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
	handler  *handler
	opened   io.Closer // the storage, if New has opened it; nil if the caller has given a storage
	finished sync.Once

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
func (s *Server) Close() (err error) {
	if started := s.beginEnd(); started != nil {
		err = started.Close()
	}
	return errors.Join(err, s.finish())
}

// Shutdown ends live readers, and waits until the other requests have finished. If ctx is done first, or Close is called,
// Shutdown breaks their connections, and returns the error of ctx; their changes in the storage may still be made. In the end
// Shutdown closes the storage as Close does.
func (s *Server) Shutdown(ctx context.Context) (err error) {
	if started := s.beginEnd(); started != nil {
		// After a Shutdown in time, Close finds nothing to break. After the end of ctx, Close breaks what is left, and finish
		// can go on.
		err = errors.Join(started.Shutdown(ctx), started.Close())
	}
	return errors.Join(err, s.finish())
}

// beginEnd tells the requests that the server ends, and returns the HTTP server, or nil before Start. It does not wait, so that
// a Close can break the connections while a Shutdown still waits for them.
func (s *Server) beginEnd() *http.Server {
	s.mu.Lock()
	s.closed = true
	started := s.http
	s.mu.Unlock()
	// The waits end before http does. Otherwise Shutdown would wait for live readers until their time is over.
	s.handler.endWaits()
	return started
}

// finish waits until http has ended, and then closes the storage, once.
func (s *Server) finish() (err error) {
	s.finished.Do(func() {
		if s.served != nil { // Start changes served no more: see beginEnd
			// The goroutine of Serve has ended when finish returns, and its own error is not lost.
			if cause := <-s.served; !errors.Is(cause, http.ErrServerClosed) {
				err = cause
			}
		}
		// The storage is closed last, because requests use it until http has ended.
		if s.opened != nil {
			err = errors.Join(err, s.opened.Close())
		}
	})
	return err
}
