package consumer

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

// An Option tunes a Consumer. An option that is not given leaves its default; a zero that is given means zero.
type Option func(*config)

type config struct {
	stored       bool // Checkpoint was given
	store        checkpoint.Store
	key          string
	every        int
	interval     time.Duration
	startAt      backend.Offset
	stopAtTail   bool
	manual       bool
	batchRecords int
	batchWait    time.Duration
	bufferBytes  int
	decoders     int
	drainTimeout time.Duration
	onPoison     func(*DecodeError) error // nil: not given
	posted       bool                     // DeadLetters was given
	letters      letterbox
	hooks        hooks
	logger       *slog.Logger
	retry        backoff.Policy
}

func newConfig(opts []Option) (config, error) {
	c := config{
		interval:     time.Second, // what a restart repeats, against one save a second
		startAt:      backend.Earliest,
		batchRecords: 1000,
		batchWait:    5 * time.Millisecond, // the producer's Linger
		bufferBytes:  8 << 20,              // a 640 Mbit/s line with a round trip of 100 ms
		decoders:     1,
		drainTimeout: 10 * time.Second,
		logger:       slog.New(slog.DiscardHandler),
		retry:        backoff.Default(),
	}
	// A consumer outlives an outage: whoever restarted it could do no more than try again.
	c.retry.Budget = backoff.Endless
	for _, o := range opts {
		o(&c)
	}
	for name, n := range map[string]int{
		"BatchRecords": c.batchRecords, "BufferBytes": c.bufferBytes, "Decoders": c.decoders,
	} {
		if n < 1 {
			return c, fmt.Errorf("consumer: %s(%d): must be at least 1", name, n)
		}
	}
	if c.logger == nil {
		return c, errors.New("consumer: Logger(nil): leave the option out to log nothing")
	}
	if err := c.retry.Check(); err != nil {
		return c, fmt.Errorf("consumer: %w", err)
	}
	if c.drainTimeout <= 0 {
		return c, fmt.Errorf("consumer: DrainTimeout(%v): must be more than 0, or no place is ever saved", c.drainTimeout)
	}
	if c.stored {
		if c.store == nil {
			return c, errors.New("consumer: Checkpoint: the store is nil")
		}
		if err := checkpoint.CheckKey(c.key); err != nil {
			return c, fmt.Errorf("consumer: Checkpoint: %w", err)
		}
	}
	if c.startAt == "" {
		return c, errors.New(`consumer: StartAt(""): an empty offset is no place; Earliest is the start of the stream`)
	}
	if c.posted && c.letters == nil {
		return c, errors.New("consumer: DeadLetters: nil")
	}
	if c.onPoison == nil {
		c.onPoison = Stop
		if c.posted {
			c.onPoison = Skip
		}
	}
	return c, nil
}

// Checkpoint keeps the consumer's place in store under key, which should hold the stream's name: nothing else ties the
// two together. Every loop claims the key, so of several consumers on one key the newest reads on and the others end
// with [backend.ErrFenced]. Without it a consumer remembers its place only as long as it lives.
func Checkpoint(store checkpoint.Store, key string) Option {
	return func(c *config) { c.stored, c.store, c.key = true, store, key }
}

// CheckpointEvery is when the place is saved: as soon as n records are done and not saved, and every d. The default is 0
// records and 1 s; an n or d of 0 or less does not count, and without both the place is saved at the end of the loop and
// by [Consumer.Commit] only. The loop waits for a save, so n bounds what a killed consumer sees again, besides what it
// has in hand, and costs one save per n records. Nothing is saved while the loop's body runs.
func CheckpointEvery(n int, d time.Duration) Option {
	return func(c *config) { c.every, c.interval = n, d }
}

// StartAt is where to begin when there is no checkpoint; the default is [backend.Earliest]. A relative start is tried
// until the first batch says which place it is. That place is remembered, and saved before the first record is handed
// out, so that neither a reconnect nor a restart moves it.
func StartAt(o backend.Offset) Option { return func(c *config) { c.startAt = o } }

// StopAtTail ends the loop, without an error, once everything up to the tail as of its beginning is done. What is appended
// after that, by the loop's body or by others, is left to the next loop. Where the loop cannot see that place go by, it ends
// where it next reaches the tail: that happens where a store writes one place in several ways, as Durable Streams does
// within an answer, and where the records at that place are filtered out.
func StopAtTail() Option { return func(c *config) { c.stopAtTail = true } }

// ManualAck leaves it to [Message.Ack] to mark records done, from any goroutine and in any order. The checkpoint
// follows the low-water mark: it never passes a record that is not marked. Reading stops while the records from the
// first unmarked one on fill [BufferBytes], and a loop that has reached the end or, with [StopAtTail], the tail waits
// until all are marked; so mark in time or from another goroutine. While either lasts and no record is finished, a warning
// with the offset of the first unmarked record is logged once a minute. [Consumer.Pipe] is not affected.
func ManualAck() Option { return func(c *config) { c.manual = true } }

// BatchRecords is how many records [Consumer.Batches] hands out at once at most. The default is 1,000; it is at least 1.
func BatchRecords(n int) Option { return func(c *config) { c.batchRecords = n } }

// BatchWait is how long [Consumer.Batches] waits for more records, counted from the arrival of a batch's first. The
// default is 5 ms. BatchWait(0) hands out what has been read.
func BatchWait(d time.Duration) Option { return func(c *config) { c.batchWait = d } }

// BufferBytes bounds what has been read and is not done: the records' bytes, as read, and 160 bytes for each. Reading
// goes on while there is room, so one batch of the store's comes on top. It should hold several such batches, or reading
// does not run ahead; under [ManualAck] and in [Consumer.Pipe] it is also the window of records on their way. The
// default is 8 MiB; it is at least 1.
func BufferBytes(n int) Option { return func(c *config) { c.bufferBytes = n } }

// Decoders is how many goroutines decode, ahead of the loop. The order of records is kept. The default is 1. More are
// for codecs that cost more than about a microsecond a record and cores that have nothing else to do.
func Decoders(n int) Option { return func(c *config) { c.decoders = n } }

// Attempts is how many times in a row reading, claiming or saving may fail without progress before the loop ends with the
// error, which is then final and no longer [backend.ErrTransient]. A new place is progress, and so is a reader that
// reached the tail, or that lived for longer than 5 s and the longest backoff. Without this option there is no limit: the
// consumer tries again, as patiently as [Backoff] says, until the store is back or the loop's ctx is over. It is at least 1.
func Attempts(n int) Option { return func(c *config) { c.retry.Budget = n - 1 } }

// Backoff is how long the consumer waits before it tries again: least at first, then twice as long each time up to most,
// the upper half of it at random. A store that asks for more gets it. The default is 50 ms to 5 s; zeros do not wait.
func Backoff(least, most time.Duration) Option {
	return func(c *config) { c.retry.Base, c.retry.Max = least, most }
}

// DrainTimeout is how long the end of a loop may take to save the last place, whatever has become of its ctx; and, before
// that, how long dead letters that are on their way get to become durable, and how long a [Consumer.Pipe] that was
// stopped waits for the receipts it was given. The default is 10 s.
func DrainTimeout(d time.Duration) Option { return func(c *config) { c.drainTimeout = d } }

// OnPoison decides about a record that cannot be decoded: nil skips it, an error ends the loop with that error before
// the record. Give it [Skip], [Stop] or a function, which is called in the loop's goroutine, in order. The default is
// Stop and, with [DeadLetters], Skip.
func OnPoison(decide func(*DecodeError) error) Option { return func(c *config) { c.onPoison = decide } }

// DeadLetters sends every record that is given up to to: one that [OnPoison] skips, and in [Consumer.Pipe] one that the
// destination refuses. to is a Producer[DeadLetter], or anything else whose Send returns when the letters are durable. No
// checkpoint passes the record before that. A Send that fails ends the loop before the record. A Pipe calls Send from two
// goroutines.
func DeadLetters(to interface {
	Send(context.Context, ...DeadLetter) error
}) Option {
	return func(c *config) { c.posted, c.letters = true, to }
}

// Observe adds hooks. Those given several times are called in order.
func Observe(h Hooks) Option { return func(c *config) { c.hooks = append(c.hooks, h) } }

// Logger receives what an operator wants to know: readers lost and opened, poison, saves that failed. The default
// discards.
func Logger(l *slog.Logger) Option { return func(c *config) { c.logger = l } }
