package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// A gate is a sink that stores a record when it is told to, with the outcome it is told.
type gate struct {
	through chan error
	taken   []string
}

// gated returns a producer that sends one record at a time through a gate.
func gated(t *testing.T) (*gate, *producer.Producer[string]) {
	g := &gate{through: make(chan error)}
	sink := backend.Serial(backend.Limits{}, func(ctx context.Context, _ uint64, recs []backend.Record) (backend.Ack, error) {
		select {
		case err := <-g.through:
			if err == nil {
				g.taken = append(g.taken, string(recs[0].Value))
			}
			return backend.Ack{}, err
		case <-ctx.Done():
			return backend.Ack{}, fmt.Errorf("gate: %w: %w", backend.ErrIndeterminate, ctx.Err())
		}
	})
	p, err := producer.New(t.Context(), sink, codec.String(), producer.BatchRecords(1), producer.AckTimeout(0),
		producer.DrainTimeout(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	return g, p
}

type pipeFunc = func(context.Context, consumer.Message[int]) (producer.Receipt, error)

// into enqueues every value and counts them.
func into(p *producer.Producer[string], handed *int) pipeFunc {
	return func(ctx context.Context, m consumer.Message[int]) (producer.Receipt, error) {
		*handed++
		return p.Enqueue(ctx, fmt.Sprint(m.Value))
	}
}

func TestPipeStoresEverythingInOrder(t *testing.T) {
	in, out, store := count(t, 5000), memory.New(), newSpy()
	p, err := producer.New(t.Context(), out, codec.String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c := newConsumer(t, in, consumer.Checkpoint(store, key), consumer.StopAtTail())
	err = c.Pipe(t.Context(), func(ctx context.Context, m consumer.Message[int]) (producer.Receipt, error) {
		if cp := m.Checkpoint(); cp != (checkpoint.Checkpoint{}) {
			t.Fatalf("got %+v in a Pipe, want the empty checkpoint", cp)
		}
		if m.Ack(); m.Value%2 == 1 {
			return producer.Skip, nil // filtered out
		}
		return p.Enqueue(ctx, fmt.Sprint(m.Value))
	})
	if err != nil {
		t.Fatal(err)
	}
	// Pipe has waited for every receipt, without a Flush.
	got := out.Records()
	if len(got) != 2500 || string(got[2499].Value) != "4998" {
		t.Fatalf("%d records", len(got))
	}
	for i, r := range got {
		if string(r.Value) != fmt.Sprint(2*i) {
			t.Fatalf("record %d is %s", i, r.Value)
		}
	}
	if at := stored(t, store); at != in.Records()[4999].Next {
		t.Errorf("%q is saved", at)
	}
	if st := c.Stats(); st.Done != 5000 || st.BufferedBytes != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestPipeKeepsThePipelineFullAndTheCheckpointBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, p := gated(t)
		defer p.Close()
		store, handed := newSpy(), 0
		c := newConsumer(t, newScript(recs(0, 100), step{caughtUp: true}), consumer.Checkpoint(store, key), consumer.StopAtTail())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := c.Pipe(t.Context(), into(p, &handed)); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if handed != 100 {
			t.Errorf("%d handed on while no receipt is durable, want all", handed)
		}
		for i := range 100 {
			elapse(2 * time.Second)
			if got := stored(t, store); got != offset(i) {
				t.Fatalf("%q is saved with %d durable", got, i)
			}
			if i == 50 {
				if err := c.Commit(t.Context()); err != nil {
					t.Error(err)
				}
			}
			g.through <- nil
		}
		wg.Wait()
		if got := stored(t, store); got != "100" {
			t.Errorf("%q is saved at the end", got)
		}
	})
}

func TestPipeWindowIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, p := gated(t)
		defer p.Close()
		src, handed := newScript(), 0
		for i := range 100 {
			src.add(recs(i, i+1))
		}
		src.add(step{read: io.EOF})
		c := newConsumer(t, src, consumer.BufferBytes(10*161))
		var wg sync.WaitGroup
		wg.Go(func() { c.Pipe(t.Context(), into(p, &handed)) })
		for i := range 100 {
			if synctest.Wait(); handed > i+11 || handed < min(i+9, 100) {
				t.Errorf("%d handed on with %d durable and room for 10", handed, i)
			}
			g.through <- nil
		}
		wg.Wait()
	})
}

func TestPipeReceiptThatFailsIsFinal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, p := gated(t)
		defer p.Close()
		store, handed := newSpy(), 0
		c := newConsumer(t, newScript(recs(0, 100)), consumer.Checkpoint(store, key))
		done := make(chan error, 1)
		released := false
		go func() {
			done <- c.Pipe(t.Context(), func(ctx context.Context, m consumer.Message[int]) (producer.Receipt, error) {
				if m.Value == 5 { // blocked, as by a full producer
					<-ctx.Done()
					released = true
					return producer.Receipt{}, ctx.Err()
				}
				return into(p, &handed)(ctx, m)
			})
		}()
		synctest.Wait()
		g.through <- nil
		g.through <- nil
		g.through <- fmt.Errorf("no such column: %w", backend.ErrRejected)
		err := <-done
		if !errors.Is(err, backend.ErrRejected) || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), `"2"`) {
			t.Errorf("got %v, want the receipt's error with its record's offset", err)
		}
		if handed != 5 || !released || stored(t, store) != "2" {
			t.Errorf("%d handed on, released %t, %q is saved", handed, released, stored(t, store))
		}
	})
}

func TestPipeErrorOfFComesAfterWhatIsDurableWasSaved(t *testing.T) {
	boom := errors.New("cannot convert")
	for name, outcome := range map[string]error{"durable": nil, "refused": backend.ErrRejected} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, p := gated(t)
				defer p.Close()
				store, handed := newSpy(), 0
				c := newConsumer(t, newScript(recs(0, 100)), consumer.Checkpoint(store, key))
				done := make(chan error, 1)
				go func() {
					done <- c.Pipe(t.Context(), func(ctx context.Context, m consumer.Message[int]) (producer.Receipt, error) {
						if m.Value == 3 {
							return producer.Receipt{}, boom
						}
						return into(p, &handed)(ctx, m)
					})
				}()
				synctest.Wait()
				g.through <- nil
				g.through <- nil
				elapse(time.Second)
				g.through <- outcome
				err, want := <-done, backend.Offset("3")
				if outcome != nil {
					want = "2"
				}
				if !errors.Is(err, boom) || !strings.Contains(err.Error(), `"3"`) || !errors.Is(err, outcome) && outcome != nil {
					t.Errorf("got %v", err)
				}
				if handed != 3 || stored(t, store) != want {
					t.Errorf("%d handed on, %q is saved, want %q", handed, stored(t, store), want)
				}
			})
		})
	}
}

func TestPipeStoppedByCtxWaitsForItsReceipts(t *testing.T) {
	for name, tc := range map[string]struct {
		durable int
		took    time.Duration
		want    backend.Offset
	}{
		"all durable": {5, 2 * time.Second, "5"},
		"some hang":   {3, 4 * time.Second, "3"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, p := gated(t)
				defer p.Close()
				store, handed := newSpy(), 0
				c := newConsumer(t, newScript(recs(0, 5)), consumer.Checkpoint(store, key), consumer.DrainTimeout(3*time.Second))
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				time.AfterFunc(2*time.Second, func() {
					for range tc.durable {
						g.through <- nil
					}
				})
				begun := time.Now()
				err := c.Pipe(ctx, into(p, &handed))
				if err != context.DeadlineExceeded || time.Since(begun) != tc.took || stored(t, store) != tc.want {
					t.Errorf("%v after %v, %q is saved", err, time.Since(begun), stored(t, store))
				}
			})
		})
	}
}

func TestPipeStoppedByCtxInFReturnsCtxsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConsumer(t, newScript(recs(0, 5)))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.Pipe(ctx, func(ctx context.Context, m consumer.Message[int]) (producer.Receipt, error) {
			<-ctx.Done() // as a full producer does
			return producer.Receipt{}, fmt.Errorf("enqueue: %w: %w", producer.ErrFull, ctx.Err())
		})
		if err != context.DeadlineExceeded {
			t.Errorf("got %v, want ctx's error as it is", err)
		}
	})
}

func TestPipeThatPanicsSavesWhatIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, s := newSpy(), count(t, 9)
		c := newConsumer(t, s, consumer.Checkpoint(store, key))
		func() {
			defer func() { _ = recover() }()
			c.Pipe(t.Context(), func(_ context.Context, m consumer.Message[int]) (producer.Receipt, error) {
				if m.Value == 4 {
					synctest.Wait()
					panic("f")
				}
				return producer.Resolved("", nil), nil
			})
		}()
		if got, err := drain(t.Context(), newConsumer(t, s, consumer.Checkpoint(store, key), consumer.StopAtTail())); err != nil || !slices.Equal(got, upTo(4, 9)) {
			t.Errorf("then %v and %v, want from the record in hand on", got, err)
		}
	})
}

func TestPipeSendsWhatIsRefusedToTheDeadLetters(t *testing.T) {
	store, letters := newSpy(), &letterbox{}
	letters.see = func() {
		refused := "2" // what the letters of the first Send begin with; the saves may lag behind
		if letters.sends > 0 {
			refused = "5"
		}
		if at := string(stored(t, store)); at > refused {
			t.Errorf("%q is saved while the letter of record %s is on its way", at, refused)
		}
	}
	var log strings.Builder
	c := newConsumer(t, newScript(recs(0, 8), step{read: io.EOF}), consumer.Checkpoint(store, key), consumer.CheckpointEvery(1, 0),
		consumer.DeadLetters(letters), consumer.Logger(slog.New(slog.NewTextHandler(&log, nil))))
	err := c.Pipe(t.Context(), func(_ context.Context, m consumer.Message[int]) (producer.Receipt, error) {
		switch m.Value {
		case 2, 3:
			return producer.Resolved("", fmt.Errorf("no such column: %w", backend.ErrRejected)), nil
		case 5: // as Enqueue says it of a record that no batch can hold
			return producer.Receipt{}, fmt.Errorf("1,000 bytes: %w", backend.ErrTooLarge)
		}
		return producer.Resolved("", nil), nil
	})
	if err != nil || stored(t, store) != "8" {
		t.Errorf("got %v, %q is saved", err, stored(t, store))
	}
	var at []backend.Offset
	for _, l := range letters.got {
		at = append(at, l.Offset)
	}
	if !slices.Equal(at, []backend.Offset{"2", "3", "5"}) || string(letters.got[0].Value) != "2" ||
		!strings.Contains(letters.got[0].Cause, "no such column") || !strings.Contains(letters.got[2].Cause, "1,000 bytes") {
		t.Errorf("dead letters %+v", letters.got)
	}
	if st := c.Stats(); st.DeadLetters != 3 || st.Done != 8 || st.BufferedBytes != 0 {
		t.Errorf("stats %+v", st)
	}
	if n := strings.Count(log.String(), "the destination refused a record"); n != 3 {
		t.Errorf("%d log lines for 3 refused records:\n%s", n, log.String())
	}
}

func TestPipeWithDeadLettersEndsAtAnyOtherFailure(t *testing.T) {
	lost := errors.New("table dropped")
	for name, answer := range map[string]func() (producer.Receipt, error){
		"receipt": func() (producer.Receipt, error) { return producer.Resolved("", lost), nil },
		"f":       func() (producer.Receipt, error) { return producer.Receipt{}, lost },
	} {
		store, letters := newSpy(), &letterbox{}
		c := newConsumer(t, newScript(recs(0, 8)), consumer.Checkpoint(store, key), consumer.DeadLetters(letters))
		err := c.Pipe(t.Context(), func(_ context.Context, m consumer.Message[int]) (producer.Receipt, error) {
			if m.Value == 2 {
				return answer()
			}
			return producer.Resolved("", nil), nil
		})
		if !errors.Is(err, lost) || len(letters.got) != 0 || stored(t, store) != "2" {
			t.Errorf("%s: got %v, %d letters, %q is saved", name, err, len(letters.got), stored(t, store))
		}
	}
}

func TestPipeEndsBeforeARefusedRecordWhoseLetterIsNotTaken(t *testing.T) {
	store, letters := newSpy(), &letterbox{fail: errors.New("letterbox on fire")}
	c := newConsumer(t, newScript(recs(0, 8)), consumer.Checkpoint(store, key), consumer.DeadLetters(letters))
	err := c.Pipe(t.Context(), func(_ context.Context, m consumer.Message[int]) (producer.Receipt, error) {
		if m.Value == 2 {
			return producer.Resolved("", backend.ErrRejected), nil
		}
		return producer.Resolved("", nil), nil
	})
	if !errors.Is(err, letters.fail) || !strings.Contains(err.Error(), `"2"`) || stored(t, store) != "2" {
		t.Errorf("got %v, %q is saved", err, stored(t, store))
	}
}

// An error of Enqueue that f swallows must not become a record that was filtered out.
func TestPipeRefusesAZeroReceipt(t *testing.T) {
	store := newSpy()
	c := newConsumer(t, count(t, 9), consumer.Checkpoint(store, key), consumer.StopAtTail())
	err := c.Pipe(t.Context(), func(_ context.Context, m consumer.Message[int]) (producer.Receipt, error) {
		if m.Value == 4 {
			return producer.Receipt{}, nil
		}
		return producer.Resolved("", nil), nil
	})
	if err == nil || !strings.Contains(err.Error(), `"4@`) || !strings.Contains(err.Error(), "producer.Skip") {
		t.Errorf("got %v, want an error that names the record and what to return", err)
	}
	if got := number(stored(t, store)); got != "4" {
		t.Errorf("%q is saved, want the place of the record without a receipt", got)
	}
}

func TestPipePoisonIsDoneInItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, p := gated(t)
		defer p.Close()
		store, letters, handed := newSpy(), &letterbox{}, 0
		c := newConsumer(t, poisoned(), consumer.Checkpoint(store, key), consumer.DeadLetters(letters))
		done := make(chan error, 1)
		go func() { done <- c.Pipe(t.Context(), into(p, &handed)) }()
		for i, want := range []backend.Offset{"0", "1", "4", "6"} { // 0, 1, bad, bad, 4, bad
			elapse(2 * time.Second)
			if got := stored(t, store); got != want {
				t.Errorf("%q is saved with %d durable, want %q", got, i, want)
			}
			if i < 3 {
				g.through <- nil
			}
		}
		if err := <-done; err != nil || len(letters.got) != 3 || handed != 3 {
			t.Errorf("%v, %d letters, %d handed on", err, len(letters.got), handed)
		}
	})
}

func TestPipeReadErrorComesAfterTheReceipts(t *testing.T) {
	store := newSpy()
	c := newConsumer(t, newScript(recs(0, 3), step{read: backend.ErrOutOfRange}), consumer.Checkpoint(store, key))
	err := c.Pipe(t.Context(), func(context.Context, consumer.Message[int]) (producer.Receipt, error) {
		return producer.Resolved("", nil), nil
	})
	if !errors.Is(err, backend.ErrOutOfRange) || stored(t, store) != "3" {
		t.Errorf("%v, %q is saved", err, stored(t, store))
	}
}

func TestPipeFencedAtItsNextSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, src := newSpy(), newScript(recs(0, 3), step{wait: time.Minute, from: 3, to: 4}, step{hang: true})
		c := newConsumer(t, src, consumer.Checkpoint(store, key))
		time.AfterFunc(30*time.Second, func() { store.Claim(t.Context(), key) })
		err := c.Pipe(t.Context(), func(context.Context, consumer.Message[int]) (producer.Receipt, error) {
			return producer.Resolved("", nil), nil
		})
		if !errors.Is(err, backend.ErrFenced) || stored(t, store) != "3" {
			t.Errorf("%v, %q is saved", err, stored(t, store))
		}
	})
}
