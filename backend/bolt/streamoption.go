package bolt

import (
	"fmt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

// A StreamOption changes what [DB.Stream] returns. A zero is the default, and [math.MaxInt] is no limit. After a negative
// value or a nil option, every operation on the stream fails with [backend.ErrRejected].
type StreamOption func(*streamConfig)

type streamConfig struct{ limits backend.Limits }

// completeStream checks the options and fills in the defaults.
func completeStream(opts []StreamOption) (backend.Limits, error) {
	var c streamConfig
	for _, o := range opts {
		if o == nil {
			return c.limits, fmt.Errorf("%w: %w", errNilOption, backend.ErrRejected)
		}
		o(&c)
	}
	limits, err := streamlog.CompleteLimits(c.limits,
		backend.Limits{BatchRecords: 10_000, BatchBytes: 4 << 20, RecordBytes: 4 << 20, InFlight: 16})
	limits.BatchBytes = atMost(limits.BatchBytes)
	limits.RecordBytes = atMost(limits.RecordBytes)
	return limits, err
}

// BatchRecords sets how many records a batch may hold. The default is 10,000.
func BatchRecords(n int) StreamOption {
	return func(c *streamConfig) { c.limits.BatchRecords = n }
}

// BatchBytes sets how many bytes the records of a batch may count together: values, header names and header values. The
// default is 4 MiB. A number above 1 GiB counts as 1 GiB.
func BatchBytes(n int) StreamOption {
	return func(c *streamConfig) { c.limits.BatchBytes = n }
}

// RecordBytes sets how many bytes one record may count. The default is 4 MiB. A number above 1 GiB counts as 1 GiB.
func RecordBytes(n int) StreamOption {
	return func(c *streamConfig) { c.limits.RecordBytes = n }
}

// InFlight sets how many batches a session takes before it waits until the first acks are received. All batches that
// have arrived at the beginning of a commit share its fsync. The default is 16.
func InFlight(n int) StreamOption {
	return func(c *streamConfig) { c.limits.InFlight = n }
}

// atMost keeps a limit below 2 GiB, the largest value of bbolt; 0 is no limit. bbolt would refuse a larger value, and
// every commit with the value would fail.
func atMost(limit int) int {
	const most = 1 << 30
	if limit == 0 {
		return most
	}
	return min(limit, most)
}
