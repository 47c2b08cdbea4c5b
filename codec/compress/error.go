package compress

import "fmt"

// A SizeError means: a record holds more than the codec's maxDecoded, or a value to be encoded is larger than maxDecoded. No memory
// was allocated for the value.
type SizeError struct {
	Size  int64 // in bytes: the size of the value, or the announced size, or Limit+1 when decoding went over the limit
	Limit int   // maxDecoded
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("%d bytes or more exceed the limit of %d for a decompressed value", e.Size, e.Limit)
}
