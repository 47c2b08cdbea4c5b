package server

import (
	"errors"
	"fmt"
)

// A Storage returns these errors when it refuses a call. The handler answers each error with the status of the
// protocol.
var (
	ErrRequest  = errors.New("server: bad request")                                  // 400
	ErrNotFound = errors.New("server: no such stream")                               // 404: never created, deleted, or expired
	ErrExists   = errors.New("server: the stream exists with another configuration") // 409
	ErrGone     = errors.New("server: gone")                                         // 410: deleted while forks read it, or an offset that is not kept
	ErrClosed   = errors.New("server: the stream is closed")                         // 409 with Stream-Closed
	ErrType     = errors.New("server: the stream has another content type")          // 409
	ErrSequence = errors.New("server: Stream-Seq does not go up")                    // 409
	ErrStopped  = errors.New("server: the storage was closed")                       // 503
)

// StaleEpochError refuses a producer that a later producer with the same id has replaced (403).
type StaleEpochError struct{ Epoch int64 } // the current epoch

func (e *StaleEpochError) Error() string {
	return fmt.Sprintf("server: stale producer epoch, the current one is %d", e.Epoch)
}

// GapError refuses a batch because an earlier batch of its producer is missing (409). Nothing has changed: the missing
// batch may still arrive.
type GapError struct{ Expected, Received int64 }

func (e *GapError) Error() string {
	return fmt.Sprintf("server: producer sequence %d, expected %d", e.Received, e.Expected)
}
