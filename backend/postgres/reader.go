package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/headrace/headrace/backend"
)

// Bounds of one batch that Read returns: its last record may exceed the second.
const (
	readRecords = 1000
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

// ask makes one query. pending says that there are records that may not be read yet.
func (r *reader) ask(ctx context.Context) (b backend.Batch, pending bool, err error) {
	rows, err := r.stream.db.pool.Query(ctx, r.stream.db.tables.sql(readSQL), r.stream.name, r.at.turn, r.at.batch, r.at.no, readRecords, readBytes)
	if err != nil {
		return b, false, classify(ctx, err)
	}
	defer rows.Close()
	sealed, seen, bytes, next := false, false, 0, r.at
	for rows.Next() {
		var row row
		if err := row.scan(rows); err != nil {
			return b, false, classify(ctx, err)
		}
		if !seen {
			if err := r.look(&row); err != nil {
				return b, false, err
			}
			seen, sealed, pending, next = true, row.sealed, row.pending, r.at
		}
		if row.turn == nil {
			break
		}
		rec, place, err := row.record()
		if err != nil {
			return b, false, err
		}
		next = place.behind()
		bytes += len(rec.Value)
		b.Records = append(b.Records, rec)
	}
	n := len(b.Records)
	rows.Close()
	if err := rows.Err(); err != nil {
		return backend.Batch{}, false, classify(ctx, err)
	}
	if !seen && r.id != 0 {
		return b, false, fmt.Errorf("the stream was deleted: %w", backend.ErrNotFound)
	}
	if n == 0 && sealed && !pending && !r.fresh { // a fresh reader says first that it is at the end
		return b, false, io.EOF
	}
	r.at = next
	b.Next, b.CaughtUp = next.offset(), next.compare(r.tail) >= 0
	b.Closed = sealed && !pending && n < readRecords && bytes < readBytes // nothing is left to read, or to come
	return b, pending, nil
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
	if row.turn != nil {
		r.earliest = false
	}
	return nil
}

// A row is one of readSQL. The fields of the record are nil where there is none.
type row struct {
	id              int64
	sealed, pending bool
	trim            position
	turn, batch, at *int64
	no              *int32
	value, headers  []byte
}

func (w *row) scan(rows pgx.Rows) error {
	return rows.Scan(&w.id, &w.sealed, &w.trim.turn, &w.trim.batch, &w.trim.no, &w.pending, &w.turn, &w.batch, &w.no, &w.value, &w.headers, &w.at)
}

func (w *row) record() (backend.Record, position, error) {
	if w.batch == nil || w.no == nil || w.at == nil {
		return backend.Record{}, position{}, errors.New("a record without its place")
	}
	p := position{*w.turn, *w.batch, *w.no}
	headers, err := decodeHeaders(w.headers)
	if err != nil {
		return backend.Record{}, p, fmt.Errorf("record %s: %w", p, err)
	}
	return backend.Record{Value: w.value, Headers: headers, Time: time.Unix(0, *w.at).UTC(), Offset: p.offset(), Next: p.behind().offset()}, p, nil
}

// Close ends a Read under way.
func (r *reader) Close() error {
	r.closed.Store(true)
	r.cancel()
	return nil
}
