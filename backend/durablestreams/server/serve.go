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

// poll answers with what there is, or waits for it.
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
			return err // to the client, if it is still there, another answer would say that there is no data
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			return err
		}
		id := c.ID
		if c, err = h.storage.Read(r.Context(), name, c.From, h.ChunkBytes); err != nil {
			return err
		}
		if c.ID != id {
			return ErrNotFound // deleted, and another one made under its name
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
		// Ours, and no part of the protocol: a client that asks for "-1" cannot tell otherwise where the bytes are that it
		// gets, as the beginning of a stream moves with what Retain drops.
		header.Set("Headrace-Start-Offset", c.From.String())
	}
	partial := c.Next < c.Tail
	if !partial {
		header["Stream-Up-To-Date"] = yes
		if c.Closed {
			header["Stream-Closed"] = yes
		}
	}
	if q.from == Now { // which is another place for the next who asks
		header["Cache-Control"] = noStore
	} else {
		header["Cache-Control"] = h.caching(partial || q.live != "")
		// A stream that is closed without data ends at the same place and yet says something new.
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
		// Flushed while there is a deadline, which must not outlive this response: the connection may be used again.
		control := http.NewResponseController(w)
		if err = control.Flush(); errors.Is(err, http.ErrNotSupported) {
			err = nil
		}
		_ = control.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the length is promised: only a broken connection tells the client
	}
	return nil
}

var (
	shared   = []string{"public, max-age=60, stale-while-revalidate=300"}
	private  = []string{"private, max-age=60, stale-while-revalidate=300"}
	validate = []string{"no-cache"}
)

// caching lets caches keep what will not change. A catch-up read that reaches the tail is asked for again with its ETag:
// kept for a minute, it would hide what a client itself has just appended.
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

// epoch and interval are the protocol's: cursors count intervals since it.
var epoch = time.Date(2024, 10, 9, 0, 0, 0, 0, time.UTC)

const interval = 20 * time.Second

// cursor answers a client's cursor with one that caches have not seen: the current interval, or a later one than the
// client's. What a client sent is never echoed. A cursor is a string to clients, so it may exceed the protocol's integers.
func cursor(sent string, now time.Time) string {
	const steps = 180
	current := int64(now.Sub(epoch) / interval)
	if n, err := strconv.ParseInt(sent, 10, 64); err == nil && n >= current && n < math.MaxInt64-steps {
		current = n + 1 + rand.Int64N(steps)
	}
	return strconv.FormatInt(current, 10)
}

// buffers are what slow readers hold: nothing of a chunk is in memory but the part being written.
var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// send writes a chunk's bytes through encode, the messages of a JSON stream as one array.
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
