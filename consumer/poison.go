package consumer

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/internal/backoff"
)

// Stop ends the loop with the *DecodeError. See [OnPoison].
func Stop(e *DecodeError) error { return e }

// Skip passes over the record, as if it had been filtered out. See [OnPoison].
func Skip(*DecodeError) error { return nil }

// bad is a record of a chunk that did not decode.
type bad struct {
	at       int
	err      error
	panicked string // the codec did, with this value and stack; "": it did not
}

// skipPoison deals with the records from l.at on that did not decode, as many as follow each other: their dead letters
// become durable in one Send. It returns why the loop must end before the next record.
func (l *loop[T]) skipPoison(ctx context.Context) error {
	cfg := &l.c.cfg
	var (
		letters []DeadLetter
		skipped []*DecodeError
		stop    error
	)
	for len(l.cur.bad) > 0 && l.cur.bad[0].at == l.at+len(skipped) {
		b := l.cur.bad[0]
		if b.panicked != "" {
			if len(skipped) > 0 {
				break // those first
			}
			panic(fmt.Sprintf("consumer: the codec panicked at record %q: %s", l.cur.recs[b.at].Offset, b.panicked))
		}
		l.cur.bad = l.cur.bad[1:]
		e := &DecodeError{Record: l.cur.recs[b.at], Err: b.err}
		l.c.counters.poison.Add(1)
		if stop = cfg.onPoison(e); stop != nil {
			fire(cfg.hooks, poison, PoisonEvent{Err: e})
			break
		}
		skipped = append(skipped, e)
		if cfg.posted {
			letters = append(letters, DeadLetter{Value: e.Value, Headers: e.Headers, Offset: e.Offset, Cause: e.Err.Error()})
		}
	}
	if len(letters) > 0 {
		if err := l.post(ctx, letters); err != nil {
			return err
		}
		l.c.counters.letters.Add(uint64(len(letters)))
	}
	for _, e := range skipped {
		cfg.logger.WarnContext(ctx, "consumer: skipped a record that could not be decoded",
			"offset", e.Offset, "bytes", len(e.Value), "dead_letter", cfg.posted, "err", e.Err)
		fire(cfg.hooks, poison, PoisonEvent{Err: e, Skipped: true, DeadLetter: cfg.posted})
		l.pass()
	}
	return stop
}

// post makes letters durable. A ctx that ends meanwhile gives them DrainTimeout more: letters that were handed over and
// not waited for would come again with the records in the next loop.
func (l *loop[T]) post(ctx context.Context, letters []DeadLetter) error {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		if backoff.Sleep(sending, l.c.cfg.drainTimeout) {
			cancel()
		}
	})()
	err := l.c.cfg.letters.Send(sending, letters...)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("consumer: dead letter for the record at %q: %w", letters[0].Offset, err)
	}
	return nil
}
