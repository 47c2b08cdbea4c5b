package server

import (
	"errors"
	"fmt"
)

// What a Storage says of a call it refuses. The handler turns each into the status the protocol has for it.
var (
	ErrRequest  = errors.New("server: bad request")                                  // 400
	ErrNotFound = errors.New("server: no such stream")                               // 404: never made, deleted, or expired
	ErrExists   = errors.New("server: the stream exists with another configuration") // 409
	ErrGone     = errors.New("server: gone")                                         // 410: deleted while forks read it, or a place not kept
	ErrClosed   = errors.New("server: the stream is closed")                         // 409 with Stream-Closed
	ErrType     = errors.New("server: the stream has another content type")          // 409
	ErrSequence = errors.New("server: Stream-Seq does not go up")                    // 409
	ErrStopped  = errors.New("server: the storage was closed")                       // 503
)

// StaleEpochError is the refusal of a producer that a later one of its name has replaced (403).
type StaleEpochError struct{ Epoch int64 } // the current one

func (e *StaleEpochError) Error() string {
	return fmt.Sprintf("server: stale producer epoch, the current one is %d", e.Epoch)
}

// GapError is the refusal of a batch whose predecessors did not arrive (409). Nothing has changed: they may still come.
type GapError struct{ Expected, Received int64 }

func (e *GapError) Error() string {
	return fmt.Sprintf("server: producer sequence %d, expected %d", e.Received, e.Expected)
}
