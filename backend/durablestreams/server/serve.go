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

// A query holds the query parameters of a GET.
type query struct {
	from   Position
	given  bool // the query has an offset
	live   string
	cursor string
}

// queryOf reads the query of a GET. An offset that is missing means the beginning, except for a live read: see read.
func queryOf(r *http.Request) (q query, err error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return q, ErrRequest
	}
	q.from = Beginning
	// Two offsets in one query are refused. A cache may look at the first and the server at the last, and the cache
	// would keep a wrong answer.
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

// read answers a GET: a catch-up read, a long-poll or an event stream.
func (h *handler) read(w http.ResponseWriter, r *http.Request, name string) error {
	q, err := queryOf(r)
	if err != nil {
		return err
	}
	switch q.live {
	case "sse", "long-poll":
		// The protocol asks live readers for an offset. Without the rule, a reader that has lost its offset would get
		// the whole stream again.
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

// poll answers a long-poll: with the data that is stored, or with the data that comes within the time of a long-poll.
func (h *handler) poll(w http.ResponseWriter, r *http.Request, name string, q query) error {
	c, err := h.storage.Read(r.Context(), name, q.from, h.ChunkBytes)
	if err != nil {
		return err
	}
	// Only a reader at the tail waits. A closed stream has nothing to wait for.
	if c.Next == c.From && !c.Closed {
		ctx, leave := h.waitContext(r, h.LongPoll)
		// The wait ends with data, with the end of the stream, with its time, or when the server stops. In all four
		// cases the client gets the state of the stream as it is then.
		err := h.storage.Wait(ctx, name, c.From)
		leave()
		if err := r.Context().Err(); err != nil {
			return err // a 204 would say that there is no data, and we do not know whether there is data
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			return err
		}
		id := c.ID
		if c, err = h.storage.Read(r.Context(), name, c.From, h.ChunkBytes); err != nil {
			return err
		}
		if c.ID != id {
			return ErrNotFound // the stream was deleted, and another stream has its name now
		}
	}
	// The cursor comes after the wait, so that it counts the present interval. A cursor from before the wait could be
	// the one that the client has sent, and a cache would answer the next long-poll with this answer.
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
		// This header is ours, and not part of the protocol. The beginning of a stream moves when Retain drops appends.
		// So a client that asks for "-1" cannot know otherwise where the bytes begin.
		header.Set("Headrace-Start-Offset", c.From.String())
	}
	// A partial answer says nothing about the end of the stream, because readers take Stream-Closed for the end of the
	// data too.
	partial := c.Next < c.Tail
	if !partial {
		header["Stream-Up-To-Date"] = yes
		if c.Closed {
			header["Stream-Closed"] = yes
		}
	}
	if q.from == Now { // the next client that asks for now gets another place
		header["Cache-Control"] = noStore
	} else {
		header["Cache-Control"] = h.caching(partial || q.live != "")
		tag := entityTag(c, partial)
		header["Etag"] = []string{tag}
		// A 304 has no body, so no bytes are read from the storage.
		if matches(r.Header["If-None-Match"], tag) {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	h.stats.read(c)
	json := isJSON(c.ContentType)
	// Stored messages end with a comma each: the array has an opening bracket more, and the last comma becomes the
	// closing bracket. An empty array has two bytes.
	length := int64(c.Next - c.From)
	if json {
		length = max(length+1, 2)
	}
	header.Set("Content-Length", strconv.FormatInt(length, 10))
	w.WriteHeader(http.StatusOK)
	err := h.send(w, c, json, plainText)
	if err == nil {
		// We flush while the write deadline is set. Then we remove the deadline, because the connection may be used
		// again.
		control := http.NewResponseController(w)
		if err = control.Flush(); errors.Is(err, http.ErrNotSupported) {
			err = nil
		}
		_ = control.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the header has promised a length, so only a broken connection tells the client of the failure
	}
	return nil
}

// entityTag returns the tag of an answer. When a stream is closed without data, its tail does not change. The tag must change,
// because the answer changes. So the tag also says whether the stream is closed.
func entityTag(c Chunk, partial bool) string {
	tag := `"` + c.ID + ":" + strconv.FormatUint(uint64(c.From), 10) + ":" + strconv.FormatUint(uint64(c.Next), 10)
	if !partial {
		tag += ":t"
		if c.Closed {
			tag += ":c"
		}
	}
	return tag + `"`
}

var (
	shared   = []string{"public, max-age=60, stale-while-revalidate=300"}
	private  = []string{"private, max-age=60, stale-while-revalidate=300"}
	validate = []string{"no-cache"}
)

// caching lets caches keep answers that will not change. A catch-up answer that reaches the tail changes with the next
// append. If a cache kept this answer for a minute, a client could not see its own append. So caches must ask the
// server again, with the ETag of the answer.
func (h *handler) caching(fixed bool) []string {
	switch {
	case !fixed:
		return validate
	case h.Authorize != nil:
		return private
	}
	return shared
}

// matches reports whether one of the tags that a client has given is tag. The protocol compares weakly, so a W/ in
// front of a tag does not count: a proxy adds it when it compresses.
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

// A cursor counts intervals since epoch. The protocol gives both values.
var epoch = time.Date(2024, 10, 9, 0, 0, 0, 0, time.UTC)

const interval = 20 * time.Second

// cursor returns a cursor that no cache has seen: the number of the current interval, or a number above the number that
// the client has sent. If a cursor repeated, a cache could answer with an old response. Clients treat a cursor as a
// string, so a cursor may be larger than the integers of the protocol.
func cursor(sent string, now time.Time) string {
	const steps = 180
	current := int64(now.Sub(epoch) / interval)
	if n, err := strconv.ParseInt(sent, 10, 64); err == nil && n >= current && n < math.MaxInt64-steps {
		current = n + 1 + rand.Int64N(steps)
	}
	return strconv.FormatInt(current, 10)
}

// buffers bound the memory of slow readers: a reader holds only the part of a chunk that is being written.
var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// send writes the bytes of a chunk through encode. JSON messages are stored with a comma after each message. send turns
// them into an array: it writes a bracket before the first message, and a bracket in place of the last comma.
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
		// The bracket goes into the same buffer as the first messages, so it costs no write of its own.
		if json && off == 0 {
			buf[0] = '['
			k = 1
		}
		n := int(min(size-off, int64(len(buf)-k)))
		if m, err := c.Data.ReadAt(buf[k:k+n], off); m < n {
			// The status of the response is sent already. Only the log can name the cause.
			x := w.(*reply)
			h.report(x.request, x.stream, statusOf(http.Header{}, err), err)
			return err
		}
		off += int64(n)
		n += k
		if json && off == size {
			buf[n-1] = ']' // in place of the comma after the last message
		}
		// Each part has its own deadline: a slow reader may go on, and a reader without progress is given up.
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
