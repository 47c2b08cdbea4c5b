package server

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// content returns what is stored of a body: the messages of a JSON stream, otherwise the bytes as they are.
func content(body []byte, contentType string) ([]byte, error) {
	if isJSON(contentType) {
		var err error
		if body, err = splitJSON(body); err != nil {
			return nil, err
		}
	}
	if len(body) < cap(body)*3/4 {
		body = append(make([]byte, 0, len(body)), body...) // Memory keeps the slice as it is, with its spare room
	}
	return body, nil
}

func (h *handler) append(w http.ResponseWriter, r *http.Request, name string) error {
	a, err := h.readAppend(w, r)
	if err != nil {
		return err
	}
	if err := received(w); err != nil {
		return err
	}
	out, err := h.inTurn(r, name, a)
	header := w.Header()
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
	header["Cache-Control"] = noStore
	status := http.StatusNoContent
	if a.Producer != nil {
		header.Set("Producer-Epoch", strconv.FormatInt(out.Epoch, 10))
		header.Set("Producer-Seq", strconv.FormatInt(out.Seq, 10))
		// By the status, a producer tells a batch that was accepted from one that was stored before.
		if !out.Duplicate && len(a.Data) > 0 {
			status = http.StatusOK
		}
	}
	w.WriteHeader(status)
	return nil
}

// readAppend reads a POST. Content that is wrong is no error yet: the protocol gives the refusals of the stream first, which the
// storage knows.
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
	case len(body) > 0:
		if a.Data, a.Invalid = content(body, a.ContentType); a.Invalid == nil && len(a.Data) == 0 {
			a.Invalid = fmt.Errorf("%w: no message to append", ErrRequest)
		}
	}
	return a, nil
}

// overtaking is how long a batch that came too early may wait for the batches in front of it. Requests of one producer that come
// over several connections overtake each other all the time. Without the wait, each of them would be refused and sent again. A
// batch that was lost does not come, so the wait is short.
const (
	overtaking = 50 * time.Millisecond
	overtakers = 16 // batches: if a batch is further ahead, others in front of it were lost
)

// inTurn appends, and gives a producer's batch that came too early a little time.
func (h *handler) inTurn(r *http.Request, name string, a Append) (Outcome, error) {
	var early *GapError
	out, err := h.storage.Append(r.Context(), name, a)
	if !errors.As(err, &early) || early.Received-early.Expected > overtakers {
		return out, err
	}
	wait, leave := h.waiting(r, overtaking)
	defer leave()
	for errors.As(err, &early) && wait.Err() == nil && h.storage.Wait(wait, name, out.Tail) == nil {
		out, err = h.storage.Append(r.Context(), name, a)
	}
	return out, err
}

func closes(r *http.Request) bool {
	return strings.EqualFold(strings.TrimSpace(r.Header.Get("Stream-Closed")), "true")
}

const (
	maxInteger    = 1<<53 - 1 // of the protocol
	producerBytes = 8 << 10   // of a Producer-Id, which is a key of the storage, and of a Stream-Seq, which is a value
)

func producerOf(r *http.Request) (*Producer, error) {
	id, epoch, seq := r.Header["Producer-Id"], r.Header["Producer-Epoch"], r.Header["Producer-Seq"]
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

// integer reads digits, one at least, and nothing else.
func integer(s string) (int64, bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n <= maxInteger
}

// canonical reads `0|[1-9][0-9]*`.
func canonical(s string) (int64, bool) {
	if len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	return integer(s)
}
