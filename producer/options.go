package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/headrace/headrace/internal/backoff"
)

// An Option tunes a Producer. An option that is not given leaves its default; a zero that is given means zero.
type Option func(*config)

type config struct {
	linger        time.Duration
	batchRecords  int
	batchBytes    int
	bufferBytes   int
	drainTimeout  time.Duration
	ackTimeout    time.Duration
	atMostOnce    bool
	refusedInARow int
	hooks         hooks
	logger        *slog.Logger
	retry         backoff.Policy
}

func newConfig(opts []Option) (config, error) {
	c := config{
		linger:       5 * time.Millisecond,
		batchRecords: 10_000,
		batchBytes:   1 << 20,
		bufferBytes:  32 << 20,
		drainTimeout: 10 * time.Second,
		ackTimeout:   30 * time.Second,
		logger:       slog.New(slog.DiscardHandler),
		retry:        backoff.Default(),
	}
	c.retry.Budget = backoff.Endless
	for _, o := range opts {
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
	if c.logger == nil {
		return c, errors.New("producer: Logger(nil): leave the option out to log nothing")
	}
	if err := c.retry.Check(); err != nil {
		return c, fmt.Errorf("producer: %w", err)
	}
	return c, nil
}

// opening is how many attempts the opening in New has beside the first. Without a bound of the user's an address that is
// wrong would never be reported.
func (c *config) opening(ctx context.Context) int {
	if _, bounded := ctx.Deadline(); !bounded && c.retry.Budget == backoff.Endless {
		return backoff.Default().Budget
	}
	return c.retry.Budget
}

// Linger is how long a batch may wait for more records, counted from its first. The default is 5 ms. A batch that is
// full, that holds up a blocked caller, or that somebody waits for while nothing else is on its way does not linger.
// Linger(0) sends a batch as soon as the one before has been handed to the store.
func Linger(d time.Duration) Option { return func(c *config) { c.linger = d } }

// BatchRecords is how many records go in one batch at most, and never more than the store's own limit. The default is
// 10,000, so that small records fill a batch by their bytes; it is at least 1.
func BatchRecords(n int) Option { return func(c *config) { c.batchRecords = n } }

// BatchBytes is how many bytes, by the store's own meter, go in one batch at most, and never more than the store's own
// limit. A record that is larger and that the store can hold goes alone. The default is 1 MiB; it is at least 1.
func BatchBytes(n int) Option { return func(c *config) { c.batchBytes = n } }

// BufferBytes bounds what the producer holds of records that are not yet acknowledged: their bytes, about 100 bytes for
// each, and 850 for each batch. A full buffer blocks Enqueue and fails TryEnqueue; a record that is larger by itself is
// ErrTooLarge. Memory of acknowledged batches serves the next ones, or else goes to the garbage collector: with what is
// held it is at most about twice BufferBytes. The default is 32 MiB; it is at least 1.
func BufferBytes(n int) Option { return func(c *config) { c.bufferBytes = n } }

// DrainTimeout is how long Close waits for what was accepted to become durable. The default is 10 s; 0 or less does not
// wait.
func DrainTimeout(d time.Duration) Option { return func(c *config) { c.drainTimeout = d } }

// AckTimeout is how long the store may owe an acknowledgement. It runs from the oldest batch that is not acknowledged,
// starts again at every acknowledgement, and ends the session: what is not acknowledged is sent again on the next one.
// An opening that takes longer is given up and tried again too. The default is 30 s; 0 or less means no timeout.
func AckTimeout(d time.Duration) Option { return func(c *config) { c.ackTimeout = d } }

// Attempts is how many sessions in a row may be lost, or not be opened, without progress, before the producer stops:
// an ack is progress, and so is a session that lived for longer than 5 s and the longest backoff, not counting the
// [AckTimeout] that ended it. By default there is no such number, and the producer tries until the store is back; 13 with
// the default [Backoff] is about half a minute. It is at least 1.
//
// The number holds for the opening in [New] too. Without this option New tries until its context's deadline, and 13 times
// when the context has none, so that a wrong address is reported.
func Attempts(n int) Option { return func(c *config) { c.retry.Budget = n - 1 } }

// Backoff is how long the producer waits before it opens a session again: least at first, then twice as long each time up
// to most, the upper half of it at random. A store that asks for more gets it. The default is 50 ms to 5 s; zeros do not
// wait.
func Backoff(least, most time.Duration) Option {
	return func(c *config) { c.retry.Base, c.retry.Max = least, most }
}

// AtMostOnce sends a batch again only when that cannot store it twice ([backend.ErrTransient]). Where it may be stored
// and might be stored again ([backend.ErrIndeterminate] alone), the producer stops with that error instead.
func AtMostOnce() Option { return func(c *config) { c.atMostOnce = true } }

// RefusedInARow stops the producer when the store has refused n records in a row and has stored nothing between them: it
// refuses everything. The records that are pending then fail with the reason, and not with [backend.ErrRejected], which is
// for those that the store refused. Without this option, or with 0, there is no limit: each record is refused by itself
// and the producer goes on.
func RefusedInARow(n int) Option { return func(c *config) { c.refusedInARow = n } }

// Observe adds hooks. Those given several times are called in order.
func Observe(h Hooks) Option { return func(c *config) { c.hooks = append(c.hooks, h) } }

// Logger receives what an operator wants to know: sessions lost and opened, when an outage of the store begins and ends,
// records refused, why the producer stopped.
// The default discards.
func Logger(l *slog.Logger) Option { return func(c *config) { c.logger = l } }
