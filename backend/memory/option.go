package memory

import (
	"fmt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

// An Option changes what [New] makes. A zero is the default, and [math.MaxInt] is no limit. After a negative value or a
// nil option, every operation on the stream fails with [backend.ErrRejected].
type Option func(*config)

type config struct{ limits backend.Limits }

// complete checks the options and fills in the defaults, which are the limits of an S2 batch.
func complete(opts []Option) (backend.Limits, error) {
	var c config
	for _, o := range opts {
		if o == nil {
			return c.limits, fmt.Errorf("an option is nil: %w", backend.ErrRejected)
		}
		o(&c)
	}
	return streamlog.CompleteLimits(c.limits, backend.Limits{BatchRecords: 1000, BatchBytes: 1 << 20, RecordBytes: 1 << 20, InFlight: 16})
}

// BatchRecords sets how many records a batch may hold. The default is 1,000. A Send with more records fails with
// [backend.ErrTooLarge].
func BatchRecords(n int) Option { return func(c *config) { c.limits.BatchRecords = n } }

// BatchBytes sets how many bytes the records of a batch may count together: values, header names and header values. The
// default is 1 MiB.
func BatchBytes(n int) Option { return func(c *config) { c.limits.BatchBytes = n } }

// RecordBytes sets how many bytes one record may count. The default is 1 MiB.
func RecordBytes(n int) Option { return func(c *config) { c.limits.RecordBytes = n } }

// InFlight sets how many batches a session takes before it waits until the first acks are received. The default is 16.
func InFlight(n int) Option { return func(c *config) { c.limits.InFlight = n } }
