package durablestreams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/headrace/headrace/backend"
)

// readBytes is how much of a response one batch takes, unless a message is larger.
const readBytes = 256 << 10

// A reader asks for what there is, response by response, until it has reached the tail, and waits for more from then on.
// It reads ahead of nobody: a response is taken from the connection as Read is called.
type reader struct {
	stream *Stream
	life   context.Context
	cancel context.CancelCauseFunc

	mu   sync.Mutex
	over error // dead, because of this

	// What follows belongs to Read.
	at     backend.Offset // the place of the next record
	id     string         // of the stream, "" where the server does not say
	ask    string         // the offset of the next request
	cursor string
	pace   pace
	// answered: ask is what the server has said, and not what the caller has brought. stale counts answers in a row that are older.
	answered bool
	stale    int
	live     bool // the tail was reached
	ended    bool // the stream is closed and all of it was read

	events   *events // the SSE connection, if there is one
	response         // the one being read
	split    splitter
	rest     []byte // of a message that has not come to its end
	n        int64  // messages, or bytes, between the response's start and at
	skip     int64  // messages, or bytes, to drop before the place asked for
	raw      bool   // bytes are no frames
	as       content
	text     bool    // of a text type
	records  int     // in the last batch: a guess for the next
	marks    []int64 // n behind each record of a batch
	late     error   // comes when the records before it were returned
	bytes    int     // that records were made of
}

// OpenReader implements [backend.Source]. [backend.Last] and [backend.AtTime] are not supported: the protocol can neither
// count back nor does it keep times.
func (s *Stream) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	return s.openReader(ctx, from, false)
}

func (s *Stream) openReader(ctx context.Context, from backend.Offset, raw bool) (backend.Reader, error) {
	r := &reader{stream: s, at: from, raw: raw}
	switch {
	case from == backend.Earliest:
		r.ask = origin
	case from == backend.Latest:
		r.ask = "now"
	case from == "":
		return nil, s.failed("open reader", errors.New("no place to start from"))
	case from.Relative():
		return nil, s.failed("open reader", fmt.Errorf("at %.80q: %w", from, backend.ErrUnsupported))
	default:
		var err error
		if r.id, r.ask, r.skip, err = parsePlace(from); err != nil {
			return nil, s.failed("open reader", err)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, s.failed("open reader", fmt.Errorf("%w: %w", backend.ErrTransient, err))
	}
	r.life, r.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { r.cancel(ctx.Err()) })
	err := r.open(ctx, from)
	if !stop() && err == nil {
		err = fmt.Errorf("%w: %w", backend.ErrTransient, ctx.Err())
	}
	if err != nil {
		r.cancel(backend.ErrClosed)
		return nil, s.failed("open reader", err)
	}
	return r, nil
}

// open makes the first request.
func (r *reader) open(ctx context.Context, from backend.Offset) error {
	err := r.request(ctx)
	if first := err; from == backend.Earliest && errors.Is(err, backend.ErrOutOfRange) {
		// The beginning is trimmed, or has another name here. Where the server does not give that name, what the response
		// holds cannot be found again by a place within it, as the beginning may be another one by then: those places are
		// refused when they are asked for.
		r.ask = "-1"
		if err = r.request(ctx); err != nil {
			err = fmt.Errorf("%w (before, for the first offset: %v)", err, first)
		}
	}
	if err != nil {
		return err
	}
	if from.Relative() {
		if r.ask == "now" {
			r.response.start = r.response.next
		}
		r.at = place(r.id, r.response.start, 0)
	}
	return nil
}

func (r *reader) Read(ctx context.Context) (backend.Batch, error) {
	r.mu.Lock()
	over := r.over
	r.mu.Unlock()
	if over != nil {
		return backend.Batch{}, over
	}
	if err := ctx.Err(); err != nil {
		return backend.Batch{}, r.die(r.stream.failed("read", fmt.Errorf("%w: %w", backend.ErrTransient, err)))
	}
	stop := context.AfterFunc(ctx, func() { r.cancel(ctx.Err()) })
	defer stop()
	if r.late != nil {
		return backend.Batch{}, r.die(r.stream.failed("read", r.late))
	}
	for {
		if r.body == nil {
			if r.ended {
				return backend.Batch{}, r.die(io.EOF)
			}
			if err := r.request(ctx); err != nil {
				return backend.Batch{}, r.die(r.stream.failed("read", err))
			}
		}
		b, err := r.take()
		if err != nil {
			return backend.Batch{}, r.die(r.stream.failed("read", err))
		}
		if len(b.Records) > 0 || r.body == nil {
			return b, nil
		}
	}
}

// die makes err the last word, unless Close has had it.
func (r *reader) die(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over == nil {
		r.over = err
		r.cancel(err)
	}
	return r.over
}

func (r *reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over == nil || !errors.Is(r.over, backend.ErrClosed) {
		r.over = r.stream.failed("close", backend.ErrClosed)
	}
	r.cancel(r.over)
	return nil
}
