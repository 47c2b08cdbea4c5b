package postgres

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/backend"
)

// Bounds of a batch from Read. The last record of a batch may exceed readBytes.
const (
	readRecords = 4000
	readBytes   = 1 << 20
)

// OpenReader starts reading at from. It resolves a relative start before it returns. If the offset is no place of this
// stream, for example because it belongs to a deleted stream of the same name, the error is [backend.ErrOutOfRange].
func (s *Stream) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, s.failed("open reader of", fmt.Errorf("%w: %w", backend.ErrTransient, err))
	}
	v, err := s.view(ctx)
	if err != nil {
		return nil, s.failed("open reader of", err)
	}
	at, err := s.resolve(ctx, v, from)
	if err != nil {
		return nil, s.failed("open reader of", err)
	}
	life, cancel := context.WithCancel(context.Background())
	return &reader{stream: s, id: v.id, at: at, tail: v.tail, fresh: true, relative: from.Relative(), earliest: from == backend.Earliest, life: life, cancel: cancel}, nil
}

type reader struct {
	stream   *Stream
	id       int64 // 0: the stream did not exist
	at, tail position
	fresh    bool // no Read has returned yet
	relative bool // the start was relative, so the first Read returns the place without waiting for a record
	earliest bool // opened at Earliest, so a trim before the first record may move the place
	failure  error

	life   context.Context
	cancel context.CancelFunc
	closed atomic.Bool
}

// Read returns the records that have arrived, or waits for records.
func (r *reader) Read(ctx context.Context) (backend.Batch, error) {
	if r.closed.Load() {
		return backend.Batch{}, r.stream.failed("read", backend.ErrClosed)
	}
	if r.failure != nil {
		return backend.Batch{}, r.failure
	}
	b, err := r.read(ctx)
	switch {
	case err == nil:
		return b, nil
	case r.closed.Load():
		err = r.stream.failed("read", backend.ErrClosed)
	case err != io.EOF:
		err = r.stream.failed("read", err)
	}
	r.failure = err
	return backend.Batch{}, err
}

func (r *reader) read(ctx context.Context) (backend.Batch, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(r.life, stop)()
	for {
		if err := ctx.Err(); err != nil {
			return backend.Batch{}, fmt.Errorf("%w: %w", backend.ErrTransient, err)
		}
		// We get the channel before the query. In the other order, a commit between the query and the wait would go
		// unnoticed until the next poll.
		changed := r.stream.db.listener.next(r.id)
		b, pending, err := r.ask(ctx)
		if err != nil || len(b.Records) > 0 || r.fresh && (b.CaughtUp || r.relative) {
			r.fresh = false
			return b, err
		}
		pause := r.stream.db.cfg.poll
		if pending {
			pause = min(pause, 20*time.Millisecond)
		}
		t := time.NewTimer(pause)
		select {
		case <-changed:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// ask makes one query. more reports whether there are records that no reader may see yet.
func (r *reader) ask(ctx context.Context) (b backend.Batch, more bool, err error) {
	page, row, err := r.page(ctx)
	if err != nil {
		return b, false, err
	}
	if !row.seen && r.id != 0 {
		return b, false, fmt.Errorf("the stream was deleted: %w", backend.ErrNotFound)
	}
	b.Records = page.records()
	n, pending := len(b.Records), row.pending
	if n == 0 && row.sealed && !pending && !r.fresh { // the first Read must return the place, even at the end
		return b, false, io.EOF
	}
	if n > 0 {
		r.at = page.places[n-1].behind()
	}
	b.Next, b.CaughtUp = r.at.offset(), r.at.compare(r.tail) >= 0
	b.Closed = row.sealed && !pending && n < readRecords && page.bytes < readBytes // this batch is the last one
	return b, pending, nil
}

// page reads the rows of one query. last is the last row: each row holds the state of the stream too.
func (r *reader) page(ctx context.Context) (p page, last row, err error) {
	rows, err := r.stream.db.pool.Query(ctx, r.stream.db.tables.sql(readSQL), r.stream.name, r.at.turn, r.at.batch, r.at.no, readRecords, readBytes)
	if err != nil {
		return p, last, classify(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := last.scan(rows); err != nil {
			return p, last, classify(ctx, err)
		}
		if last.first {
			if err := r.look(&last); err != nil {
				return p, last, err
			}
		}
		if !last.turn.Valid {
			break
		}
		if err := p.add(&last); err != nil {
			return p, last, err
		}
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return p, last, classify(ctx, err)
	}
	return p, last, nil
}

// look compares the state of the stream with the state that the reader knows.
func (r *reader) look(row *row) error {
	if r.id == 0 {
		r.id = row.id
	}
	if r.id != row.id {
		return fmt.Errorf("the stream was deleted, and another one has its name: %w", backend.ErrNotFound)
	}
	if row.trim.compare(r.at) > 0 {
		if !r.earliest {
			return fmt.Errorf("offset %s is trimmed, the first place kept is %s: %w", r.at, row.trim, backend.ErrOutOfRange)
		}
		r.at = row.trim
	}
	if row.turn.Valid {
		r.earliest = false
	}
	return nil
}

// Close ends the reader. A Read that is waiting returns.
func (r *reader) Close() error {
	r.closed.Store(true)
	r.cancel()
	return nil
}
