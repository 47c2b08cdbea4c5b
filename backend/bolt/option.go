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

// FileMode is the mode of a file that Open creates. Default 0600.
func FileMode(mode os.FileMode) Option { return func(c *config) { c.mode = mode } }

// FileBytes is how large the file may grow; an append beyond it fails and stores nothing, until a trim has made room.
// Default 0: no limit but the disk. The file grows in steps of 16 MiB, and the last step must fit.
func FileBytes(n int) Option { return func(c *config) { c.fileBytes = max(n, 0) } }

// A StreamOption changes what [DB.Stream] returns.
type StreamOption func(*streamConfig)

type streamConfig struct{ limits backend.Limits }

// BatchRecords is how many records a batch may hold. Default 10,000; 0 is no limit.
func BatchRecords(n int) StreamOption {
	return func(c *streamConfig) { c.limits.BatchRecords = max(n, 0) }
}

// BatchBytes is how many bytes the records of a batch may count together: values, header names, header values. Default
// 4 MiB; 0 is the most that there can be, 1 GiB.
func BatchBytes(n int) StreamOption {
	return func(c *streamConfig) { c.limits.BatchBytes = atMost(n) }
}

// RecordBytes is how many bytes one record may count. Default 4 MiB; 0 is as many as a batch.
func RecordBytes(n int) StreamOption {
	return func(c *streamConfig) { c.limits.RecordBytes = atMost(n) }
}

// InFlight is how many batches a session takes before it waits for the acks of the first ones to be received. All that
// are there when a commit begins share its fsync. Default 16; 0 is no limit.
func InFlight(n int) StreamOption {
	return func(c *streamConfig) { c.limits.InFlight = max(n, 0) }
}

// atMost keeps a limit below what bbolt takes as one value: 2 GiB. What it refuses would fail every commit it is part of.
func atMost(n int) int {
	const most = 1 << 30
	if n <= 0 || n > most {
		return most
	}
	return n
}
