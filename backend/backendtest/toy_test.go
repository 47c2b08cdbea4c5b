package backendtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// toy is a small correct stream in memory. The suite is proven on copies of it that have one bug each, which is what
// every mention of bug is about.
type toy struct {
	bug    string
	limits backend.Limits
	dedup  bool
	bad    string // a value that the store refuses

	missing bool

	mu       sync.Mutex
	changed  chan struct{}
	format   string
	recs     []backend.Record
	trimmed  int
	finished bool
	live     map[*toySession]bool
}

func newToy() *toy {
	return &toy{changed: make(chan struct{}), dedup: true, live: make(map[*toySession]bool)}
}

// update changes the stream and wakes whoever waits for a change.
func (s *toy) update(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// wait calls f with the lock held until it returns true.
func (s *toy) wait(ctx context.Context, f func() bool) error {
	for {
		s.mu.Lock()
		done, changed := f(), s.changed
		s.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func toyOffset(i int) backend.Offset { return backend.Offset("toy:" + strconv.Itoa(i)) }

func clone(r backend.Record) backend.Record {
	r.Value = append([]byte{}, r.Value...)
	r.Headers = slices.Clone(r.Headers)
	for i := range r.Headers {
		r.Headers[i].Value = append([]byte{}, r.Headers[i].Value...)
	}
	return r
}

func (s *toy) Finish() error {
	s.update(func() { s.finished = true })
	return nil
}

func (s *toy) Trim(before backend.Offset) error {
	i, err := strconv.Atoi(strings.TrimPrefix(string(before), "toy:"))
	s.update(func() { s.trimmed = i })
	return err
}

func (s *toy) Break() {
	s.update(func() {
		for session := range s.live {
			session.end(fmt.Errorf("toy: %w: %w: connection reset", backend.ErrTransient, backend.ErrIndeterminate))
		}
	})
}

func (s *toy) NewAppender(f backend.Format) backend.Appender {
	return &toyAppender{toy: s, format: f, acks: map[uint64]backend.Ack{}}
}

type toyAppender struct {
	toy    *toy
	format backend.Format
	acked  uint64 // seqs below it were returned by Recv
	stored uint64 // seqs below it are stored
	acks   map[uint64]backend.Ack
}

func (a *toyAppender) Limits() backend.Limits { return a.toy.limits }

func (a *toyAppender) Open(ctx context.Context) (backend.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("toy: open: %w: %w", backend.ErrTransient, err)
	}
	a.toy.mu.Lock()
	defer a.toy.mu.Unlock()
	if a.toy.missing {
		return nil, fmt.Errorf("toy: open: %w", backend.ErrNotFound)
	}
	if a.toy.format == "" {
		a.toy.format = a.format.ContentType
	}
	if a.toy.format != a.format.ContentType {
		return nil, fmt.Errorf("toy: open: stream of %s: %w", a.toy.format, backend.ErrConflict)
	}
	for s := range a.toy.live {
		if s.a == a {
			return nil, fmt.Errorf("toy: open: the session before is not closed: %w", backend.ErrConflict)
		}
	}
	s := &toySession{a: a, toy: a.toy, next: a.acked}
	a.toy.live[s] = true
	return s, nil
}

type toySession struct {
	a      *toyAppender
	toy    *toy
	next   uint64
	queue  []backend.Ack
	reason error
	closed bool
}

// end takes nothing more; the first reason stands. The stream is locked.
func (s *toySession) end(reason error) {
	if s.reason == nil {
		s.reason = reason
	}
}

func (s *toySession) Send(ctx context.Context, seq uint64, recs []backend.Record) error {
	room := func() bool {
		return s.reason != nil || s.toy.limits.InFlight == 0 || len(s.queue) < s.toy.limits.InFlight
	}
	if err := s.toy.wait(ctx, room); err != nil {
		s.toy.update(func() { s.end(fmt.Errorf("toy: send: %w: %w", backend.ErrTransient, err)) })
	}
	var err error
	s.toy.update(func() {
		if seq != s.next {
			s.end(fmt.Errorf("toy: send: seq %d where %d is next: %w", seq, s.next, backend.ErrConflict))
		}
		if ctx.Err() != nil {
			s.end(fmt.Errorf("toy: send: %w: %w", backend.ErrTransient, ctx.Err()))
		}
		if err = s.reason; err != nil {
			return
		}
		s.next++
		if refusal := s.refuse(recs); refusal != nil {
			s.end(fmt.Errorf("toy: send: %w", refusal))
			return
		}
		if !s.toy.dedup || seq >= s.a.stored {
			first := len(s.toy.recs)
			for _, r := range recs {
				if r = clone(r); r.Time.IsZero() {
					r.Time = time.Now()
				}
				s.toy.recs = append(s.toy.recs, r)
			}
			s.a.stored = seq + 1
			s.a.acks[seq] = backend.Ack{
				Seq: seq, Next: toyOffset(len(s.toy.recs)), OffsetOf: func(i int) backend.Offset { return toyOffset(first + i) },
			}
		}
		s.queue = append(s.queue, s.a.acks[seq])
	})
	return err
}

func (s *toySession) refuse(recs []backend.Record) error {
	l := s.toy.limits
	sum := 0
	for i := range recs {
		n, err := l.Meter(&recs[i])
		switch {
		case err != nil:
			return &backend.RecordError{Index: i, Err: err}
		case l.RecordBytes > 0 && n > l.RecordBytes:
			return &backend.RecordError{Index: i, Err: backend.ErrTooLarge}
		case s.toy.bad != "" && string(recs[i].Value) == s.toy.bad:
			return &backend.RecordError{Index: i, Err: backend.ErrRejected}
		}
		sum += n
	}
	switch {
	case s.toy.finished:
		return backend.ErrStreamClosed
	case l.BatchBytes > 0 && sum > l.BatchBytes, l.BatchRecords > 0 && len(recs) > l.BatchRecords:
		return backend.ErrTooLarge
	}
	return nil
}

func (s *toySession) Recv(ctx context.Context) (backend.Ack, error) {
	var ack backend.Ack
	var reason error
	var received bool
	err := s.toy.wait(ctx, func() bool {
		switch {
		case s.closed:
			reason = s.reason
		case len(s.queue) > 0:
			ack, s.queue = s.queue[0], s.queue[1:]
			s.a.acked = ack.Seq + 1
			received = true
		default:
			reason = s.reason
			return reason != nil
		}
		return true
	})
	if received {
		s.toy.update(func() {}) // there is room again
	}
	if err != nil {
		reason = fmt.Errorf("toy: recv: %w: %w: %w", backend.ErrTransient, backend.ErrIndeterminate, err)
		s.toy.update(func() { s.queue = nil; s.end(reason) })
	}
	return ack, reason
}

func (s *toySession) Close() error {
	s.toy.update(func() {
		s.closed, s.reason = true, fmt.Errorf("toy: %w", backend.ErrClosed)
		delete(s.toy.live, s)
	})
	return nil
}

var errNotToy = errors.New("not an offset of this stream")
