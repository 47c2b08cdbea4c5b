package streamlog

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/headrace/headrace/backend"
)

// OpenReader resolves from before OpenReader returns. A relative start, for example Latest, means the place at the time
// of this call, and not at the time of the first Read.
func (l *Log) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	pos, err := l.resolve(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("%s: open reader: %w", l.name, err)
	}
	return &reader{log: l, next: pos, earliest: from == backend.Earliest, first: true}, nil
}

// resolve returns the seq at which from begins.
func (l *Log) resolve(ctx context.Context, from backend.Offset) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("%w: %w", backend.ErrTransient, err)
	}
	board := l.store.Board()
	if err := board.Err(); err != nil {
		return 0, err
	}
	st := board.State()
	switch from {
	case "":
		return 0, fmt.Errorf("no offset given: %w", backend.ErrOutOfRange)
	case backend.Earliest:
		return st.Head, nil
	case backend.Latest:
		return st.Tail, nil
	}
	if n, ok := from.LastN(); ok {
		return st.Tail - min(uint64(n), st.Tail-st.Head), nil
	}
	if t, ok := from.Since(); ok {
		return l.store.Since(t, st.Head, st.Tail)
	}
	return st.place(from)
}

// place returns the number in an offset, or an error if reading cannot start there. A bare number comes from a time
// before incarnations. Nobody can know the stream of a bare number, and place accepts the number.
func (s State) place(from backend.Offset) (uint64, error) {
	pos, incarnation, ok := ParseOffset(from)
	switch {
	case !ok:
		return 0, fmt.Errorf("offset %q does not belong to this store: %w", from, backend.ErrOutOfRange)
	case incarnation != "" && incarnation != s.Incarnation:
		return 0, fmt.Errorf("offset %q belongs to another stream: one that was here before, or one that is kept elsewhere: %w", from, backend.ErrOutOfRange)
	}
	return pos, s.checkPlace(pos)
}

// checkPlace returns an error if reading cannot start at pos.
func (s State) checkPlace(pos uint64) error {
	switch {
	case pos < s.Head:
		return fmt.Errorf("offset %d is trimmed, the first record kept is %d: %w", pos, s.Head, backend.ErrOutOfRange)
	case pos > s.Tail:
		return fmt.Errorf("offset %d is beyond the tail %d: %w", pos, s.Tail, backend.ErrOutOfRange)
	}
	return nil
}

// A reader reads a stream from a place on. Only one goroutine may call Read; any goroutine may call Close.
type reader struct {
	log *Log

	// Only Read uses the next fields.
	next     uint64 // seq of the next record
	earliest bool   // opened at Earliest, so a trim before the first batch moves the start
	first    bool   // no Read has returned yet
	dead     error  // error of a failed Read; further calls return the same error

	closed   atomic.Bool
	notified Waiter        // of Notify
	reading  Waiter        // of a Read that waits
	woken    chan struct{} // holds one token when reading was woken; nil before the first wait
}

func (r *reader) Read(ctx context.Context) (backend.Batch, error) {
	if r.dead == nil {
		b, err := r.read(ctx)
		if err == nil {
			return b, nil
		}
		// The reader is dead after its first error. A caller that went on after a hole would skip records without
		// noticing.
		r.dead = err
		if err != io.EOF {
			r.dead = fmt.Errorf("%s: read: %w", r.log.name, err)
		}
	}
	return backend.Batch{}, r.dead
}

func (r *reader) read(ctx context.Context) (backend.Batch, error) {
	board := r.log.store.Board()
	for {
		if r.closed.Load() {
			return backend.Batch{}, fmt.Errorf("reader: %w", backend.ErrClosed)
		}
		if err := ctx.Err(); err != nil {
			return backend.Batch{}, fmt.Errorf("%w: %w", backend.ErrTransient, err)
		}
		if err := board.Err(); err != nil {
			return backend.Batch{}, err
		}
		st := board.State()
		// A reader from Earliest has no place before its first batch, so a trim loses nothing for the reader. Later a
		// trim makes a hole between two batches, and checkPlace reports the hole.
		if r.earliest && r.first && r.next < st.Head {
			r.next = st.Head
		}
		if err := st.checkPlace(r.next); err != nil {
			return backend.Batch{}, err
		}
		if r.next < st.Tail {
			// Only records below the tail of the board are read. A Store may hold later records that are not durable
			// yet, and a crash would take them back.
			recs, free, err := r.log.store.Read(r.next, ReadLimit{Below: st.Tail, Records: readRecords, Bytes: readBytes})
			if err != nil {
				return backend.Batch{}, err
			}
			if len(recs) == 0 {
				// The records were trimmed after we had read the state, so we look again.
				continue
			}
			r.next += uint64(len(recs))
			r.first = false
			return backend.Batch{Records: recs, Next: recs[len(recs)-1].Next, CaughtUp: r.next == st.Tail, Closed: r.next == st.Tail && st.Closed, Free: free}, nil
		}
		// The first Read returns the reader's place, even if there is no record yet. Later calls need not do so,
		// because the batch that reached the tail has returned the place.
		if r.first {
			r.first = false
			return backend.Batch{Next: FormatOffset(r.next, st.Incarnation), CaughtUp: true, Closed: st.Closed}, nil
		}
		if st.Closed {
			return backend.Batch{}, io.EOF
		}
		r.wait(ctx)
	}
}
