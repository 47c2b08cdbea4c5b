package server

import (
	"context"
	"io"
	"time"
)

// A Storage keeps streams under their names. Any goroutine may call its methods. [Memory] and [Bolt] are the two
// storages of this package.
//
// An acknowledged change is as durable as the Storage can make it. One call changes data, producer and closure in one
// step: nobody sees a part of the change, and no crash leaves a part of it. If Create, Append or Delete returns the
// error of its context, the change may have been made.
type Storage interface {
	// Create makes a stream. If a stream with the same configuration exists, Create leaves it as it is, and created is
	// false.
	Create(ctx context.Context, name string, c Creation) (info Info, created bool, err error)

	// Append stores data, closes the stream, or both. With [ErrClosed] and [GapError], Outcome is filled in too. After
	// a [GapError], the same Append may be tried again.
	Append(ctx context.Context, name string, a Append) (Outcome, error)

	// Read finds the stored data from a Position, [Beginning] or [Now] on: whole appends of about limit bytes together.
	// It finds at least one append, unless from is the tail. Read renews the TTL of the stream.
	Read(ctx context.Context, name string, from Position, limit int) (Chunk, error)

	// Head describes a stream. It does not renew the TTL.
	Head(ctx context.Context, name string) (Info, error)

	// Delete removes a stream. If forks read from the stream, Delete hides it until the last fork is removed.
	Delete(ctx context.Context, name string) error

	// Wait returns nil when there is data behind after, or when the stream is closed. It returns an error when the
	// stream is gone or ctx is done. The TTL does not run out during a Wait.
	Wait(ctx context.Context, name string, after Position) error
}

// Info describes a stream.
type Info struct {
	ID          string // unique: a later stream with the same name has another ID
	ContentType string
	Tail        Position
	Closed      bool
	TTL         TTL
	Deadline    time.Time // zero: no expiry time
}

// TTL is the time to live of a stream in seconds, as the client gave it. Each use of the stream starts the time again.
// The zero TTL is no TTL.
type TTL struct {
	Set     bool
	Seconds int64
}

// A Creation is the configuration of a new stream, and its first data.
type Creation struct {
	ContentType string // "": the type of the source of the fork, or application/octet-stream
	TTL         TTL
	Deadline    time.Time
	Closed      bool
	Fork        *Fork
	Data        []byte // as in Append
}

// A Fork says where a new stream branches off another stream.
type Fork struct {
	Source string
	At     Position // Now means the tail
	Sub    int64    // how many messages (JSON) or bytes behind At, within the append at At
}

// An Append is the content of one POST.
type Append struct {
	ContentType string
	// The call that stores Data takes Data over: the caller must not change Data later. For a JSON stream, Data holds
	// compact messages, with a comma after each message.
	Data []byte
	// Invalid is the reason why Data cannot be stored. Append returns Invalid only if all earlier checks of the
	// protocol succeed.
	Invalid  error
	Close    bool
	Sequence string    // Stream-Seq, or "" if the header is absent
	Producer *Producer // nil if the headers are absent
}

// A Producer names one batch of an idempotent producer.
type Producer struct {
	ID         string
	Epoch, Seq int64
}

// Outcome is the result of an Append.
type Outcome struct {
	ID        string // of the stream, as in Info
	Tail      Position
	Closed    bool
	Duplicate bool  // an earlier attempt has stored the batch
	Epoch     int64 // of the producer
	Seq       int64 // the highest seq that the stream has stored from the producer
}

// A Chunk is a range of a stream, and the description of the stream at the time of the read.
type Chunk struct {
	Info
	From, Next Position
	// Data reads the bytes From … Next-1. The caller need not close Data. Data may be used after the stream has
	// changed, but may fail when the stream is deleted or trimmed.
	Data io.ReaderAt
}
