package checkpoint

import "fmt"

// A CorruptError says that a store cannot read its content: the content was cut, overwritten or edited by hand. The store
// refuses every call on damaged content: the places of its consumers are lost, and a new start would repeat all records
// without a warning. The operator can restore the content from a copy, or remove it to let the consumers begin again.
type CorruptError struct {
	Place string // what cannot be read, for example the path of a file
	Err   error  // what is wrong with the content
}

func (e *CorruptError) Error() string { return fmt.Sprintf("%s is corrupt: %v", e.Place, e.Err) }

// Unwrap returns the fault of the content.
func (e *CorruptError) Unwrap() error { return e.Err }
