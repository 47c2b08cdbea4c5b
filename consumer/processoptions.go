package consumer

import (
	"errors"
	"fmt"
	"slices"
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

// leastRate is the smallest RateLimit, one attempt in 32 years. The time between two attempts of a much smaller rate would overflow, and
// there would be no limit.
const leastRate = 1e-9

func newProcessConfig(opts []ProcessOption) (processConfig, error) {
	c := processConfig{concurrency: 1, retries: 3, backoff: backoff.Default()}
	for _, o := range opts {
		if o == nil {
			return c, errors.New("consumer: an option of Process is nil")
		}
		o(&c)
	}
	switch {
	case c.concurrency < 1:
		return c, fmt.Errorf("consumer: Concurrency(%d): must be at least 1", c.concurrency)
	case c.retries < 0:
		return c, fmt.Errorf("consumer: Retries(%d): must be at least 0", c.retries)
	case c.attemptTimeout < 0:
		return c, fmt.Errorf("consumer: AttemptTimeout(%v): must be at least 0", c.attemptTimeout)
	case c.limited && !(c.perSecond >= leastRate): // NaN too
		return c, fmt.Errorf("consumer: RateLimit(%v): must be at least %v", c.perSecond, leastRate)
	}
	if err := c.backoff.Check(); err != nil {
		return c, fmt.Errorf("consumer: Retry%w", err) // the policy calls its option Backoff
	}
	return c, nil
}

// Concurrency sets how many handlers run at once. The default and the minimum are 1. Above 1 and without [Consumer.KeyBy],
// records have no order. The goroutines of the handlers start when records need them.
func Concurrency(n int) ProcessOption { return func(c *processConfig) { c.concurrency = n } }

// Retries sets how many further attempts a record has after the first. The default is 3, the minimum 0: no further attempt.
func Retries(n int) ProcessOption { return func(c *processConfig) { c.retries = n } }

// RetryBackoff sets the pause before another attempt at a record: least before the second attempt, then twice as long before
// each later attempt, up to most. The upper half of each pause is random. The default is 50 ms and 5 s; least must not be negative,
// nor more than most. While a record waits, records of other keys go on.
func RetryBackoff(least, most time.Duration) ProcessOption {
	return func(c *processConfig) { c.backoff.Base, c.backoff.Max = least, most }
}

// AttemptTimeout ends the ctx of a handler after d. The default and the minimum are 0: the ctx does not end. If a handler goes on
// after the end of its ctx, a warning names its record 2d after the beginning of the attempt; nothing can end such a handler.
func AttemptTimeout(d time.Duration) ProcessOption {
	return func(c *processConfig) { c.attemptTimeout = d }
}

// RateLimit spreads the beginnings of attempts: at most perSecond in a second, over all handlers. perSecond must be at least 1e-9.
// By default there is no limit.
func RateLimit(perSecond float64) ProcessOption {
	return func(c *processConfig) { c.perSecond, c.limited = perSecond, true }
}

// Use puts a function around the handler, for tracing, metrics and logging. The function runs once for each attempt. If
// Use is given several times, the first function is the outermost.
func Use[T any](middleware func(Handler[T]) Handler[T]) ProcessOption {
	return func(c *processConfig) { c.middleware = append(c.middleware, middleware) }
}

// KeyBy keeps the order of records with the same key: a record begins when the record before it is done or given up.
// Records of different keys run at the same time, up to [Concurrency]. key must be fast and have no side effects.
func (c *Consumer[T]) KeyBy(key func(T) string) ProcessOption {
	return func(p *processConfig) { p.key = key }
}

// keyFunc returns the function of KeyBy, or nil. A processConfig has no type parameter, so it holds the function as an any.
func keyFunc[T any](c *processConfig) (func(T) string, error) {
	if c.key == nil {
		return nil, nil
	}
	key, ok := c.key.(func(T) string)
	if !ok || key == nil {
		return nil, errors.New("consumer: KeyBy: the function is nil or of another consumer's type")
	}
	return key, nil
}

// withMiddleware returns h inside the functions of Use.
func withMiddleware[T any](c *processConfig, h Handler[T]) (Handler[T], error) {
	for _, m := range slices.Backward(c.middleware) {
		use, ok := m.(func(Handler[T]) Handler[T])
		if !ok || use == nil {
			return nil, errors.New("consumer: Use: the function is nil or of another consumer's type")
		}
		h = use(h)
	}
	return h, nil
}
