package s2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/backend/s2/internal/wire"
)

// lastByteWait is how long Close waits for the transport to let go of a response.
const lastByteWait = time.Second

// A reader has no goroutine: Read reads from the connection, and the connection buffers what comes meanwhile. A goroutine that
// read ahead would hold batches in memory that a slow consumer does not want yet; HTTP/2's window bounds the memory instead.
type reader struct {
	stream    *Stream
	transport *transport      // of the HTTP/2 connection, which read sessions share; nil with server-sent events
	life      context.Context // of the request
	kill      context.CancelFunc
	body      io.ReadCloser
	source    source
	silence   *time.Timer  // nil before the server has answered
	silent    *atomic.Bool // the silence timer has ended the request
	closed    atomic.Bool
	once      sync.Once

	suffix string // of offsets; see incarnation
	held   bool   // the stream's incarnation counts this session

	// Only Read uses these.
	known    bool          // next is a sequence number; before that, the start is relative and the server decides
	next     uint64        // where the next record must be
	earliest bool          // the session began at backend.Earliest and has not reached the tail: trimmed records are no loss yet
	advised  bool          // the server asked for a reconnection
	tail     wire.Position // as the server said with the latest batch
	hasTail  bool
	pending  error // a hole behind the latest batch: the next Read returns pending
	dead     error // what every further Read returns
}

// A source gives the batches of a session, from frames or from events. io.EOF means an end between two batches.
type source interface {
	next() (b wire.Batch, reconnect bool, err error)
}

// watched reads the body of a session under the silence timer. The timer runs only while a read waits for the network. A pause
// of the caller between two calls of Read is not silence.
type watched struct{ r *reader }

func (w watched) Read(p []byte) (int, error) {
	// The time starts anew with each read, so a large batch on a slow network is not taken for silence as long as bytes come.
	w.r.silence.Reset(w.r.stream.cfg.silence)
	defer w.r.silence.Stop()
	return w.r.body.Read(p)
}

// watchSilence makes the timer that ends the session when no byte has come for too long. A dead connection may give no other sign. A
// living server sends heartbeats, also on a stream without new records.
func (r *reader) watchSilence() {
	silent, kill := new(atomic.Bool), r.kill
	r.silent = silent
	// The function must not hold the reader. The runtime may keep a stopped timer for as long as there are three times as many
	// running ones, and a closed reader would stay in memory with its buffers.
	r.silence = time.AfterFunc(time.Hour, func() {
		silent.Store(true)
		kill()
	})
	r.silence.Stop() // watched starts the timer for each read
}

// Read returns the next batch.
func (r *reader) Read(ctx context.Context) (backend.Batch, error) {
	if r.closed.Load() {
		return backend.Batch{}, r.stream.errClosed()
	}
	if r.dead == nil { // a reader is dead after its first error, and repeats the error
		b, err := r.read(ctx)
		if err == nil {
			return b, nil
		}
		// After an error the place in the response is lost: half a frame may be read. A further Read could return records twice
		// or skip records.
		r.dead = fmt.Errorf("s2: %s: %w", r.stream.op("read"), err)
		if r.closed.Load() {
			r.dead = r.stream.errClosed()
		}
	}
	return backend.Batch{}, r.dead
}

func (r *reader) read(ctx context.Context) (backend.Batch, error) {
	if err := ctx.Err(); err != nil {
		return backend.Batch{}, fmt.Errorf("%w: %w", backend.ErrTransient, err)
	}
	if r.pending != nil { // the records before the error went out with the batch before
		return backend.Batch{}, r.pending
	}
	// Between two batches is the only moment to follow the advice: the position is clear, and no record is lost or repeated.
	if r.advised && r.stream.client().followAdvice(r.transport) {
		return backend.Batch{}, repeatableMeaning(errAdvised)
	}
	for {
		b, reconnect, err := r.receive(ctx)
		if err != nil {
			return backend.Batch{}, err
		}
		// The advice comes with a batch. This batch is returned first, and the next Read follows the advice.
		r.advised = r.advised || reconnect && r.transport != nil // events give no advice
		if len(b.Records) == 0 && !b.HasTail {
			continue // a heartbeat of an older server, without a tail
		}
		r.tail, r.hasTail = b.Tail, b.HasTail
		return r.batch(ctx, b)
	}
}

// receive waits for the next batch. The end of ctx ends the whole session: a batch may be half read by then, and the rest is
// useless without the beginning.
func (r *reader) receive(ctx context.Context) (wire.Batch, bool, error) {
	if ctx.Done() != nil { // context.Background needs no watch, and the watch costs an allocation
		stop := context.AfterFunc(ctx, r.kill)
		defer stop()
	}
	b, reconnect, err := r.source.next()
	if err == nil {
		return b, reconnect, nil
	}
	// A read changes nothing on the server, so every failure that may pass is transient: the reader's successor asks from the
	// place of the last batch.
	return wire.Batch{}, false, repeatableMeaning(r.stream.client().redact(r.cause(ctx, err)))
}

// cause explains err, the error of the source. The server's refusal is the best explanation, and comes first: it was complete
// before the context ended or the silence timer fired.
func (r *reader) cause(ctx context.Context, err error) error {
	var malformed *s2s.FormatError
	switch {
	case errors.As(err, new(*Error)):
		return err
	// The caller has ended the read, so the broken response below is our own doing and no breach of the protocol.
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	// The source only reports that the request was cancelled. The timer has cancelled the request, and the error says so.
	case r.silent.Load():
		if r.transport != nil {
			r.stream.client().replaceReads(r.transport) // other sessions would wait on the same dead connection
		}
		return fmt.Errorf("no byte came for %v: %w", r.stream.cfg.silence, err)
	// A proxy also ends a response cleanly when the proxy loses its server. If Read returned io.EOF then, the consumer would
	// take the stream for sealed.
	case errors.Is(err, io.EOF):
		return errEnded // a session without limits ends only when something is wrong
	case errors.As(err, &malformed):
		return &ProtocolError{err}
	}
	return err
}

// Close ends the session.
func (r *reader) Close() error {
	r.once.Do(func() {
		// closed is set first. A Read that fails because of this Close then returns ErrClosed, and not the failure of the
		// connection.
		r.closed.Store(true)
		if r.silence != nil {
			r.silence.Stop()
		}
		if r.body != nil {
			// Close the body before killing the request. Then body.Close returns after the connection has dropped the HTTP/2
			// stream, and release below finds the connection idle and can close it. On a network without progress body.Close
			// would wait for long, so lastByteWait limits the wait.
			late := time.AfterFunc(lastByteWait, r.kill)
			_ = r.body.Close()
			late.Stop()
		}
		r.kill()
		if r.transport != nil {
			r.stream.client().closeUnused(r.transport)
		}
		// The incarnation counts sessions, so every session that was counted must be released once: see incarnation.
		if r.held {
			r.stream.releaseIncarnation()
		}
	})
	return nil
}

// errClosed is the error of a reader that was closed.
func (s *Stream) errClosed() error {
	return fmt.Errorf("s2: %s: %w", s.op("read"), backend.ErrClosed)
}
