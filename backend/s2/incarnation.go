package s2

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
)

// S2 numbers the records of every stream from 0, so a place in a stream that was deleted and created again looks like a
// place in the new one. The time of the stream's creation tells them apart: offsets bear it behind the sequence number.

// incarnationMark stands between the sequence number of an offset and the incarnation of its stream.
const incarnationMark = "@"

// confirmedFor is how long an incarnation is believed after the last session that was seen alive: a name is free for a new
// stream some time after the deletion of the old one, and a session that is open then is told of the deletion.
const confirmedFor = time.Second

// An incarnation is what is known of when a stream was created. All sessions of a [Stream] share one, so that opening a
// session again asks nothing.
type incarnation struct {
	mu       sync.Mutex
	suffix   string // of offsets: the mark and the time of creation, "" when the server does not say
	sessions int    // open ones that go by it
	last     time.Time
}

// hold returns the suffix for the offsets of a session that was just opened, and counts the session. It asks the server
// unless a session was alive a moment ago.
func (s *Stream) hold(ctx context.Context) (suffix string, err error) {
	in := s.incarnation
	in.mu.Lock()
	suffix = in.suffix
	known := in.sessions > 0 || time.Since(in.last) <= confirmedFor
	in.mu.Unlock()
	if !known {
		if suffix, err = s.askIncarnation(ctx); err != nil {
			return "", err
		}
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.suffix = suffix
	in.sessions++
	return suffix, nil
}

// release ends what hold began.
func (s *Stream) release() {
	in := s.incarnation
	in.mu.Lock()
	in.sessions--
	in.last = time.Now()
	in.mu.Unlock()
}

// askIncarnation asks when the stream was created, which S2 tells in listings alone. A token that may not list streams, and
// a server without listings, leave it unknown: offsets are bare sequence numbers then.
func (s *Stream) askIncarnation(ctx context.Context) (suffix string, err error) {
	a, err := s.client().attempt(ctx, &call{op: s.op("look up"), method: http.MethodGet, url: s.basin.url("streams"), basin: s.basin.name,
		query: url.Values{"prefix": {s.name}, "limit": {"1"}}})
	if err != nil {
		if !judge(err).retryable() {
			return "", nil
		}
		return "", fmt.Errorf("asking when the stream was created: %w", err)
	}
	var page struct {
		Streams []struct {
			Name      string    `json:"name"`
			CreatedAt time.Time `json:"created_at"`
		} `json:"streams"`
	}
	if err := json.Unmarshal(a.body, &page); err != nil || len(page.Streams) == 0 || page.Streams[0].Name != s.name || page.Streams[0].CreatedAt.IsZero() {
		return "", nil
	}
	return incarnationMark + strconv.FormatInt(page.Streams[0].CreatedAt.UnixMilli(), 36), nil
}

// sameIncarnation refuses a place that belongs to another stream of the same name. A bare sequence number belongs to any.
func (s *Stream) sameIncarnation(from backend.Offset, suffix string) error {
	if i := strings.Index(string(from), incarnationMark); i > 0 && suffix != "" && string(from[i:]) != suffix {
		return fmt.Errorf("%q is a place in a stream of this name that was deleted; this one was created at another time: %w", from, backend.ErrOutOfRange)
	}
	return nil
}
