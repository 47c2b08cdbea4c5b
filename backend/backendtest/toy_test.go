package backendtest

import (
	"context"
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

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/headrace/headrace/backend/backendtest.hang"))
}

// hang is what some of the toy's bugs do for ever.
func hang() { select {} }

// toy is a small correct stream in memory. The suite is proven on copies of it that have one bug each: every call of is
// asks for one.
type toy struct {
	bug     string
	limits  backend.Limits
	dedup   bool
	bad     string // a value that the store refuses
	missing bool
	single  bool // one writer
	picky   bool // Send refuses, and the session goes on

	mu       sync.Mutex
	changed  chan struct{}
	notices  []func() bool // of Notify: called after each change, and dropped once they return true
	format   string
	recs     []backend.Record
	trimmed  int
	finished bool
	live     map[*toySession]bool
	readers  map[*toyReader]bool
	shared   *toyAppender
	names    map[string]*toyName
	owner    *toyAppender // with single
	spoilt   bool
	at       int
}

func newToy() *toy {
	return &toy{changed: make(chan struct{}), dedup: true, live: make(map[*toySession]bool), readers: make(map[*toyReader]bool)}
}

func (s *toy) is(bug string) bool { return s.bug == bug }

// update changes the stream and wakes whoever waits for a change.
func (s *toy) update(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
	s.notices = slices.DeleteFunc(s.notices, func(notice func() bool) bool { return notice() })
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
			reason := fmt.Errorf("toy: %w: %w: connection reset", backend.ErrTransient, backend.ErrIndeterminate)
			if s.is("says that nothing was stored") {
				reason = fmt.Errorf("toy: %w: connection reset", backend.ErrTransient)
				session.queue = nil
			}
			session.end(reason)
		}
		for r := range s.readers {
			if s.is("skips a record when it reconnects") {
				r.at = min(r.at+1, len(s.recs))
			} else {
				r.end(fmt.Errorf("toy: %w: connection reset", backend.ErrTransient))
			}
		}
		if n := len(s.recs); n > s.trimmed && s.is("loses what it acknowledged") {
			s.recs = s.recs[:n-1]
		}
	})
}

func (s *toy) NewAppender(f backend.Format) backend.Appender {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shared != nil && s.is("shares seqs") {
		return s.shared
	}
	s.shared = &toyAppender{toy: s, format: f, acks: map[uint64]backend.Ack{}}
	return s.shared
}

type toyAppender struct {
	toy    *toy
	format backend.Format
	acked  uint64 // seqs below it were returned by Recv
	stored uint64 // seqs below it are stored
	acks   map[uint64]backend.Ack
	held   []backend.Record
	opened bool

	name *toyName // of Resume
	base uint64   // of the name's batches, the first one of this appender
	sent uint64   // of this appender's batches, how many another may have sent
}

func (a *toyAppender) Limits() backend.Limits { return a.toy.limits }

func (a *toyAppender) Open(ctx context.Context) (backend.Session, error) {
	t := a.toy
	switch {
	case ctx.Err() != nil && t.is("does not classify the end of a context"):
		return nil, ctx.Err()
	case ctx.Err() != nil && !t.is("opens under an ended context"):
		return nil, fmt.Errorf("toy: open: %w: %w", backend.ErrTransient, ctx.Err())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.missing && !t.is("makes streams when asked") {
		return nil, fmt.Errorf("toy: open: %w", backend.ErrNotFound)
	}
	if t.format == "" {
		t.format = a.format.ContentType
	}
	if t.format != a.format.ContentType && !t.is("takes any content type") {
		return nil, fmt.Errorf("toy: open: stream of %s: %w", t.format, backend.ErrConflict)
	}
	switch {
	case t.spoilt, t.owner != nil && t.owner != a && t.is("remembers who was first"):
		return nil, fmt.Errorf("toy: open: %w", backend.ErrConflict)
	case t.single && a.opened && t.owner != a && !t.is("lets the older write"):
		return nil, fmt.Errorf("toy: open: %w", backend.ErrFenced)
	}
	t.owner, a.opened = a, true
	for s := range t.live {
		if s.a == a {
			return nil, fmt.Errorf("toy: open: the session before is not closed: %w", backend.ErrConflict)
		}
		if t.is("has one writer") {
			s.end(backend.ErrFenced)
		}
	}
	s := &toySession{a: a, toy: t, next: a.acked}
	if t.is("begins each session with seq 0") {
		s.next = 0
	}
	if t.is("lives as long as the context of Open") {
		s.life = ctx.Err
	}
	if t.is("leaves a goroutine") {
		go hang()
	}
	t.live[s] = true
	return s, nil
}

type toySession struct {
	a      *toyAppender
	toy    *toy
	next   uint64
	queue  []backend.Ack
	reason error
	closed bool
	life   func() error // for a bug only
}

// end takes nothing more; the first reason stands. The stream is locked.
func (s *toySession) end(reason error) {
	if s.reason == nil {
		s.reason = reason
	}
}

func (s *toySession) Send(ctx context.Context, seq uint64, recs []backend.Record) error {
	t := s.toy
	room := func() bool {
		return s.reason != nil || t.limits.InFlight == 0 || len(s.queue) < t.limits.InFlight
	}
	if t.is("has no end of Send") {
		room = func() bool { return t.limits.InFlight == 0 || len(s.queue) < t.limits.InFlight }
	}
	if err := t.wait(ctx, room); err != nil {
		t.update(func() { s.end(fmt.Errorf("toy: send: %w: %w", backend.ErrTransient, err)) })
	}
	var err error
	t.update(func() { err = s.take(ctx, seq, recs) })
	return err
}

func (s *toySession) take(ctx context.Context, seq uint64, recs []backend.Record) error {
	t := s.toy
	switch {
	case seq > s.next && t.is("takes gaps"):
		s.next = seq
	case seq < s.next && t.is("takes old seqs as resends"):
		s.queue = append(s.queue, backend.Ack{Seq: seq})
		return nil
	case seq < s.next && t.is("takes old seqs as new"):
		s.next = seq
	case t.single && t.owner != s.a && !t.is("lets the older write"):
		s.end(fmt.Errorf("toy: send: %w", backend.ErrFenced))
	case seq != s.next:
		t.spoilt = t.is("is spoilt by a conflict")
		s.end(fmt.Errorf("toy: send: seq %d where %d is next: %w", seq, s.next, backend.ErrConflict))
	}
	switch {
	case s.life != nil && s.life() != nil:
		s.end(fmt.Errorf("toy: send: %w: %w", backend.ErrTransient, s.life()))
	case ctx.Err() != nil && !t.is("sends under an ended context"):
		s.end(fmt.Errorf("toy: send: %w: %w", backend.ErrTransient, ctx.Err()))
	}
	if s.reason != nil && (s.closed || !t.is("takes batches after the reason")) {
		return s.reason
	}
	s.next++
	if t.is("ends a batch with the context of Send") {
		s.life = ctx.Err
	}
	i, refused := s.refuse(recs)
	if t.picky && refusal(refused) {
		s.next--
		return fmt.Errorf("toy: send: %w", refused)
	}
	if refused != nil {
		s.end(fmt.Errorf("toy: send: %w", refused))
		switch {
		case t.is("tears a refused batch"):
			t.recs = append(t.recs, deepCopy(recs[:i])...)
		case t.is("goes on behind a refusal"):
			s.reason = nil
			s.a.stored = seq + 1
			s.a.acks[seq] = backend.Ack{Seq: seq, OffsetOf: func(int) backend.Offset { return "toy:0" }}
			s.queue = append(s.queue, s.a.acks[seq])
		}
		return nil
	}
	if t.has(s.a, seq) {
		s.queue = append(s.queue, s.a.name.acks[s.a.base+seq].at(seq))
		return nil
	}
	if !t.dedup || seq >= s.a.stored || t.is("stores a resend again") {
		s.store(seq, recs)
	} else if t.is("forgets where a resend is") {
		s.a.acks[seq] = backend.Ack{Seq: seq, OffsetOf: func(int) backend.Offset { return "toy:0" }}
	}
	s.queue = append(s.queue, s.a.acks[seq])
	if n := len(s.queue); n > 1 && t.is("acknowledges out of order") {
		s.queue[n-1], s.queue[n-2] = s.queue[n-2], s.queue[n-1]
	}
	return nil
}

func (s *toySession) store(seq uint64, recs []backend.Record) {
	t := s.toy
	first := len(t.recs)
	kept := deepCopy(recs)
	if t.is("keeps lent memory") || len(s.queue) > 0 && t.is("keeps lent memory behind a batch in flight") {
		kept = append([]backend.Record{}, recs...)
	}
	for i := range kept {
		if kept[i].Time.IsZero() {
			kept[i].Time = time.Now()
		}
		if t.is("writes to lent memory") {
			recs[i].Offset = toyOffset(first + i)
		}
	}
	kept = t.mangle(kept)
	if t.is("acknowledges before it stores") {
		kept, s.a.held = s.a.held, kept
	}
	t.recs = append(t.recs, kept...)
	s.a.stored = seq + 1
	ack := backend.Ack{Seq: seq, Next: toyOffset(len(t.recs)), OffsetOf: func(i int) backend.Offset { return toyOffset(first + i) }}
	switch {
	case t.is("acknowledges too much"):
		ack.Seq++
	case t.is("acknowledges the batch before"):
		ack.Seq = max(ack.Seq, 1) - 1
	case t.is("says a wrong Next"):
		ack.Next = toyOffset(first)
	case t.is("does not say where records are"):
		ack.OffsetOf = nil
	case t.is("says that records are elsewhere"):
		ack.OffsetOf = func(i int) backend.Offset { return toyOffset(first + i + 1) }
	case t.is("says something else each time"):
		calls := 0
		ack.OffsetOf = func(i int) backend.Offset { calls++; return toyOffset(first + i + (calls-1)/len(recs)) }
	case t.is("asks the lent records where they are"):
		ack.OffsetOf = func(i int) backend.Offset { return toyOffset(len(t.recs) - len(recs) + i) }
	}
	s.a.acks[seq] = ack
	if s.a.name != nil {
		s.a.name.acks[s.a.base+seq] = toyAck(ack)
	}
}

// refuse returns the error and the record that is to blame.
func (s *toySession) refuse(recs []backend.Record) (int, error) {
	l := s.toy.limits
	if s.toy.is("takes one too many") {
		l.BatchRecords++
	}
	if s.toy.is("takes one byte too many") {
		l.BatchBytes++
	}
	if s.toy.is("takes records too large") {
		l.RecordBytes++
	}
	if s.toy.is("refuses what is at the limit") {
		l.RecordBytes--
	}
	sum := 0
	for i := range recs {
		n, err := l.Meter(&recs[i])
		switch {
		case err != nil:
			return i, &backend.RecordError{Index: i, Err: err}
		case l.RecordBytes > 0 && n > l.RecordBytes:
			return i, &backend.RecordError{Index: i, Err: backend.ErrTooLarge}
		case s.toy.bad != "" && string(recs[i].Value) == s.toy.bad && s.toy.is("names the wrong record"):
			return i, &backend.RecordError{Index: i - 1, Err: backend.ErrRejected}
		case s.toy.bad != "" && string(recs[i].Value) == s.toy.bad:
			return i, &backend.RecordError{Index: i, Err: backend.ErrRejected}
		case s.toy.is("refuses binary values") && !strings.Contains(string(recs[i].Value), "\x00\xff") && strings.Contains(string(recs[i].Value), "\x80"):
			return i, &backend.RecordError{Index: i, Err: backend.ErrRejected}
		}
		sum += n
	}
	switch {
	case s.toy.finished && s.toy.is("takes batches after the end"):
	case s.toy.finished && s.toy.is("says to try again after the end"):
		return 0, fmt.Errorf("%w: %w", backend.ErrTransient, backend.ErrStreamClosed)
	case s.toy.finished:
		return 0, backend.ErrStreamClosed
	case l.BatchBytes > 0 && sum > l.BatchBytes, l.BatchRecords > 0 && len(recs) > l.BatchRecords:
		return 0, backend.ErrTooLarge
	}
	return 0, nil
}

func (s *toySession) Recv(ctx context.Context) (backend.Ack, error) {
	t := s.toy
	var ack backend.Ack
	var reason error
	received := false
	err := t.wait(ctx, func() bool {
		switch {
		case s.closed && t.is("waits in Recv after Close"):
			return false
		case s.closed:
			reason = s.reason
		case s.reason != nil && t.is("loses the last words"):
			reason = s.reason
		case s.life != nil && s.life() != nil:
			s.end(fmt.Errorf("toy: recv: %w: %w", backend.ErrIndeterminate, s.life()))
			reason = s.reason
		case len(s.queue) > 0:
			ack, s.queue = s.queue[0], s.queue[1:]
			s.a.acked = ack.Seq + 1
			received = true
		case t.is("does not wait in Recv"):
			s.end(fmt.Errorf("toy: recv: %w: nothing to receive", backend.ErrTransient))
			reason = s.reason
		default:
			reason = s.reason
			return reason != nil
		}
		return true
	})
	if received {
		t.update(func() {}) // there is room again
	}
	if err != nil {
		reason = fmt.Errorf("toy: recv: %w: %w: %w", backend.ErrTransient, backend.ErrIndeterminate, err)
		if t.is("does not classify the end of a context") {
			reason = err
		}
		if !t.is("lives on after a cancelled Recv") {
			t.update(func() { s.queue = nil; s.end(reason) })
		}
	}
	return ack, reason
}

func (s *toySession) Close() error {
	t := s.toy
	if t.is("hangs in Close") {
		hang()
	}
	if s.closed && t.is("closes once") {
		return fmt.Errorf("toy: %w", backend.ErrClosed)
	}
	t.update(func() {
		if s.closed && t.is("ends the next session with the one before") {
			for next := range t.live {
				next.reason = fmt.Errorf("toy: %w", backend.ErrTransient)
			}
		}
		s.closed, s.reason = true, fmt.Errorf("toy: %w", backend.ErrClosed)
		if t.is("does not say that it is closed") {
			s.reason = fmt.Errorf("toy: %w", backend.ErrTransient)
		}
		delete(t.live, s)
	})
	return nil
}
