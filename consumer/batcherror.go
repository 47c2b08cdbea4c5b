package consumer

import "fmt"

// A BatchError says which record of a batch failed. A [BatchHandler] returns a BatchError for each record that failed, joined by
// [errors.Join] when several failed. The record counts as failed with Err; Err may be marked with [Permanent] or [RetryAfter].
//
// All other records of the batch are done. With [Consumer.KeyBy], only the records before the first failed record are done: to
// keep the order, the records behind the failed record come again after the failed record, and their attempt does not count.
type BatchError struct {
	Index int // of the record in the batch
	Err   error
}

func (e *BatchError) Error() string { return fmt.Sprintf("record %d of the batch: %v", e.Index, e.Err) }

// Unwrap returns the error of the record.
func (e *BatchError) Unwrap() error { return e.Err }

// failedRecords puts the errors of the failed records into failed, by the indexes in err; n is the number of records of the batch.
// failedRecords returns false when err, or a part of err, names no record: then the whole batch has failed.
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
