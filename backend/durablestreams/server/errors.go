package server

import (
	"errors"
	"fmt"
)

// A Storage returns these errors when it refuses a call. The handler answers each error with the status of the protocol,
// and sends the text behind the name of the stream. So a text says what is wrong and what the client can do.
var (
	// ErrRequest is a request that no stream can serve. Status 400.
	ErrRequest = errors.New("server: bad request")

	// ErrNotFound is a stream that was never created, was deleted or has expired. Status 404.
	ErrNotFound = errors.New("server: no such stream: create it with PUT")

	// ErrExists refuses a Create with another configuration than that of the stream. Status 409.
	ErrExists = errors.New("server: the stream exists with another configuration: compare the headers of a HEAD request")

	// ErrGone is a stream that was deleted while forks read it, or an offset that is not kept. Status 410.
	ErrGone = errors.New("server: gone")

	// ErrClosed refuses an append to a closed stream. Status 409 with the header Stream-Closed.
	ErrClosed = errors.New("server: the stream is closed and takes no more data")

	// ErrType refuses data of another type than the stream has. Status 409.
	ErrType = errors.New("server: the stream has another content type")

	// ErrSequence refuses an append that another writer has overtaken. Status 409.
	ErrSequence = errors.New("server: Stream-Seq must be greater, byte by byte, than that of the last append")

	// ErrStopped refuses every call after the end of the storage. Status 503.
	ErrStopped = errors.New("server: the storage was closed")
)

// errHidden is the ErrGone of a stream that was deleted.
var errHidden = fmt.Errorf("%w: the stream is deleted, and its name is free when the last fork is deleted", ErrGone)

// StaleEpochError refuses a producer that a later producer with the same id has replaced (403).
type StaleEpochError struct{ Epoch int64 } // the current epoch

func (e *StaleEpochError) Error() string {
	return fmt.Sprintf("server: the producer's epoch is stale, the current epoch is %d: another producer with this id has taken over", e.Epoch)
}

// GapError refuses a batch because an earlier batch of its producer is missing (409). Nothing has changed: the missing
// batch may still arrive.
type GapError struct{ Expected, Received int64 }

func (e *GapError) Error() string {
	return fmt.Sprintf("server: producer sequence %d where %d is expected: send the missing batches first", e.Received, e.Expected)
}
