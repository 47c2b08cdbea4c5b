package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/internal/backoff"
)

// An Option is an option of [Run].
type Option func(*config)

type config struct {
	start      backend.Offset
	stopAtTail bool
	format     backend.Format
	convert    func(backend.Record) (backend.Record, bool)
	logger     *slog.Logger
	policy     backoff.Policy
}

// StartAt is where a relay without a checkpoint begins. Default [backend.Earliest].
func StartAt(o backend.Offset) Option { return func(c *config) { c.start = o } }

// StopAtTail ends the relay where the source ended when it was opened. Default is to wait for more.
func StopAtTail() Option { return func(c *config) { c.stopAtTail = true } }

// Format says what the values are, for a target that keeps it. Default is nothing.
func Format(f backend.Format) Option { return func(c *config) { c.format = f } }

// Convert changes a record on its way, or drops it with false. It must always make the same of the same record, also in another process
// and in a later version of the program: a batch that is sent again must hold the same records. It may not write to the bytes that it is
// given. Default is to copy value and headers, and to let the target assign the time.
func Convert(f func(backend.Record) (backend.Record, bool)) Option {
	return func(c *config) { c.convert = f }
}

// Logger gets a warning for each failure that is tried again. Default is to log nothing.
func Logger(l *slog.Logger) Option { return func(c *config) { c.logger = l } }

// Backoff is how long the relay waits before it tries again: about first after one failure, twice as long after each further one, and
// most at the longest. Default 50 ms and 5 s. It tries for as long as ctx lasts.
func Backoff(first, most time.Duration) Option {
	return func(c *config) { c.policy.Base, c.policy.Max = first, most }
}

func copied(r backend.Record) (backend.Record, bool) {
	return backend.Record{Value: r.Value, Headers: r.Headers}, true
}

// Run copies from into to until ctx ends, or until the source does: at the end of a closed stream, or at the tail with [StopAtTail], it
// returns nil. The relay goes on where the last one of that name was stopped. The name is 1 to 256 bytes, and is the key in store.
//
// Failures that may pass are tried again. Any other ends the relay: a record that the target refuses, with its offset in the error; a place
// that was trimmed ([backend.ErrOutOfRange]); a newer relay ([backend.ErrFenced]); a target that cannot tell a resend any more
// ([backend.ErrConflict]).
func Run(ctx context.Context, from backend.Source, to backend.Resumer, store checkpoint.Store, name string, opts ...Option) error {
	c := config{start: backend.Earliest, convert: copied, logger: slog.New(slog.DiscardHandler), policy: backoff.Default()}
	for _, o := range opts {
		o(&c)
	}
	if c.convert == nil || c.logger == nil || c.start == "" {
		return errors.New("relay: Convert, Logger and StartAt need a value: leave the option out for the default")
	}
	if err := c.policy.Check(); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	if err := (backend.Resumption{Name: name}).Check(); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	r := &relay{config: c, from: from, to: to, store: store, name: name}
	if err := r.run(ctx); err != nil {
		return fmt.Errorf("relay %q: %w", name, err)
	}
	return nil
}

type relay struct {
	config
	from  backend.Source
	to    backend.Resumer
	store checkpoint.Store
	name  string

	epoch uint64
	note  note      // what is announced
	saved bool      // note is in the store
	out   *outgoing // nil until something is to be sent
	acked time.Time // when the target answered last
}

func (r *relay) run(ctx context.Context) error {
	if err := r.claim(ctx); err != nil {
		return err
	}
	in := startFeed(ctx, &r.config, r.from, r.note.From)
	defer in.stop()
	defer func() { r.out.close() }()
	if err := r.resend(ctx, in); err != nil {
		return r.leave(ctx, err)
	}
	for {
		round, err := in.collect(ctx, r.limits())
		if err != nil {
			return r.leave(ctx, err)
		}
		if round == nil {
			return r.rest(ctx)
		}
		if len(round.counts) > 0 {
			err = r.forward(ctx, round)
		} else {
			err = r.skip(ctx, round.behind)
		}
		if err != nil {
			return r.leave(ctx, err)
		}
		if in.idle() {
			if err := r.rest(ctx); err != nil {
				return r.leave(ctx, err)
			}
		}
	}
}

// claim takes the name over from the relay before, and learns how far it has come.
func (r *relay) claim(ctx context.Context) error {
	var cp checkpoint.Checkpoint
	err := r.retry(ctx, "claim the checkpoint", func() (err error) {
		cp, err = r.store.Claim(ctx, r.name)
		return err
	})
	if err != nil {
		return err
	}
	r.epoch = cp.Epoch
	if cp.Offset == "" {
		r.note = note{From: r.start}
		return nil
	}
	r.saved = true
	r.note, err = parseNote(cp.Offset)
	return err
}

// resend sends what the relay before has announced. Each batch of it may be stored.
func (r *relay) resend(ctx context.Context, in *feed) error {
	if len(r.note.Counts) == 0 {
		return nil
	}
	round, err := in.again(ctx, r.note.Counts)
	if err != nil {
		return err
	}
	if err := r.open(ctx, r.note.resumption(r.name, round.sends())); err != nil {
		return err
	}
	return r.deliver(ctx, round)
}

// forward announces a round, and then sends it.
func (r *relay) forward(ctx context.Context, round *round) error {
	if r.out == nil || time.Since(r.acked) > forgetful {
		// Nothing is on its way, so the appender may begin in a way of its own.
		if err := r.rest(ctx); err != nil {
			return err
		}
		if err := r.open(ctx, r.note.resumption(r.name, 0)); err != nil {
			return err
		}
	}
	r.note.From, r.note.Counts = round.from, round.counts
	if err := r.save(ctx); err != nil {
		return err
	}
	return r.deliver(ctx, round)
}

// skip moves on without records. A start that is relative is kept as a place at once: tried again, it would be another place.
func (r *relay) skip(ctx context.Context, to backend.Offset) error {
	relative := r.note.From.Relative()
	if to != r.note.From {
		r.note.From, r.saved = to, false
	}
	if relative {
		return r.save(ctx)
	}
	return nil
}

// forgetful is far below the time after which any target forgets a producer that is silent.
const forgetful = time.Hour

func (r *relay) deliver(ctx context.Context, round *round) error {
	if err := r.out.deliver(ctx, r, round); err != nil {
		return err
	}
	r.acked = time.Now()
	r.note = r.note.behind(round)
	r.saved = false
	return nil
}

// open makes an appender that goes on for the name.
func (r *relay) open(ctx context.Context, from backend.Resumption) error {
	r.out.close()
	r.out = nil
	return r.retry(ctx, "resume at the target", func() error {
		a, origin, err := r.to.Resume(ctx, r.format, from)
		if err != nil {
			return err
		}
		r.note.Origin = origin
		r.out = &outgoing{appender: a}
		return nil
	})
}

// limits are those of the batches to come.
func (r *relay) limits() backend.Limits {
	if r.out != nil {
		return r.out.appender.Limits()
	}
	return r.to.NewAppender(r.format).Limits()
}

// rest saves the place behind all that was sent, so that nothing has to be sent again.
func (r *relay) rest(ctx context.Context) error {
	if r.saved || r.note.From.Relative() {
		return nil
	}
	return r.save(ctx)
}

func (r *relay) save(ctx context.Context) error {
	r.saved = false
	err := r.retry(ctx, "save the checkpoint", func() error {
		return r.store.Save(ctx, r.name, checkpoint.Checkpoint{Offset: r.note.offset(), Epoch: r.epoch})
	})
	r.saved = err == nil
	return err
}

// leave saves the place once more when ctx has ended the relay between two rounds.
func (r *relay) leave(ctx context.Context, err error) error {
	if ctx.Err() == nil || len(r.note.Counts) > 0 {
		return err
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if failed := r.rest(bounded); failed != nil {
		return errors.Join(ctx.Err(), failed)
	}
	return ctx.Err()
}

// retry calls f until it succeeds, or fails for good, or ctx ends.
func (r *relay) retry(ctx context.Context, what string, f func() error) error {
	return r.again(ctx, what, f, func() bool { return false })
}

// again is retry whose count of failures begins anew after progress.
func (c *config) again(ctx context.Context, what string, f func() error, progress func() bool) error {
	for failures := 1; ; failures++ {
		err := f()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.Is(err, backend.ErrTransient) && !errors.Is(err, backend.ErrIndeterminate):
			return fmt.Errorf("%s: %w", what, err)
		}
		if progress() {
			failures = 1
		}
		delay := c.policy.Delay(failures, err)
		c.logger.WarnContext(ctx, "relay: trying again", "what", what, "failures", failures, "wait", delay, "error", err)
		if !backoff.Sleep(ctx, delay) {
			return ctx.Err()
		}
	}
}
