package postgres

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/backend"
)

// Bounds of one batch that Read returns: its last record may exceed the second.
const (
	readRecords = 4000
	readBytes   = 1 << 20
)

// OpenReader starts reading at from; relative starts are resolved before it returns. An offset that is no place of this stream, of a
// deleted one of the same name for example, is [backend.ErrOutOfRange].
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
	fresh    bool // nothing was returned yet
	relative bool // the start was: the first Read tells the place and waits for no record
	earliest bool // the place may move on with a trim before the first record
	failure  error

	life   context.Context
	cancel context.CancelFunc
	closed atomic.Bool
}

// Read returns what there is, or waits for it.
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

// ask makes one query. more says that there are records that may not be read yet.
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
	if n == 0 && row.sealed && !pending && !r.fresh { // a fresh reader says first that it is at the end
		return b, false, io.EOF
	}
	if n > 0 {
		r.at = page.places[n-1].behind()
	}
	b.Next, b.CaughtUp = r.at.offset(), r.at.compare(r.tail) >= 0
	b.Closed = row.sealed && !pending && n < readRecords && page.bytes < readBytes // nothing is left to read, or to come
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

// look compares the state of the stream with what the reader knows of it.
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

// Close ends a Read under way.
func (r *reader) Close() error {
	r.closed.Store(true)
	r.cancel()
	return nil
}
