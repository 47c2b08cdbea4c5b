package postgres

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/headrace/headrace/backend"
)

// Limits of one append.
const (
	batchRecords = 1000
	batchBytes   = 4 << 20
)

// NewAppender makes one producer's way in. The first one that is opened with a content type fixes that of the stream; one with another
// type is refused at Open with [backend.ErrRejected].
func (s *Stream) NewAppender(f backend.Format) backend.Appender {
	a := &appender{stream: s, contentType: f.ContentType, producer: rand.Text()}
	limits := backend.Limits{
		BatchRecords: batchRecords, BatchBytes: max(batchBytes, s.db.cfg.recordBytes), RecordBytes: s.db.cfg.recordBytes,
		InFlight: s.db.cfg.inFlight, Size: size,
	}
	a.Appender = backend.Serial(limits, a.append).NewAppender(f)
	return a
}

func size(r *backend.Record) (int, error) {
	if !r.Time.IsZero() && (r.Time.Before(minTime) || r.Time.After(maxTime)) {
		return 0, fmt.Errorf("time %v: want one between %v and %v: %w", r.Time, minTime.Year(), maxTime.Year(), backend.ErrRejected)
	}
	n := len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Name) + len(r.Headers[i].Value)
	}
	return n, nil
}

type appender struct {
	backend.Appender
	stream      *Stream
	contentType string
	producer    string // what the database knows the resends of this appender by
	id          int64  // of the stream; of Open, before any append
}

// Open makes the stream where it is missing. A sealed stream can be opened, because batches of this appender may be in it whose acks
// were lost: what is new is refused by the append.
func (a *appender) Open(ctx context.Context) (backend.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, a.stream.failed("open", fmt.Errorf("%w: %w", backend.ErrTransient, err))
	}
	id, err := a.stream.claim(ctx, a.contentType)
	if err != nil && (!errors.Is(err, backend.ErrStreamClosed) || a.id == 0) {
		return nil, a.stream.failed("open", err)
	}
	if a.id != 0 && a.id != id {
		return nil, a.stream.failed("open", fmt.Errorf("the stream was deleted, and another one has its name: %w", backend.ErrNotFound))
	}
	a.id = id
	return a.Appender.Open(ctx)
}

// appendSQL stores a batch in one round trip, unless the batch is stored already or the stream is sealed. The lock on the stream's row
// is shared between appends and makes Seal wait for them.
const appendSQL = `WITH s AS (SELECT sealed FROM headrace_streams WHERE id = $1 FOR SHARE),
	b AS (INSERT INTO headrace_batches (producer, seq, hash, tx, batch, n)
		SELECT $2, $3, $4, pg_current_xact_id()::text::bigint, nextval('headrace_batch_no'), $5 FROM s WHERE NOT sealed
		ON CONFLICT DO NOTHING RETURNING tx, batch),
	r AS (INSERT INTO headrace_records (stream, tx, batch, no, value, headers, at)
		SELECT $1, b.tx, b.batch, u.no - 1, u.value, u.headers, u.at
		FROM b, unnest($6::bytea[], $7::bytea[], $8::bigint[]) WITH ORDINALITY AS u(value, headers, at, no)),
	old AS (DELETE FROM headrace_batches WHERE producer = $2 AND seq < $9)
	SELECT (SELECT sealed FROM s), (SELECT tx FROM b), (SELECT batch FROM b), pg_notify('headrace', $1::text)`

func (a *appender) append(ctx context.Context, seq uint64, recs []backend.Record) (backend.Ack, error) {
	hash := hashOf(recs)
	values, headers, times := columns(recs)
	var sealed *bool
	var tx, batch *int64
	// The ones before are acknowledged or are to be resent: a few more than may be in flight are kept.
	keep := int64(seq) - int64(2*a.stream.db.cfg.inFlight)
	err := a.stream.db.pool.QueryRow(ctx, appendSQL, a.id, a.producer, int64(seq), hash, len(recs), values, headers, times, keep).
		Scan(&sealed, &tx, &batch, nil)
	switch {
	case err != nil:
		return backend.Ack{}, a.stream.failed("append to", stored(ctx, err))
	case tx != nil:
		return ack(position{*tx, *batch, 0}, len(recs)), nil
	}
	first, err := a.again(ctx, seq, hash)
	switch {
	case errors.Is(err, pgx.ErrNoRows) && sealed == nil:
		return backend.Ack{}, a.stream.failed("append to", fmt.Errorf("the stream was deleted: %w", backend.ErrNotFound))
	case errors.Is(err, pgx.ErrNoRows):
		return backend.Ack{}, a.stream.failed("append to", backend.ErrStreamClosed)
	case err != nil:
		return backend.Ack{}, a.stream.failed("append to", err)
	}
	return ack(first, len(recs)), nil
}

// again finds the batch that an earlier session stored under seq.
func (a *appender) again(ctx context.Context, seq uint64, hash []byte) (p position, err error) {
	var was []byte
	err = a.stream.db.pool.QueryRow(ctx, `SELECT tx, batch, hash FROM headrace_batches WHERE producer = $1 AND seq = $2`, a.producer, int64(seq)).
		Scan(&p.tx, &p.batch, &was)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, err
	}
	if err != nil {
		return p, stored(ctx, err)
	}
	if string(was) != string(hash) {
		return p, fmt.Errorf("seq %d is stored with other records: %w", seq, backend.ErrConflict)
	}
	return p, nil
}

func ack(first position, n int) backend.Ack {
	return backend.Ack{
		Next: position{first.tx, first.batch, int32(n)}.offset(),
		OffsetOf: func(i int) backend.Offset {
			if i < 0 || i >= n {
				return ""
			}
			return position{first.tx, first.batch, int32(i)}.offset()
		},
	}
}

func columns(recs []backend.Record) (values, headers [][]byte, times []int64) {
	now := time.Now().UnixNano()
	for i := range recs {
		v := recs[i].Value
		if v == nil {
			v = []byte{}
		}
		at := now
		if !recs[i].Time.IsZero() {
			at = recs[i].Time.UnixNano()
		}
		values, headers, times = append(values, v), append(headers, encodeHeaders(recs[i].Headers)), append(times, at)
	}
	return values, headers, times
}

// hashOf tells other records under the same seq. Times that the store assigns are no part of it.
func hashOf(recs []backend.Record) []byte {
	h := sha256.New()
	var n [8]byte
	piece := func(b []byte) {
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		_, _ = h.Write(n[:])
		_, _ = h.Write(b)
	}
	for i := range recs {
		piece(recs[i].Value)
		piece(encodeHeaders(recs[i].Headers))
		if t := recs[i].Time; !t.IsZero() {
			binary.BigEndian.PutUint64(n[:], uint64(t.UnixNano()))
			_, _ = h.Write(n[:])
		}
	}
	return h.Sum(nil)
}

// AppendTx appends in a transaction of the caller's: the records are there if and only if tx commits. They lie where the transaction is
// in the order of all, behind what was read when it began. Readers wait for the end of tx. The first call takes a connection of the pool
// beside tx for a moment, to make the stream.
func (s *Stream) AppendTx(ctx context.Context, tx pgx.Tx, recs ...backend.Record) error {
	limits := backend.Limits{RecordBytes: s.db.cfg.recordBytes, Size: size}
	if _, err := limits.Check(recs); err != nil {
		return s.failed("append to", err)
	}
	// The stream is made outside of tx: until the end of tx nobody else could append to a stream that tx has made.
	if !s.made.Load() {
		if _, err := s.claim(ctx, ""); err != nil {
			return s.failed("append to", err)
		}
		s.made.Store(true)
	}
	values, headers, times := columns(recs)
	var sealed bool
	err := tx.QueryRow(ctx, `WITH s AS (SELECT id, sealed FROM headrace_streams WHERE name = $1 FOR SHARE),
		b AS (SELECT id, nextval('headrace_batch_no') AS batch FROM s WHERE NOT sealed),
		r AS (INSERT INTO headrace_records (stream, tx, batch, no, value, headers, at)
			SELECT b.id, pg_current_xact_id()::text::bigint, b.batch, u.no - 1, u.value, u.headers, u.at
			FROM b, unnest($2::bytea[], $3::bytea[], $4::bigint[]) WITH ORDINALITY AS u(value, headers, at, no))
		SELECT sealed, pg_notify('headrace', id::text) FROM s`, s.name, values, headers, times).Scan(&sealed, nil)
	if errors.Is(err, pgx.ErrNoRows) {
		return s.failed("append to", fmt.Errorf("the stream was deleted: %w", backend.ErrNotFound))
	}
	if err != nil {
		return s.failed("append to", classify(ctx, err))
	}
	if sealed {
		return s.failed("append to", backend.ErrStreamClosed)
	}
	return nil
}
