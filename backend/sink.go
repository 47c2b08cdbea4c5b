package backend

import "context"

// A Sink is an address for writing. Any number of producers may use a Sink, in turn or at once.
type Sink interface {
	// NewAppender makes the way in for one producer. NewAppender does no I/O and cannot fail: Open reports a wrong
	// address or format.
	NewAppender(f Format) Appender
}

// An Appender is one producer's way in, for its life. State that outlives a session lives in the Appender: the last seq
// acknowledged, an epoch, expected positions, credentials. An Appender claims its place (epoch, fence) once, at its first
// opening; a place lost later is [ErrFenced].
type Appender interface {
	// Limits may shrink or grow with an opening: read them again after each.
	Limits() Limits

	// Open starts a session. ctx bounds the opening only. There is one Session at a time: the previous one is closed
	// before the next is opened.
	Open(ctx context.Context) (Session, error)
}

// A Session is one attempt to append, over as many requests as the store needs. The routine end of one of these requests does not
// end the session.
//
// Send runs in one goroutine, Recv in another, Close in any. A session never retries after a failure. Sending a pipelined request
// again because the store received the requests in another order is no retry.
//
// The records given to Send and their bytes are lent: the session may read them until Send has returned and the batch is
// acknowledged, or until Close has returned.
type Session interface {
	// Send takes a whole batch, or returns an error and has taken nothing; Recv then returns the reason. ctx bounds the
	// wait for room, and the end of ctx ends the session. Send may return before anything has left the process.
	//
	// A store may refuse a batch in two places. If Send has taken the batch, Recv returns the refusal. Otherwise Send
	// itself returns an error that wraps [ErrRejected] or [ErrTooLarge]: nothing of the batch was taken, and its seq is
	// free for other records. Then the session may go on, and Recv does not mention the batch; or the session ends, and
	// Recv returns the reason. While earlier batches are unacknowledged, the refusal of Send may be the refusal of an
	// earlier batch, for which the session is about to end. Once all earlier batches are acknowledged, the refusal is
	// about the batch in hand. After its first refusal Send may repeat the refusal for later batches. So a caller without
	// knowledge of the session closes the session and opens another.
	//
	// seq runs 0, 1, 2, … without a gap for the life of the Appender, over all its sessions. A resend keeps seq and
	// records. A seq at or below the last acknowledged seq is [ErrConflict].
	Send(ctx context.Context, seq uint64, recs []Record) error

	// Recv returns the acks in order, and after the last ack the reason for the end of the session: an error about every
	// batch taken and not acknowledged. Recv blocks while nothing is unacknowledged. Of the unacknowledged batches, the
	// store may hold the first ones, and never a batch without the batches before. Once Recv has returned an error,
	// nothing more is taken, and the session is only good for Close. The end of ctx is an error of this kind, too,
	// classified like any other.
	Recv(ctx context.Context) (Ack, error)

	// Close abandons the unacknowledged batches, in bounded time, and makes Send and Recv return [ErrClosed]. After the
	// return of Close, nothing of the session runs or reads lent records. A second Close does nothing and returns nil.
	Close() error
}

// An Ack says that all batches up to and including Seq are durable.
type Ack struct {
	Seq  uint64
	Next Offset // where the stream goes on behind batch Seq; "" when the store does not say

	// OffsetOf returns the offset of record i of batch Seq. OffsetOf is nil where the store tells no offsets; a store
	// with offsets acknowledges each batch by itself. OffsetOf is pure, may be called for ever and pins no records.
	OffsetOf func(i int) Offset
}
