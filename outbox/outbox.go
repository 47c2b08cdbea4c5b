// Package outbox puts typed events into a stream in the transaction that makes the change they tell of.
//
// # Delivery
//
//   - An event is in the stream if and only if its transaction commits. It is readable when the transaction has committed, never before.
//   - Put events behind the change they tell of. Then the events of one row are in the order of its changes, whatever transactions
//     made them. Transactions that change different rows may come in another order than they were committed in.
//   - Events that one transaction puts keep their order.
//   - Every failure of Put leaves the transaction to be rolled back: in PostgreSQL a transaction with a failed statement cannot commit.
//
// A consumer reads the stream as any other. Package relay moves the events to another system, each exactly once.
//
// The stream is one of package backend/postgres, whose transactions are those of pgx. Other databases need an [Appender] of their own.
package outbox

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// An Appender appends records in a transaction of the caller's. *postgres.Stream is one, with Tx = pgx.Tx.
type Appender[Tx any] interface {
	AppendTx(ctx context.Context, tx Tx, recs ...backend.Record) error
}

// An Outbox is safe for use from many goroutines, each with a transaction of its own.
type Outbox[T, Tx any] struct {
	to    Appender[Tx]
	codec codec.Codec[T]
}

// New makes an Outbox of a stream. Both type parameters are inferred.
func New[T, Tx any](to Appender[Tx], c codec.Codec[T]) *Outbox[T, Tx] {
	return &Outbox[T, Tx]{to: to, codec: c}
}

// Put puts values in tx, all in one statement. A value that the codec refuses is [backend.ErrRejected], and none is put.
func (o *Outbox[T, Tx]) Put(ctx context.Context, tx Tx, values ...T) error {
	recs := make([]producer.Record[T], len(values))
	for i, v := range values {
		recs[i].Value = v
	}
	return o.PutRecords(ctx, tx, recs...)
}

// PutRecords is [Outbox.Put] for values with headers or with times of their own.
func (o *Outbox[T, Tx]) PutRecords(ctx context.Context, tx Tx, records ...producer.Record[T]) error {
	if len(records) == 0 {
		return nil
	}
	recs := make([]backend.Record, len(records))
	for i, r := range records {
		value, err := o.codec.AppendEncode(nil, r.Value)
		if err != nil {
			return fmt.Errorf("outbox: encode value %d of %d: %w: %w", i+1, len(records), backend.ErrRejected, err)
		}
		recs[i] = backend.Record{Value: value, Headers: r.Headers, Time: r.Time}
	}
	if err := o.to.AppendTx(ctx, tx, recs...); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	return nil
}
