package backend

import "context"

// A Source is an address for reading.
type Source interface {
	// OpenReader starts reading at from: an offset made by this backend, or a start such as [Earliest]. ctx bounds the
	// opening only. OpenReader refuses "" and, with [ErrOutOfRange], any other offset outside the stream: trimmed, beyond
	// the tail, or made by another backend.
	OpenReader(ctx context.Context, from Offset) (Reader, error)
}

// A Stream can be both written and read. Stream is a type for signatures; no backend must be a Stream.
type Stream interface {
	Sink
	Source
}

// A Reader is one session of reading: Read in one goroutine, Close in any. A Reader is dead after its first error, an
// error of a context included.
type Reader interface {
	// Read returns the next records, or an empty Batch that moves Next or says CaughtUp, or else waits. [io.EOF] means:
	// the stream is closed for good, and all its records have been returned. Read returns all records before an error,
	// and then the error.
	//
	// The caller may keep the returned records for good, and may only read the records: a reader never writes to their
	// bytes again, and may have handed the same records to others. [Batch] says what Free changes.
	Read(ctx context.Context) (Batch, error)

	// Close releases the reader and ends a blocked Read with [ErrClosed]. A second Close does nothing and returns nil.
	Close() error
}

// A Batch is the result of one Read. A Batch may hold no records: Next moved past hidden records (filtered records,
// heartbeats), or the tail was reached.
type Batch struct {
	Records []Record

	// Next is where reading goes on behind this batch. The first Read after a relative start does not wait for records,
	// and its Next is absolute.
	Next Offset

	// CaughtUp says that Next has reached the tail as of the opening or later. A reader sets CaughtUp without waiting for
	// a record, on an empty stream, too.
	CaughtUp bool

	// Closed says that the stream is closed for good and Next is its end: the next Read returns [io.EOF]. If the stream
	// is closed when a batch reaches its end, the batch has Closed set; a reader at the tail may learn of a later end by
	// io.EOF alone.
	Closed bool

	// Free, if not nil, gives the slice Records back to the reader, and the reader uses the slice for a later batch. The
	// caller may call Free once, from any goroutine, also after Close of the reader, and must not read the slice afterwards.
	// Records that were copied out of the slice before stay valid for good, with their values, headers and places. If Free is
	// not called, the slice stays valid for good, too.
	Free func()
}
