package durablestreams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/headrace/headrace/backend"
)

// A reader asks for what the stream holds, response by response, until it has reached the tail. From then on it waits for more
// at the tail. It does not read ahead: Read takes from the connection what it returns.
type reader struct {
	stream *Stream
	life   context.Context
	cancel context.CancelCauseFunc

	mu     sync.Mutex // guards reason only
	reason error      // why Read returns nothing more

	// The fields below belong to Read.
	at       backend.Offset // the place of the next record
	id       string         // of the stream, "" where the server does not say
	ask      string         // the offset of the next request
	answered bool           // the server has named ask; otherwise the caller has brought it
	stale    int            // answers in a row that are older than an earlier answer
	cursor   string         // the server's, sent back with every request that waits
	pace     pace
	atTail   bool // the tail was reached: requests wait for more
	ended    bool // the stream is closed, and everything was read

	events   *events // the SSE connection, nil when there is none
	response         // the response being read
	batching
}

// batching is the state of cutting a response into records.
type batching struct {
	as        content
	raw       bool // bytes are not framed: the caller reads Raw
	text      bool // the stream has a text type
	split     splitter
	rest      []byte  // the beginning of a record whose end has not come
	count     int64   // messages, or bytes, between the start of the response and at
	skip      int64   // messages, or bytes, to drop before the place that the caller asked for
	counts    []int64 // count behind each record of a batch
	pending   error   // returned by the next Read, after the records before the error
	lastBatch int     // records in the last batch with records: they and lastBytes predict the next batch
	lastBytes int     // bytes that those records were made of
}

// OpenReader implements [backend.Source]. [backend.Last] and [backend.AtTime] are [backend.ErrUnsupported]: the protocol
// cannot count back, and it keeps no times.
func (s *Stream) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	return s.openReader(ctx, from, false)
}

func (s *Stream) openReader(ctx context.Context, from backend.Offset, raw bool) (backend.Reader, error) {
	r := &reader{stream: s, at: from, batching: batching{raw: raw}}
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
		// The beginning was trimmed, or this server names the beginning otherwise: we ask for "-1". If the server does not
		// say which offset "-1" was, the response may begin elsewhere when it is asked for again. A place within the response
		// cannot be found again then, and the reader refuses such a place when it is asked for.
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
	reason := r.reason
	r.mu.Unlock()
	if reason != nil {
		return backend.Batch{}, reason
	}
	if err := ctx.Err(); err != nil {
		return backend.Batch{}, r.end(r.stream.failed("read", fmt.Errorf("%w: %w", backend.ErrTransient, err)))
	}
	stop := context.AfterFunc(ctx, func() { r.cancel(ctx.Err()) })
	defer stop()
	if r.pending != nil {
		return backend.Batch{}, r.end(r.stream.failed("read", r.pending))
	}
	for {
		if r.body == nil {
			if r.ended {
				return backend.Batch{}, r.end(io.EOF)
			}
			if err := r.request(ctx); err != nil {
				return backend.Batch{}, r.end(r.stream.failed("read", err))
			}
		}
		b, err := r.nextBatch()
		if err != nil {
			return backend.Batch{}, r.end(r.stream.failed("read", err))
		}
		if len(b.Records) > 0 || r.body == nil {
			return b, nil
		}
	}
}

// end makes err the reason, unless Close has ended the reader before.
func (r *reader) end(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reason == nil {
		r.reason = err
		r.cancel(err)
	}
	return r.reason
}

func (r *reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reason == nil || !errors.Is(r.reason, backend.ErrClosed) {
		r.reason = r.stream.failed("close", backend.ErrClosed)
	}
	r.cancel(r.reason)
	return nil
}
