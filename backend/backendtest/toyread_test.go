package backendtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/headrace/headrace/backend"
)

// mangle does to records what stores do that were not careful.
func (s *toy) mangle(recs []backend.Record) []backend.Record {
	switch n := len(recs); {
	case n > 2 && s.is("drops a record"):
		recs = recs[:n-1]
	case n > 2 && s.is("repeats a record"):
		recs = append(recs, recs[0])
	case n > 1 && s.is("reorders records"):
		recs[0], recs[1] = recs[1], recs[0]
	case s.is("drops empty values"):
		recs = slices.DeleteFunc(recs, func(r backend.Record) bool { return len(r.Value) == 0 })
	}
	for i := range recs {
		r := &recs[i]
		switch {
		case s.is("makes values UTF-8"):
			r.Value = bytes.ToValidUTF8(r.Value, []byte("?"))
		case s.is("flattens arrays") && bytes.HasPrefix(r.Value, []byte("[1,")):
			r.Value = r.Value[1 : len(r.Value)-1]
		case s.is("trims line ends"):
			r.Value = bytes.ReplaceAll(r.Value, []byte("\r\n"), []byte("\n"))
		case s.is("drops headers"):
			r.Headers = nil
		case s.is("sorts headers"):
			slices.SortStableFunc(r.Headers, func(a, b backend.Header) int { return strings.Compare(a.Name, b.Name) })
		case s.is("forgets times"):
			r.Time = r.Time.Truncate(1 << 30)
		}
	}
	return recs
}

func (s *toy) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	if err := ctx.Err(); err != nil && !s.is("opens under an ended context") {
		return nil, fmt.Errorf("toy: open reader: %w: %w", backend.ErrTransient, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.missing && !s.is("makes streams when asked") {
		return nil, fmt.Errorf("toy: open reader: %w", backend.ErrNotFound)
	}
	at, err := s.find(from)
	if err != nil {
		return nil, fmt.Errorf("toy: open reader at %q: %w", from, err)
	}
	r := &toyReader{toy: s, at: at, pin: from.Relative(), tail: len(s.recs), latest: from == backend.Latest}
	if s.is("lives as long as the context of Open") {
		r.life = ctx.Err
	}
	if s.is("leaves a goroutine of a reader") {
		go hang()
	}
	s.readers[r] = true
	return r, nil
}

func (s *toy) find(from backend.Offset) (int, error) {
	kept := len(s.recs) - s.trimmed
	if n, ok := from.LastN(); ok {
		if s.is("counts Last from 0") {
			n--
		}
		return s.trimmed + max(kept-n, 0), nil
	}
	if t, ok := from.Since(); ok {
		at := func(r backend.Record) bool { return !r.Time.Before(t) }
		if s.is("starts after the time") {
			at = func(r backend.Record) bool { return r.Time.After(t) }
		}
		if i := slices.IndexFunc(s.recs[s.trimmed:], at); i >= 0 {
			return s.trimmed + i, nil
		}
		return len(s.recs), nil
	}
	switch {
	case from == backend.Earliest && kept > 0 && s.is("begins behind the first"):
		return s.trimmed + 1, nil
	case from == backend.Earliest:
		return s.trimmed, nil
	case from == backend.Latest:
		return len(s.recs), nil
	case from == "" && s.is("takes no offset for Earliest"), from.Relative() && s.is("takes unknown starts for Earliest"):
		return s.trimmed, nil
	}
	number, ok := strings.CutPrefix(string(from), "toy:")
	i, err := strconv.Atoi(number)
	switch {
	case (!ok || err != nil || toyOffset(i) != from) && from != "" && !from.Relative() && s.is("takes foreign offsets for Earliest"):
		return s.trimmed, nil
	case !ok || err != nil || toyOffset(i) != from:
		return 0, fmt.Errorf("%w: %w", backend.ErrOutOfRange, errors.New("not an offset of this stream"))
	case i < s.trimmed && s.is("skips what is trimmed"):
		return s.trimmed, nil
	case i > len(s.recs) && s.is("waits beyond the tail"):
		return i, nil
	case i > len(s.recs) && s.is("goes back to the tail"):
		return len(s.recs), nil
	case i < s.trimmed || i > len(s.recs):
		return 0, backend.ErrOutOfRange
	case i > 0 && i < len(s.recs) && s.is("resumes one too late"):
		return i + 1, nil
	case i > 0 && s.is("resumes one too early"):
		return i - 1, nil
	}
	return i, nil
}

type toyReader struct {
	toy    *toy
	at     int
	tail   int
	pin    bool // the next Read does not wait
	told   bool // CaughtUp was said
	reason error

	latest bool
	life   func() error
	buffer []byte
}

// end makes the reader fail; the first reason stands. The stream is locked.
func (r *toyReader) end(reason error) {
	if r.reason == nil {
		r.reason = reason
	}
}

func (r *toyReader) Read(ctx context.Context) (backend.Batch, error) {
	t := r.toy
	var b backend.Batch
	var reason error
	if t.is("reads on without a context") {
		ctx = context.Background()
	}
	waiting := false
	err := t.wait(ctx, func() bool {
		if waiting && t.is("does not wake readers") {
			return false
		}
		if waiting && t.is("returns the newest only") {
			r.at = max(r.at, len(t.recs)-1)
		}
		waiting = true
		if t.is("has one place for all readers") && r.pin {
			t.at = r.at
		}
		if t.is("has one place for all readers") {
			r.at = t.at
		}
		b, reason = r.next()
		t.at = r.at
		return reason != nil || b.Next != ""
	})
	if err != nil {
		reason = fmt.Errorf("toy: read: %w: %w", backend.ErrTransient, err)
		if t.is("does not classify the end of a context") {
			reason = err
		}
		if !t.is("goes on after an error") {
			t.update(func() { r.reason = reason })
		}
	}
	return b, reason
}

// next returns a batch, an error, or nothing for now. The stream is locked.
func (r *toyReader) next() (b backend.Batch, err error) {
	t := r.toy
	if r.life != nil && r.life() != nil {
		r.reason = fmt.Errorf("toy: read: %w: %w", backend.ErrTransient, r.life())
	}
	if r.at < t.trimmed && r.reason == nil {
		if t.is("jumps over what is trimmed") {
			r.at = t.trimmed
		} else {
			r.reason = fmt.Errorf("toy: read: %w", backend.ErrOutOfRange)
		}
	}
	if t.finished && t.is("ends before all is read") {
		r.reason = io.EOF
	}
	if r.reason != nil {
		return b, r.reason
	}
	end := min(len(t.recs), r.at+7) // small, so that many Reads are needed
	switch {
	case r.at > len(t.recs), r.at == end && r.latest && t.is("waits for a record after Latest"):
		return b, nil
	case r.at == end && r.told && t.finished && !t.is("never ends"):
		r.reason = io.EOF
		return b, r.reason
	case r.at == end && !r.pin && r.told && !t.is("spins at the tail"):
		return b, nil
	}
	for i := r.at; i < end; i++ {
		rec := deepCopy(t.recs[i : i+1])[0]
		if t.is("rewrites what it returned") {
			r.buffer = append(r.buffer[:0], rec.Value...)
			rec.Value = r.buffer
		}
		rec.Offset, rec.Next = toyOffset(i), toyOffset(i+1)
		if t.is("resumes at the same record") {
			rec.Next = rec.Offset
		}
		if t.is("resumes where the batch began") {
			rec.Next = toyOffset(r.at + 1)
		}
		b.Records = append(b.Records, rec)
	}
	b.Next = toyOffset(end)
	switch {
	case r.pin && r.latest && t.is("does not pin Latest"):
		b.Next = backend.Latest
	case len(b.Records) > 1 && t.is("says a Next that is short"):
		b.Next = toyOffset(end - 1)
	case end < len(t.recs) && t.is("says a Next that is far"):
		b.Next = toyOffset(end + 1)
	}
	r.at, r.pin = end, false
	b.CaughtUp = end >= r.tail && (len(b.Records) > 0 || !t.is("says CaughtUp with records only")) || t.is("says CaughtUp at once")
	b.Closed = t.finished && end == len(t.recs) && !t.is("does not say Closed") || t.is("says Closed at once")
	if r.told = r.told || b.CaughtUp; t.is("never says CaughtUp") {
		b.CaughtUp = false
	}
	return b, nil
}

func (r *toyReader) Close() error {
	if r.toy.is("hangs in Close of a reader") {
		hang()
	}
	if r.reason != nil && r.toy.is("closes a reader once") {
		return fmt.Errorf("toy: %w", backend.ErrClosed)
	}
	if r.toy.is("waits in Read after Close") {
		return nil
	}
	r.toy.update(func() {
		r.reason = fmt.Errorf("toy: %w", backend.ErrClosed)
		delete(r.toy.readers, r)
	})
	return nil
}
