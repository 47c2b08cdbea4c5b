package backend

import "context"

// A Sink is an address that can be written to. Any number of producers may be given it, in turn or at once.
type Sink interface {
	// NewAppender makes one producer's way in. It does no I/O and cannot fail: what is wrong with the address or the
	// format is said by Open.
	NewAppender(f Format) Appender
}

// An Appender is one producer's way in, for its life. What outlives a session lives in it: the last seq acknowledged, an
// epoch, expected positions, credentials. It claims its place (epoch, fence) once, at its first opening; a place that is
// lost later is [ErrFenced].
type Appender interface {
	// Limits may shrink or grow with an opening: read them again after each.
	Limits() Limits

	// Open starts a session. ctx bounds the opening only. There is one Session at a time: the previous one is closed
	// before the next is opened.
	Open(ctx context.Context) (Session, error)
}

// A Session is one attempt to append, over as many requests as the store needs. Its end is routine and no failure.
//
// Send runs in one goroutine, Recv in another, Close in any. A session never retries what failed; putting its own
// pipelined requests in order is no retry.
//
// The records given to Send and their bytes are lent: the session may read them until Send has returned and the batch is
// acknowledged, or until Close has returned.
type Session interface {
	// Send takes a batch, whole, or returns an error and has not taken it; why is then said by Recv. ctx bounds the
	// wait for room, and its end ends the session. It may return before anything has left the process.
	//
	// A store may refuse a batch in two places. Where Send has taken the batch, Recv says so. Or Send itself returns an
	// error that wraps [ErrRejected] or [ErrTooLarge]: nothing of the batch was taken, and its seq is free for other
	// records. Then the session may go on, and Recv says nothing of the batch; or it ends, and Recv says why. While
	// earlier batches are unacknowledged, Send's refusal may be that of one of them, for which the session is about to
	// end. Once all of them are acknowledged, it is about this batch. What Send returns behind its first refusal may
	// repeat it, so a caller that does not know the session closes it and opens another.
	//
	// seq runs 0, 1, 2, … without a gap for the life of the Appender, over all its sessions. A resend keeps seq and
	// records. A seq at or below the last that Recv has returned is [ErrConflict].
	Send(ctx context.Context, seq uint64, recs []Record) error

	// Recv returns the acks in order, and after the last of them why the session ended: an error that speaks of every
	// batch taken and not acknowledged. It blocks while nothing is unacknowledged. What is stored of the unacknowledged
	// is always a prefix. Once Recv has returned an error, nothing more is taken, and the session is only good for
	// Close. The end of ctx is such an error too, classified like any other.
	Recv(ctx context.Context) (Ack, error)

	// Close abandons what is not acknowledged, in bounded time, and makes Send and Recv return [ErrClosed]. When it has
	// returned, nothing of the session runs or reads lent records. A second Close does nothing and returns nil.
	Close() error
}

// An Ack says that all batches up to and including Seq are durable.
type Ack struct {
	Seq  uint64
	Next Offset // where the stream goes on behind batch Seq; "" when the store does not say

	// OffsetOf tells where record i of batch Seq is. It is nil where the store does not say; a store that says
	// acknowledges each batch by itself. It is pure, may be called for ever and pins no records.
	OffsetOf func(i int) Offset
}
