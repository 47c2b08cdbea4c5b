package relay

import (
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/backend"
)

// outgoing is an appender of the target, with its session.
type outgoing struct {
	appender backend.Appender
	session  backend.Session // nil if deliver must open one
	seq      uint64          // of the appender's next batch
}

func (o *outgoing) close() {
	if o != nil && o.session != nil {
		_ = o.session.Close()
		o.session = nil
	}
}

// deliver sends the batches of a round until all are acknowledged. After a failure, deliver sends the unacknowledged
// batches again, with the same records under the same numbers.
func (o *outgoing) deliver(ctx context.Context, r *relay, round *round) error {
	// o.seq counts from 0 for each appender. The appender adds the number of the relay's first batch: see
	// note.resumption.
	batches, first, moved := round.toSend(), o.seq, false
	return r.retry(ctx, "send to the target", func() error {
		// o.seq has moved by the acks of the attempts before, so only batches without an ack are sent again.
		before := o.seq
		err := o.attempt(ctx, batches[o.seq-first:])
		if moved = o.seq > before; err != nil {
			// After an error a session takes nothing more. The next attempt opens another session of the same
			// appender, which keeps the numbers.
			o.close()
			return withPlaces(round, err)
		}
		return nil
	}, func() bool { return moved })
}

// attempt sends batches in one session, and counts the acks in o.seq.
func (o *outgoing) attempt(ctx context.Context, batches [][]backend.Record) (err error) {
	// Convert may have dropped all records of the round. The round still moves the place in the source.
	if len(batches) == 0 {
		return nil
	}
	if o.session == nil {
		// The session stays open from round to round, because the opening may need several round trips.
		if o.session, err = o.appender.Open(ctx); err != nil {
			o.session = nil
			return err
		}
	}
	session, first, end := o.session, o.seq, o.seq+uint64(len(batches))
	// After a refusal of Send we end receiving, and with it the wait in Recv. ctx itself must live on: the relay goes on.
	receiving, stop := context.WithCancel(ctx)
	defer stop()
	sent := make(chan error, 1)
	// Send and Recv run at the same time. When too many batches are in flight, Send waits until Recv has returned acks.
	go func() {
		err := sendAll(receiving, session, first, batches)
		if refused(err) {
			stop() // the session itself may be healthy, and then Recv would wait for ever for an ack of the refused batch
		}
		sent <- err
	}()
	for err == nil && o.seq < end {
		var ack backend.Ack
		if ack, err = session.Recv(receiving); err == nil {
			// Acks are cumulative: a session may leave out acks of earlier batches.
			o.seq = ack.Seq + 1
		}
	}
	if err == nil {
		// The acks may come before Send has returned. The next round must not begin its Send beside the
		// old Send.
		<-sent
		return nil
	}
	o.close() // now a blocked Send returns
	// If Send was refused, Recv has failed only because we stopped it. The caller needs the refusal.
	if failed := <-sent; refused(failed) && !refused(err) {
		return failed
	}
	return err
}

func sendAll(ctx context.Context, s backend.Session, first uint64, batches [][]backend.Record) error {
	for i, b := range batches {
		if err := s.Send(ctx, first+uint64(i), b); err != nil {
			return err
		}
	}
	return nil
}

func refused(err error) bool {
	return errors.Is(err, backend.ErrRejected) || errors.Is(err, backend.ErrTooLarge)
}

// withPlaces adds the places in the source to err, if the target says which record it refuses: the index in the error counts the
// records of a batch, and does not tell the operator where the record is.
func withPlaces(r *round, err error) error {
	if errors.As(err, new(*backend.RecordError)) {
		return fmt.Errorf("between %q and %q of the source: %w", r.from, r.behind, err)
	}
	return err
}
