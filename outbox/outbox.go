// Package outbox puts typed events into a stream. The events are part of the transaction that makes the change.
//
// # Delivery
//
//   - An event is in the stream if and only if its transaction commits. Readers see the event after the commit, and
//     never before.
//   - Call Put behind the statement that makes the change. Then the events of one row have the order of the row's
//     changes, even if several transactions made the changes. Transactions that change different rows may appear in
//     another order than the order of their commits.
//   - The events of one transaction keep their order.
//   - After a failure of Put, roll the transaction back: in PostgreSQL a transaction with a failed statement cannot
//     commit.
//
// A consumer reads the stream like any other stream. Package relay copies the events to another system, each exactly
// once.
//
// Streams of package backend/postgres work with an Outbox, because their transactions are transactions of pgx. For
// another database, implement [Appender].
package outbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// An Appender appends records in a transaction of the caller. *postgres.Stream is an Appender with Tx = pgx.Tx.
type Appender[Tx any] interface {
	AppendTx(ctx context.Context, tx Tx, recs ...backend.Record) error
}

// An Outbox puts values of type T into one stream. Many goroutines may use an Outbox, each with its own transaction.
type Outbox[T, Tx any] struct {
	to    Appender[Tx]
	codec codec.Codec[T]
}

var errNil = errors.New("outbox: New needs an Appender and a codec, and one of them was nil")

// New makes an Outbox for a stream. Go infers both type parameters. Neither to nor c may be nil, or every Put fails.
func New[T, Tx any](to Appender[Tx], c codec.Codec[T]) *Outbox[T, Tx] {
	return &Outbox[T, Tx]{to: to, codec: c}
}

// Put puts all values into the stream with one call of AppendTx; without values Put does nothing. If the codec refuses a value, the
// error is [backend.ErrRejected], and Put stores nothing.
func (o *Outbox[T, Tx]) Put(ctx context.Context, tx Tx, values ...T) error {
	recs := make([]producer.Record[T], len(values))
	for i, v := range values {
		recs[i].Value = v
	}
	return o.PutRecords(ctx, tx, recs...)
}

// PutRecords is [Outbox.Put] for values that have headers or their own times.
func (o *Outbox[T, Tx]) PutRecords(ctx context.Context, tx Tx, records ...producer.Record[T]) error {
	if o.to == nil || o.codec == nil {
		return errNil
	}
	if len(records) == 0 {
		return nil
	}
	recs := make([]backend.Record, len(records))
	for i, r := range records {
		value, err := o.codec.AppendEncode(nil, r.Value)
		if err != nil {
			return fmt.Errorf("outbox: encode value %d of %d: %w: %w", i+1, len(records), backend.ErrRejected, err)
		}
		headers, err := codec.AppendHeaders(o.codec, nil, r.Value)
		if err != nil {
			return fmt.Errorf("outbox: headers of value %d of %d: %w: %w", i+1, len(records), backend.ErrRejected, err)
		}
		// As with a Producer, the headers of the codec come first: a reader takes the first header of a name.
		recs[i] = backend.Record{Value: value, Headers: append(headers, r.Headers...), Time: r.Time}
	}
	if err := o.to.AppendTx(ctx, tx, recs...); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	return nil
}
