package streamlog_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctx = context.Background()

// slowStore is a store whose commits happen when the test says so, as those of a disk happen when it likes.
type slowStore struct {
	board *streamlog.Board
	auto  bool // commit at once

	mu      sync.Mutex
	queue   []*streamlog.Write
	recs    []backend.Record
	queued  sync.Cond // the queue got longer
	reading func()    // called by Read, off every lock
}

func newSlowStore() *slowStore {
	s := &slowStore{board: streamlog.NewBoard(streamlog.State{})}
	s.queued.L = &s.mu
	return s
}

func (s *slowStore) Board() *streamlog.Board { return s.board }

func (s *slowStore) Commit(w *streamlog.Write) {
	copied := *w
	copied.Records = append([]backend.Record(nil), w.Records...)
	s.mu.Lock()
	s.queue = append(s.queue, &copied)
	s.queued.Broadcast()
	auto := s.auto
	s.mu.Unlock()
	if auto {
		s.step(nil)
	}
}

// waitQueued returns when n writes wait to be stored.
func (s *slowStore) waitQueued(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) < n {
		s.queued.Wait()
	}
}

// begin takes what is queued as one round, as a group commit does, and returns how it ends.
func (s *slowStore) begin() (finish func(error)) {
	s.mu.Lock()
	round := s.queue
	s.queue = nil
	s.mu.Unlock()
	var begun []*streamlog.Write
	for _, w := range round {
		if w.Begin == nil || w.Begin() {
			begun = append(begun, w)
		}
	}
	return func(err error) {
		for _, w := range begun {
			if err != nil {
				w.Done(0, err)
				continue
			}
			w.Done(s.store(w))
		}
	}
}

func (s *slowStore) step(err error) { s.begin()(err) }

func (s *slowStore) store(w *streamlog.Write) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.board.State()
	if err := st.Apply(w, len(w.Records)); err != nil {
		return 0, err
	}
	first := uint64(len(s.recs))
	streamlog.SetOffsets(w.Records, first, st.Incarnation)
	s.recs = append(s.recs, w.Records...)
	s.board.Publish(st)
	return first, nil
}

func (s *slowStore) values() (vs []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.recs {
		vs = append(vs, string(r.Value))
	}
	return vs
}

func (s *slowStore) Read(seq uint64, l streamlog.ReadLimit) ([]backend.Record, func(), error) {
	if s.reading != nil {
		s.reading()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq < s.board.State().Head {
		return nil, nil, nil
	}
	end := min(l.Below, seq+uint64(l.Records))
	return append([]backend.Record(nil), s.recs[seq:end]...), nil, nil
}

func (s *slowStore) Since(t time.Time, head, tail uint64) (uint64, error) { return tail, nil }

func recs(values ...string) (rs []backend.Record) {
	for _, v := range values {
		rs = append(rs, backend.Record{Value: []byte(v)})
	}
	return rs
}

func newLog(s streamlog.Store, limits backend.Limits) *streamlog.Log {
	return streamlog.New("test", s, limits)
}

func open(t *testing.T, a backend.Appender) backend.Session {
	t.Helper()
	s, err := a.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func send(t *testing.T, s backend.Session, seq uint64, values ...string) {
	t.Helper()
	if err := s.Send(ctx, seq, recs(values...)); err != nil {
		t.Fatalf("send %d: %v", seq, err)
	}
}

func wantAck(t *testing.T, s backend.Session, seq uint64, first backend.Offset) {
	t.Helper()
	ack, err := s.Recv(ctx)
	if err != nil || ack.Seq != seq || ack.OffsetOf(0) != first {
		t.Fatalf("Recv: seq %d, %v; want seq %d at %q", ack.Seq, err, seq, first)
	}
}

// wantErr checks which of the sentinels an error wraps: exactly those given.
func wantErr(t *testing.T, err error, want ...error) {
	t.Helper()
	all := []error{backend.ErrTransient, backend.ErrIndeterminate, backend.ErrRejected, backend.ErrTooLarge, backend.ErrConflict,
		backend.ErrOutOfRange, backend.ErrStreamClosed, backend.ErrClosed}
	if err == nil {
		t.Fatalf("no error, want %v", want)
	}
	for _, sentinel := range all {
		wanted := false
		for _, w := range want {
			wanted = wanted || w == sentinel
		}
		if errors.Is(err, sentinel) != wanted {
			t.Fatalf("error %q: wraps %q: %v, want %v", err, sentinel, !wanted, wanted)
		}
	}
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Fatalf("error %q does not wrap %q", err, w)
		}
	}
}
