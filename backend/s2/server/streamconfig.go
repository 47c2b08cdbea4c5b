package server

import (
	"encoding/json"
	"slices"
	"time"
)

// A streamConfig is the config of a stream, or the default config for the streams of a basin. A nil field is not set.
// The config of a stream is resolved: none of its fields is nil.
//
// Pointers tell an absent field from a zero one: age 0 is refused, and an absent age is the default of a week. The
// names in JSON are those of S2, and those in the file: see savedStream.
type streamConfig struct {
	StorageClass    *string          `json:"storage_class"`
	RetentionPolicy *retentionPolicy `json:"retention_policy"`
	Timestamping    *timestamping    `json:"timestamping"`
	DeleteOnEmpty   *deleteOnEmpty   `json:"delete_on_empty"`
}

type retentionPolicy struct {
	Age      *uint64   `json:"age,omitempty"` // seconds
	Infinite *struct{} `json:"infinite,omitempty"`
}

type timestamping struct {
	Mode     *string `json:"mode"`
	Uncapped *bool   `json:"uncapped"`
}

type deleteOnEmpty struct {
	MinAgeSecs *uint64 `json:"min_age_secs"`
}

// A basinConfig is the config of a basin. The two flags are false unless they are set: a mistyped name must not create a
// stream in a basin where nobody expects it.
type basinConfig struct {
	DefaultStreamConfig  *streamConfig `json:"default_stream_config"`
	CreateStreamOnAppend bool          `json:"create_stream_on_append"`
	CreateStreamOnRead   bool          `json:"create_stream_on_read"`
	StreamCipher         *string       `json:"stream_cipher"`
}

// or returns the first pointer that is not nil. Like cmp.Or, but a pointer to a zero value counts: a false or 0 that a
// client has set must win over a default.
func or[T any](vs ...*T) *T {
	for _, v := range vs {
		if v != nil {
			return v
		}
	}
	return nil
}

// resolve fills the fields that are not set, field by field: from the default of the basin, and then from the default
// of the system. The retention policy is one field: an age of the basin must not complete an infinite policy of the
// request. The last values are the defaults of S2: class express, 7 days, timestamps of the client where there are
// some, and no delete-on-empty.
func (c *streamConfig) resolve(basin *streamConfig) streamConfig {
	if c == nil {
		c = &streamConfig{}
	}
	if basin == nil {
		basin = &streamConfig{}
	}
	ct, bt := or(c.Timestamping, &timestamping{}), or(basin.Timestamping, &timestamping{})
	cd, bd := or(c.DeleteOnEmpty, &deleteOnEmpty{}), or(basin.DeleteOnEmpty, &deleteOnEmpty{})
	return streamConfig{
		StorageClass:    or(c.StorageClass, basin.StorageClass, new("express")),
		RetentionPolicy: or(c.RetentionPolicy, basin.RetentionPolicy, &retentionPolicy{Age: new(uint64(604800))}),
		Timestamping: &timestamping{
			Mode:     or(ct.Mode, bt.Mode, new("client-prefer")),
			Uncapped: or(ct.Uncapped, bt.Uncapped, new(false)),
		},
		DeleteOnEmpty: &deleteOnEmpty{MinAgeSecs: or(cd.MinAgeSecs, bd.MinAgeSecs, new(uint64(0)))},
	}
}

// The getters below are for resolved configs.

func (c *streamConfig) timestamping() (mode string, uncapped bool) {
	return *c.Timestamping.Mode, *c.Timestamping.Uncapped
}

// retention is how long records are kept. 0 means for ever.
func (c *streamConfig) retention() time.Duration {
	if c.RetentionPolicy.Age == nil {
		return 0
	}
	return seconds(*c.RetentionPolicy.Age)
}

func (c *streamConfig) minAge() time.Duration { return seconds(*c.DeleteOnEmpty.MinAgeSecs) }

// seconds returns n seconds as a Duration, at most a hundred years; a larger n would overflow.
func seconds(n uint64) time.Duration { return time.Duration(min(n, 100*365*86400)) * time.Second }

// check refuses a config with invalid values. An unknown word is a mistake in the JSON for S2 (400), and a number
// outside its range is an invalid request (422). An unknown field is ignored, so that clients with newer fields can
// talk to the server.
func (c *streamConfig) check() error {
	if c == nil {
		return nil
	}
	if c.StorageClass != nil && !slices.Contains([]string{"standard", "express"}, *c.StorageClass) {
		return badRequest("bad_json", "unknown storage class `%s`", *c.StorageClass)
	}
	if p := c.RetentionPolicy; p != nil {
		switch {
		case (p.Age == nil) == (p.Infinite == nil):
			return badRequest("bad_json", "retention policy must be one of age and infinite")
		case p.Age != nil && *p.Age == 0:
			return invalid("age must be greater than 0 seconds")
		}
	}
	if t := c.Timestamping; t != nil && t.Mode != nil && !slices.Contains([]string{"client-prefer", "client-require", "arrival"}, *t.Mode) {
		return badRequest("bad_json", "unknown timestamping mode `%s`", *t.Mode)
	}
	return nil
}

func (c *basinConfig) check() error {
	if c.StreamCipher != nil && !slices.Contains([]string{"aegis-256", "aes-256-gcm"}, *c.StreamCipher) {
		return badRequest("bad_json", "unknown cipher `%s`", *c.StreamCipher)
	}
	return c.DefaultStreamConfig.check()
}

// A patch is one field of a reconfiguration. An absent field leaves the old value, null clears the value, and any other
// value replaces it.
type patch[T any] struct {
	set, null bool
	v         T
}

func (p *patch[T]) UnmarshalJSON(b []byte) error {
	// encoding/json calls UnmarshalJSON for null too, because patch is no pointer. An absent field is not called at
	// all.
	p.set = true
	if string(b) == "null" {
		p.null = true
		return nil
	}
	return json.Unmarshal(b, &p.v)
}

// apply returns the new value of a field whose value was old.
func (p *patch[T]) apply(old *T) *T {
	switch {
	case !p.set:
		return old
	case p.null:
		return nil
	}
	return &p.v
}

type streamPatch struct {
	StorageClass    patch[string]          `json:"storage_class"`
	RetentionPolicy patch[retentionPolicy] `json:"retention_policy"`
	Timestamping    patch[struct {
		Mode     patch[string] `json:"mode"`
		Uncapped patch[bool]   `json:"uncapped"`
	}] `json:"timestamping"`
	DeleteOnEmpty patch[struct {
		MinAgeSecs patch[uint64] `json:"min_age_secs"`
	}] `json:"delete_on_empty"`
}

// apply returns a copy of c with the patch applied. Fields that the patch clears are nil. Nested objects are patched
// field by field and copied first: other streams may share the old ones, and a request that reads the config without
// the lock must not see half a patch.
func (p *streamPatch) apply(c *streamConfig) *streamConfig {
	out := *or(c, &streamConfig{})
	out.StorageClass = p.StorageClass.apply(out.StorageClass)
	out.RetentionPolicy = p.RetentionPolicy.apply(out.RetentionPolicy)
	if t := &p.Timestamping; t.null {
		out.Timestamping = nil
	} else if t.set {
		old := or(out.Timestamping, &timestamping{})
		out.Timestamping = &timestamping{t.v.Mode.apply(old.Mode), t.v.Uncapped.apply(old.Uncapped)}
	}
	if d := &p.DeleteOnEmpty; d.null {
		out.DeleteOnEmpty = nil
	} else if d.set {
		old := or(out.DeleteOnEmpty, &deleteOnEmpty{})
		out.DeleteOnEmpty = &deleteOnEmpty{d.v.MinAgeSecs.apply(old.MinAgeSecs)}
	}
	return &out
}

type basinPatch struct {
	DefaultStreamConfig  patch[streamPatch] `json:"default_stream_config"`
	CreateStreamOnAppend patch[bool]        `json:"create_stream_on_append"`
	CreateStreamOnRead   patch[bool]        `json:"create_stream_on_read"`
	StreamCipher         patch[string]      `json:"stream_cipher"`
}

func (p *basinPatch) apply(c basinConfig) basinConfig {
	if d := &p.DefaultStreamConfig; d.null {
		c.DefaultStreamConfig = nil
	} else if d.set {
		c.DefaultStreamConfig = d.v.apply(c.DefaultStreamConfig)
	}
	c.CreateStreamOnAppend = *or(p.CreateStreamOnAppend.apply(&c.CreateStreamOnAppend), new(false))
	c.CreateStreamOnRead = *or(p.CreateStreamOnRead.apply(&c.CreateStreamOnRead), new(false))
	c.StreamCipher = p.StreamCipher.apply(c.StreamCipher)
	return c
}
