package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/headrace/headrace/backend"
)

// AppendTx appends in a transaction of the caller: the records are stored if and only if tx commits. Readers wait for
// the end of tx, and of every older transaction.
//
// The records are behind all records that were committed when AppendTx was called. If several transactions change the
// same row, and each calls AppendTx after its change, the records have the order of the changes. The records of one tx
// stay in order. Between the records of two calls, there may be records of other transactions.
//
// If the stream does not exist, AppendTx makes the stream outside of tx, on another connection of the pool. If the pool
// has no free connection, tx makes the stream, and other appends to the stream wait for the end of tx.
func (s *Stream) AppendTx(ctx context.Context, tx pgx.Tx, recs ...backend.Record) error {
	if err := s.check(); err != nil {
		return s.failed("append to", err)
	}
	if tx == nil {
		return s.failed("append to", errors.New("the transaction is nil"))
	}
	limits := backend.Limits{RecordBytes: s.db.cfg.recordBytes, Size: size}
	if _, err := limits.Check(recs); err != nil {
		return s.failed("append to", err)
	}
	sealed, err := s.appendTx(ctx, tx, recs)
	// The usual case needs one round trip. The stream is made only if the statement has not found it.
	if errors.Is(err, pgx.ErrNoRows) {
		if err = s.create(ctx, tx); err == nil {
			sealed, err = s.appendTx(ctx, tx, recs)
		}
	}
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		// Another transaction has made or deleted the stream, and the snapshot of tx does not show the change.
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

// create makes the stream. create does not wait long for a connection: other transactions in create may hold all
// connections of the pool, and all would wait for ever.
func (s *Stream) create(ctx context.Context, tx pgx.Tx) error {
	pool, statement := s.db.pool, s.db.tables.sql(createSQL)
	// A stream that tx makes is invisible to others until tx ends. Appends to the same new stream would wait for tx,
	// because createSQL waits for the transaction that inserts the same name. So the stream is made beside tx, where
	// possible.
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
