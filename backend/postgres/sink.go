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

// slots is how many batches of a producer the database remembers. Fewer batches can be unacknowledged at the same time,
// so every resend is recognized. A batch takes the slot of the batch that was sent so many batches before: a row is
// changed in its place for less than the insertion of a row and the deletion of an old one. Each slot is a row of its
// own, and not a part of one row for each producer. While a long transaction keeps the server from removing old
// versions of a row, each append looks through all versions of the row that it changes.
const slots = 2 * inFlight

// inFlight is how many batches a session takes before the first ack.
//
// The appends of a session run one after another. Acks of batches that are stored may wait for Recv.
const inFlight = 16

// remembered is how long the database remembers the batches of a silent producer.
const remembered = 7 * 24 * time.Hour

// NewAppender makes the appender of one producer. The first opened appender with a content type sets the content type
// of the stream. If a later appender has another type, Open fails with [backend.ErrRejected].
func (s *Stream) NewAppender(f backend.Format) backend.Appender {
	return s.newAppender(f, backend.Resumption{}, rand.Text())
}

func (s *Stream) newAppender(f backend.Format, from backend.Resumption, producer string) *appender {
	a := &appender{stream: s, contentType: f.ContentType, from: from, producer: producer}
	a.Appender = backend.Serial(s.limits(), a.append).NewAppender(f)
	return a
}

func (s *Stream) limits() backend.Limits {
	n := s.db.cfg.recordBytes
	return backend.Limits{BatchRecords: batchRecords, BatchBytes: max(batchBytes, n), RecordBytes: n, InFlight: inFlight, Size: size}
}

// size is the size of a record for the limits. size also refuses a time that the column cannot hold: the database would
// refuse the whole batch, with other records in it.
func size(value []byte, headers backend.Headers, at time.Time) (int, error) {
	if !at.IsZero() && (at.Before(minTime) || at.After(maxTime)) {
		return 0, fmt.Errorf("time %v: want one between %v and %v: %w", at, minTime.Year(), maxTime.Year(), backend.ErrRejected)
	}
	n := len(value)
	for i := range headers {
		n += len(headers[i].Name) + len(headers[i].Value)
	}
	return n, nil
}

type appender struct {
	backend.Appender
	stream      *Stream
	contentType string
	from        backend.Resumption // where another process has stopped; zero for a new producer
	producer    string             // name under which the database remembers this appender's batches
	id          int64              // of the stream; set by Open, before any append
}

// Open makes a missing stream. Opening a sealed stream is allowed, because the stream may hold batches of this appender
// with lost acks. The append itself refuses new batches.
func (a *appender) Open(ctx context.Context) (backend.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, a.stream.failed("open", fmt.Errorf("%w: %w", backend.ErrTransient, err))
	}
	var err error
	// Only the first Open of an appender may make the stream. Later Opens come after a lost connection, and the
	// stream may have been deleted in between.
	if a.id == 0 {
		err = a.begin(ctx)
	} else {
		err = a.still(ctx)
	}
	if err != nil {
		return nil, a.stream.failed("open", err)
	}
	return a.Appender.Open(ctx)
}

// begin opens the appender for the first time. begin also deletes the remembered batches of producers that ended long
// ago.
func (a *appender) begin(ctx context.Context) error {
	id, err := a.stream.claim(ctx, a.contentType)
	// The last process under this name may have sent batches that were stored before the Seal. The appends of these
	// batches are acknowledged, so the sealed stream is opened. In any other case the producer learns of the Seal at
	// once.
	if errors.Is(err, backend.ErrStreamClosed) && a.from.Sent > a.from.Seq {
		err = nil
	}
	if err != nil {
		return err
	}
	// The database has no job of its own that deletes old rows, so each new appender deletes those of its stream. Each
	// start of a producer without a name leaves rows behind, and without the deletion they would stay for ever.
	db := a.stream.db
	if _, err := db.pool.Exec(ctx, db.tables.sql(forgetSQL), id, int64(remembered)); err != nil {
		return classify(ctx, err)
	}
	// The id is set last. If the clean-up fails, the next Open begins again.
	a.id = id
	return nil
}

// still checks whether the stream exists, and makes no stream. A producer may not know of a deletion, and must not
// bring the stream back.
func (a *appender) still(ctx context.Context) error {
	id, _, _, err := a.stream.find(ctx)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("the stream was deleted: %w", backend.ErrNotFound)
	case err != nil:
		return classify(ctx, err)
	case id != a.id:
		return fmt.Errorf("the stream was deleted, and another one has its name: %w", backend.ErrNotFound)
	}
	return nil
}

func (a *appender) append(ctx context.Context, seq uint64, recs []backend.Record) (backend.Ack, error) {
	// A session counts its batches from 0 in each process. The database knows the numbers of the name.
	seq += a.from.Seq
	hash := hashOf(recs)
	// Only a single record has a statement of its own. For a larger batch, the records take most of the time.
	// The first batches of a producer find no slots, and would ask in vain.
	if len(recs) == 1 && seq >= slots {
		first, err := a.appendOne(ctx, seq, hash, recs)
		if err == nil {
			return ack(first, 1), nil
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return backend.Ack{}, a.stream.failed("append to", stored(ctx, err))
		}
	}
	first, err := a.appendAny(ctx, seq, hash, recs)
	if err != nil {
		return backend.Ack{}, a.stream.failed("append to", err)
	}
	return ack(first, len(recs)), nil
}

// appendOne stores a batch of one record. If appendOne has stored nothing, the error is pgx.ErrNoRows, and appendAny
// finds the reason.
func (a *appender) appendOne(ctx context.Context, seq uint64, hash []byte, recs []backend.Record) (p position, err error) {
	values, headers, times := columns(recs)
	var header []byte
	if headers != nil {
		header = headers[0]
	}
	var at *int64
	if times != nil {
		at = times[0]
	}
	db := a.stream.db
	err = db.pool.QueryRow(ctx, db.tables.sql(appendOneSQL), a.id, a.producer, int64(seq), int32(seq%slots), hash, values[0], header, at).
		Scan(&p.turn, &p.batch, nil)
	return p, err
}

// appendAny stores a batch, or returns the place of a batch that is stored already.
func (a *appender) appendAny(ctx context.Context, seq uint64, hash []byte, recs []backend.Record) (p position, err error) {
	values, headers, times := columns(recs)
	var sealed bool
	var turn, batch *int64
	db := a.stream.db
	// turn is nil if the statement has stored nothing.
	err = db.pool.QueryRow(ctx, db.tables.sql(appendSQL), a.id, a.producer, int64(seq), int32(seq%slots), hash, values, headers, times, a.named()).
		Scan(&sealed, &turn, &batch, nil)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return p, fmt.Errorf("the stream was deleted: %w", backend.ErrNotFound)
	case err != nil:
		return p, stored(ctx, err)
	case turn != nil:
		return position{*turn, *batch, 0}, nil
	}
	// The statement has stored nothing: the batch is stored already, or comes too late, or the stream is sealed. An
	// already stored batch is acknowledged, even if the stream was sealed afterwards.
	p, err = a.again(ctx, seq, hash)
	switch {
	case !errors.Is(err, pgx.ErrNoRows):
		return p, err
	// There is no such batch, so a Seal or a later batch of the same producer has stopped the statement.
	case sealed:
		return p, backend.ErrStreamClosed
	}
	// The order of a producer's records would be broken if we stored the batch now.
	return p, fmt.Errorf("batch %d of producer %.64q arrives after later batches were stored: %w", seq, a.producer, backend.ErrConflict)
}

// named reports whether other processes may go on under this producer's name.
func (a *appender) named() bool { return a.from.Name != "" }

// again finds the stored batch with the number seq. A lost reply of an earlier attempt is the usual reason to ask.
func (a *appender) again(ctx context.Context, seq uint64, hash []byte) (p position, err error) {
	var was []byte
	db := a.stream.db
	err = db.pool.QueryRow(ctx, db.tables.sql(againSQL), a.id, a.producer, int64(seq)).Scan(&p.turn, &p.batch, &was)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, err
	}
	if err != nil {
		return p, stored(ctx, err)
	}
	// The caller has sent other records under a number that is used up. If we acknowledged them, they would be lost.
	if string(was) != string(hash) {
		return p, fmt.Errorf("seq %d is stored with other records: %w", seq, backend.ErrConflict)
	}
	return p, nil
}

// ack is the ack of n records. The records of an append have places one behind the other, and first is the place of the
// first record.
func ack(first position, n int) backend.Ack {
	return backend.Ack{
		Next: position{first.turn, first.batch, int32(n)}.offset(),
		OffsetOf: func(i int) backend.Offset {
			if i < 0 || i >= n {
				return ""
			}
			return position{first.turn, first.batch, int32(i)}.offset()
		},
	}
}

// columns returns the columns for an insert. headers or times is nil if no record has any. The database fills in
// missing times from its own clock.
func columns(recs []backend.Record) (values, headers [][]byte, times []*int64) {
	values = make([][]byte, len(recs))
	for i := range recs {
		r := &recs[i]
		if values[i] = r.Value; r.Value == nil {
			// pgx sends nil as NULL, and the column is NOT NULL.
			values[i] = []byte{}
		}
		if h := encodeHeaders(r.Headers); h != nil {
			if headers == nil {
				headers = make([][]byte, len(recs))
			}
			headers[i] = h
		}
		if !r.Time.IsZero() {
			if times == nil {
				times = make([]*int64, len(recs))
			}
			ns := r.Time.UnixNano()
			times[i] = &ns
		}
	}
	return values, headers, times
}

// hashOf returns a hash of the records, by which we notice other records under the same seq. With a short checksum, some
// other records would pass for a resend, would be acknowledged, and would be lost. Times from the database's
// clock are not part of the hash, because a resend does not know them.
func hashOf(recs []backend.Record) []byte {
	h := sha256.New()
	var n [8]byte
	// The length in front of each piece keeps the pieces apart. Without the lengths, the values "ab" and "c" would
	// have the hash of "a" and "bc".
	piece := func(b []byte) {
		binary.BigEndian.PutUint64(n[:], uint64(len(b)))
		_, _ = h.Write(n[:])
		_, _ = h.Write(b)
	}
	var at [8]byte
	for i := range recs {
		piece(recs[i].Value)
		piece(encodeHeaders(recs[i].Headers))
		if recs[i].Time.IsZero() {
			piece(nil)
			continue
		}
		binary.BigEndian.PutUint64(at[:], uint64(recs[i].Time.UnixNano()))
		piece(at[:])
	}
	return h.Sum(nil)
}
