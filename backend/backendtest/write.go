package backendtest

import (
	"context"
	"errors"

	"github.com/headrace/headrace/backend"
)

// record makes the next record. Its value is different from every other value of the test.
func (e *env) record() backend.Record {
	e.count++
	return backend.Record{Value: e.h.Value(e.count, 24)}
}

// batch makes n records, or fewer when a batch cannot hold n.
func (e *env) batch(a backend.Appender, n int) []backend.Record {
	e.Helper()
	l := a.Limits()
	if l.BatchRecords > 0 {
		n = min(n, l.BatchRecords)
	}
	var recs []backend.Record
	size := 0
	for len(recs) < n {
		r := e.record()
		m, err := l.Meter(&r)
		if err != nil {
			e.Fatalf("an ordinary record is refused by Limits.Size: %v", err)
		}
		size += m
		if l.BatchBytes > 0 && size > l.BatchBytes && len(recs) > 0 {
			break
		}
		recs = append(recs, r)
	}
	return recs
}

// batches makes n batches of 1 to most records.
func (e *env) batches(a backend.Appender, n, most int) [][]backend.Record {
	e.Helper()
	all := make([][]backend.Record, n)
	for i := range all {
		all[i] = e.batch(a, 1+e.dice.IntN(most))
	}
	return all
}

func flat(batches [][]backend.Record) []backend.Record {
	var all []backend.Record
	for _, b := range batches {
		all = append(all, b...)
	}
	return all
}

// refusal reports that err refuses a batch.
func refusal(err error) bool {
	return errors.Is(err, backend.ErrRejected) || errors.Is(err, backend.ErrTooLarge)
}

// pump sends the batches as seq first, first+1, … and receives at the same time. pump returns when all batches are acknowledged,
// when Send has refused a batch and all batches before are acknowledged, or when the session ends. Sending and receiving must
// overlap: with a limit of InFlight, Send may wait for a Recv.
func pump(ctx context.Context, s backend.Session, first uint64, batches [][]backend.Record) (acks []backend.Ack, err error) {
	receiving, refuse := context.WithCancelCause(ctx)
	defer refuse(nil)
	acked := make(chan uint64, len(batches)) // the seq after each ack; closed when no more acks come
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i, b := range batches {
			seq := first + uint64(i)
			err := s.Send(ctx, seq, b)
			switch {
			case err == nil:
				continue
			case refusal(err):
				for done, more := first, true; more; done, more = <-acked {
					if done == seq {
						refuse(err) // the session may go on, and then Recv would wait for ever
						break
					}
				}
			}
			return // for every other error Recv returns the reason
		}
	}()
	defer func() { <-sent }()
	defer close(acked)
	for done := first; done < first+uint64(len(batches)); {
		ack, err := s.Recv(receiving)
		if err != nil {
			if cause := context.Cause(receiving); cause != nil && refusal(cause) {
				err = cause
			}
			return acks, err
		}
		if ack.Seq < done || ack.Seq >= first+uint64(len(batches)) {
			s.Close() // a blocked Send must not hold up the report
			return acks, &badAck{ack.Seq, done, first + uint64(len(batches)) - 1}
		}
		acks = append(acks, ack)
		done = ack.Seq + 1
		acked <- done
	}
	return acks, nil
}

// pump writes the batches through s and returns the acks. The session stays open.
func (e *env) pump(s backend.Session, first uint64, batches [][]backend.Record) (acks []backend.Ack, err error) {
	e.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		acks, err = pump(e.Context(), s, first, batches)
	}()
	e.await("writing "+plural(len(batches), "batch", "batches"), done)
	var bad *badAck
	if errors.As(err, &bad) {
		e.Fatal(bad)
	}
	return acks, err
}

// write appends the batches with a new Appender and returns the acks.
func (e *env) write(batches ...[]backend.Record) []backend.Ack {
	e.Helper()
	s := e.open(e.appender())
	acks, err := e.pump(s, 0, batches)
	if err != nil {
		e.Fatalf("writing: %v", err)
	}
	e.close("session", s)
	return acks
}

// fill writes n records in batches of random sizes and returns the records as they are stored, with offsets.
func (e *env) fill(n int) []backend.Record {
	e.Helper()
	a := e.appender()
	var all [][]backend.Record
	for left := n; left > 0; {
		b := e.batch(a, min(left, 1+e.dice.IntN(5)))
		left -= len(b)
		all = append(all, b)
	}
	e.write(all...)
	stored := e.stored()
	e.same("stored", stored, flat(all))
	return stored
}
