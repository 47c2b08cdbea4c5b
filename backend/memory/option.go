package memory

import "github.com/headrace/headrace/backend"

// An Option changes what [New] makes.
type Option func(*config)

type config struct{ limits backend.Limits }

// BatchRecords is how many records a batch may hold. Default 1,000; 0 is no limit. More in one Send are
// [backend.ErrTooLarge].
func BatchRecords(n int) Option { return func(c *config) { c.limits.BatchRecords = max(n, 0) } }

// BatchBytes is how many bytes the records of a batch may count together: values, header names, header values.
// Default 1 MiB; 0 is no limit.
func BatchBytes(n int) Option { return func(c *config) { c.limits.BatchBytes = max(n, 0) } }

// RecordBytes is how many bytes one record may count. Default 1 MiB; 0 is no limit.
func RecordBytes(n int) Option { return func(c *config) { c.limits.RecordBytes = max(n, 0) } }

// InFlight is how many batches a session takes before it waits for the acks of the first ones to be received. Default 16;
// 0 is no limit.
func InFlight(n int) Option { return func(c *config) { c.limits.InFlight = max(n, 0) } }
