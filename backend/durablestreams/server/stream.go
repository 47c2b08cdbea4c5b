package server

import (
	"strings"
	"time"
)

// A stream is one stream of an engine. What it was created with never changes. Its state is replaced as a whole when a round is
// published. Readers look at the state under the engine's lock.
type stream struct {
	key    uint64 // of its data in the vault
	id     string
	name   string
	config config
	parent *stream  // the source of a fork: below base its data is this stream's too
	base   Position // where this stream's own data begins

	state

	units   units         // all data, if the vault is memory
	changed chan struct{} // made by the first reader that waits, closed by the next change
	touched time.Time     // the last read or write, for the TTL
	waiting int           // readers in Wait: they keep the stream alive
}

// config is what a repeated Create is compared with.
type config struct {
	ContentType string    `json:"type"`
	TTL         TTL       `json:"ttl"`
	Deadline    time.Time `json:"deadline"`
	Closed      bool      `json:"-"`
	Fork        *Fork     `json:"fork,omitempty"` // as it was asked for
}

// state is everything about a stream that changes, except for its data and its producers.
type state struct {
	Start    Position `json:"start,omitempty"` // the earliest place kept, at or above base
	Tail     Position `json:"tail"`
	Closed   bool     `json:"closed,omitempty"`
	Sequence string   `json:"sequence,omitempty"`
	Refs     int      `json:"refs,omitempty"` // the forks that are there
	Gone     bool     `json:"gone,omitempty"` // deleted, but for its forks
	removed  bool
}

// A unit is the data of one append.
type unit struct {
	at   Position
	data []byte
}

func (s *stream) info() Info {
	return Info{ID: s.id, ContentType: s.config.ContentType, Tail: s.Tail, Closed: s.Closed, TTL: s.config.TTL, Deadline: s.config.Deadline}
}

// wakeLocked wakes the readers that wait for a change. The engine's lock is held for writing.
func (s *stream) wakeLocked() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// expired reports whether nobody may see the stream any more. An expired stream stays expired, because nobody can touch it.
func (s *stream) expired(now time.Time) bool {
	if !s.config.Deadline.IsZero() && !now.Before(s.config.Deadline) {
		return true
	}
	return s.config.TTL.Set && s.waiting == 0 && now.Sub(s.touched) >= s.config.TTL.window()
}

// window is the TTL as a Duration, at most 292 years.
func (t TTL) window() time.Duration {
	if t.Seconds > int64(1<<63-1)/int64(time.Second) {
		return 1<<63 - 1
	}
	return time.Duration(t.Seconds) * time.Second
}

// perishable streams are those the sweeper looks at.
func (s *stream) perishable() bool { return s.config.TTL.Set || !s.config.Deadline.IsZero() }

// A segment is a part of what a stream shows. A fork shows data of its source, so each part lies with one stream of its chain of
// sources. A segment can be read without the lock.
type segment struct {
	key       uint64
	start     Position // the earliest place that its stream kept
	from, end Position
	units     units
}

// segments returns what lies between from and the tail. Below its base, a fork owns nothing: there we go to its source.
func (s *stream) segments(from Position) []segment {
	list := make([]segment, 0, 1)
	for at := from; at < s.Tail; {
		owner, end := s, s.Tail
		for at < owner.base {
			end = min(end, owner.base)
			owner = owner.parent
		}
		list = append(list, segment{owner.key, owner.Start, at, end, owner.units})
		at = end
	}
	return list
}

// earliest returns the first place from which everything up to the tail is kept.
func (s *stream) earliest() Position {
	if s.parent == nil || s.Start > s.base {
		return s.Start
	}
	return min(s.base, s.parent.earliest())
}

// mediaType is what content types are compared by. Parameters and case do not count.
func mediaType(contentType string) string {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(media))
}

func isJSON(contentType string) bool { return mediaType(contentType) == "application/json" }
