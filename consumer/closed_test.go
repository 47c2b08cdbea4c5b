package consumer_test

import (
	"context"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/consumer"
)

func TestLoopTellsWhetherTheStreamIsClosed(t *testing.T) {
	for name, opts := range map[string][]consumer.Option{"StopAtTail": {consumer.StopAtTail()}, "to the end": nil} {
		t.Run(name, func(t *testing.T) {
			s := count(t, 10)
			c := newConsumer(t, s, opts...)
			if opts != nil {
				if got, err := drain(t.Context(), c); err != nil || len(got) != 10 || c.Stats().Closed {
					t.Errorf("while the stream is open: %d records and %v, closed: %v", len(got), err, c.Stats().Closed)
				}
			}
			if err := s.Seal(t.Context()); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second loop finds nothing more
				if _, err := drain(t.Context(), c); err != nil || !c.Stats().Closed {
					t.Errorf("of a closed stream: %v, closed: %v", err, c.Stats().Closed)
				}
			}
		})
	}
}

// What was appended after the loop began is left to the next loop, so this one has not seen the end.
func TestLoopThatStopsBeforeTheEndIsNotAtTheEnd(t *testing.T) {
	const n = 1500 // more than the stream returns at once
	s := count(t, n)
	c := newConsumer(t, ending{s, func() {
		appendNumbers(t, s, n, n+1)
		if err := s.Seal(t.Context()); err != nil {
			t.Error(err)
		}
	}}, consumer.StopAtTail())
	if got, err := drain(t.Context(), c); err != nil || len(got) != n || c.Stats().Closed {
		t.Errorf("%d records and %v, closed: %v; want %d and not closed", len(got), err, c.Stats().Closed, n)
	}
}

// An ending source goes to its end behind the first batch, and returns all that is left as one batch.
type ending struct {
	*memory.Stream
	end func()
}

func (e ending) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	r, err := e.Stream.OpenReader(ctx, from)
	if err != nil || from == backend.Latest {
		return r, err
	}
	return &endingReader{Reader: r, end: e.end}, nil
}

type endingReader struct {
	backend.Reader
	end   func()
	begun bool
}

func (r *endingReader) Read(ctx context.Context) (b backend.Batch, err error) {
	if !r.begun {
		r.begun = true
		return r.Reader.Read(ctx)
	}
	r.end()
	for !b.Closed {
		next, err := r.Reader.Read(ctx)
		if err != nil {
			return b, err
		}
		next.Records = append(b.Records, next.Records...)
		b = next
	}
	return b, nil
}
