package consumer_test

import (
	"testing"

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
			if err := s.Close(); err != nil {
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
	const n = 5500 // the stream returns 1,000 at once, so the last read returns what was appended too
	s, reads := count(t, n), 0
	src := growing{s, func() {
		if reads++; reads == 2 {
			appendNumbers(t, s, n, n+1)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}}
	c := newConsumer(t, src, consumer.StopAtTail())
	for _, want := range []struct {
		n      int
		closed bool
	}{{n, false}, {1, true}} {
		if got, err := drain(t.Context(), c); err != nil || len(got) != want.n || c.Stats().Closed != want.closed {
			t.Errorf("%d records and %v, closed: %v; want %d and %v", len(got), err, c.Stats().Closed, want.n, want.closed)
		}
	}
}
