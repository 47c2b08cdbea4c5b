package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/headrace/headrace/internal/backoff"
)

// An Option tunes a Producer. Without an option its default holds. A zero given to an option means zero, not the default.
type Option func(*config)

type config struct {
	linger        time.Duration
	batchRecords  int
	batchBytes    int
	bufferBytes   int
	drainTimeout  time.Duration
	ackTimeout    time.Duration
	idleTimeout   time.Duration
	atMostOnce    bool
	refusedInARow int
	hooks         hooks
	logger        *slog.Logger
	startLogger   *slog.Logger // for a failed attempt of New to open the sink
	retry         backoff.Policy
}

// leastIdle is the shortest IdleTimeout. The producer looks once in each IdleTimeout, also while a record lingers: with an IdleTimeout of
// some nanoseconds, the looks alone would keep a processor busy.
const leastIdle = time.Millisecond

func newConfig(opts []Option) (config, error) {
	c := config{
		linger:       5 * time.Millisecond,
		batchRecords: 10_000,
		batchBytes:   1 << 20,
		bufferBytes:  32 << 20,
		drainTimeout: 10 * time.Second,
		ackTimeout:   30 * time.Second,
		idleTimeout:  time.Minute,
		logger:       slog.New(slog.DiscardHandler),
		startLogger:  slog.Default(),
		retry:        backoff.Default(),
	}
	c.retry.Budget = backoff.Endless
	for _, o := range opts {
		if o == nil {
			return c, errors.New("producer: an option is nil")
		}
		o(&c)
	}
	for name, n := range map[string]int{
		"BatchRecords": c.batchRecords, "BatchBytes": c.batchBytes, "BufferBytes": c.bufferBytes,
	} {
		if n < 1 {
			return c, fmt.Errorf("producer: %s(%d): must be at least 1", name, n)
		}
	}
	if c.refusedInARow < 0 {
		return c, fmt.Errorf("producer: RefusedInARow(%d): must not be negative", c.refusedInARow)
	}
	if c.idleTimeout > 0 {
		c.idleTimeout = max(c.idleTimeout, leastIdle)
	}
	if c.logger == nil {
		return c, errors.New("producer: Logger(nil): leave the option out to log nothing")
	}
	if err := c.retry.Check(); err != nil {
		return c, fmt.Errorf("producer: %w", err)
	}
	return c, nil
}

// openingBudget returns how many attempts of the opening in New may fail before one more failure is final. When neither Attempts
// nor a deadline of ctx bounds the opening, the default number of attempts does. Without a bound New would never report a wrong address.
func (c *config) openingBudget(ctx context.Context) int {
	if _, bounded := ctx.Deadline(); !bounded && c.retry.Budget == backoff.Endless {
		return backoff.Default().Budget
	}
	return c.retry.Budget
}

// Linger is how long a batch may wait for more records, counted from its first record. The default is 5 ms. A batch does not
// linger when the batch is full, when a caller is blocked because the buffer is full, or when somebody waits for the batch
// while nothing else is in flight. With 0 or less a batch is sent as soon as the batch before has been handed to the store.
func Linger(d time.Duration) Option { return func(c *config) { c.linger = d } }

// BatchRecords is the most records in a batch. The limit of the store counts when it is smaller. The default is 10,000, so that
// small records fill a batch by their bytes. The minimum is 1.
func BatchRecords(n int) Option { return func(c *config) { c.batchRecords = n } }

// BatchBytes is the most bytes in a batch, by the store's own meter. The limit of the store counts when it is smaller. A larger
// record goes alone, if the store can hold the record. The default is 1 MiB, the minimum 1.
func BatchBytes(n int) Option { return func(c *config) { c.batchBytes = n } }

// BufferBytes bounds the memory for records that are not yet acknowledged. A record counts its bytes and about 100 bytes more, or
// 150 with a time or headers; a batch counts 1,000 bytes. A full buffer blocks Enqueue and fails TryEnqueue. A single record larger
// than BufferBytes is ErrTooLarge. Memory of acknowledged batches serves later batches or goes to the garbage collector; together
// with the memory in use it is at most about twice BufferBytes. The default is 32 MiB, the minimum 1.
func BufferBytes(n int) Option { return func(c *config) { c.bufferBytes = n } }

// DrainTimeout is how long Close waits for accepted records to become durable. The default is 10 s. With 0 or less Close does
// not wait.
func DrainTimeout(d time.Duration) Option { return func(c *config) { c.drainTimeout = d } }

// AckTimeout is how long the store may owe an acknowledgement. The time runs from the sending of the oldest batch that is not
// acknowledged, and starts again at every acknowledgement. When the time is over, the producer ends the session and sends
// every batch that is not acknowledged again on the next session. An opening that takes longer is also given up and tried
// again. The default is 30 s; 0 or less means no timeout.
func AckTimeout(d time.Duration) Option { return func(c *config) { c.ackTimeout = d } }

// IdleTimeout is how long the producer keeps a session with the store while there is nothing to send. A record that waits for
// its linger is something to send. The session ends after one to two times IdleTimeout, and the next record opens a session again,
// for the cost of an opening. There are two reasons to end the session. A service with a producer for each of many streams keeps
// connections only for the streams in use. And a network device may drop an idle connection without a word: the next record would
// then wait for [AckTimeout]. Without a session, a producer learns only with its next record that its stream was closed, or that
// another producer has taken its place. The default is a minute, the minimum a millisecond; with 0 or less a session stays open.
func IdleTimeout(d time.Duration) Option { return func(c *config) { c.idleTimeout = d } }

// Attempts is how many attempts in a row may fail without progress before the producer stops. A session that is lost and an
// opening that fails are attempts. Progress is an ack, or a session that lived for longer than 5 s and longer than the longest
// backoff, where the [AckTimeout] that ended a session does not count. By default there is no limit, and the producer tries
// until the store is back. The pauses between 13 attempts with the default [Backoff] take 16 to 31 s together. The minimum is 1.
//
// The number also holds for the opening in [New]. Without Attempts, New tries until the deadline of its context. When the
// context has no deadline, New tries 13 times, so that a wrong address is reported.
func Attempts(n int) Option { return func(c *config) { c.retry.Budget = n - 1 } }

// Backoff is how long the producer waits before it opens a session again: least at first, then twice as long each time, up to
// most. The upper half of each wait is random. When the store asks for a longer wait, the producer waits longer. The default
// is 50 ms to 5 s; with zeros the producer does not wait. least must not be negative, nor more than most.
func Backoff(least, most time.Duration) Option {
	return func(c *config) { c.retry.Base, c.retry.Max = least, most }
}

// AtMostOnce sends a batch again only when a resend cannot store the batch twice ([backend.ErrTransient]). When the batch may be
// stored and a resend might store the batch again ([backend.ErrIndeterminate] alone), the producer stops with the error.
func AtMostOnce() Option { return func(c *config) { c.atMostOnce = true } }

// RefusedInARow stops the producer when the store has refused n records in a row and has stored nothing between them, because
// then the store probably refuses everything. The pending records fail with the reason, but not with [backend.ErrRejected],
// because the store refused other records. Without this option, or with 0, there is no limit: each refused record fails by
// itself and the producer goes on. n must not be negative.
func RefusedInARow(n int) Option { return func(c *config) { c.refusedInARow = n } }

// Observe adds hooks. When Observe is given several times, the hooks are called in order.
func Observe(h Hooks) Option { return func(c *config) { c.hooks = append(c.hooks, h) } }

// Logger sets the logger for the operator's events: a session opened or lost, the begin and end of an outage of the store, a
// record refused, the reason why the producer stopped. By default only one event is logged, with [slog.Default]: the first failed
// attempt of [New] to open the sink. Without that warning, a wrong address would be silent until New gives up.
func Logger(l *slog.Logger) Option { return func(c *config) { c.logger, c.startLogger = l, l } }
