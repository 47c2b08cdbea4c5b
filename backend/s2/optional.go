package s2

import "encoding/json"

// A Change is one field of a reconfiguration: the zero Change leaves the field as it is, [Set] gives it a value and
// [Clear] resets it to its default.
type Change[T any] struct {
	value *T
	clear bool
}

// Set changes a field to v.
func Set[T any](v T) Change[T] { return Change[T]{value: &v} }

// Clear resets a field to its default.
func Clear[T any]() Change[T] { return Change[T]{clear: true} }

// IsZero reports whether the field stays as it is: encoding/json then omits it.
func (c Change[T]) IsZero() bool { return c.value == nil && !c.clear }

// MarshalJSON writes the value, or null to clear the field.
func (c Change[T]) MarshalJSON() ([]byte, error) { return json.Marshal(c.value) }
