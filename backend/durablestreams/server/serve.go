package server

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A query is what a GET asks for.
type query struct {
	from   Position
	given  bool // an offset was given
	live   string
	cursor string
}

func queryOf(r *http.Request) (q query, err error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return q, ErrRequest
	}
	q.from = Beginning
	if offsets, ok := values["offset"]; ok {
		if len(offsets) != 1 {
			return q, ErrRequest
		}
		q.given = true
		switch offsets[0] {
		case "-1":
		case "now":
			q.from = Now
		default:
			if q.from, err = ParsePosition(offsets[0]); err != nil {
				return q, err
			}
		}
	}
	q.live, q.cursor = values.Get("live"), values.Get("cursor")
	return q, nil
}

func (h *handler) read(w http.ResponseWriter, r *http.Request, name string) error {
	q, err := queryOf(r)
	if err != nil {
		return err
	}
	switch q.live {
	case "sse", "long-poll":
		if !q.given {
			return ErrRequest
		}
		if q.live == "sse" {
			return h.follow(w, r, name, q)
		}
		return h.poll(w, r, name, q)
	}
	c, err := h.storage.Read(r.Context(), name, q.from, h.ChunkBytes)
	if err != nil {
		return err
	}
	return h.answer(w, r, c, q)
}

// poll answers a long-poll: with what there is, or with what comes within the time of a long-poll.
func (h *handler) poll(w http.ResponseWriter, r *http.Request, name string, q query) error {
	c, err := h.storage.Read(r.Context(), name, q.from, h.ChunkBytes)
	if err != nil {
		return err
	}
	if c.Next == c.From && !c.Closed {
		ctx, leave := h.waiting(r, h.LongPoll)
		err := h.storage.Wait(ctx, name, c.From)
		leave()
		if err := r.Context().Err(); err != nil {
			return err // a 204 would say that there is no data, and we do not know that
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			return err
		}
		id := c.ID
		if c, err = h.storage.Read(r.Context(), name, c.From, h.ChunkBytes); err != nil {
			return err
		}
		if c.ID != id {
			return ErrNotFound // the stream was deleted, and another one has its name now
		}
	}
	w.Header().Set("Stream-Cursor", cursor(q.cursor, time.Now()))
	if c.Next > c.From {
		return h.answer(w, r, c, q)
	}
	header := w.Header()
	header["Cache-Control"] = noStore
	header.Set("Stream-Next-Offset", c.Next.String())
	header.Set("Headrace-Stream-Id", c.ID)
	header["Stream-Up-To-Date"] = yes
	if c.Closed {
		header["Stream-Closed"] = yes
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// answer sends a chunk.
func (h *handler) answer(w http.ResponseWriter, r *http.Request, c Chunk, q query) error {
	header := w.Header()
	header.Set("Content-Type", c.ContentType)
	header.Set("Stream-Next-Offset", c.Next.String())
	header.Set("Headrace-Stream-Id", c.ID)
	if q.from == Beginning {
		// This header is ours, and no part of the protocol. The beginning of a stream moves when Retain drops appends, so a
		// client that asks for "-1" could not tell otherwise where the bytes are that it gets.
		header.Set("Headrace-Start-Offset", c.From.String())
	}
	partial := c.Next < c.Tail
	if !partial {
		header["Stream-Up-To-Date"] = yes
		if c.Closed {
			header["Stream-Closed"] = yes
		}
	}
	if q.from == Now { // the next client that asks for it gets another place
		header["Cache-Control"] = noStore
	} else {
		header["Cache-Control"] = h.caching(partial || q.live != "")
		// When a stream is closed without data, its tail stays the same. The tag must change all the same, so it says whether
		// the stream is closed.
		tag := `"` + c.ID + ":" + strconv.FormatUint(uint64(c.From), 10) + ":" + strconv.FormatUint(uint64(c.Next), 10)
		if !partial {
			tag += ":t"
			if c.Closed {
				tag += ":c"
			}
		}
		tag += `"`
		header["Etag"] = []string{tag}
		if matches(r.Header["If-None-Match"], tag) {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	json := isJSON(c.ContentType)
	length := int64(c.Next - c.From)
	if json {
		length = max(length+1, 2)
	}
	header.Set("Content-Length", strconv.FormatInt(length, 10))
	w.WriteHeader(http.StatusOK)
	err := h.send(w, c, json, plainText)
	if err == nil {
		// We flush while the deadline is set, and then take the deadline away, because the connection may be used again.
		control := http.NewResponseController(w)
		if err = control.Flush(); errors.Is(err, http.ErrNotSupported) {
			err = nil
		}
		_ = control.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the header has promised a length, so only a broken connection tells the client
	}
	return nil
}

var (
	shared   = []string{"public, max-age=60, stale-while-revalidate=300"}
	private  = []string{"private, max-age=60, stale-while-revalidate=300"}
	validate = []string{"no-cache"}
)

// caching lets caches keep what will not change. A catch-up read that reaches the tail changes with the next append. If a cache
// kept it for a minute, it would hide from a client what the client itself has just appended. So caches ask for it again, with
// its ETag.
func (h *handler) caching(fixed bool) []string {
	switch {
	case !fixed:
		return validate
	case h.Authorize != nil:
		return private
	}
	return shared
}

func matches(given []string, tag string) bool {
	for _, line := range given {
		for one := range strings.SplitSeq(line, ",") {
			if one = strings.TrimPrefix(strings.TrimSpace(one), "W/"); one == tag || one == "*" {
				return true
			}
		}
	}
	return false
}

// A cursor counts intervals since epoch. Both are given by the protocol.
var epoch = time.Date(2024, 10, 9, 0, 0, 0, 0, time.UTC)

const interval = 20 * time.Second

// cursor returns a cursor that caches have not seen: the number of the current interval, or one above the number that the client
// has sent. It never repeats what the client has sent. Clients take a cursor as a string, so it may exceed the protocol's
// integers.
func cursor(sent string, now time.Time) string {
	const steps = 180
	current := int64(now.Sub(epoch) / interval)
	if n, err := strconv.ParseInt(sent, 10, 64); err == nil && n >= current && n < math.MaxInt64-steps {
		current = n + 1 + rand.Int64N(steps)
	}
	return strconv.FormatInt(current, 10)
}

// buffers are all that a slow reader holds in memory: of a chunk, only the part that is being written.
var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// send writes the bytes of a chunk through encode. The messages of a JSON stream are stored with a comma behind each. They become
// an array: a bracket in front, and a bracket in place of the last comma.
func (h *handler) send(w http.ResponseWriter, c Chunk, json bool, encode func(http.ResponseWriter, []byte) error) error {
	control := http.NewResponseController(w)
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	size := int64(c.Next - c.From)
	if json && size == 0 {
		return encode(w, []byte("[]"))
	}
	for off := int64(0); off < size; {
		k := 0
		if json && off == 0 {
			buf[0] = '['
			k = 1
		}
		n := int(min(size-off, int64(len(buf)-k)))
		if m, err := c.Data.ReadAt(buf[k:k+n], off); m < n {
			return err
		}
		off += int64(n)
		n += k
		if json && off == size {
			buf[n-1] = ']' // in place of the comma behind the last message
		}
		if err := control.SetWriteDeadline(time.Now().Add(h.BodyStall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if err := encode(w, buf[:n]); err != nil {
			return err
		}
	}
	return nil
}

func plainText(w http.ResponseWriter, p []byte) error {
	_, err := w.Write(p)
	return err
}
