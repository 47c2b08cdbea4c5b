package s2

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
)

// NoWait as the Wait of a [Range] ends a [ReadSession] at the tail. A Range without any limit, not even NoWait, makes the session
// follow the stream.
const NoWait time.Duration = -1

// A ReadSession reads a [Range] of a stream, over as many connections as necessary, and ends at the end of the range. Use a
// ReadSession to read a part of a stream, and a consumer to follow a stream.
//
// All methods except Records may be called from any goroutine, also while a loop over Records runs.
type ReadSession struct {
	stream   *Stream // shows commands, because commands count against the limits
	commands bool    // the caller wants commands too
	want     Range   // From stays the first start; Count and Bytes shrink with each record
	caughtUp chan struct{}

	// Only the loop uses these fields.
	quietSince time.Time // when the latest record came or the tail was reached; zero before both
	restOfWait bool      // this connection asked for the rest of Wait only, and no record has restarted Wait since
	goal       uint64    // the tail at the first early end
	goalKnown  bool
	failed     int // openings in a row without progress, routine ends left out
	tried      int // openings in a row without progress
	rangeEnded bool

	mu        sync.Mutex
	next      backend.Offset // behind the last record of a loop; before the first record, the start
	tail      Position
	tailKnown bool
}

// ReadSession makes a session for a range, without I/O.
//
// Count and Bytes have no upper limit. Command records count against Count and Bytes, with and without [Commands]. With Wait,
// the session ends after a stay of this length at the tail without a new record; a reconnection does not restart the wait.
// With Count, Bytes or Until and without Wait, the session ends at the tail at the latest, and a start at the tail is
// [backend.ErrOutOfRange]. Without any limit, the session follows the stream until the context ends. See also [NoWait].
func (s *Stream) ReadSession(r Range) *ReadSession {
	own := *s
	own.cfg.commands = true
	return &ReadSession{stream: &own, commands: s.cfg.commands, want: r, next: r.From, caughtUp: make(chan struct{})}
}

// Records iterates over the records of the range. Records replaces a lost connection; no record is lost, repeated or beyond the
// limits. The loop ends with an error, which comes alone, in three cases: a failure no further attempt can mend, the end of
// ctx, or as many failures in a row as [Attempts] allows. The advice to reconnect, and the refusal of a server about to stop,
// are not failures. A later loop continues behind the last record of the earlier loop. Two loops may not run at once.
func (r *ReadSession) Records(ctx context.Context) iter.Seq2[backend.Record, error] {
	return func(yield func(backend.Record, error) bool) {
		for r.failed, r.tried = 0, 0; !r.rangeEnded; {
			left, err := r.connection(ctx, yield)
			if left || err == nil {
				return
			}
			// tried counts routine ends too, and only spaces the attempts: a server that is about to stop for long must not be
			// asked without a pause. failed counts against Attempts.
			r.tried++
			if !backend.Routine(err) {
				r.failed++
			}
			// The error is given to the loop once and alone, behind the records: the records of the connection have all been
			// given before.
			if !errors.Is(err, backend.ErrTransient) || r.failed > r.stream.client().cfg.retry.Budget || ctx.Err() != nil {
				yield(backend.Record{}, err)
				return
			}
			if !r.stream.client().pause(ctx, r.stream.op("read"), r.tried, err) {
				yield(backend.Record{}, fmt.Errorf("s2: %s: %w, after: %w", r.stream.op("read"), ctx.Err(), err))
				return
			}
		}
	}
}

// connection reads over a single connection until the connection or the range ends, or the caller leaves the loop.
func (r *ReadSession) connection(ctx context.Context, yield func(backend.Record, error) bool) (left bool, err error) {
	// Each connection asks for the rest of the range only, so the server can apply the limits itself and a lost connection
	// repeats nothing.
	in, err := r.open(ctx)
	if err != nil {
		return false, r.atTail(err)
	}
	defer in.Close()
	askedRest := r.restOfWait
	for {
		b, err := in.Read(ctx)
		if errors.Is(err, errEnded) && r.bounded() {
			if !askedRest || r.restOfWait {
				return false, r.confirmEnd(ctx, err)
			}
			// This connection asked for the rest of Wait only, and the server has waited that long. A record came meanwhile and
			// restarted Wait, so the session goes on with a new connection.
			err = &routineEnd{err}
		}
		if err != nil {
			return false, err
		}
		// A batch is progress: the attempts count failures in a row.
		r.failed, r.tried = 0, 0
		r.restOfWait = r.restOfWait && len(b.Records) == 0
		if left := r.give(b.Records, yield); left || r.rangeEnded {
			return left, nil
		}
		// observe comes after give. Before, Next would be behind records that the loop has not got, and the next connection
		// would skip them.
		r.observe(b, in)
		// The loop has got copies of the records.
		if b.Free != nil {
			b.Free()
		}
	}
}

// give gives records to the loop, up to the end of the range. left says that the caller has left the loop.
func (r *ReadSession) give(recs []backend.Record, yield func(backend.Record, error) bool) (left bool) {
	for i := range recs {
		rec := &recs[i]
		// The record is not taken, so Next stays in front of the record: a caller who goes on with another range misses
		// nothing.
		if !r.fits(rec) {
			r.rangeEnded = true
			return false
		}
		r.take(rec) // before yield: the caller may ask for Next within the loop
		// A hidden command was taken too, because the server has counted the command against the limits of the range.
		if (r.commands || !isCommand(rec)) && !yield(*rec, nil) {
			return true
		}
		if r.rangeEnded {
			return false
		}
	}
	return false
}

// open opens a connection for the rest of the range.
func (r *ReadSession) open(ctx context.Context) (*reader, error) {
	rest := r.want
	rest.From = r.Next()
	r.restOfWait = rest.Wait > 0 && !r.quietSince.IsZero()
	if r.restOfWait {
		// The wait goes on over connections. With the full wait for each connection, a session over a bad network would never
		// end.
		if rest.Wait -= time.Since(r.quietSince); rest.Wait <= 0 {
			// A Wait of 0 would be no limit, and a session without other limits would follow the stream for ever.
			rest.Wait = NoWait
		}
	}
	// Clamp is about the caller's start. Behind it, a place beyond the tail means that the stream was deleted, and must be an
	// error.
	rest.Clamp = rest.Clamp && rest.From == r.want.From
	q, err := rest.query()
	if err != nil {
		return nil, fmt.Errorf("s2: %s: %w", r.stream.op("read"), err)
	}
	known := rest.From
	if rest.Clamp && known != backend.Earliest {
		known = backend.Latest // the server decides about the start, so the reader must not expect a position
	}
	in, err := r.stream.openReader(ctx, known, q)
	if n, no := SeqNum(rest.From); err != nil || no != nil || rest.From == At(n) {
		return in, err
	}
	// The start names the stream that it belongs to. Without the question, a session would read a later stream of the same name
	// from the middle, as if it were the earlier one.
	if err := in.identify(ctx, rest.From); err != nil {
		_ = in.Close()
		return nil, fmt.Errorf("s2: %s: %w", r.stream.op("read"), err)
	}
	return in, nil
}

// bounded reports whether the range has an end.
func (r *ReadSession) bounded() bool {
	return r.want.Count > 0 || r.want.Bytes > 0 || !r.want.Until.IsZero() || r.want.Wait != 0
}

// fits reports whether a record is within the limits. We do not trust the server to stop at the limits.
func (r *ReadSession) fits(rec *backend.Record) bool {
	return (r.want.Bytes <= 0 || Metered(rec) <= r.want.Bytes) && (r.want.Until.IsZero() || rec.Time.Before(r.want.Until))
}

// take counts a record, right before the loop gets the record. Records the loop never gets are not counted.
func (r *ReadSession) take(rec *backend.Record) {
	if r.want.Count > 0 {
		r.want.Count--
		r.rangeEnded = r.want.Count == 0
	}
	if r.want.Bytes > 0 {
		r.want.Bytes -= Metered(rec)
		r.rangeEnded = r.rangeEnded || r.want.Bytes == 0
	}
	r.mu.Lock()
	r.next = rec.Next
	r.mu.Unlock()
}

// observe notes the tail and the position of a batch. The records of the batch are taken by then.
func (r *ReadSession) observe(b backend.Batch, in *reader) {
	// Heartbeats do not restart Wait: the server sends a heartbeat every few seconds, and the session would never end.
	if len(b.Records) > 0 || r.quietSince.IsZero() && b.CaughtUp {
		r.quietSince = time.Now()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// b.Next also is behind commands, and makes a relative start absolute. If the connection is lost before the first record,
	// the next connection does not skip records that were appended meanwhile.
	r.next = b.Next
	if in.hasTail {
		r.tail, r.tailKnown = Position(in.tail), true
	}
	if b.CaughtUp {
		select {
		case <-r.caughtUp:
		default:
			close(r.caughtUp)
		}
	}
}

// Next returns where the session goes on: behind the last record of the loop, and behind hidden command records. Before the
// first record, Next returns the start, and the start may be relative.
func (r *ReadSession) Next() backend.Offset {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next
}

// Tail returns the latest tail the server has told. The server tells the tail only while the session is near the tail.
func (r *ReadSession) Tail() (tail Position, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tail, r.tailKnown
}

// CaughtUp returns a channel. The channel is closed when the loop has got all records before some tail the server told during
// the session. If the session reaches the limits of the range first, the channel may stay open.
func (r *ReadSession) CaughtUp() <-chan struct{} { return r.caughtUp }
