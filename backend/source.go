package backend

import "context"

// A Source is an address that can be read.
type Source interface {
	// OpenReader starts reading at from, which is a place that this backend minted or a start such as [Earliest]. ctx
	// bounds the opening only. It refuses "" and, with [ErrOutOfRange], what is not a place in this stream: trimmed,
	// beyond the tail, or minted by another backend.
	OpenReader(ctx context.Context, from Offset) (Reader, error)
}

// A Stream can be both written and read. It is for signatures; no backend must be one.
type Stream interface {
	Sink
	Source
}

// A Reader is one session of reading: Read in one goroutine, Close in any. It is dead after its first error, a context's
// included.
type Reader interface {
	// Read returns the next records, or an empty Batch that moves Next or says CaughtUp, or else waits. [io.EOF] means
	// that the stream is closed for good and all of it has been returned; all that came before an error is returned
	// before it.
	//
	// What it returns is the caller's to keep for good, and to read only: a reader never writes to those records and
	// bytes again, and may have handed the same ones to others. [Batch] says what Free changes.
	Read(ctx context.Context) (Batch, error)

	// Close releases the reader and ends a blocked Read with [ErrClosed]. A second Close does nothing and returns nil.
	Close() error
}

// A Batch is what one Read returned. It may hold no records: Next moved past what is not shown (filtered records,
// heartbeats), or the tail was reached.
type Batch struct {
	Records []Record

	// Next is where reading goes on behind this batch. The first Read after a relative start does not wait for records,
	// and its Next is absolute.
	Next Offset

	// CaughtUp says that Next has reached the tail as of the opening or later. It is said without waiting for a record,
	// on an empty stream too.
	CaughtUp bool

	// Closed says that the stream is closed for good and Next is its end: the next Read returns [io.EOF]. The batch that
	// reaches the end of a stream that is closed by then says it; a reader that waits at the tail may learn of the end by
	// io.EOF alone.
	Closed bool

	// Free, if not nil, gives the slice Records back to the reader, who uses it for a later batch. Who has copied the
	// records out of the slice may call Free, once, from any goroutine, also after Close, and does not look at the slice
	// again. The values, headers and places in the copies stay the caller's for good. Without a call of Free the slice
	// stays the caller's, too.
	Free func()
}
