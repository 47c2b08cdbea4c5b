package server

import (
	"strings"
	"time"
)

// A stream is one stream of an engine. What it was created with never changes; its state is replaced as a whole by
// whoever commits, and looked at under the engine's lock.
type stream struct {
	key    uint64 // of its data in the vault
	id     string
	name   string
	config config
	parent *stream  // the source of a fork: below base its data is this stream's too
	base   Position // where this stream's own data begins

	state

	units   []unit        // the vault's, of a stream kept in memory
	changed chan struct{} // made by the first who waits, closed by the next change
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

// state is everything about a stream that changes, its data and producers aside.
type state struct {
	Start    Position  `json:"start,omitempty"` // the earliest place kept, at or above base
	Tail     Position  `json:"tail"`
	Closed   bool      `json:"closed,omitempty"`
	Closing  *Producer `json:"closing,omitempty"` // who closed it, to know a repeated try
	Sequence string    `json:"sequence,omitempty"`
	Refs     int       `json:"refs,omitempty"` // the forks that are there
	Gone     bool      `json:"gone,omitempty"` // deleted, but for its forks
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

// expired says that nobody may see the stream any more. Once true it stays so, because nothing touches it then.
func (s *stream) expired(now time.Time) bool {
	if !s.config.Deadline.IsZero() && !now.Before(s.config.Deadline) {
		return true
	}
	return s.config.TTL.Set && s.waiting == 0 && now.Sub(s.touched) >= s.config.TTL.window()
}

// window is the TTL as far as a Duration goes, which is 292 years.
func (t TTL) window() time.Duration {
	if t.Seconds > int64(1<<63-1)/int64(time.Second) {
		return 1<<63 - 1
	}
	return time.Duration(t.Seconds) * time.Second
}

// perishable streams are those the sweeper looks at.
func (s *stream) perishable() bool { return s.config.TTL.Set || !s.config.Deadline.IsZero() }

// owner returns the stream of the chain that holds the data at p, and up to where that is so.
func (s *stream) owner(p Position) (*stream, Position) {
	end := s.Tail
	for p < s.base {
		end = min(end, s.base)
		s = s.parent
	}
	return s, end
}

// earliest returns the first place from which everything up to the tail is kept.
func (s *stream) earliest() Position {
	if s.parent == nil || s.Start > s.base {
		return s.Start
	}
	return min(s.base, s.parent.earliest())
}

// mediaType is what content types are compared by: parameters do not count, nor does case.
func mediaType(contentType string) string {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(media))
}

func isJSON(contentType string) bool { return mediaType(contentType) == "application/json" }
