package s2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/backend/s2/internal/wire"
)

// OpenReader starts a read session that follows the stream. Offsets are sequence numbers in decimal, with the time of the
// stream's creation unless [BareOffsets] is given or the token may not list streams; all portable starts are understood. Command records are skipped unless [Commands] is given; a stretch of nothing else is an empty Batch.
func (s *Stream) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	q, err := startQuery(from)
	if err != nil {
		return nil, fmt.Errorf("s2: %s: %w", s.op("read"), err)
	}
	r, err := s.openReader(ctx, from, q)
	if err != nil {
		return nil, err // and no reader that is nil
	}
	if err := r.identify(ctx, from); err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("s2: %s: %w", s.op("read"), err)
	}
	return r, nil
}

// identify finds out in which incarnation of the stream the session is, and whether from is a place in it.
func (r *reader) identify(ctx context.Context, from backend.Offset) (err error) {
	if r.stream.cfg.bare {
		return nil
	}
	if r.suffix, err = r.stream.hold(ctx); err != nil {
		return harmless(err)
	}
	r.held = true
	return r.stream.sameIncarnation(from, r.suffix)
}

// openReader opens one for a query that starts at from.
func (s *Stream) openReader(ctx context.Context, from backend.Offset, q url.Values) (*reader, error) {
	if err := s.basin.check(s.name); err != nil {
		return nil, fmt.Errorf("s2: %s: %w", s.op("read"), err)
	}
	r := &reader{stream: s}
	r.life, r.kill = context.WithCancel(context.Background())
	if from == backend.Earliest {
		r.known, r.earliest = true, true
	} else if seq, err := SeqNum(from); err == nil {
		r.known, r.next = true, seq
	}
	r.silence = time.AfterFunc(time.Hour, r.quiet)
	r.silence.Stop()
	if err := r.open(ctx, q); err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("s2: %s: %w", s.op("read"), harmless(err))
	}
	return r, nil
}

// A reader has no goroutine: Read reads from the connection, which buffers ahead.
type reader struct {
	stream    *Stream
	transport *transport      // of a shared HTTP/2 connection; nil with server-sent events
	life      context.Context // of the request
	kill      context.CancelFunc
	body      io.ReadCloser
	source    source
	silence   *time.Timer
	silent    atomic.Bool
	closed    atomic.Bool
	once      sync.Once

	suffix string // of offsets
	held   bool   // the stream's incarnation counts this session

	// Only Read uses these.
	known    bool          // next is absolute
	next     uint64        // where the next record must be
	earliest bool          // what is first need not be at next
	advised  bool          // to reconnect
	tail     wire.Position // as said with the batch returned last
	hasTail  bool
	pending  error // what comes after the batch returned last
	dead     error
}

// A source is where batches come from: frames or events. io.EOF is an end between two of them.
type source interface {
	next() (b wire.Batch, reconnect bool, err error)
}

func (r *reader) open(ctx context.Context, q url.Values) error {
	client := r.stream.client()
	if r.stream.cfg.events {
		return r.openEvents(ctx, q)
	}
	r.transport = client.reading()
	req, err := r.stream.request(r.life, http.MethodGet, q)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "s2s/proto")
	req.Header.Set("Accept", protobuf)
	res, err := client.open(ctx, r.kill, r.transport, req)
	if err != nil {
		if !eventsMayPass(err) || ctx.Err() != nil || client.http2.Load() {
			return err
		}
		return r.fallBack(ctx, q, err)
	}
	r.body = res.Body
	coder, err := s2s.NewCoder(s2s.None)
	if err != nil {
		return err
	}
	r.source = &frames{secrets: r.stream.secrets, in: s2s.NewReader(watched{r}), coder: coder}
	return nil
}

// watched reads the body under the silence timer, which so counts the waiting for the network and nothing else.
type watched struct{ r *reader }

func (w watched) Read(p []byte) (int, error) {
	w.r.silence.Reset(w.r.stream.cfg.silence)
	defer w.r.silence.Stop()
	return w.r.body.Read(p)
}

// quiet ends the session: the server has said nothing for too long, or the network has.
func (r *reader) quiet() {
	r.silent.Store(true)
	r.kill()
}

// Read returns the next batch.
func (r *reader) Read(ctx context.Context) (backend.Batch, error) {
	if r.closed.Load() {
		return backend.Batch{}, r.errClosed()
	}
	if r.dead == nil {
		b, err := r.read(ctx)
		if err == nil {
			return b, nil
		}
		r.dead = fmt.Errorf("s2: %s: %w", r.stream.op("read"), err)
		if r.closed.Load() {
			r.dead = r.errClosed()
		}
	}
	return backend.Batch{}, r.dead
}

func (r *reader) read(ctx context.Context) (backend.Batch, error) {
	if err := ctx.Err(); err != nil {
		return backend.Batch{}, fmt.Errorf("%w: %w", backend.ErrTransient, err)
	}
	if r.pending != nil {
		return backend.Batch{}, r.pending
	}
	if r.advised && r.stream.client().leave(r.transport) {
		return backend.Batch{}, fmt.Errorf("%w: %w", backend.ErrTransient, errAdvised)
	}
	for {
		b, reconnect, err := r.receive(ctx)
		if err != nil {
			return backend.Batch{}, err
		}
		r.advised = r.advised || reconnect && r.transport != nil
		if len(b.Records) == 0 && !b.HasTail {
			continue
		}
		r.tail, r.hasTail = b.Tail, b.HasTail
		return r.batch(ctx, b)
	}
}

// receive waits for the next batch and classifies what comes instead.
func (r *reader) receive(ctx context.Context) (wire.Batch, bool, error) {
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, r.kill)
		defer stop()
	}
	b, reconnect, err := r.source.next()
	if err == nil {
		return b, reconnect, nil
	}
	var refused *Error
	switch {
	case errors.As(err, &refused):
	case ctx.Err() != nil:
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	case r.silent.Load():
		if r.transport != nil {
			r.stream.client().retire(r.transport)
		}
		err = fmt.Errorf("nothing heard for %v: %w", r.stream.cfg.silence, err)
	case errors.Is(err, io.EOF):
		err = errEnded // a session without bounds has no end of its own
	}
	var fe *s2s.FormatError
	if errors.As(err, &fe) {
		err = &ProtocolError{err}
	}
	return wire.Batch{}, false, harmless(r.stream.client().redact(err))
}

// Close ends the session.
func (r *reader) Close() error {
	r.once.Do(func() {
		r.closed.Store(true)
		r.silence.Stop()
		if r.body != nil {
			// Not killed first, it returns when the connection is rid of the stream, and release finds it idle. Where the
			// network takes nothing, that is not waited for.
			late := time.AfterFunc(time.Second, r.kill)
			_ = r.body.Close()
			late.Stop()
		}
		r.kill()
		if r.transport != nil {
			r.stream.client().release(r.transport)
		}
		if r.held {
			r.stream.release()
		}
	})
	return nil
}

func (r *reader) errClosed() error {
	return fmt.Errorf("s2: %s: %w", r.stream.op("read"), backend.ErrClosed)
}
