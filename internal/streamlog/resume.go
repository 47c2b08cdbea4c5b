package streamlog

import (
	"context"
	"fmt"
	"slices"

	"github.com/headrace/headrace/backend"
)

// Resume implements the method of [backend.Resumer]. A batch of a resumed appender is recognized by its place: the origin
// is the tail at the beginning of the name, and the numbers of records say where each batch begins. The records are
// their own memory, so it is as durable as they are. But nobody else may write to the stream: a foreign record takes the
// place of a batch, and the batch is refused with ErrConflict.
func (l *Log) Resume(ctx context.Context, f backend.Format, from backend.Resumption) (backend.Appender, string, error) {
	a, origin, err := l.resume(ctx, f, from)
	if err != nil {
		return nil, "", fmt.Errorf("%s: resume: %w", l.name, err)
	}
	return backend.Pipelined(l.name, a), origin, nil
}

func (l *Log) resume(ctx context.Context, f backend.Format, from backend.Resumption) (*appender, string, error) {
	if err := from.Check(); err != nil {
		return nil, "", err
	}
	if err := ctx.Err(); err != nil {
		return nil, "", fmt.Errorf("%w: %w", backend.ErrTransient, err)
	}
	board := l.store.Board()
	if err := board.Err(); err != nil {
		return nil, "", err
	}
	origin := from.Origin
	// Only a new name may ask for the tail: batches of a known name may be stored already.
	if origin == "" && from.Sent == 0 {
		if err := l.identify(ctx); err != nil {
			return nil, "", err
		}
		st := board.State()
		origin = string(FormatOffset(st.Tail, st.Incarnation))
	}
	st := board.State()
	begin, incarnation, ok := ParseOffset(backend.Offset(origin))
	switch {
	case !ok:
		return nil, "", fmt.Errorf("%w: the origin %.40q is not one of this store", backend.ErrRejected, origin)
	case incarnation != "" && incarnation != st.Incarnation:
		return nil, "", fmt.Errorf("%w: producer %q has written to an earlier stream of this name", backend.ErrConflict, from.Name)
	}
	a := &appender{log: l, contentType: f.ContentType, resumed: true, at: begin + from.Records, doubtful: from.Sent > from.Seq}
	return a, origin, nil
}

// identify gives a stream without an incarnation one, by an empty Write. An origin without the incarnation would also fit
// a stream that is made later under the same name: if the later stream had as many records as the producer has sent, the
// producer would go on behind them.
func (l *Log) identify(ctx context.Context) error {
	if l.store.Board().State().Incarnation != "" {
		return nil
	}
	_, err := Commit(ctx, l.store, &Write{})
	return err
}

// placeLocked returns where the batch behind all taken batches begins.
func (a *appender) placeLocked() uint64 {
	at := a.at
	for _, t := range a.taken {
		at += uint64(t.n)
	}
	return at
}

// isResend reports whether records are stored in the place of a batch that this appender has not stored. Then another
// process has sent the batch under the same name, or a foreign producer has written.
func (c *conn) isResend(t *takenBatch) bool {
	return c.appender.resumed && c.appender.log.store.Board().State().Tail > t.first
}

// resent compares the batch with the records in its place.
func (c *conn) resent(t *takenBatch, seq uint64, recs []backend.Record) error {
	a := c.appender
	end := t.first + uint64(len(recs))
	same, err := false, error(nil)
	// A batch is stored as a whole, so a tail inside of it comes from somebody else.
	if end <= a.log.store.Board().State().Tail {
		same, err = a.log.holds(t.first, t.n, recs)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil && same {
		t.begun, t.stored = true, true
		wake(c.readWake)
		return nil
	}
	if i := slices.Index(a.taken, t); i >= 0 {
		a.dropLocked(i)
	}
	if err != nil {
		return fmt.Errorf("%s: send: compare batch %d with the stored records: %w", a.log.name, seq, err)
	}
	return fmt.Errorf("%s: send: other records are stored in the place of batch %d, at %d: a resumed producer must be the only one that writes: %w",
		a.log.name, seq, t.first, backend.ErrConflict)
}
