package bolt

import (
	"os"

	"github.com/headrace/headrace/backend"
)

// An Option changes how [Open] opens a file.
type Option func(*config)

type config struct {
	mode      os.FileMode
	fileBytes int
}

// FileMode sets the mode of a file that Open creates. The default is 0600.
func FileMode(mode os.FileMode) Option { return func(c *config) { c.mode = mode } }

// FileBytes sets how large the file may grow. An append beyond it fails and stores nothing, until a trim has made room.
// The default is 0: only the disk limits the file. The file grows in steps of 16 MiB, and the last step must fit.
func FileBytes(n int) Option { return func(c *config) { c.fileBytes = max(n, 0) } }

// A StreamOption changes what [DB.Stream] returns.
type StreamOption func(*streamConfig)

type streamConfig struct{ limits backend.Limits }

// BatchRecords sets how many records a batch may hold. The default is 10,000; 0 means no limit.
func BatchRecords(n int) StreamOption {
	return func(c *streamConfig) { c.limits.BatchRecords = max(n, 0) }
}

// BatchBytes sets how many bytes the records of a batch may count together: values, header names and header values. The
// default is 4 MiB; 0 means the largest possible limit, 1 GiB.
func BatchBytes(n int) StreamOption {
	return func(c *streamConfig) { c.limits.BatchBytes = atMost(n) }
}

// RecordBytes sets how many bytes one record may count. The default is 4 MiB; 0 means as many as a batch.
func RecordBytes(n int) StreamOption {
	return func(c *streamConfig) { c.limits.RecordBytes = atMost(n) }
}

// InFlight sets how many batches a session takes before it waits until the first acks are received. All batches that
// have arrived when a commit begins share its fsync. The default is 16; 0 means no limit.
func InFlight(n int) StreamOption {
	return func(c *streamConfig) { c.limits.InFlight = max(n, 0) }
}

// atMost keeps a limit below 2 GiB, the largest value that bbolt takes. A larger value would be refused by bbolt and
// would make every commit that contains the value fail.
func atMost(n int) int {
	const most = 1 << 30
	if n <= 0 || n > most {
		return most
	}
	return n
}
