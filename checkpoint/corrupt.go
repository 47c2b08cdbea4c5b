package checkpoint

import "fmt"

// A CorruptError says that what a store holds cannot be read: it was cut, overwritten or edited by hand. The store
// refuses every call on it, because the place where its consumers are is lost and to start over would repeat everything
// without a word. Restore it from a copy, or remove it to decide that the consumers begin again.
type CorruptError struct {
	Place string // what cannot be read, such as the path of a file
	Err   error  // what is wrong with it
}

func (e *CorruptError) Error() string { return fmt.Sprintf("%s is corrupt: %v", e.Place, e.Err) }

// Unwrap returns what is wrong.
func (e *CorruptError) Unwrap() error { return e.Err }
