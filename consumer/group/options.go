package group

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/consumer/group/lease"
)

// An Option tunes a Group. Without an option its default applies.
type Option func(*config)

type config struct {
	member      string
	lease       time.Duration
	drain       time.Duration
	consumer    []consumer.Option
	logger      *slog.Logger
	startLogger *slog.Logger // until the first renewal
	hooks       []Hooks
}

// roundsPerLease is how often a member renews in the time of a lease. Two renewals may fail before a member has to stop.
const roundsPerLease = 5

func newConfig(opts []Option) (config, error) {
	c := config{lease: 15 * time.Second, drain: 3 * time.Second, logger: slog.New(slog.DiscardHandler), startLogger: slog.Default()}
	for _, o := range opts {
		if o == nil {
			return c, errors.New("group: an option is nil")
		}
		o(&c)
	}
	if c.member == "" {
		host, err := os.Hostname()
		if err != nil {
			return c, fmt.Errorf("group: the host has no name, use the option Member: %w", err)
		}
		c.member = host
	}
	switch {
	case c.logger == nil:
		return c, errors.New("group: Logger(nil): leave the option out to log nothing")
	case c.lease < 100*time.Millisecond:
		return c, fmt.Errorf("group: LeaseTime(%v): must be at least 100 ms, because it must be longer than a few calls of the database", c.lease)
	case c.drain <= 0:
		return c, fmt.Errorf("group: DrainTimeout(%v): must be more than 0, otherwise nothing in hand is finished", c.drain)
	case c.drain > c.lease/4:
		return c, fmt.Errorf("group: LeaseTime(%v) must be at least 4 times DrainTimeout(%v), so that the work in hand ends before the lease", c.lease, c.drain)
	case len(c.member) > lease.MemberBytes-idBytes:
		return c, fmt.Errorf("group: Member: the name has %d bytes, the limit is %d", len(c.member), lease.MemberBytes-idBytes)
	}
	if c.logger == c.startLogger { // Logger was given
		// The consumers log there too. A logger among the options of Consumer comes later, and counts.
		c.consumer = append([]consumer.Option{consumer.Logger(c.logger)}, c.consumer...)
	}
	return c, nil
}

// Member names this process, for people who look into the database. The default is the name of the host. Two members
// may have one name. A name has at most 239 bytes; the rest of [lease.MemberBytes] is for the random part.
func Member(name string) Option { return func(c *config) { c.member = name } }

// LeaseTime sets how long a lease lasts without renewal. LeaseTime bounds how long a stream stands still after its member
// was killed, and how long a database may be away before members stop. The default is 15 s, the minimum is 100 ms and 4
// times DrainTimeout. Give all members the same.
func LeaseTime(d time.Duration) Option { return func(c *config) { c.lease = d } }

// DrainTimeout sets how long the work in hand may go on after a member has stopped reading a stream to give it away.
// Then the ctx of the work ends. The same time again is for saving. The default is 3 s; d must be more than 0, and at most a quarter
// of LeaseTime.
func DrainTimeout(d time.Duration) Option { return func(c *config) { c.drain = d } }

// Consumer gives options to the consumer of every stream. Checkpoint and DrainTimeout among them have no effect: the
// group sets them.
func Consumer(opts ...consumer.Option) Option {
	return func(c *config) { c.consumer = append(c.consumer, opts...) }
}

// Logger receives news for an operator: streams that begin and end, lost leases, outages of the database. The consumers
// of the streams log there too, unless [Consumer] gives them another logger. By default only one event is logged, with
// [slog.Default]: the group cannot reach its database, or list its streams, for the first time.
func Logger(l *slog.Logger) Option { return func(c *config) { c.logger, c.startLogger = l, l } }
