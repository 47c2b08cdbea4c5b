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

// S2 numbers the records of every stream from 0. After a stream was deleted and created again, an old place looks like a place
// in the new stream. The times of creation differ, so offsets hold the time of creation behind the sequence number.

// incarnationMark stands between the sequence number and the time of creation in an offset.
const incarnationMark = "@"

// confirmedFor is how long we believe an incarnation after the end of the last session. The server tells open sessions of a
// deletion, and the name of a deleted stream is free for a new stream only some time later.
const confirmedFor = time.Second

// An incarnation keeps the time of a stream's creation. All sessions of a [Stream] share the same incarnation: a session opened
// right after another need not ask the server.
type incarnation struct {
	mu       sync.Mutex
	suffix   string    // of offsets: the mark and the time of creation; "" if unknown
	sessions int       // open sessions with this suffix
	last     time.Time // when the server last showed, at the end of a session, that the incarnation existed
}

// holdIncarnation returns the suffix for the offsets of a newly opened session, and counts the session. holdIncarnation
// asks the server, unless another session is open or has ended within confirmedFor.
func (s *Stream) holdIncarnation(ctx context.Context) (suffix string, err error) {
	in := s.incarnation
	in.mu.Lock()
	suffix = in.suffix
	known := in.sessions > 0 || time.Since(in.last) <= confirmedFor
	in.mu.Unlock()
	// The lock is not held while the server is asked. Two openings at once may both ask, and both get the same answer.
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

// releaseIncarnation counts the end of a session after holdIncarnation.
func (s *Stream) releaseIncarnation() { s.incarnation.release(time.Now()) }

// retain counts another session beside one that is counted.
func (in *incarnation) retain() {
	in.mu.Lock()
	in.sessions++
	in.mu.Unlock()
}

// release counts the end of a session. The server has shown at the time seen that the incarnation existed.
func (in *incarnation) release(seen time.Time) {
	in.mu.Lock()
	in.sessions--
	if seen.After(in.last) {
		in.last = seen
	}
	in.mu.Unlock()
}

// askIncarnation asks for the time of the stream's creation. S2 tells the time in listings alone. The time stays unknown if the
// token may not list streams, and if the server has no listings: then offsets are bare sequence numbers.
func (s *Stream) askIncarnation(ctx context.Context) (suffix string, err error) {
	a, err := s.client().attempt(ctx, &call{op: s.op("look up"), method: http.MethodGet, url: s.basin.url("streams"), basin: s.basin.name,
		query: url.Values{"prefix": {s.name}, "limit": {"1"}}})
	if err != nil {
		// A refusal, for example because the token may not list streams, repeats every time. Sessions must work without listings
		// too.
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
	return incarnationMark + strconv.FormatInt(page.Streams[0].CreatedAt.UnixMilli(), 36), nil // base 36 keeps offsets short
}

// sameIncarnation refuses a place in an earlier stream of the same name. A bare sequence number is a place in any stream.
func (s *Stream) sameIncarnation(from backend.Offset, suffix string) error {
	if i := strings.Index(string(from), incarnationMark); i > 0 && suffix != "" && string(from[i:]) != suffix {
		return fmt.Errorf("offset %q is a place in a deleted stream of the same name: %w", from, backend.ErrOutOfRange)
	}
	return nil
}
