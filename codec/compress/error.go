package compress

import "fmt"

// A SizeError says that a record holds more than the codec's maxDecoded, or that a value to be encoded is larger than
// that. No memory was taken for it.
type SizeError struct {
	Size  int64 // in bytes: of the value, or what the record announces, or Limit+1 when it was found out on the way
	Limit int   // maxDecoded
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("%d bytes or more exceed the limit of %d for a decompressed value", e.Size, e.Limit)
}
