package s2

import (
	"encoding/json"
	"math"
	"time"
)

// A StreamConfig says how a stream keeps its records. Fields left out have the basin's default, or else S2's.
type StreamConfig struct {
	StorageClass  StorageClass   `json:"storage_class,omitempty"`
	Retention     *Retention     `json:"retention_policy,omitempty"`
	Timestamping  *Timestamping  `json:"timestamping,omitempty"`
	DeleteOnEmpty *DeleteOnEmpty `json:"delete_on_empty,omitempty"`
}

// Retention says how long records are kept: for Age, or for ever.
type Retention struct {
	Age     time.Duration // whole seconds; at least one unless Forever
	Forever bool
}

// MarshalJSON writes S2's form.
func (r Retention) MarshalJSON() ([]byte, error) {
	if r.Forever {
		return []byte(`{"infinite":{}}`), nil
	}
	return json.Marshal(map[string]int64{"age": int64(r.Age / time.Second)})
}

// UnmarshalJSON reads S2's form.
func (r *Retention) UnmarshalJSON(b []byte) error {
	var v struct {
		Age      *uint64          `json:"age"`
		Infinite *json.RawMessage `json:"infinite"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	*r = Retention{Forever: v.Infinite != nil}
	if v.Age != nil {
		// More seconds than a Duration holds are as good as for ever, but not the same: they are cut.
		r.Age = time.Duration(min(*v.Age, uint64(math.MaxInt64/time.Second))) * time.Second
	}
	return nil
}

// Timestamping says where records get their times from.
type Timestamping struct {
	Mode     TimestampMode `json:"mode,omitempty"`
	Uncapped *bool         `json:"uncapped,omitempty"` // times in the future are kept
}

// DeleteOnEmpty says when an empty stream is deleted.
type DeleteOnEmpty struct {
	MinAgeSecs uint64 `json:"min_age_secs"` // 0 is never
}

// A StreamChange reconfigures a stream.
type StreamChange struct {
	StorageClass  Change[StorageClass]        `json:"storage_class,omitzero"`
	Retention     Change[Retention]           `json:"retention_policy,omitzero"`
	Timestamping  Change[TimestampingChange]  `json:"timestamping,omitzero"`
	DeleteOnEmpty Change[DeleteOnEmptyChange] `json:"delete_on_empty,omitzero"`
}

// A TimestampingChange reconfigures where times come from.
type TimestampingChange struct {
	Mode     Change[TimestampMode] `json:"mode,omitzero"`
	Uncapped Change[bool]          `json:"uncapped,omitzero"`
}

// A DeleteOnEmptyChange reconfigures when an empty stream is deleted.
type DeleteOnEmptyChange struct {
	MinAgeSecs Change[uint64] `json:"min_age_secs,omitzero"`
}

// A BasinConfig says what streams of a basin are like and whether they come to be by themselves.
type BasinConfig struct {
	DefaultStreamConfig  *StreamConfig `json:"default_stream_config,omitempty"`
	CreateStreamOnAppend bool          `json:"create_stream_on_append"`
	CreateStreamOnRead   bool          `json:"create_stream_on_read"`
	StreamCipher         Cipher        `json:"stream_cipher,omitempty"` // "": none
}

// A BasinChange reconfigures a basin. Streams that exist keep their configuration.
type BasinChange struct {
	DefaultStreamConfig  Change[StreamChange] `json:"default_stream_config,omitzero"`
	CreateStreamOnAppend Change[bool]         `json:"create_stream_on_append,omitzero"`
	CreateStreamOnRead   Change[bool]         `json:"create_stream_on_read,omitzero"`
	StreamCipher         Change[Cipher]       `json:"stream_cipher,omitzero"`
}
