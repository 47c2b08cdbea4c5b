package admin

import (
	"encoding/json"

	"github.com/headrace/headrace/backend/s2"
)

// A StreamChange changes the configuration of a stream.
type StreamChange struct {
	StorageClass  Change[s2.StorageClass]     `json:"storage_class,omitzero"`
	Retention     Change[s2.Retention]        `json:"retention_policy,omitzero"`
	Timestamping  Change[TimestampingChange]  `json:"timestamping,omitzero"`
	DeleteOnEmpty Change[DeleteOnEmptyChange] `json:"delete_on_empty,omitzero"`
}

// A TimestampingChange changes where records get their times from.
type TimestampingChange struct {
	Mode     Change[s2.TimestampMode] `json:"mode,omitzero"`
	Uncapped Change[bool]             `json:"uncapped,omitzero"`
}

// A DeleteOnEmptyChange changes when an empty stream is deleted.
type DeleteOnEmptyChange struct {
	MinAgeSecs Change[uint64] `json:"min_age_secs,omitzero"`
}

// A Change is the change of a field: the zero Change keeps the field, [Set] gives the field a value, and [Clear] resets the field
// to the default.
type Change[T any] struct {
	value *T
	clear bool
}

// Set changes a field to v.
func Set[T any](v T) Change[T] { return Change[T]{value: &v} }

// Clear resets a field to the default.
func Clear[T any]() Change[T] { return Change[T]{clear: true} }

// IsZero reports whether the field does not change. Then encoding/json leaves the field out.
func (c Change[T]) IsZero() bool { return c.value == nil && !c.clear }

// MarshalJSON writes the value, or null to reset the field.
func (c Change[T]) MarshalJSON() ([]byte, error) { return json.Marshal(c.value) }
