package s2

import (
	"encoding/json"
	"math"
	"time"
)

// A StreamConfig says how a stream keeps its records. A field that is left out has the default of the basin, or else that of
// S2. See [CreateAs], and package admin.
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
		// More seconds than a Duration holds, 292 years, are cut to the most that it holds. They do not become Forever, because
		// a program that writes back what it read would change the stream.
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

// A StorageClass says how a stream's records are stored.
type StorageClass string

// The storage classes.
const (
	Standard StorageClass = "standard"
	Express  StorageClass = "express"
)

// A TimestampMode says where records get their times from.
type TimestampMode string

// The timestamp modes.
const (
	ClientPrefer  TimestampMode = "client-prefer"  // the time of the record, or else that of its arrival
	ClientRequire TimestampMode = "client-require" // the time of the record; a record without a time is refused
	Arrival       TimestampMode = "arrival"        // the time of the arrival
)
