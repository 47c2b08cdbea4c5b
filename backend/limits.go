package backend

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
