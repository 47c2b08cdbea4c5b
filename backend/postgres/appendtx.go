package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/headrace/headrace/backend"
)

// AppendTx appends in a transaction of the caller's: the records are there if and only if tx commits. Readers wait for the end of tx, and
// of every older one.
//
// The records lie behind all records that were committed when AppendTx was called. So where transactions change the same row, and each
// calls AppendTx behind its change, the records are in the order of the changes. Records of one tx stay in order; records of others may
// lie between those of two calls.
//
// A stream that is missing is made beside tx, on a connection of the pool. Where the pool has none to give, tx makes the stream, and other
// appends to it wait for the end of tx.
func (s *Stream) AppendTx(ctx context.Context, tx pgx.Tx, recs ...backend.Record) error {
	if err := s.check(); err != nil {
		return s.failed("append to", err)
	}
	limits := backend.Limits{RecordBytes: s.db.cfg.recordBytes, Size: size}
	if _, err := limits.Check(recs); err != nil {
		return s.failed("append to", err)
	}
	sealed, err := s.appendTx(ctx, tx, recs)
	if errors.Is(err, pgx.ErrNoRows) {
		if err = s.create(ctx, tx); err == nil {
			sealed, err = s.appendTx(ctx, tx, recs)
		}
	}
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		// Another transaction made or deleted the stream, and the snapshot of tx does not show it.
		return s.failed("append to", fmt.Errorf("%w: the stream was made or deleted beside this transaction", backend.ErrTransient))
	case err != nil:
		return s.failed("append to", classify(ctx, err))
	case sealed:
		return s.failed("append to", backend.ErrStreamClosed)
	}
	return nil
}

func (s *Stream) appendTx(ctx context.Context, tx pgx.Tx, recs []backend.Record) (sealed bool, err error) {
	values, headers, times := columns(recs)
	err = tx.QueryRow(ctx, s.db.tables.sql(appendTxSQL), s.name, values, headers, times).Scan(&sealed, nil)
	return sealed, err
}

// create does not wait for a connection for long: all of them may be held by transactions that are here too.
func (s *Stream) create(ctx context.Context, tx pgx.Tx) error {
	pool, statement := s.db.pool, s.db.tables.sql(createSQL)
	if stat := pool.Stat(); stat.AcquiredConns() < stat.MaxConns() {
		beside, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := pool.Exec(beside, statement, s.name); err == nil {
			return nil
		}
	}
	_, err := tx.Exec(ctx, statement, s.name)
	return err
}
