package memory

import "github.com/headrace/headrace/backend"

// An Option changes what [New] makes.
type Option func(*config)

type config struct{ limits backend.Limits }

// BatchRecords sets how many records a batch may hold. The default is 1,000; 0 means no limit. A Send with more records
// fails with [backend.ErrTooLarge].
func BatchRecords(n int) Option { return func(c *config) { c.limits.BatchRecords = max(n, 0) } }

// BatchBytes sets how many bytes the records of a batch may count together: values, header names and header values. The
// default is 1 MiB; 0 means no limit.
func BatchBytes(n int) Option { return func(c *config) { c.limits.BatchBytes = max(n, 0) } }

// RecordBytes sets how many bytes one record may count. The default is 1 MiB; 0 means no limit.
func RecordBytes(n int) Option { return func(c *config) { c.limits.RecordBytes = max(n, 0) } }

// InFlight sets how many batches a session takes before it waits until the first acks are received. The default is 16;
// 0 means no limit.
func InFlight(n int) Option { return func(c *config) { c.limits.InFlight = max(n, 0) } }
