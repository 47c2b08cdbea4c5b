package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/headrace/headrace/backend"
)

// A Stream is one stream of a [DB]. It exists from its first append or opening for appends on; until then it reads as an empty one.
type Stream struct {
	db   *DB
	name string
	made atomic.Bool // the stream exists, as far as AppendTx knows
}

var _ backend.Stream = (*Stream)(nil)

// nameBytes bounds the name of a stream: a key of a PostgreSQL index ends at 2,704 bytes.
const nameBytes = 512

// Stream returns the stream of that name, of 1 to 512 bytes of UTF-8. What is wrong with the name is said by the first call.
func (d *DB) Stream(name string) *Stream { return &Stream{db: d, name: name} }

// Name returns the name of the stream.
func (s *Stream) Name() string { return s.name }

func (s *Stream) failed(op string, err error) error {
	return fmt.Errorf("postgres: %s %.64q: %w", op, s.name, err)
}

func (s *Stream) check() error {
	if len(s.name) == 0 || len(s.name) > nameBytes {
		return fmt.Errorf("%w: a name of %d bytes, want 1 to %d", backend.ErrRejected, len(s.name), nameBytes)
	}
	return nil
}

// claim makes the stream where it is missing, and fixes or compares its content type.
func (s *Stream) claim(ctx context.Context, contentType string) (id int64, err error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	var stored string
	var sealed bool
	err = s.db.pool.QueryRow(ctx, `INSERT INTO headrace_streams AS s (name, content_type) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET content_type = CASE WHEN s.content_type = '' THEN excluded.content_type ELSE s.content_type END
		RETURNING id, content_type, sealed`, s.name, contentType).Scan(&id, &stored, &sealed)
	switch {
	case err != nil:
		return 0, classify(ctx, err)
	case contentType != "" && stored != contentType:
		return 0, fmt.Errorf("%w: the stream has content type %q, the records have %q", backend.ErrRejected, stored, contentType)
	case sealed:
		return id, backend.ErrStreamClosed
	}
	return id, nil
}

// Seal ends the stream for good: appends fail with [backend.ErrStreamClosed], readers get io.EOF behind the last record. It waits for
// transactions that have appended. A second call does nothing.
func (s *Stream) Seal(ctx context.Context) error {
	if err := s.check(); err != nil {
		return s.failed("seal", err)
	}
	err := pgx.BeginFunc(ctx, s.db.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO headrace_streams AS s (name, sealed) VALUES ($1, TRUE) ON CONFLICT (name) DO UPDATE SET sealed = TRUE`, s.name)
		if err == nil {
			_, err = tx.Exec(ctx, `SELECT pg_notify('headrace', '')`)
		}
		return err
	})
	if err != nil {
		return s.failed("seal", classify(ctx, err))
	}
	return nil
}

// Trim drops the records before the place given; [backend.Latest] drops all there are. A place already trimmed changes nothing; one that
// was never minted is [backend.ErrOutOfRange].
func (s *Stream) Trim(ctx context.Context, before backend.Offset) error {
	v, err := s.view(ctx)
	if err != nil {
		return s.failed("trim", err)
	}
	to := v.readable // a transaction that still runs may commit records before the tail
	if before != backend.Latest {
		if to, err = parsePosition(before); err != nil {
			return s.failed("trim", err)
		}
		if to.compare(v.trim) <= 0 {
			return nil
		}
		if err := s.exists(ctx, v, to); err != nil {
			return s.failed("trim", err)
		}
	}
	if err := s.trim(ctx, v.id, to); err != nil {
		return s.failed("trim", classify(ctx, err))
	}
	return nil
}

// trim drops what is before to. The first place kept is the one behind the last record dropped, so that the Next of that record, where a
// consumer may have stopped, stays a place.
func (s *Stream) trim(ctx context.Context, id int64, to position) error {
	return pgx.BeginFunc(ctx, s.db.pool, func(tx pgx.Tx) error {
		var last position
		err := tx.QueryRow(ctx, `SELECT tx, batch, no FROM headrace_records WHERE stream = $1 AND (tx, batch, no) < ($2, $3, $4)
			ORDER BY tx DESC, batch DESC, no DESC LIMIT 1`, id, to.tx, to.batch, to.no).Scan(&last.tx, &last.batch, &last.no)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		kept := last.behind()
		if _, err := tx.Exec(ctx, `UPDATE headrace_streams SET trim_tx = $2, trim_batch = $3, trim_no = $4
			WHERE id = $1 AND (trim_tx, trim_batch, trim_no) < ($2, $3, $4)`, id, kept.tx, kept.batch, kept.no); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM headrace_records WHERE stream = $1 AND (tx, batch, no) < ($2, $3, $4)`, id, kept.tx, kept.batch, kept.no)
		return err
	})
}

// A view is what a reader may know of a stream at one moment.
type view struct {
	id         int64 // 0: there is no such stream
	sealed     bool
	trim, tail position // tail is behind the last record that is committed
	readable   position // behind the last record that may be read: before an older transaction that still runs
}

const viewSQL = `SELECT s.id, s.sealed, s.trim_tx, s.trim_batch, s.trim_no, c.tx, c.batch, c.no, r.tx, r.batch, r.no
	FROM headrace_streams s LEFT JOIN LATERAL (
		SELECT tx, batch, no FROM headrace_records WHERE stream = s.id ORDER BY tx DESC, batch DESC, no DESC LIMIT 1) c ON TRUE
	LEFT JOIN LATERAL (
		SELECT tx, batch, no FROM headrace_records WHERE stream = s.id AND tx < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
		ORDER BY tx DESC, batch DESC, no DESC LIMIT 1) r ON TRUE
	WHERE s.name = $1`

func (s *Stream) view(ctx context.Context) (v view, err error) {
	if err := s.check(); err != nil {
		return v, err
	}
	var tx, batch [2]*int64
	var no [2]*int32
	err = s.db.pool.QueryRow(ctx, viewSQL, s.name).Scan(&v.id, &v.sealed, &v.trim.tx, &v.trim.batch, &v.trim.no,
		&tx[0], &batch[0], &no[0], &tx[1], &batch[1], &no[1])
	if errors.Is(err, pgx.ErrNoRows) {
		return view{}, nil
	}
	if err != nil {
		return v, classify(ctx, err)
	}
	v.tail, v.readable = v.trim, v.trim
	for i, place := range []*position{&v.tail, &v.readable} {
		if tx[i] != nil {
			*place = position{*tx[i], *batch[i], *no[i]}.behind()
		}
	}
	return v, nil
}

// exists refuses a place that no record of the stream is at or before: a reader there would pass over records in silence.
func (s *Stream) exists(ctx context.Context, v view, p position) error {
	if p == v.trim || p == v.tail {
		return nil
	}
	if p.compare(v.trim) < 0 {
		return fmt.Errorf("offset %s is trimmed, the first place kept is %s: %w", p, v.trim, backend.ErrOutOfRange)
	}
	var ok bool
	err := s.db.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM headrace_records WHERE stream = $1 AND tx = $2 AND batch = $3 AND no BETWEEN $4 - 1 AND $4)`,
		v.id, p.tx, p.batch, p.no).Scan(&ok)
	if err != nil {
		return classify(ctx, err)
	}
	if !ok {
		return fmt.Errorf("offset %s is no place of this stream, whose tail is %s: %w", p, v.tail, backend.ErrOutOfRange)
	}
	return nil
}

// resolve makes a place of a start.
func (s *Stream) resolve(ctx context.Context, v view, from backend.Offset) (position, error) {
	switch from {
	case "":
		return position{}, fmt.Errorf("no offset given: %w", backend.ErrOutOfRange)
	case backend.Earliest:
		return v.trim, nil
	case backend.Latest:
		return v.tail, nil
	}
	if n, ok := from.LastN(); ok {
		return s.first(ctx, v, v.trim, `SELECT tx, batch, no FROM headrace_records WHERE stream = $1 AND (tx, batch, no) < ($2, $3, $4)
			ORDER BY tx DESC, batch DESC, no DESC OFFSET $5 LIMIT 1`, n-1)
	}
	if t, ok := from.Since(); ok {
		return s.first(ctx, v, v.tail, `SELECT tx, batch, no FROM headrace_records WHERE stream = $1 AND (tx, batch, no) < ($2, $3, $4) AND at >= $5
			ORDER BY tx, batch, no LIMIT 1`, nanos(t))
	}
	p, err := parsePosition(from)
	if err != nil {
		return p, err
	}
	return p, s.exists(ctx, v, p)
}

func (s *Stream) first(ctx context.Context, v view, otherwise position, query string, arg any) (p position, err error) {
	err = s.db.pool.QueryRow(ctx, query, v.id, v.tail.tx, v.tail.batch, v.tail.no, arg).Scan(&p.tx, &p.batch, &p.no)
	if errors.Is(err, pgx.ErrNoRows) {
		return otherwise, nil
	}
	return p, classify(ctx, err)
}

// nanos is a time as the tables keep it: nanoseconds since 1970, at the end of their range for what lies beyond.
func nanos(t time.Time) int64 {
	switch {
	case t.Before(minTime):
		return minTime.UnixNano()
	case t.After(maxTime):
		return maxTime.UnixNano()
	}
	return t.UnixNano()
}

var (
	minTime = time.Unix(0, -1<<63)
	maxTime = time.Unix(0, 1<<63-1)
)
