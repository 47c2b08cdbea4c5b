package server

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// content returns the bytes to store for a body: the messages for a JSON stream, and the bytes of body otherwise.
func content(body []byte, contentType string) ([]byte, error) {
	if isJSON(contentType) {
		var err error
		if body, err = splitJSON(body); err != nil {
			return nil, err
		}
	}
	if len(body) < cap(body)*3/4 {
		body = append(make([]byte, 0, len(body)), body...) // a copy, because Memory keeps the slice together with its spare capacity
	}
	return body, nil
}

func (h *handler) append(w http.ResponseWriter, r *http.Request, name string) error {
	a, err := h.readAppend(w, r)
	if err != nil {
		return err
	}
	// The fault for a body that has arrived, and nothing is stored.
	if err := received(w); err != nil {
		return err
	}
	out, err := h.appendInTurn(r, name, a)
	header := w.Header()
	// A refused append to a closed stream names the end too. The client learns from one answer that the stream is
	// closed and where its end is.
	if err == nil || errors.Is(err, ErrClosed) {
		header.Set("Stream-Next-Offset", out.Tail.String())
		header.Set("Headrace-Stream-Id", out.ID)
		if out.Closed {
			header["Stream-Closed"] = yes
		}
	}
	if err != nil {
		return err
	}
	if !out.Duplicate {
		h.stats.stored(a.Data)
	}
	header["Cache-Control"] = noStore
	status := http.StatusNoContent
	if a.Producer != nil {
		header.Set("Producer-Epoch", strconv.FormatInt(out.Epoch, 10))
		header.Set("Producer-Seq", strconv.FormatInt(out.Seq, 10))
		// The status tells a producer whether this request has stored the batch (200) or an earlier attempt (204). A
		// producer whose epoch is not confirmed needs the difference: a duplicate may be the batch of another producer
		// with the same epoch.
		if !out.Duplicate && len(a.Data) > 0 {
			status = http.StatusOK
		}
	}
	w.WriteHeader(status)
	return nil
}

// readAppend reads a POST. Wrong content is not an error yet. The protocol checks the stream first, and only the
// storage knows the stream.
func (h *handler) readAppend(w http.ResponseWriter, r *http.Request) (a Append, err error) {
	a = Append{ContentType: r.Header.Get("Content-Type"), Close: closes(r), Sequence: r.Header.Get("Stream-Seq")}
	if len(a.Sequence) > producerBytes {
		return a, fmt.Errorf("%w: the Stream-Seq is too long", ErrRequest)
	}
	if a.Producer, err = producerOf(r); err != nil {
		return a, err
	}
	body, err := h.body(w, r)
	switch {
	case err != nil:
		return a, err
	case len(body) == 0 && !a.Close:
		return a, fmt.Errorf("%w: nothing to append", ErrRequest)
	case len(body) > 0 && a.ContentType == "":
		return a, fmt.Errorf("%w: no Content-Type", ErrRequest)
	// content works in the memory of the body. The body of the request is not needed any more.
	case len(body) > 0:
		if a.Data, a.Invalid = content(body, a.ContentType); a.Invalid == nil && len(a.Data) == 0 {
			a.Invalid = fmt.Errorf("%w: no message to append", ErrRequest)
		}
	}
	return a, nil
}

// overtakeWait is how long a batch that arrived too early may wait for earlier batches. Requests of one producer over
// several connections often overtake each other. Without the wait, each such request would be refused and sent again.
// The wait is short, because a lost batch does not arrive.
const (
	overtakeWait  = 50 * time.Millisecond
	maxOvertakers = 16 // a batch that is further ahead is refused at once, because earlier batches must be lost
)

// appendInTurn appends a. If a arrived too early, appendInTurn tries again when the stream changes, for a short time.
func (h *handler) appendInTurn(r *http.Request, name string, a Append) (Outcome, error) {
	var early *GapError
	out, err := h.storage.Append(r.Context(), name, a)
	if !errors.As(err, &early) || early.Received-early.Expected > maxOvertakers {
		return out, err
	}
	wait, leave := h.waitContext(r, overtakeWait)
	defer leave()
	// Each change of the stream wakes the loop, also a change by another producer. The loop tries again and waits at
	// the new tail, until the batch fits or the time is over. The last refusal is the answer.
	for errors.As(err, &early) && wait.Err() == nil && h.storage.Wait(wait, name, out.Tail) == nil {
		out, err = h.storage.Append(r.Context(), name, a)
	}
	return out, err
}

// closes reports whether the request closes the stream. The protocol lets every other value count as no header.
func closes(r *http.Request) bool {
	return strings.EqualFold(strings.TrimSpace(r.Header.Get("Stream-Closed")), "true")
}

const (
	maxInteger    = 1<<53 - 1 // the largest integer of the protocol
	producerBytes = 8 << 10   // bounds a Producer-Id, which is a key of the storage, and a Stream-Seq, which is a value
)

// producerOf reads the three headers of an idempotent producer. All three are there, or none: with a part of them, the
// server could not recognize a resend, and would store it again.
func producerOf(r *http.Request) (*Producer, error) {
	id, epoch, seq := r.Header["Producer-Id"], r.Header["Producer-Epoch"], r.Header["Producer-Seq"]
	// The header map is read directly: Get would hide a header that was sent twice, and then two proxies could
	// understand the request differently.
	if id == nil && epoch == nil && seq == nil {
		return nil, nil
	}
	if len(id) != 1 || len(epoch) != 1 || len(seq) != 1 {
		return nil, fmt.Errorf("%w: the three Producer headers go together, once each", ErrRequest)
	}
	p := &Producer{ID: id[0]}
	if p.ID == "" || len(p.ID) > producerBytes {
		return nil, fmt.Errorf("%w: the Producer-Id is empty or too long", ErrRequest)
	}
	var ok1, ok2 bool
	p.Epoch, ok1 = integer(epoch[0])
	p.Seq, ok2 = integer(seq[0])
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("%w: Producer-Epoch and Producer-Seq are whole numbers up to 2^53-1", ErrRequest)
	}
	return p, nil
}

// integer reads a string of one or more digits and nothing else. ParseInt alone would take a sign too, which the
// protocol does not allow.
func integer(s string) (int64, bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n <= maxInteger
}

// canonical reads a number in the form `0|[1-9][0-9]*`.
func canonical(s string) (int64, bool) {
	if len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	return integer(s)
}
