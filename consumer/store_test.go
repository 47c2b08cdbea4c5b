package consumer_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
)

const key = "numbers/test"

// numbers decodes what a script or count holds.
var numbers = codec.Func("text/plain", nil, decodeNumber)

// A spyStore is a store that keeps what was saved and fails when told.
type spyStore struct {
	checkpoint.Store

	mu     sync.Mutex
	offs   []backend.Offset
	claims int
	fail   func(ctx context.Context, cp checkpoint.Checkpoint) error // nil: never
}

func newSpy() *spyStore { return &spyStore{Store: checkpoint.NewMemory()} }

func (s *spyStore) Claim(ctx context.Context, key string) (checkpoint.Checkpoint, error) {
	s.mu.Lock()
	s.claims++
	s.mu.Unlock()
	return s.Store.Claim(ctx, key)
}

func (s *spyStore) Save(ctx context.Context, key string, cp checkpoint.Checkpoint) error {
	s.mu.Lock()
	fail := s.fail
	s.mu.Unlock()
	if fail != nil {
		if err := fail(ctx, cp); err != nil {
			return err
		}
	}
	if err := s.Store.Save(ctx, key, cp); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offs = append(s.offs, cp.Offset)
	return nil
}

// failing makes every Save fail with err; nil mends it.
func (s *spyStore) failing(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail = nil; err != nil {
		s.fail = func(context.Context, checkpoint.Checkpoint) error { return err }
	}
}

func (s *spyStore) saves() []backend.Offset {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]backend.Offset(nil), s.offs...)
}

// stored is the place that is saved under key.
func stored(tb testing.TB, s checkpoint.Store) backend.Offset {
	tb.Helper()
	cp, err := s.Load(context.Background(), key)
	if err != nil {
		tb.Fatal(err)
	}
	return cp.Offset
}

func newConsumer(tb testing.TB, src backend.Source, opts ...consumer.Option) *consumer.Consumer[int] {
	tb.Helper()
	c, err := consumer.New(src, numbers, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// count returns a memory stream of the numbers below n, as text.
func count(tb testing.TB, n int) *memory.Stream {
	s := memory.New()
	appendNumbers(tb, s, 0, n)
	return s
}

func appendNumbers(tb testing.TB, s *memory.Stream, from, to int) {
	tb.Helper()
	fill(tb, s, to-from, func(i int) []byte { return []byte(offset(from + i)) })
}

// drain ranges over what is left of c's stream and returns the values and the error that ended it.
func drain(ctx context.Context, c *consumer.Consumer[int]) (got []int, last error) {
	for m, err := range c.Messages(ctx) {
		if err != nil {
			last = err
			continue // a second error, or a record after it, would show
		}
		got = append(got, m.Value)
	}
	return got, last
}

// upTo returns from, from+1, … to-1.
func upTo(from, to int) []int {
	var s []int
	for ; from < to; from++ {
		s = append(s, from)
	}
	return s
}

// elapse lets d go by on a bubble's clock, and what that set off come to rest.
func elapse(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
