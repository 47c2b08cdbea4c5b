package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/headrace/headrace/backend"
)

// A Stream is a stream of a [DB]. The stream exists from its first append on, or from the first Open of an appender.
// Before, readers see an empty stream.
type Stream struct {
	db   *DB
	name string
}

var _ backend.Stream = (*Stream)(nil)

// nameBytes bounds the length of a stream's name. A key of a PostgreSQL index has at most 2,704 bytes.
const nameBytes = 512

// Stream returns the stream with the name. A name has 1 to 512 bytes of UTF-8, without NUL. If the name is invalid, the
// first call on the stream returns the error.
func (d *DB) Stream(name string) *Stream { return &Stream{db: d, name: name} }

// Name returns the name of the stream.
func (s *Stream) Name() string { return s.name }

func (s *Stream) failed(op string, err error) error {
	return fmt.Errorf("postgres: %s %.64q: %w", op, s.name, err)
}

func (s *Stream) check() error {
	switch {
	case len(s.name) == 0 || len(s.name) > nameBytes:
		return fmt.Errorf("%w: a name of %d bytes, want 1 to %d", backend.ErrRejected, len(s.name), nameBytes)
	case !utf8.ValidString(s.name) || strings.Contains(s.name, "\x00"):
		return fmt.Errorf("%w: the name is not UTF-8 text without NUL", backend.ErrRejected)
	}
	return nil
}

// claim makes the stream if it does not exist, and sets or compares its content type. If there is nothing to do, claim
// locks nothing: a transaction of a caller may have appended to the stream, and may stay open for a long time.
func (s *Stream) claim(ctx context.Context, contentType string) (id int64, err error) {
	if err := s.check(); err != nil {
		return 0, err
	}
	id, stored, sealed, err := s.find(ctx)
	if errors.Is(err, pgx.ErrNoRows) {
		// Another process may make the stream at the same moment. createSQL then does nothing, and find returns the
		// other's stream.
		if _, err = s.db.pool.Exec(ctx, s.db.tables.sql(createSQL), s.name); err == nil {
			id, stored, sealed, err = s.find(ctx)
		}
	}
	// Several appenders may set the content type at the same time, and only the first UPDATE changes the row. So we
	// look again at what is stored, and the losers compare their type with the winner's type.
	if err == nil && stored == "" && contentType != "" {
		if _, err = s.db.pool.Exec(ctx, s.db.tables.sql(formatSQL), id, contentType); err == nil {
			id, stored, sealed, err = s.find(ctx)
		}
	}
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, fmt.Errorf("%w: the stream was deleted while it was opened", backend.ErrTransient)
	case err != nil:
		return 0, classify(ctx, err)
	case contentType != "" && stored != contentType:
		return 0, fmt.Errorf("%w: the stream has content type %q, the records have %q", backend.ErrRejected, stored, contentType)
	// The id is returned beside the error. An appender that goes on under a name may still ask for batches that were
	// stored before the Seal.
	case sealed:
		return id, backend.ErrStreamClosed
	}
	return id, nil
}

func (s *Stream) find(ctx context.Context) (id int64, contentType string, sealed bool, err error) {
	err = s.db.pool.QueryRow(ctx, s.db.tables.sql(findSQL), s.name).Scan(&id, &contentType, &sealed)
	return id, contentType, sealed, err
}

// Seal ends the stream for good: appends fail with [backend.ErrStreamClosed], and readers get io.EOF behind the last
// record. Seal waits for transactions that have appended. A second call does nothing.
func (s *Stream) Seal(ctx context.Context) error {
	if err := s.check(); err != nil {
		return s.failed("seal", err)
	}
	err := s.db.transact(ctx, func(tx pgx.Tx) error {
		// sealBatchesSQL comes last, and is explained there.
		// createSQL comes first: if Seal ignored a missing stream, a later append would make the stream and succeed.
		// lockStreamSQL waits for the transactions that have appended. Without the wait, their records would be
		// committed after readers have got io.EOF.
		for _, statement := range []string{createSQL, lockStreamSQL, sealSQL, sealBatchesSQL} {
			if _, err := tx.Exec(ctx, s.db.tables.sql(statement), s.name); err != nil {
				return err
			}
		}
		// Without the notification, waiting readers would see the end only at their next Poll.
		_, err := tx.Exec(ctx, notifySQL)
		return err
	})
	if err != nil {
		return s.failed("seal", classify(ctx, err))
	}
	return nil
}

// Trim drops the records in front of the place before. [backend.Latest] drops all records that readers may see. While
// an older transaction is running, later records are kept, because the transaction may commit records in front of them.
// Trimming at an already trimmed place changes nothing. A place that was never in the stream is
// [backend.ErrOutOfRange].
func (s *Stream) Trim(ctx context.Context, before backend.Offset) error {
	v, err := s.view(ctx)
	if err != nil {
		return s.failed("trim", err)
	}
	// No Trim passes readable. Behind readable, a running older transaction may still commit records in front of records
	// that are committed already. If we trimmed the committed records, the records of the older transaction would appear
	// in front of the first kept place, and no reader would ever get them.
	to := v.readable
	if before != backend.Latest {
		p, err := parsePosition(before)
		if err != nil {
			return s.failed("trim", err)
		}
		// A trimmed place cannot be checked any more, because its record is gone.
		if p.compare(v.trim) <= 0 {
			return nil
		}
		if err := s.exists(ctx, v, p); err != nil {
			return s.failed("trim", err)
		}
		if p.compare(to) < 0 {
			to = p
		}
	}
	if err := s.db.transact(ctx, func(tx pgx.Tx) error { return s.trim(ctx, tx, v.id, to) }); err != nil {
		return s.failed("trim", classify(ctx, err))
	}
	return nil
}

// trim drops the records in front of to. The first kept place is directly behind the last dropped record. So the Next
// of this record, where a consumer may have stopped, is still a valid place.
func (s *Stream) trim(ctx context.Context, tx pgx.Tx, id int64, to position) error {
	var last position
	err := tx.QueryRow(ctx, s.db.tables.sql(lastBeforeSQL), id, to.turn, to.batch, to.no).Scan(&last.turn, &last.batch, &last.no)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	// One transaction moves the place and deletes the records, so a reader sees both changes or neither. A reader that
	// saw only the deletion would skip the deleted records without an error.
	kept := last.behind()
	for _, statement := range []string{trimSQL, dropSQL} {
		if err == nil {
			_, err = tx.Exec(ctx, s.db.tables.sql(statement), id, kept.turn, kept.batch, kept.no)
		}
	}
	return err
}

// A view is the state of a stream at one moment, as readers may see it.
type view struct {
	id         int64 // 0: there is no such stream
	sealed     bool
	trim, tail position // tail is behind the last committed record
	readable   position // behind the last record that readers may see, in front of every running older transaction
}

func (s *Stream) view(ctx context.Context) (v view, err error) {
	if err := s.check(); err != nil {
		return v, err
	}
	// The two ends are NULL for a stream without records.
	var turn, batch [2]*int64
	var no [2]*int32
	err = s.db.pool.QueryRow(ctx, s.db.tables.sql(viewSQL), s.name).Scan(&v.id, &v.sealed, &v.trim.turn, &v.trim.batch, &v.trim.no,
		&turn[0], &batch[0], &no[0], &turn[1], &batch[1], &no[1])
	if errors.Is(err, pgx.ErrNoRows) {
		return view{}, nil
	}
	if err != nil {
		return v, classify(ctx, err)
	}
	// A stream without records ends where it was trimmed. If the tail were at the beginning instead, a reader at
	// Latest would start in front of the first kept place, and would be told that its place is trimmed.
	v.tail, v.readable = v.trim, v.trim
	for i, place := range []*position{&v.tail, &v.readable} {
		if turn[i] != nil {
			*place = position{*turn[i], *batch[i], *no[i]}.behind()
		}
	}
	return v, nil
}

// exists returns an error if the stream has no record at p or directly in front of p. A reader at such a place would
// skip records without an error.
func (s *Stream) exists(ctx context.Context, v view, p position) error {
	// These two places are valid without a record: the record in front of trim is deleted, and behind tail there is
	// none yet.
	if p == v.trim || p == v.tail {
		return nil
	}
	if p.compare(v.trim) < 0 {
		return fmt.Errorf("offset %s is trimmed, the first place kept is %s: %w", p, v.trim, backend.ErrOutOfRange)
	}
	var ok bool
	// A place from another stream, or from before a Delete, may lie between two records by chance. So the comparison
	// with trim and tail is not enough.
	err := s.db.pool.QueryRow(ctx, s.db.tables.sql(existsSQL), v.id, p.turn, p.batch, p.no).Scan(&ok)
	if err != nil {
		return classify(ctx, err)
	}
	if !ok {
		return fmt.Errorf("offset %s is no place in this stream; the tail is %s: %w", p, v.tail, backend.ErrOutOfRange)
	}
	return nil
}

// resolve returns the position of a start.
func (s *Stream) resolve(ctx context.Context, v view, from backend.Offset) (position, error) {
	switch from {
	case "":
		return position{}, fmt.Errorf("no offset given: %w", backend.ErrOutOfRange)
	case backend.Earliest:
		return v.trim, nil
	case backend.Latest:
		return v.tail, nil
	}
	// If the stream has fewer than n records, all records are wanted, and the reader starts at the first kept place.
	// If no record is as young as t, the reader starts at the tail.
	if n, ok := from.LastN(); ok {
		return s.first(ctx, v, v.trim, lastNSQL, n-1)
	}
	if t, ok := from.Since(); ok {
		return s.first(ctx, v, v.tail, sinceSQL, nanos(t))
	}
	p, err := parsePosition(from)
	if err != nil {
		return p, err
	}
	return p, s.exists(ctx, v, p)
}

// first returns the place that a statement finds, or otherwise if the statement finds none. The statement looks only in
// front of the tail of v, so the start of a reader and its tail belong to one moment.
func (s *Stream) first(ctx context.Context, v view, otherwise position, statement string, arg any) (p position, err error) {
	err = s.db.pool.QueryRow(ctx, s.db.tables.sql(statement), v.id, v.tail.turn, v.tail.batch, v.tail.no, arg).Scan(&p.turn, &p.batch, &p.no)
	if errors.Is(err, pgx.ErrNoRows) {
		return otherwise, nil
	}
	return p, classify(ctx, err)
}

// nanos returns a time in nanoseconds since 1970, as the tables store it. A time outside of the range becomes the first
// or the last time of the range.
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
