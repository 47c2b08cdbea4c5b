package server

import (
	"context"
	"io"
	"time"
)

// A Storage keeps streams under their names. Its methods may be called from any goroutine. [Memory] and [Bolt] are the
// two that come with this package.
//
// What a Storage has acknowledged is as durable as it can make it, and what one call changes (data, producer, closure) it
// changes in one step: nobody sees, and no crash leaves, a part of it. Create, Append and Delete that end with their
// context may have happened.
type Storage interface {
	// Create makes a stream. One that exists with the same configuration is left as it is, and created is false.
	Create(ctx context.Context, name string, c Creation) (info Info, created bool, err error)

	// Append stores data, closes the stream, or both. Outcome is also filled in beside [ErrClosed] and [GapError], after
	// which the same Append may be tried again.
	Append(ctx context.Context, name string, a Append) (Outcome, error)

	// Read finds what is stored from a Position, [Beginning] or [Now] on: whole appends, at least one unless from is the
	// tail, and about limit bytes. It renews the TTL of the stream.
	Read(ctx context.Context, name string, from Position, limit int) (Chunk, error)

	// Head says what is known of a stream and does not renew its TTL.
	Head(ctx context.Context, name string) (Info, error)

	// Delete removes a stream, or hides it for as long as forks read from it.
	Delete(ctx context.Context, name string) error

	// Wait returns nil once there is something behind after, or the stream is closed; an error once the stream is gone or
	// ctx is done. However long it waits, the TTL does not run out.
	Wait(ctx context.Context, name string, after Position) error
}

// Info is what is known of a stream.
type Info struct {
	ID          string // of this stream and no other, also not of a later one with its name
	ContentType string
	Tail        Position
	Closed      bool
	TTL         TTL
	Deadline    time.Time // zero: none
}

// TTL is the sliding window of a stream in seconds, as it was given. The zero TTL is none.
type TTL struct {
	Set     bool
	Seconds int64
}

// A Creation is the configuration of a stream, and its first data.
type Creation struct {
	ContentType string // "": that of the fork's source, or application/octet-stream
	TTL         TTL
	Deadline    time.Time
	Closed      bool
	Fork        *Fork
	Data        []byte // as in Append
}

// A Fork says where a new stream branches off another one.
type Fork struct {
	Source string
	At     Position // Now: the tail
	Sub    int64    // messages (JSON) or bytes behind At, within the append that is stored there
}

// An Append is one POST.
type Append struct {
	ContentType string
	// Data is given away with the call that stores it. Of a JSON stream it is the messages, compact, each with a comma behind it.
	Data []byte
	// Invalid says why Data cannot be stored, and is returned only if nothing that the protocol checks earlier is wrong.
	Invalid  error
	Close    bool
	Sequence string    // Stream-Seq, "" when absent
	Producer *Producer // nil when absent
}

// A Producer names one batch of an idempotent producer.
type Producer struct {
	ID         string
	Epoch, Seq int64
}

// Outcome is what became of an Append.
type Outcome struct {
	ID        string // of the stream, as in Info
	Tail      Position
	Closed    bool
	Duplicate bool  // stored before, by an earlier try
	Epoch     int64 // of the producer
	Seq       int64 // the highest one accepted from the producer
}

// A Chunk is a range of a stream, and the stream as it was when the range was found.
type Chunk struct {
	Info
	From, Next Position
	// Data reads the bytes From … Next-1. It needs no closing and may be used after the stream has changed, but not
	// for ever: when the stream is deleted or trimmed it may fail.
	Data io.ReaderAt
}
