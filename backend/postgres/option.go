package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// An Option is an option of [Open]. A zero is the default. A negative value and a nil option are errors of Open.
type Option func(*config)

type config struct {
	poll        time.Duration
	recordBytes int
}

// complete checks the options and fills in the defaults.
func complete(opts []Option) (config, error) {
	var c config
	for _, o := range opts {
		if o == nil {
			return c, errors.New("an option is nil")
		}
		o(&c)
	}
	switch {
	case c.poll < 0:
		return c, fmt.Errorf("Poll(%v): must not be negative", c.poll)
	case c.recordBytes < 0:
		return c, fmt.Errorf("RecordBytes(%d): must not be negative", c.recordBytes)
	}
	c.poll = max(cmp.Or(c.poll, time.Second), time.Millisecond)
	c.recordBytes = cmp.Or(c.recordBytes, 1<<20)
	return c, nil
}

// Poll sets how often a query asks for new records without a notification. One query asks for all waiting readers of the
// [DB]. The default is 1 s. A time below 1 ms counts as 1 ms. For streams whose new records are hidden by an older
// running transaction, a query asks every 20 ms, because no notification reports the end of that transaction.
func Poll(d time.Duration) Option { return func(c *config) { c.poll = d } }

// RecordBytes sets the size of the largest record, value and headers together. The default is 1 MiB. PostgreSQL itself
// stores no value of 1 GiB or more.
func RecordBytes(n int) Option { return func(c *config) { c.recordBytes = n } }
