package backend

import "context"

// A Conn is one connection to a store that answers batches in the order of writing. [Pipelined] makes a [Session] of a
// Conn. The Conn knows the wire and the meaning of the store's errors. Pipelined keeps the order of the seqs, limits the
// number of batches in flight, and decides how a session ends.
//
// One goroutine calls Write, another goroutine calls Read, and any goroutine calls Close. Finish and Fate are called while
// a lock of Pipelined is held, so they must not wait, and must not call the session. Pipelined checks every batch against
// the [Limits] before Write.
type Conn interface {
	// Write sends a batch. Write may wait for the connection until ctx ends, and may return before a byte has left the
	// process. After Read has returned an error, Write returns soon.
	//
	// An error of Write means: nothing of the batch can be stored, now or later. When this is not certain, Write returns
	// nil, and the error of Read says why the connection is lost.
	//
	// Write returns io.EOF when the connection takes no more batches, nothing of the batch was sent, and the reason is
	// known to Read alone. Then Send returns [ErrTransient], and the error of Read becomes the reason for the end of the
	// session, even when no batch is unanswered.
	Write(ctx context.Context, seq uint64, recs []Record) error

	// Read returns the next answer: an ack for every batch up to Ack.Seq. An error of Read means that the connection is
	// lost, and says why. The end of ctx also loses the connection.
	Read(ctx context.Context) (Ack, error)

	// Finish says that no Write follows. Afterwards Read returns the remaining answers of the store, and io.EOF after the
	// last answer. When the store does not answer in time, Read returns another error. Finish is never called while Write
	// runs.
	Finish()

	// Fate wraps err, an error of Read, in the sentinels of this package. The sentinels say what err means for the
	// unanswered batches. When unanswered is 0, err is about the connection alone. The goroutine that calls Read calls
	// Fate, at most once, and never while Write runs.
	Fate(err error, unanswered int) error

	// Close gives up the connection in bounded time, and makes Write and Read return. When Close has returned, no
	// goroutine of the Conn runs, and nothing reads records that were lent to Write. Close may be called several times.
	Close() error
}
