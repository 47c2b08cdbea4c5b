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

// NoWait as the Wait of a [Range] without other limits ends a [ReadSession] at the tail. Without it, it follows the stream.
const NoWait time.Duration = -1

// A ReadSession reads a [Range] as one stream of records over as many connections as it takes, and ends where the range
// does. It is what a program needs that wants a part of a stream; a consumer is for following one.
//
// All but Records may be called from any goroutine, also while a loop runs.
type ReadSession struct {
	stream   *Stream // that shows commands: they count against the limits
	commands bool
	want     Range // what is left of Count and Bytes
	caughtUp chan struct{}

	// Only the loop uses these.
	quiet  time.Time // since when there has been no record, once there was one or the tail
	short  bool      // the server waits for what was left of Wait, and there has been no record to begin it anew
	goal   uint64    // where the tail was at the first clean end that came early
	asked  bool      // goal is known
	failed int       // openings in a row without progress, apart from routine ends
	tried  int       // openings in a row without progress
	over   bool

	mu   sync.Mutex
	next backend.Offset // behind the last record that a loop was given; the start before there was one
	tail Position
	seen bool // tail is known
}

// ReadSession makes a session for a range. It does no I/O.
//
// Count and Bytes may be anything, and command records count against them whether [Commands] shows them or not. With Wait
// the session ends when it has been at the tail for so long without a new record; a reconnection does not begin that
// anew. With Count, Bytes or Until alone it ends at the tail if not before, and a start at the tail is
// [backend.ErrOutOfRange]. With none of them it follows the stream until its context ends. See also [NoWait].
func (s *Stream) ReadSession(r Range) *ReadSession {
	own := *s
	own.cfg.commands = true
	return &ReadSession{stream: &own, commands: s.cfg.commands, want: r, next: r.From, caughtUp: make(chan struct{})}
}

// Records iterates over the records of the range. A lost connection is replaced and nothing is lost, repeated or given
// beyond the limits; the error that ends the loop comes once, alone: one that is final, the end of ctx, or the last of as
// many failures in a row as [Attempts] allows. A server that advises to reconnect or is about to stop is no failure. A later loop goes on behind the last record that the one before was given.
// There may be one loop at a time.
func (r *ReadSession) Records(ctx context.Context) iter.Seq2[backend.Record, error] {
	return func(yield func(backend.Record, error) bool) {
		for r.failed, r.tried = 0, 0; !r.over; {
			left, err := r.connection(ctx, yield)
			if left || err == nil {
				return
			}
			r.tried++
			if !backend.Routine(err) {
				r.failed++
			}
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

// connection reads over one connection until that or the range ends, or the loop is left.
func (r *ReadSession) connection(ctx context.Context, yield func(backend.Record, error) bool) (left bool, err error) {
	in, err := r.open(ctx)
	if err != nil {
		return false, r.atTail(err)
	}
	defer in.Close()
	short := r.short
	for {
		b, err := in.Read(ctx)
		if errors.Is(err, errEnded) && r.bounded() {
			if short == r.short {
				return false, r.ended(ctx, err)
			}
			err = &routineEnd{err} // the server waited as long as this connection asked, which a record has made too short
		}
		if err != nil {
			return false, err
		}
		r.failed, r.tried = 0, 0
		r.short = r.short && len(b.Records) == 0
		for i := range b.Records {
			rec := &b.Records[i]
			if !r.fits(rec) {
				r.over = true
				return false, nil
			}
			r.take(rec)
			if (r.commands || !isCommand(rec)) && !yield(*rec, nil) {
				return true, nil
			}
			if r.over {
				return false, nil
			}
		}
		r.observe(b, in)
	}
}

// open asks for what is left.
func (r *ReadSession) open(ctx context.Context) (*reader, error) {
	left := r.want
	left.From = r.Next()
	r.short = left.Wait > 0 && !r.quiet.IsZero()
	if r.short {
		if left.Wait -= time.Since(r.quiet); left.Wait <= 0 {
			left.Wait = NoWait
		}
	}
	left.Clamp = left.Clamp && left.From == r.want.From
	q, err := left.query()
	if err != nil {
		return nil, fmt.Errorf("s2: %s: %w", r.stream.op("read"), err)
	}
	known := left.From
	if left.Clamp && known != backend.Earliest {
		known = backend.Latest // where it begins is for the server to say
	}
	return r.stream.openReader(ctx, known, q)
}

func (r *ReadSession) bounded() bool {
	return r.want.Count > 0 || r.want.Bytes > 0 || !r.want.Until.IsZero() || r.want.Wait != 0
}

// fits holds the server to the limits.
func (r *ReadSession) fits(rec *backend.Record) bool {
	return (r.want.Bytes <= 0 || Metered(rec) <= r.want.Bytes) && (r.want.Until.IsZero() || rec.Time.Before(r.want.Until))
}

// take counts a record that the loop is about to be given. What it is not given counts nowhere.
func (r *ReadSession) take(rec *backend.Record) {
	if r.want.Count > 0 {
		r.want.Count--
		r.over = r.want.Count == 0
	}
	if r.want.Bytes > 0 {
		r.want.Bytes -= Metered(rec)
		r.over = r.over || r.want.Bytes == 0
	}
	r.mu.Lock()
	r.next = rec.Next
	r.mu.Unlock()
}

// observe notes what a batch says besides its records, once they are taken.
func (r *ReadSession) observe(b backend.Batch, in *reader) {
	if len(b.Records) > 0 || r.quiet.IsZero() && b.CaughtUp {
		r.quiet = time.Now()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = b.Next
	if in.hasTail {
		r.tail, r.seen = Position(in.tail), true
	}
	if b.CaughtUp {
		select {
		case <-r.caughtUp:
		default:
			close(r.caughtUp)
		}
	}
}

// ended decides about a clean end that came before Count and Bytes were used up. Other limits are the server's to apply,
// but an end is also what a proxy makes of a server that it lost. So it is believed when there is no record left to give.
// What is appended meanwhile cannot keep this up: it is the tail as of the first such end that counts.
func (r *ReadSession) ended(ctx context.Context, why error) error {
	from := r.Next()
	next, err := SeqNum(from)
	if err == nil && r.asked && next >= r.goal {
		r.over = true
		return nil
	}
	left := Range{From: from, Clamp: r.want.Clamp && from == r.want.From, Count: 1, Bytes: r.want.Bytes, Until: r.want.Until}
	got, err := r.stream.Read(ctx, left)
	if tail, refused := tailOf(err); refused && (from.Relative() || left.Clamp || tail == from) || err == nil && len(got.Records) == 0 {
		r.over = true
		return nil
	}
	if err != nil {
		return err
	}
	if !r.asked {
		tail, err := r.stream.CheckTail(ctx)
		if err != nil {
			return err
		}
		r.asked, r.goal = true, tail.SeqNum
	}
	return why
}

// atTail turns the refusal to begin at the tail into the end, when that is where a connection before has come to.
func (r *ReadSession) atTail(err error) error {
	if tail, refused := tailOf(err); refused && tail == r.Next() && (tail != r.want.From || !r.quiet.IsZero()) {
		r.over = true
		return nil
	}
	return err
}

// tailOf returns where the tail is if err is that a read would begin there or behind it.
func tailOf(err error) (backend.Offset, bool) {
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != CodeRangeNotSatisfiable {
		return "", false
	}
	return At(refused.Tail.SeqNum), true
}

// Next returns where the session goes on: behind the last record that the loop was given, and behind command records that
// are not shown. Before there was one it is the start, which may be relative.
func (r *ReadSession) Next() backend.Offset {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next
}

// Tail returns where the server last said the stream's tail was. It says so only while the session is near the tail.
func (r *ReadSession) Tail() (tail Position, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tail, r.seen
}

// CaughtUp is closed once the session has reached the tail as of some moment since it began, and the loop has been given
// all records before it. A session that ends at its limits may never.
func (r *ReadSession) CaughtUp() <-chan struct{} { return r.caughtUp }
