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

// An Option tunes a Consumer. Without an option its default applies; a zero that is given means zero.
type Option func(*config)

type config struct {
	hasStore     bool // Checkpoint was given
	store        checkpoint.Store
	key          string
	every        int
	interval     time.Duration
	startAt      backend.Offset
	stops        bool           // StopAt or StopAtTail was given
	stopAt       backend.Offset // Latest: the tail
	manual       bool
	batchRecords int
	batchWait    time.Duration
	mergeWait    time.Duration
	bufferBytes  int
	decoders     int
	drainTimeout time.Duration
	onPoison     func(*DecodeError) error // nil until newConfig sets the default
	hasLetters   bool                     // DeadLetters was given
	letters      letterbox
	hooks        hooks
	logger       *slog.Logger
	startLogger  *slog.Logger // until a loop has read its first batch
	retry        backoff.Policy
}

// newConfig applies opts to the defaults and checks the result.
// leastInterval is the shortest interval of CheckpointEvery. The loop looks for something to save in each interval, also while no record
// comes: with an interval of some nanoseconds, the looks alone would keep a processor busy.
const leastInterval = time.Millisecond

func newConfig(opts []Option) (config, error) {
	c := config{
		interval:     time.Second, // a restart repeats up to a second of work, and a save each second costs little
		startAt:      backend.Earliest,
		batchRecords: 1000,
		batchWait:    5 * time.Millisecond, // as the producer's Linger
		mergeWait:    100 * time.Millisecond,
		bufferBytes:  8 << 20, // fills a line of 640 Mbit/s with a round trip of 100 ms
		decoders:     1,
		drainTimeout: 10 * time.Second,
		logger:       slog.New(slog.DiscardHandler),
		startLogger:  slog.Default(),
		retry:        backoff.Default(),
	}
	// A consumer survives an outage without a limit. A supervisor that restarted the process could only try again, too.
	c.retry.Budget = backoff.Endless
	for _, o := range opts {
		if o == nil {
			return c, errors.New("consumer: an option is nil")
		}
		o(&c)
	}
	if err := c.check(); err != nil {
		return c, err
	}
	if c.hasStore {
		// A process may run a consumer for each of many streams. Without the key a line of the log does not tell which it is.
		c.logger, c.startLogger = c.logger.With("key", c.key), c.startLogger.With("key", c.key)
	}
	if c.interval > 0 {
		c.interval = max(c.interval, leastInterval)
	}
	if c.onPoison == nil {
		c.onPoison = Stop
		if c.hasLetters {
			c.onPoison = Skip
		}
	}
	return c, nil
}

// check returns what is wrong with a value that an option was given.
func (c *config) check() error {
	for name, n := range map[string]int{
		"BatchRecords": c.batchRecords, "BufferBytes": c.bufferBytes, "Decoders": c.decoders,
	} {
		if n < 1 {
			return fmt.Errorf("consumer: %s(%d): must be at least 1", name, n)
		}
	}
	if c.logger == nil {
		return errors.New("consumer: Logger(nil): leave the option out to log nothing")
	}
	if err := c.retry.Check(); err != nil {
		return fmt.Errorf("consumer: %w", err)
	}
	if c.drainTimeout <= 0 {
		return fmt.Errorf("consumer: DrainTimeout(%v): must be more than 0, otherwise the last place is never saved", c.drainTimeout)
	}
	if c.hasStore {
		if c.store == nil {
			return errors.New("consumer: Checkpoint: the store is nil: leave the option out to keep no checkpoint")
		}
		if err := checkpoint.CheckKey(c.key); err != nil {
			return fmt.Errorf("consumer: Checkpoint: %w", err)
		}
	}
	if c.startAt == "" {
		return errors.New(`consumer: StartAt(""): an empty offset is not a place; use Earliest for the start of the stream`)
	}
	if c.stops && c.stopAt == "" {
		return errors.New(`consumer: StopAt(""): an empty offset is not a place`)
	}
	if c.hasLetters && c.letters == nil {
		return errors.New("consumer: DeadLetters: the producer is nil")
	}
	return nil
}

// Checkpoint keeps the consumer's place in store under key. The key should contain the stream's name, because nothing
// else ties the key to the stream. Every loop claims the key. Of several consumers on one key, the newest reads on, and
// the others end with [backend.ErrFenced]. Without Checkpoint a consumer forgets its place at its end.
func Checkpoint(store checkpoint.Store, key string) Option {
	return func(c *config) { c.hasStore, c.store, c.key = true, store, key }
}

// CheckpointEvery sets when the place is saved: as soon as n records are done and not saved, and after every d. The
// default is 0 records and 1 s. With an n or d of 0 or less there is no bound by n or d; otherwise d is at least a millisecond.
// Without both bounds the place is saved only at the end of the loop and by [Consumer.Commit].
//
// The loop waits for each save. After a kill a consumer sees up to n records again, in addition to the records in hand; n
// costs a save for every n records. Nothing is saved while the loop's body runs.
func CheckpointEvery(n int, d time.Duration) Option {
	return func(c *config) { c.every, c.interval = n, d }
}

// StartAt sets where to begin when there is no checkpoint; the default is [backend.Earliest]. A relative start, such as
// [backend.Latest], is used until the first batch tells the absolute place. The consumer remembers the absolute place,
// and saves the place before handing out the first record. Therefore neither a reconnect nor a restart moves the start.
func StartAt(o backend.Offset) Option { return func(c *config) { c.startAt = o } }

// StopAtTail ends the loop without an error, when everything up to the tail is done. The tail is taken when the loop
// begins. Records that are appended later, by the loop's body or by others, are left to the next loop.
//
// Sometimes the loop cannot find the place of the tail while reading; then the loop ends where the loop next reaches the
// tail. A store may write a place in several ways, as Durable Streams does within an answer, or filter out the records at
// the place.
func StopAtTail() Option { return StopAt(backend.Latest) }

// StopAt ends the loop without an error before the place at, when all records before at are done. Use StopAt for a part
// of a stream: to process records again up to the place of another consumer, or to process the records of a day. at may
// be a start: [backend.AtTime](t) ends the loop before the first record with the time t or later. The loop looks a start
// up at its beginning: a future time stands for the present tail.
//
// The loop does not go on behind the tail either: if the loop cannot find the place at while reading, the loop ends as
// [StopAtTail] says. A loop that begins behind at ends at once where the source is a [backend.Tailer]; with other sources
// the loop goes on to the tail. Of StopAt and StopAtTail, the last given option counts.
func StopAt(at backend.Offset) Option { return func(c *config) { c.stops, c.stopAt = true, at } }

// ManualAck means: only [Message.Ack] marks records done, from any goroutine and in any order. The checkpoint follows the
// low-water mark and never passes an unmarked record. The checkpoint lists marked records behind the mark, and after a
// restart listed records do not come again.
//
// Mark records in time, or from another goroutine, because an unmarked record can stop the loop. Reading stops while the
// records from the first unmarked record on fill [BufferBytes], or leave about 1,000 gaps between marked records. At the
// end or, with [StopAtTail], at the tail, the loop waits until all records are marked. While the loop waits in one of
// these two ways and no record is finished, a warning with the offset of the first unmarked record is logged once a
// minute.
//
// ManualAck does not change [Consumer.Pipe].
func ManualAck() Option { return func(c *config) { c.manual = true } }

// BatchRecords sets how many records [Consumer.Batches] hands out at once at most. The default is 1,000, the minimum is
// 1.
func BatchRecords(n int) Option { return func(c *config) { c.batchRecords = n } }

// BatchWait sets how long [Consumer.Batches] waits for more records, counted from the arrival of the first record of
// the batch. The default is 5 ms. With 0 or less, Batches hands out the records that have been read.
func BatchWait(d time.Duration) Option { return func(c *config) { c.batchWait = d } }

// MergeWait sets how long the stream must have been at its tail before [Merge] stops waiting for the stream and gives out
// records of other streams. Choose MergeWait longer than the way of a record into the stream: a late record comes out of
// order. The default is 100 ms. With 0 or less, Merge goes on as soon as the stream is at its tail.
func MergeWait(d time.Duration) Option { return func(c *config) { c.mergeWait = d } }

// BufferBytes bounds the unfinished records in memory: their bytes as read, and 160 bytes more for each. Reading goes on
// while there is room, so one batch of the store comes on top of the bound. Bytes that the codec copies into the decoded
// values, for example into strings, do not count and come on top too. The bound should be as large as several batches of
// the store; otherwise reading does not run ahead. Under [ManualAck] and in [Consumer.Pipe], BufferBytes also
// limits the records in work. The default is 8 MiB, the minimum is 1.
func BufferBytes(n int) Option { return func(c *config) { c.bufferBytes = n } }

// Decoders sets how many goroutines decode records ahead of the loop. The order of the records is kept. The default is
// 1; [codec.Bytes] has nothing to decode, and takes no goroutine by default. Use more when the codec needs more than about
// a microsecond for a record and there are idle cores.
func Decoders(n int) Option { return func(c *config) { c.decoders = n } }

// Attempts sets how many times in a row reading, claiming or saving may fail without progress. Then the loop ends with
// the error, and the error is final and not [backend.ErrTransient] any more. Progress is a new place, a reader that
// reached the tail, or a reader that lived for longer than 5 s and the longest backoff. Without this option there is no
// limit: the consumer tries again, as [Backoff] says, until the store is back or the loop's ctx is over. The minimum is
// 1.
func Attempts(n int) Option { return func(c *config) { c.retry.Budget = n - 1 } }

// Backoff sets how long the consumer waits before another attempt: least at first, then twice as long each time, up to
// most. The upper half of each wait is random. A store may ask for a longer wait. The default is 50 ms to 5 s; with zeros
// the consumer does not wait. least must not be negative, nor more than most.
func Backoff(least, most time.Duration) Option {
	return func(c *config) { c.retry.Base, c.retry.Max = least, most }
}

// DrainTimeout sets a limit for each step at the end of a loop: how long unfinished dead letters may take to become durable, how
// long a stopped [Consumer.Pipe] waits for its receipts, how long the handlers of a stopped [Consumer.Process] may go on, and how
// long the save of the last place may take. These limits hold even when the ctx of the loop is over. The default is 10 s; d must
// be more than 0.
func DrainTimeout(d time.Duration) Option { return func(c *config) { c.drainTimeout = d } }

// OnPoison decides about a record that cannot be decoded. When decide returns nil, the record is skipped; when decide
// returns an error, the loop ends with the error, before the record. Use [Skip], [Stop] or a function of your own; the
// loop calls decide in its own goroutine and in order. The default is Stop and, with [DeadLetters], Skip.
func OnPoison(decide func(*DecodeError) error) Option { return func(c *config) { c.onPoison = decide } }

// DeadLetters sends given-up records to the producer to: a record that [Consumer.Process] gives up, a record that
// [OnPoison] skips, and in [Consumer.Pipe] a record that the destination refuses. to is a Producer[DeadLetter], or any
// other value whose Send returns when the letters are durable. The checkpoint does not pass the record before Send has
// returned. If Send fails or panics, the loop ends before the record. Process and Pipe call Send from several goroutines.
func DeadLetters(to interface {
	Send(context.Context, ...DeadLetter) error
}) Option {
	return func(c *config) {
		if c.hasLetters, c.letters = true, nil; to != nil {
			c.letters = carefulLetters{to}
		}
	}
}

// Observe adds hooks. Given several times, all hooks are called, in order.
func Observe(h Hooks) Option { return func(c *config) { c.hooks = append(c.hooks, h) } }

// Logger receives news for an operator: lost and reopened readers, poison, and failed saves. By default only one event is
// logged, with [slog.Default]: a loop cannot read its first batch, and tries again. Without the warning, a consumer with
// a wrong address would try for ever and say nothing. With [Checkpoint], every event has the attribute "key".
func Logger(l *slog.Logger) Option { return func(c *config) { c.logger, c.startLogger = l, l } }
