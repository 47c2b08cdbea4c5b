package consumer

import (
	"errors"
	"fmt"
	"time"

	"github.com/headrace/headrace/internal/backoff"
)

// A ProcessOption tunes [Consumer.Process].
type ProcessOption func(*processConfig)

type processConfig struct {
	concurrency    int
	retries        int
	backoff        backoff.Policy
	attemptTimeout time.Duration
	perSecond      float64
	limited        bool
	key            any   // func(T) string; nil: records have no order
	middleware     []any // func(Handler[T]) Handler[T], the outermost first
}

func newProcessConfig(opts []ProcessOption) (processConfig, error) {
	c := processConfig{concurrency: 1, retries: 3, backoff: backoff.Default()}
	for _, o := range opts {
		o(&c)
	}
	switch {
	case c.concurrency < 1:
		return c, fmt.Errorf("consumer: Concurrency(%d): must be at least 1", c.concurrency)
	case c.retries < 0:
		return c, fmt.Errorf("consumer: Retries(%d): must be at least 0", c.retries)
	case c.attemptTimeout < 0:
		return c, fmt.Errorf("consumer: AttemptTimeout(%v): must be at least 0", c.attemptTimeout)
	case c.limited && !(c.perSecond > 0):
		return c, fmt.Errorf("consumer: RateLimit(%v): must be more than 0", c.perSecond)
	}
	if err := c.backoff.Check(); err != nil {
		return c, errors.Join(errors.New("consumer: RetryBackoff"), err)
	}
	return c, nil
}

// Concurrency is how many handlers run at once, 1 unless given. Above 1, and without [Consumer.KeyBy], records have no order.
func Concurrency(n int) ProcessOption { return func(c *processConfig) { c.concurrency = n } }

// Retries is how many further attempts a record has after the first, 3 unless given; 0: none.
func Retries(n int) ProcessOption { return func(c *processConfig) { c.retries = n } }

// RetryBackoff bounds the pause before another attempt at a record: about least before the second attempt, twice as long before
// each later one, up to most. 50 ms and 5 s unless given. While a record waits, records of other keys go on.
func RetryBackoff(least, most time.Duration) ProcessOption {
	return func(c *processConfig) { c.backoff.Base, c.backoff.Max = least, most }
}

// AttemptTimeout ends the ctx of a handler after d, 0 for never, which is the default. A handler that goes on all the same is
// named in a warning after twice that time; nothing can end it.
func AttemptTimeout(d time.Duration) ProcessOption {
	return func(c *processConfig) { c.attemptTimeout = d }
}

// RateLimit spreads the beginnings of attempts: at most so many a second, over all handlers. No limit unless given.
func RateLimit(perSecond float64) ProcessOption {
	return func(c *processConfig) { c.perSecond, c.limited = perSecond, true }
}

// Use puts a function around the handler, for tracing, metrics and logging: it runs once an attempt. Of several, the first given
// is the outermost.
func Use[T any](middleware func(Handler[T]) Handler[T]) ProcessOption {
	return func(c *processConfig) { c.middleware = append(c.middleware, middleware) }
}

// KeyBy keeps the order of records with the same key: one begins when the one before is done or given up. Records of different
// keys run at the same time, up to [Concurrency]. key must be fast and pure.
func (c *Consumer[T]) KeyBy(key func(T) string) ProcessOption {
	return func(p *processConfig) { p.key = key }
}

// typed returns what the options hold of T.
func typed[T any](c *processConfig, h Handler[T]) (Handler[T], func(T) string, error) {
	var key func(T) string
	if c.key != nil {
		var ok bool
		if key, ok = c.key.(func(T) string); !ok || key == nil {
			return nil, nil, errors.New("consumer: KeyBy: the function is nil or of another consumer's type")
		}
	}
	for i := len(c.middleware) - 1; i >= 0; i-- {
		use, ok := c.middleware[i].(func(Handler[T]) Handler[T])
		if !ok || use == nil {
			return nil, nil, errors.New("consumer: Use: the function is nil or of another consumer's type")
		}
		h = use(h)
	}
	return h, key, nil
}
