package zerobus

import (
	"fmt"
	"math"
	"time"

	"github.com/headrace/headrace/backend"
)

// A TableOption configures a [Sink]. A zero is the default. A negative value is an error at the opening of a stream.
type TableOption func(*tableConfig)

type tableConfig struct {
	pauseLimit time.Duration
	inFlight   int
}

// completeTable checks the options and fills in the defaults.
func completeTable(opts []TableOption) (tableConfig, error) {
	var c tableConfig
	for _, o := range opts {
		if o == nil {
			return c, fmt.Errorf("%w: %w", backend.ErrRejected, errNilOption)
		}
		o(&c)
	}
	switch {
	case c.pauseLimit < 0:
		return c, fmt.Errorf("PauseLimit(%v): must not be negative: %w", c.pauseLimit, backend.ErrRejected)
	case c.inFlight < 0:
		return c, fmt.Errorf("InFlight(%d): must not be negative: %w", c.inFlight, backend.ErrRejected)
	}
	if c.pauseLimit == 0 {
		c.pauseLimit = math.MaxInt64
	}
	if c.inFlight == 0 {
		c.inFlight = 1_000_000
	}
	return c, nil
}

// PauseLimit is how long a session waits for its last acks, at most, when the server has announced the end of the stream.
// Then the session half-closes the stream and reads to its end, for half a second at most. A batch without an
// ack is sent again. The default is as long as the server allows; a nanosecond is no pause at all.
func PauseLimit(d time.Duration) TableOption { return func(c *tableConfig) { c.pauseLimit = d } }

// InFlight is how many batches a session has sent and not seen acknowledged, at most. Each batch is a request. The default is
// 1,000,000. Then the producer's BufferBytes is the bound.
func InFlight(n int) TableOption { return func(c *tableConfig) { c.inFlight = n } }
