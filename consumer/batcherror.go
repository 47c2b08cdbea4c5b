package consumer

import "fmt"

// A BatchError says which record of a batch failed. A [BatchHandler] returns one for each record that failed, several
// joined by [errors.Join]. The record counts as failed with Err, which may be marked with [Permanent] or [RetryAfter].
//
// All other records of the batch are done. With [Consumer.KeyBy] that is so only up to the first record that failed: the
// records behind it come again after it, because their order would be lost, and this does not count as an attempt.
type BatchError struct {
	Index int // of the record in the batch
	Err   error
}

func (e *BatchError) Error() string { return fmt.Sprintf("record %d of the batch: %v", e.Index, e.Err) }

// Unwrap returns the error of the record.
func (e *BatchError) Unwrap() error { return e.Err }

// failedRecords puts into failed what err says of the n records of a batch. It returns false when err, or a part of it,
// names no record: then the whole batch has failed.
func failedRecords(err error, n int, failed map[int]error) bool {
	switch e := err.(type) {
	case *BatchError:
		if e.Index < 0 || e.Index >= n || e.Err == nil {
			return false
		}
		failed[e.Index] = e.Err
		return true
	case interface{ Unwrap() []error }:
		parts := e.Unwrap()
		for _, part := range parts {
			if !failedRecords(part, n, failed) {
				return false
			}
		}
		return len(parts) > 0
	case interface{ Unwrap() error }:
		return failedRecords(e.Unwrap(), n, failed)
	}
	return false
}
