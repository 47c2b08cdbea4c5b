package streamlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/headrace/headrace/backend"
)

// An appender remembers which seqs were acknowledged, as long as its producer lives. The appender also keeps every
// batch between the taking and the return of the ack, and so recognizes the resend of a stored batch.
type appender struct {
	log         *Log
	contentType string

	// mu guards the fields below, the batches in taken, and the fields of conn. Lock order: mu, then the lock of a
	// Board.
	mu    sync.Mutex
	acked uint64 // the smallest seq whose ack Read has not returned
	// taken holds the batches with the seqs acked, acked+1, …: taken by a session, and not failed. The index of a batch
	// is its seq minus acked, so no batch may leave the list except at its ends.
	taken []*takenBatch
	conn  *conn // of the session that is open; nil between sessions

	// The fields below are for an appender of Resume.
	resumed  bool
	doubtful bool   // another process may have stored batches of this appender
	at       uint64 // seq of the first record of the batch acked
}

// A takenBatch is a batch from the Write of the batch until the ack was returned or the batch has failed.
type takenBatch struct {
	conn    *conn  // of the latest session that took the batch
	n       int    // number of records
	first   uint64 // seq of the first record; valid once stored is true, and from the beginning in a resumed appender
	begun   bool   // the store has begun to store the batch, so only Done decides its fate
	stored  bool   // the batch is durable
	dropped bool   // the store must not begin the batch
}

func (a *appender) Limits() backend.Limits { return a.log.limits }

// Dial begins a session whose first batch has the number seq. All batches before seq were acknowledged. Batches of an
// earlier session stay in taken: the store may be storing them at this moment, and a resend must find them.
func (a *appender) Dial(ctx context.Context, seq uint64) (backend.Conn, error) {
	if err := a.claim(ctx); err != nil {
		return nil, fmt.Errorf("%s: open: %w", a.log.name, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.acked = seq
	a.conn = &conn{appender: a, readWake: make(chan struct{}, 1), writeWake: make(chan struct{}, 1)}
	return a.conn, nil
}

// claim sets the content type of the stream, or compares the type with the type of the stream. A sealed stream is
// refused. But if batches of this producer are stored in the stream and wait for their ack, claim must succeed: a new
// session has to return these acks.
func (a *appender) claim(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrTransient, err)
	}
	board := a.log.store.Board()
	if err := board.Err(); err != nil {
		return err
	}
	// A sealed stream takes no type, so the check for the end comes first.
	st := board.State()
	if st.Closed {
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.taken) == 0 && !a.doubtful {
			return backend.ErrStreamClosed
		}
		return nil
	}
	if a.contentType == "" || a.contentType == st.ContentType {
		return nil
	}
	_, err := Commit(ctx, a.log.store, &Write{ContentType: a.contentType})
	if ctxErr := ctx.Err(); ctxErr != nil && errors.Is(err, ctxErr) {
		// The content type may be set already. To set the same type again would change nothing. So the outcome does not
		// matter, and the error is not ErrIndeterminate.
		return fmt.Errorf("%w: %w", backend.ErrTransient, ctxErr)
	}
	return err
}

// The store calls storingBegins right before the store stores t. If storingBegins returns false, t was dropped, and the
// store must not store t. From the moment of the answer on, Close does not drop t: only the store knows the fate of t.
func (a *appender) storingBegins(t *takenBatch) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	t.begun = !t.dropped
	return t.begun
}

// The store calls storingEnded when t is stored, or when t has failed with err. After a failure, all batches behind t
// are dropped too. Otherwise a later batch would be stored without the batch before, and the stream would have a hole.
func (a *appender) storingEnded(t *takenBatch, first uint64, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		// A stored batch stays in the list until its ack was returned, even if its session is gone. Otherwise the
		// resend would be stored a second time.
		t.first, t.stored = first, true
	} else {
		if i := slices.Index(a.taken, t); i >= 0 {
			a.dropLocked(i)
		}
		// The session of the batch fails. A later session waits in Write for the fate of the batch, and stores the
		// batch itself now.
		if t.conn.failure == nil {
			t.conn.failure = err
		}
	}
	t.conn.wakeBoth()
	// The Write of the open session may be waiting for a batch of an earlier session.
	if a.conn != nil {
		a.conn.wakeBoth()
	}
}

// ackLocked removes the oldest batch from the list and returns its ack.
func (a *appender) ackLocked() backend.Ack {
	t, seq := a.taken[0], a.acked
	a.taken[0] = nil
	a.taken = a.taken[1:]
	a.acked++
	first, n := t.first, t.n
	a.at = first + uint64(n)
	// The first Write of a stream gives the stream its incarnation, and the board shows the incarnation before Done is
	// called.
	incarnation := a.log.store.Board().State().Incarnation
	return backend.Ack{
		Seq:  seq,
		Next: FormatOffset(first+uint64(n), incarnation),
		OffsetOf: func(i int) backend.Offset {
			if i < 0 || i >= n {
				return ""
			}
			return FormatOffset(first+uint64(i), incarnation)
		},
	}
}

// dropLocked drops the i-th taken batch and all batches behind. The store has not begun the batches behind.
func (a *appender) dropLocked(i int) {
	for _, t := range a.taken[i:] {
		t.dropped = true
	}
	clear(a.taken[i:])
	a.taken = a.taken[:i]
}
