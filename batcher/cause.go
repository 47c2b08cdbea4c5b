package batcher

// A Cause says why a batch ended.
type Cause uint8

const (
	CauseFull   Cause = iota + 1 // the next element could not join because of BatchRecords, BatchBytes or BufferBytes; or Hurry was called
	CauseLinger                  // Linger has passed since the first element
	CauseWanted                  // somebody waits for the batch and every batch taken before was released
	CauseFlush                   // Flush was called
	CauseClose                   // Close was called
)

// String returns the cause as a lower-case word, for logs and metrics.
func (c Cause) String() string {
	switch c {
	case CauseFull:
		return "full"
	case CauseLinger:
		return "linger"
	case CauseWanted:
		return "wanted"
	case CauseFlush:
		return "flush"
	case CauseClose:
		return "close"
	}
	return "unknown"
}
