package backend

import (
	"fmt"
	"time"
)

// Limits are the limits of one batch. A field of 0 is no known limit.
type Limits struct {
	BatchRecords int // records in one batch
	BatchBytes   int // sum of Size over a batch
	RecordBytes  int // Size of one record
	InFlight     int // batches taken by a session and not yet acknowledged

	// Size is the store's own meter: Size returns how many bytes a record counts against BatchBytes and RecordBytes, or an
	// error that refuses the record alone ([ErrRejected] or [ErrTooLarge]). at is the Time of the record. Many goroutines call
	// Size; Size does no I/O and keeps nothing of the record. With a nil Size a record counts len(Value) bytes.
	//
	// Size takes the parts of a record and no Record, because a producer calls Size for every record: the parts stay in the
	// registers of the processor, and a Record of 104 bytes would be written and read again for about 15 ns.
	Size func(value []byte, headers Headers, at time.Time) (int, error)
}

// Meter returns how many bytes r counts against the byte limits, by Size where the store has a Size. Meter does not
// compare the result with RecordBytes: the caller compares, and can name the limit in an error.
func (l *Limits) Meter(r *Record) (int, error) {
	if l.Size == nil {
		return len(r.Value), nil
	}
	return l.Size(r.Value, r.Headers, r.Time)
}

// Check refuses a batch without records with [ErrRejected], and a batch beyond a limit with [ErrTooLarge]. The error
// names the limit and the size, and is a *[RecordError] where a single record is at fault. bytes is the sum of Size.
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
