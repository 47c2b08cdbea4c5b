package durablestreams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
)

// A reader asks for the stream response by response until the tail. From then on the reader waits for more at the tail. A reader
// does not read ahead: Read takes from the connection what Read returns, and a slow caller slows the server down.
//
// The work is in four files: reader_request.go gets the next response, by requests or (reader_events.go) over SSE;
// response.go checks its headers; reader_batch.go cuts its bytes into records with places.
//
// Each Read runs alone. Only Close may run beside a Read, and Close uses nothing but the lock, the reason and cancel.
type reader struct {
	stream *Stream
	// life ends with Close, with the first error, and with the context of a Read. All requests of the reader run under
	// life.
	life   context.Context
	cancel context.CancelCauseFunc

	mu     sync.Mutex // guards reason only
	reason error      // why Read returns nothing more

	// The fields below belong to Read.
	at       backend.Offset // the place of the next record
	id       string         // of the stream, "" where the server does not say
	ask      string         // the offset of the next request
	answered bool           // ask came from an answer of the server; before the first answer, ask came from the caller
	stale    int            // answers in a row older than an earlier answer
	cursor   string         // the server's, sent back with every waiting request
	pace     pace
	atTail   bool        // the tail was reached: requests wait for more
	ended    bool        // the stream is closed, and everything was read
	quiet    *time.Timer // of watch; nil before the first body

	events   *events // the SSE connection; nil without SSE
	response         // the response being read
	batching
}

// batching is the state of cutting a response into records.
type batching struct {
	as        content
	raw       bool // bytes are not framed: the caller reads Raw
	text      bool // the stream has a text type
	split     splitter
	rest      []byte  // the beginning of a record, without its end
	count     int64   // messages, or bytes, between the start of the response and at
	skip      int64   // messages, or bytes, to drop before the caller's place
	counts    []int64 // count behind each record of a batch
	pending   error   // returned by the next Read, after the records before the error
	lastBatch int     // records in the last batch with records; together with lastBytes a forecast for the next batch
	lastBytes int     // bytes of the same batch
}

// OpenReader implements [backend.Source]. [backend.Last] and [backend.AtTime] are [backend.ErrUnsupported]: the protocol cannot
// count back and keeps no times.
func (s *Stream) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	return s.openReader(ctx, from, false)
}

// openReader makes the first request, and so finds a missing stream, a wrong place and missing credentials at the opening.
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
	// The responses are read by later calls of Read, so ctx must not end them. While the first request is made, the end of ctx ends
	// the reader.
	r.life, r.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { r.cancel(ctx.Err()) })
	err := r.open(ctx, from)
	if !stop() && err == nil { // ctx has ended after the answer, and has ended the reader
		err = fmt.Errorf("%w: %w", backend.ErrTransient, ctx.Err())
	}
	if err != nil {
		r.cancel(backend.ErrClosed)
		return nil, s.failed("open reader", err)
	}
	return r, nil
}

// open makes the first request. From a start, and not from a place, it also finds the place of the first record.
func (r *reader) open(ctx context.Context, from backend.Offset) error {
	err := r.request(ctx)
	if first := err; from == backend.Earliest && errors.Is(err, backend.ErrOutOfRange) {
		// The beginning was trimmed, or this server has another name for the beginning: we ask for "-1". Without the offset
		// behind "-1" from the server, the same request may begin elsewhere later. Nobody can find a place within the response
		// again then, and a later reader refuses the place.
		r.ask = "-1"
		if err = r.request(ctx); err != nil {
			err = fmt.Errorf("%w (before, for the first offset: %v)", err, first)
		}
	}
	if err != nil {
		return err
	}
	// A start becomes a place here. Behind "now" nothing is read, and the place is the end of the empty response.
	if from.Relative() {
		if r.ask == "now" {
			r.response.start = r.response.next
		}
		r.at = place(r.id, r.response.start, 0)
	}
	return nil
}

// Read implements [backend.Reader]. It returns records as soon as there are some, and a batch without records at the end of a
// response. A wrong record behind good records is returned by the next Read, as pending.
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
	// The end of ctx ends the reader for good: the response may have been cut anywhere.
	stop := context.AfterFunc(ctx, func() { r.cancel(ctx.Err()) })
	defer stop()
	// The records before the error were returned by the Read before.
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
		// A batch without records tells the caller something only at the end of a response: a new place, or the tail. In the
		// middle of a response there was less than a whole record, and the loop reads on.
		if len(b.Records) > 0 || r.body == nil {
			// The caller owns the batch now, and the reader writes nothing more to its memory.
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

// Close implements [backend.Reader]. The request in flight ends, and a Read in another goroutine returns.
func (r *reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	// Close replaces an earlier reason, io.EOF too: a Read after Close must say that the reader is closed.
	if r.reason == nil || !errors.Is(r.reason, backend.ErrClosed) {
		r.reason = r.stream.failed("close", backend.ErrClosed)
	}
	r.cancel(r.reason)
	return nil
}
