package server

import (
	"strings"
	"time"
)

// A stream is one stream of an engine. The values from its creation never change. Its state is replaced as a whole when
// a round is published. Readers look at the state with the engine's lock held.
type stream struct {
	key    uint64 // the key of its data in the vault
	id     string
	name   string
	config config
	parent *stream  // the source of a fork: the data of parent below base also belongs to this stream
	base   Position // the place where this stream's own data begins

	state

	units   units         // all data, if the vault is a memoryVault
	changed chan struct{} // the first waiting reader makes the channel; the next change closes the channel
	touched time.Time     // the time of the last read or write, for the TTL
	waiting int           // how many readers are in Wait; they keep the stream alive
}

// config is compared when a Create is repeated.
type config struct {
	ContentType string    `json:"type"`
	TTL         TTL       `json:"ttl"`
	Deadline    time.Time `json:"deadline"`
	Closed      bool      `json:"-"`
	Fork        *Fork     `json:"fork,omitempty"` // as the client asked for it
}

// state is everything that can change in a stream, except its data and its producers.
type state struct {
	Start    Position `json:"start,omitempty"` // the earliest place that is kept, at or above base
	Tail     Position `json:"tail"`
	Closed   bool     `json:"closed,omitempty"`
	Sequence string   `json:"sequence,omitempty"`
	Refs     int      `json:"refs,omitempty"` // the number of forks that exist
	Hidden   bool     `json:"gone,omitempty"` // deleted, but forks still read the data
	removed  bool
}

// A unit is the data of one append.
type unit struct {
	at   Position
	data []byte
}

// infoLocked describes the stream as readers see it. The engine's lock is held, or the caller runs on the goroutine of the
// vault, which alone replaces the state.
func (s *stream) infoLocked() Info {
	return Info{ID: s.id, ContentType: s.config.ContentType, Tail: s.Tail, Closed: s.Closed, TTL: s.config.TTL, Deadline: s.config.Deadline}
}

// wakeLocked wakes the readers that wait for a change. The engine's lock is held for writing.
func (s *stream) wakeLocked() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// expiredLocked reports whether the stream has expired. The engine's lock is held. Nobody can see or use an expired
// stream, so an expired stream stays expired.
func (s *stream) expiredLocked(now time.Time) bool {
	if !s.config.Deadline.IsZero() && !now.Before(s.config.Deadline) {
		return true
	}
	// A reader that waits uses the stream, although its request began long ago.
	return s.config.TTL.Set && s.waiting == 0 && now.Sub(s.touched) >= s.config.TTL.window()
}

// window is the TTL as a Duration, at most 292 years; a larger TTL would overflow.
func (t TTL) window() time.Duration {
	if t.Seconds > int64(1<<63-1)/int64(time.Second) {
		return 1<<63 - 1
	}
	return time.Duration(t.Seconds) * time.Second
}

// perishable reports whether the stream can expire. The sweeper looks only at perishable streams.
func (s *stream) perishable() bool { return s.config.TTL.Set || !s.config.Deadline.IsZero() }

// A segment is a part of a stream's data that belongs to one stream. A fork also shows data of its source, so a fork
// can have several segments. A segment can be read without the lock.
type segment struct {
	key       uint64
	start     Position // the earliest place that the owner kept
	from, end Position
	units     units
}

// segmentsLocked returns the segments between from and the tail. A fork owns no data below its base; that data belongs to
// its source, or to the source of its source. The engine's lock is held, or the caller runs on the goroutine of the vault.
// The lock covers the whole chain of sources: a round may trim a source at any moment, and then the start and the units of
// that source would not belong together.
func (s *stream) segmentsLocked(from Position) []segment {
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

// earliestLocked returns the first place from which everything up to the tail is kept. The engine's lock is held, for the
// same reason as in segmentsLocked. If the stream has dropped data of its own, the data of its source is of no use to a
// reader: there would be a hole between the two.
func (s *stream) earliestLocked() Position {
	if s.parent == nil || s.Start > s.base {
		return s.Start
	}
	return min(s.base, s.parent.earliestLocked())
}

// mediaType returns the part of a content type that is compared: without parameters, in lower case.
func mediaType(contentType string) string {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(media))
}

func isJSON(contentType string) bool { return mediaType(contentType) == "application/json" }
