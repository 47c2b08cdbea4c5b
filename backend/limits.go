package backend

import "fmt"

// Limits say what one batch may hold. A field of 0 is no known limit.
type Limits struct {
	BatchRecords int // records in one batch
	BatchBytes   int // sum of Size over a batch
	RecordBytes  int // Size of one record
	InFlight     int // batches taken by a session and not yet acknowledged

	// Size is the store's own meter and door: what the record counts against BatchBytes and RecordBytes, or an error that
	// refuses this record alone ([ErrRejected] or [ErrTooLarge]). It is called from many goroutines, does no I/O and
	// keeps nothing of the record. Nil meters len(Value).
	Size func(*Record) (int, error)
}

// Meter returns what r counts against the byte limits, by Size where the store has one. It does not compare the result
// with RecordBytes: whoever does can name the limit in its error.
func (l *Limits) Meter(r *Record) (int, error) {
	if l.Size == nil {
		return len(r.Value), nil
	}
	return l.Size(r)
}

// Check refuses a batch without records with [ErrRejected], and one that exceeds a limit with [ErrTooLarge]. Its error
// names the limit and the size, and is a *[RecordError] where one record is at fault. bytes is the sum of Size.
func (l *Limits) Check(recs []Record) (bytes int, err error) {
	switch {
	case len(recs) == 0:
		return 0, fmt.Errorf("a batch without records: %w", ErrRejected)
	case l.BatchRecords > 0 && len(recs) > l.BatchRecords:
		return 0, fmt.Errorf("%d records, the limit of a batch is %d: %w", len(recs), l.BatchRecords, ErrTooLarge)
	}
	for i := range recs {
		n, err := l.Meter(&recs[i])
		if err == nil && l.RecordBytes > 0 && n > l.RecordBytes {
			err = fmt.Errorf("%d bytes, the limit of a record is %d: %w", n, l.RecordBytes, ErrTooLarge)
		}
		if err != nil {
			return 0, &RecordError{Index: i, Err: err}
		}
		bytes += n
	}
	if l.BatchBytes > 0 && bytes > l.BatchBytes {
		return 0, fmt.Errorf("%d bytes in %d records, the limit of a batch is %d: %w", bytes, len(recs), l.BatchBytes, ErrTooLarge)
	}
	return bytes, nil
}
