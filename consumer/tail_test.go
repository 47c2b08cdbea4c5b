package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

func TestStopAtTailEndsAlthoughTheBodyAppendsToTheStream(t *testing.T) {
	const n = 5000 // more than the stream returns at once
	loops := map[string]func(c *consumer.Consumer[int], seen func(int) bool) error{
		"Messages": func(c *consumer.Consumer[int], seen func(int) bool) error {
			for m, err := range c.Messages(t.Context()) {
				if err != nil {
					return err
				}
				if !seen(m.Value) {
					break
				}
			}
			return nil
		},
		"Batches": func(c *consumer.Consumer[int], seen func(int) bool) error {
			for batch, err := range c.Batches(t.Context()) {
				if err != nil {
					return err
				}
				for _, m := range batch {
					if !seen(m.Value) {
						return nil
					}
				}
			}
			return nil
		},
		"Pipe": func(c *consumer.Consumer[int], seen func(int) bool) error {
			return c.Pipe(t.Context(), func(_ context.Context, m consumer.Message[int]) (producer.Receipt, error) {
				if !seen(m.Value) {
					return producer.Receipt{}, errors.New("enough")
				}
				return producer.Resolved("", nil), nil
			})
		},
	}
	for name, loop := range loops {
		t.Run(name, func(t *testing.T) {
			s, store := count(t, n), newSpy()
			p, err := producer.New(t.Context(), s, codec.String())
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			var got []int
			err = loop(newConsumer(t, s, consumer.StopAtTail(), consumer.Checkpoint(store, key),
				consumer.BufferBytes(1)), func(v int) bool {
				if _, err := p.Enqueue(t.Context(), fmt.Sprint(n+len(got))); err != nil {
					t.Error(err)
				}
				got = append(got, v)
				return len(got) < 3*n
			})
			if err != nil || !slices.Equal(got, upTo(0, n)) || number(stored(t, store)) != offset(n) {
				t.Errorf("%d records and %v, %q is saved; want the %d as of the beginning", len(got), err, stored(t, store), n)
			}
			if err := p.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			next, err := drain(t.Context(), newConsumer(t, s, consumer.StopAtTail(), consumer.Checkpoint(store, key)))
			if err != nil || !slices.Equal(next, upTo(n, 2*n)) {
				t.Errorf("the next loop got %d records and %v, want the %d that the body appended", len(next), err, n)
			}
		})
	}
}

// A growing source is never caught up: whatever is read, more has been written.
type growing struct {
	*memory.Stream
	more func()
}

func (g growing) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	r, err := g.Stream.OpenReader(ctx, from)
	if err != nil || from == backend.Latest {
		return r, err
	}
	return growingReader{r, g.more}, nil
}

type growingReader struct {
	backend.Reader
	more func()
}

func (r growingReader) Read(ctx context.Context) (backend.Batch, error) {
	b, err := r.Reader.Read(ctx)
	b.CaughtUp = false
	r.more()
	return b, err
}

func TestStopAtTailEndsAlthoughWritersAreFaster(t *testing.T) {
	s := count(t, 7)
	written := 7
	g := growing{s, func() { appendNumbers(t, s, written, written+10); written += 10 }}
	var got []int
	for m, err := range newConsumer(t, g, consumer.StopAtTail()).Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, m.Value); len(got) == 1000 {
			break
		}
	}
	// The tail is looked up behind the first read, when 10 more had been written.
	if !slices.Equal(got, upTo(0, 17)) {
		t.Errorf("got %d records, want those up to the tail as of the beginning", len(got))
	}
}

func TestStopAtTailLooksTheTailUpOnceOverReconnects(t *testing.T) {
	src := newScript(recs(0, 3), step{read: errLost}, recs(3, 6), step{read: errLost}, step{from: 6, to: 9, caughtUp: true},
		recs(9, 12), step{read: errors.New("read beyond the tail")})
	got, err := drain(t.Context(), newConsumer(t, src, consumer.StopAtTail(), consumer.Backoff(0, 0)))
	if err != nil || !slices.Equal(got, upTo(0, 9)) {
		t.Errorf("got %v and %v", got, err)
	}
}

func TestStopAtTailOfAClosedStreamIsItsEnd(t *testing.T) {
	s := count(t, 5000)
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := drain(t.Context(), newConsumer(t, s, consumer.StopAtTail()))
	if err != nil || len(got) != 5000 {
		t.Errorf("got %d records and %v", len(got), err)
	}
	closed := tailOf{newScript(recs(0, 3), recs(3, 5), step{read: io.EOF}), io.EOF}
	if got, err := drain(t.Context(), newConsumer(t, closed, consumer.StopAtTail())); err != nil || len(got) != 5 {
		t.Errorf("got %v and %v", got, err)
	}
}

// A tailOf has readers at Latest that end at once.
type tailOf struct {
	*script
	end error
}

func (s tailOf) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	if from == backend.Latest {
		return newScript(step{read: s.end}).OpenReader(ctx, from)
	}
	return s.script.OpenReader(ctx, from)
}

func TestStopAtTailTellsThatTheTailCannotBeLookedUp(t *testing.T) {
	src := tailOf{newScript(recs(0, 3), recs(3, 5), step{read: io.EOF}), backend.ErrUnauthorized}
	if got, err := drain(t.Context(), newConsumer(t, src, consumer.StopAtTail())); got != nil || !errors.Is(err, backend.ErrUnauthorized) {
		t.Errorf("got %v and %v", got, err)
	}
}
