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

// StartAt sets where a relay without a checkpoint begins. Default: [backend.Earliest].
func StartAt(o backend.Offset) Option { return func(c *config) { c.start = o } }

// StopAtTail ends the relay at the tail of the source. By default the relay waits for more records.
func StopAtTail() Option { return func(c *config) { c.stopAtTail = true } }

// Format describes the values, as codec.JSON[Order]().Format() does, for a target that stores a description. By default
// there is no description, and a stream of Durable Streams with a content type refuses such values unless its type is
// application/octet-stream.
func Format(f backend.Format) Option { return func(c *config) { c.format = f } }

// Convert changes a record on its way, or drops the record if f returns false. f must always return the same for the
// same record, also in another process and in a later version of the program, because a batch that is sent again must
// hold the same records. f must not write to the bytes of its argument. By default, value and headers are copied, and
// the target assigns the time.
func Convert(f func(backend.Record) (backend.Record, bool)) Option {
	return func(c *config) { c.convert = f }
}

// Logger gets a warning for each failure that is retried. Default: no log.
func Logger(l *slog.Logger) Option { return func(c *config) { c.logger = l } }

// Backoff sets the delay before a retry: about first after one failure, twice as long after each further failure, and
// at most most. Default: 50 ms and 5 s; first must not be negative, nor more than most. The relay retries until ctx ends.
func Backoff(first, most time.Duration) Option {
	return func(c *config) { c.policy.Base, c.policy.Max = first, most }
}

func copied(r backend.Record) (backend.Record, bool) {
	return backend.Record{Value: r.Value, Headers: r.Headers}, true
}

// Run copies from into to until ctx ends or the source ends. It returns nil at the end of a sealed stream, or at the
// tail with [StopAtTail]. The relay begins where the last relay of the same name has stopped. The name has 1 to 256
// bytes of UTF-8 without control characters, and is the key in store.
//
// Transient failures are retried. Every other failure ends the relay: a record that the target refuses (the error names
// its offset), a trimmed place ([backend.ErrOutOfRange]), a newer relay ([backend.ErrFenced]), or a target that can no
// longer recognize a resend ([backend.ErrConflict]).
func Run(ctx context.Context, from backend.Source, to backend.Resumer, store checkpoint.Store, name string, opts ...Option) error {
	c := config{start: backend.Earliest, convert: copied, logger: slog.New(slog.DiscardHandler), policy: backoff.Default()}
	for _, o := range opts {
		if o == nil {
			return errors.New("relay: an option is nil")
		}
		o(&c)
	}
	if c.convert == nil || c.logger == nil || c.start == "" {
		return errors.New("relay: Convert, Logger and StartAt need a value: leave the option out for the default")
	}
	if err := c.policy.Check(); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	if err := (backend.Resumption{Name: name}).Check(); err != nil {
		return fmt.Errorf("relay: the relay's name: %w", err)
	}
	switch {
	case from == nil:
		return fmt.Errorf("relay %q: the source is nil", name)
	case to == nil:
		return fmt.Errorf("relay %q: the target is nil", name)
	case store == nil:
		return fmt.Errorf("relay %q: the checkpoint store is nil", name)
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
	note  note      // the latest announcement
	saved bool      // note is in the store
	out   *outgoing // nil until the first batch
	acked time.Time // when the last round was acknowledged
}

func (r *relay) run(ctx context.Context) error {
	// The claim comes before everything else. After the claim, an older relay can announce nothing more, so the note
	// that we read names all batches that the older relay can still have on their way.
	if err := r.claim(ctx); err != nil {
		return err
	}
	// The feed begins at the first announced batch, because its records must be read again.
	in := startFeed(ctx, &r.config, r.from, r.note.From)
	defer in.stop()
	// The function reads r.out at the end: open replaces r.out.
	defer func() { r.out.close() }()
	// The announced batches of the earlier relay come first. The place behind them is the place where new batches
	// begin.
	if err := r.resend(ctx, in); err != nil {
		return r.leave(ctx, err)
	}
	for {
		round, err := in.collect(ctx, r.limits())
		if err != nil {
			return r.leave(ctx, err)
		}
		if round == nil {
			// The source is sealed, or StopAtTail has ended the feed. All batches are acknowledged.
			return r.saveProgress(ctx)
		}
		if len(round.counts) > 0 {
			err = r.forward(ctx, round)
		} else {
			err = r.skip(ctx, round.behind)
		}
		if err != nil {
			return r.leave(ctx, err)
		}
		// The source has no more records for now. We save the place, so that a later relay sends nothing again.
		if in.idle() {
			if err := r.saveProgress(ctx); err != nil {
				return r.leave(ctx, err)
			}
		}
	}
}

// claim takes the name over from the earlier relay, and reads how far that relay has come.
func (r *relay) claim(ctx context.Context) error {
	var cp checkpoint.Checkpoint
	err := r.retry(ctx, "claim the checkpoint", func() (err error) {
		cp, err = r.store.Claim(ctx, r.name)
		return err
	}, nil)
	if err != nil {
		return err
	}
	// The store refuses every Save with a lower epoch from now on. An older relay saves its announcement before it
	// sends, so an older relay can begin no further round.
	r.epoch = cp.Epoch
	// No relay of this name has saved a place yet.
	if cp.Offset == "" {
		r.note = note{From: r.start}
		return nil
	}
	r.saved = true
	// A checkpoint of a consumer, or a damaged one, is an error. If we began at the start instead, the target would
	// get all records a second time.
	r.note, err = parseNote(cp.Offset)
	return err
}

// resend sends the batches that the earlier relay has announced. Each of them may be stored already.
func (r *relay) resend(ctx context.Context, in *feed) error {
	if len(r.note.Counts) == 0 {
		return nil
	}
	// The counts of the note decide where batches end, and not the limits of today. With other cuts, the same number
	// would have other records, and the target would drop records or refuse the batch.
	round, err := in.collectAnnounced(ctx, r.note.Counts)
	if err != nil {
		return err
	}
	// The appender begins at the first announced batch. The target learns how many batches may be stored already,
	// because it must compare them with the stored batches and not store them again.
	if err := r.open(ctx, r.note.resumption(r.name, len(round.toSend()))); err != nil {
		return err
	}
	return r.deliver(ctx, round)
}

// forward announces a round, and sends it afterwards. In the other order, a kill between the two steps would leave
// batches in the target that the next relay cannot repeat.
func (r *relay) forward(ctx context.Context, round *round) error {
	if r.out == nil || time.Since(r.acked) > appenderSilence {
		// No batch is on its way, so we may open a new appender at the place of the note.
		if err := r.saveProgress(ctx); err != nil {
			return err
		}
		if err := r.open(ctx, r.note.resumption(r.name, 0)); err != nil {
			return err
		}
	}
	// The round before is acknowledged, because deliver has returned. So the new announcement may replace the
	// old announcement, and a round needs only one Save.
	r.note.From, r.note.Counts = round.from, round.counts
	if err := r.saveNote(ctx); err != nil {
		return err
	}
	return r.deliver(ctx, round)
}

// skip moves the note on without records. If the start is relative, such as Latest, skip saves the place at once. A
// relay that starts again would otherwise resolve the relative start to a later place, and lose the records in between.
func (r *relay) skip(ctx context.Context, to backend.Offset) error {
	relative := r.note.From.Relative()
	if to != r.note.From {
		r.note.From, r.saved = to, false
	}
	if relative {
		return r.saveNote(ctx)
	}
	return nil
}

// appenderSilence is how long an appender may be silent before we open a new appender. The value is far below the time after which
// any target forgets a silent producer.
const appenderSilence = time.Hour

func (r *relay) deliver(ctx context.Context, round *round) error {
	if err := r.out.deliver(ctx, r, round); err != nil {
		return err
	}
	// All batches of the round are acknowledged. The store still has the announcement. If the process is killed now,
	// the next relay sends the round again, and the target recognizes each of its batches.
	r.acked = time.Now()
	r.note = r.note.behind(round)
	r.saved = false
	return nil
}

// open makes an appender that goes on under the relay's name.
func (r *relay) open(ctx context.Context, from backend.Resumption) error {
	r.out.close()
	r.out = nil
	return r.retry(ctx, "resume at the target", func() error {
		a, origin, err := r.to.Resume(ctx, r.format, from)
		if err != nil {
			return err
		}
		// The target must be told the origin again when the batches of this appender come again. So the origin is in
		// the note, and forward saves the note before the first batch is sent.
		r.note.Origin = origin
		r.out = &outgoing{appender: a}
		return nil
	}, nil)
}

// limits returns the target's limits for the next batches.
func (r *relay) limits() backend.Limits {
	if r.out != nil {
		return r.out.appender.Limits()
	}
	// Before the first batch there is no appender. An appender without a session has no I/O, so we ask a new one.
	return r.to.NewAppender(r.format).Limits()
}

// saveProgress saves the place behind all sent records, unless the store has the place. Afterwards, a new relay has to send nothing
// again.
func (r *relay) saveProgress(ctx context.Context) error {
	if r.saved || r.note.From.Relative() {
		return nil
	}
	return r.saveNote(ctx)
}

func (r *relay) saveNote(ctx context.Context) error {
	// If the Save fails, nobody knows which note the store has, so a later saveProgress must save again.
	r.saved = false
	err := r.retry(ctx, "save the checkpoint", func() error {
		// A Save with a lost reply is repeated. The second Save stores the same note under the same epoch, so nothing
		// changes.
		return r.store.Save(ctx, r.name, checkpoint.Checkpoint{Offset: r.note.offset(), Epoch: r.epoch})
	}, nil)
	r.saved = err == nil
	return err
}

// leave saves the place once more if ctx has ended the relay between two rounds. While batches may be on their way, the
// announcement must stay.
func (r *relay) leave(ctx context.Context, err error) error {
	// If we saved a place behind the announced batches now, the next relay would not send them again, and a batch that
	// has not reached the target would be lost.
	if ctx.Err() == nil || len(r.note.Counts) > 0 {
		return err
	}
	// ctx has ended, so the Save needs a context of its own. The limit keeps a dead store from blocking the end of the
	// process.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if failed := r.saveProgress(bounded); failed != nil {
		return errors.Join(ctx.Err(), failed)
	}
	return ctx.Err()
}

// retry calls f until f succeeds, fails for good, or ctx ends. If progress is not nil and returns true after a failure, f has made
// progress before it failed, and the count of failures begins again.
func (c *config) retry(ctx context.Context, what string, f func() error, progress func() bool) error {
	for failures := 1; ; failures++ {
		err := f()
		switch {
		case err == nil:
			return nil
		// When ctx has ended, the caller gets the error of ctx, whatever the interrupted call has returned.
		case ctx.Err() != nil:
			return ctx.Err()
		// An indeterminate result is tried again too. With most targets this would store records twice. But the target
		// of a relay recognizes each batch by its number.
		case !errors.Is(err, backend.ErrTransient) && !errors.Is(err, backend.ErrIndeterminate):
			return fmt.Errorf("%s: %w", what, err)
		}
		if progress != nil && progress() {
			// After progress, the failure belongs to a new outage. Without this, a relay that runs for days would
			// wait the longest delay after each lost connection.
			failures = 1
		}
		delay := c.policy.Delay(failures, err)
		c.logger.WarnContext(ctx, "relay: trying again", "what", what, "failures", failures, "wait", delay, "error", err)
		if !backoff.Sleep(ctx, delay) {
			return ctx.Err()
		}
	}
}
