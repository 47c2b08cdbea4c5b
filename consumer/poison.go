package consumer

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/internal/backoff"
)

// Stop ends the loop with the *DecodeError. See [OnPoison].
func Stop(e *DecodeError) error { return e }

// Skip leaves the record out, as if the store had filtered the record out. See [OnPoison].
func Skip(*DecodeError) error { return nil }

// An undecoded is a record of a chunk that did not decode.
type undecoded struct {
	at       int    // index of the record in the chunk
	err      error  // of the codec
	panicked string // the record, the value and the stack if the codec panicked, else empty
}

// skipPoison deals with the record at hand, which did not decode, and with all records directly behind it that did not
// decode either. Their dead letters become durable in one Send. It returns an error when the loop must end before the
// next record.
func (l *loop[T]) skipPoison(ctx context.Context) error {
	cfg := &l.c.cfg
	var (
		letters []DeadLetter
		skipped []*DecodeError
		stop    error
	)
	end := len(l.cur.recs)
	if len(l.cur.done) > 0 {
		end = int(l.cur.done[0].From - l.cur.first) // skipDone skips the records from there on
	}
	for len(l.cur.bad) > 0 && l.cur.bad[0].at == l.at+len(skipped) && l.cur.bad[0].at < end {
		b := l.cur.bad[0]
		if b.panicked != "" {
			if len(skipped) > 0 {
				// Finish the records before the panic first. The loop comes back here for the record that caused the
				// panic.
				break
			}
			panic("consumer: the codec panicked " + b.panicked)
		}
		l.cur.bad = l.cur.bad[1:]
		e := &DecodeError{Record: l.cur.recs[b.at], Err: b.err}
		l.c.counters.poison.Add(1)
		if stop = cfg.onPoison(e); stop != nil {
			fire(cfg.hooks, hookPoison, PoisonEvent{Err: e})
			break
		}
		skipped = append(skipped, e)
		if cfg.hasLetters {
			letters = append(letters, deadLetter(&e.Record, cfg.key, e.Err))
		}
	}
	if len(letters) > 0 {
		if err := l.post(ctx, letters); err != nil {
			return err
		}
		l.c.counters.letters.Add(uint64(len(letters)))
	}
	// All dead letters are durable now, so the records may be marked done.
	for _, e := range skipped {
		cfg.logger.WarnContext(ctx, "consumer: skipped a record that could not be decoded",
			"offset", e.Offset, "bytes", len(e.Value), "dead_letter", cfg.hasLetters, "err", e.Err)
		fire(cfg.hooks, hookPoison, PoisonEvent{Err: e, Skipped: true, DeadLetter: cfg.hasLetters})
		l.skip()
	}
	return stop
}

// post makes letters durable. When ctx ends meanwhile, the Send may go on for DrainTimeout. If we stopped waiting at
// once, letters that were handed over would be sent again, with their records, in the next loop.
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
		return fmt.Errorf("consumer: send the dead letter of the record at %q: %w", letters[0].Offset, err)
	}
	return nil
}
