package consumer_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/consumer"
)

// appendAt appends a record for each number, whose time is the number in seconds.
func appendAt(tb testing.TB, s *memory.Stream, numbers ...int) {
	tb.Helper()
	session, err := s.NewAppender(backend.Format{}).Open(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	defer session.Close()
	var recs []backend.Record
	for _, n := range numbers {
		recs = append(recs, backend.Record{Value: []byte(offset(n)), Time: time.Unix(int64(n), 0)})
	}
	if err := session.Send(context.Background(), 0, recs); err != nil {
		tb.Fatal(err)
	}
	if _, err := session.Recv(context.Background()); err != nil {
		tb.Fatal(err)
	}
}

// timed returns a stream of records whose values and times are the numbers.
func timed(tb testing.TB, numbers ...int) *memory.Stream {
	s := memory.New()
	if len(numbers) > 0 {
		appendAt(tb, s, numbers...)
	}
	return s
}

// storedAt returns the place under key.
func storedAt(tb testing.TB, s checkpoint.Store, key string) backend.Offset {
	tb.Helper()
	cp, err := s.Load(context.Background(), key)
	if err != nil {
		tb.Fatal(err)
	}
	return cp.Offset
}

// drainMerge returns the values of a merge and the error that ended it.
func drainMerge(ctx context.Context, cs ...*consumer.Consumer[int]) (got []int, last error) {
	for m, err := range consumer.Merge(ctx, cs...) {
		if err != nil {
			last = err
			continue // a second error, or a record after it, would show
		}
		got = append(got, m.Value)
	}
	return got, last
}

func TestMergeIsInTheOrderOfTimes(t *testing.T) {
	const streams, n = 5, 3000
	parts, store := make([][]int, streams), checkpoint.NewMemory()
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		k := rng.IntN(streams - 1) // the last stream stays empty
		parts[k] = append(parts[k], i)
	}
	var cs []*consumer.Consumer[int]
	var sources []*memory.Stream
	for k, part := range parts {
		sources = append(sources, timed(t, part...))
		cs = append(cs, newConsumer(t, sources[k], consumer.StopAtTail(), consumer.Checkpoint(store, "k"+string(offset(k)))))
	}
	next := 0
	for m, err := range consumer.Merge(t.Context(), cs...) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Value != next || !slices.Contains(parts[m.Stream], next) {
			t.Fatalf("got %d of stream %d, want %d", m.Value, m.Stream, next)
		}
		next++
	}
	if next != n {
		t.Errorf("%d records, want %d", next, n)
	}
	for k, s := range sources[:streams-1] {
		recs := s.Records()
		if got := storedAt(t, store, "k"+string(offset(k))); got != recs[len(recs)-1].Next {
			t.Errorf("stream %d: place %q at the end, want behind its last record", k, got)
		}
	}
}

func TestMergeKeepsTheOrderOfAStreamAndOfTheArguments(t *testing.T) {
	a, b := timed(t, 5, 1, 9), timed(t, 5, 7)
	var got []int
	for m, err := range consumer.Merge(t.Context(), newConsumer(t, a, consumer.StopAtTail()), newConsumer(t, b, consumer.StopAtTail())) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, 10*m.Value+m.Stream)
	}
	if want := []int{50, 10, 51, 71, 90}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestMergeOfNothingEndsAtOnce(t *testing.T) {
	if got, err := drainMerge(t.Context()); got != nil || err != nil {
		t.Errorf("got %v and %v", got, err)
	}
}

// A silent stream holds the others up for MergeWait at first, and not again while it stays at its tail.
func TestMergeGoesOnWithoutAStreamAtItsTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, silent := timed(t, 1, 2, 3), timed(t)
		begun := time.Now()
		cs := []*consumer.Consumer[int]{newConsumer(t, a), newConsumer(t, silent, consumer.MergeWait(time.Minute))}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var got []int
		for m, err := range consumer.Merge(ctx, cs...) {
			if err == context.Canceled {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.Value)
			switch waited := time.Since(begun); m.Value {
			case 1:
				if waited < time.Minute || waited > time.Minute+time.Second {
					t.Errorf("the first record came after %v, want MergeWait", waited)
				}
				begun = time.Now()
			case 2:
				if waited > 0 {
					t.Errorf("the second record waited %v for a stream that is known to be at its tail", waited)
				}
			case 3:
				elapse(time.Hour)
				appendAt(t, silent, 0) // late: it comes behind 3
				synctest.Wait()
			case 4:
				cancel()
			}
			if len(got) == 4 {
				appendAt(t, a, 4)
			}
		}
		if want := []int{1, 2, 3, 0, 4}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// While nothing can be read from a stream, nobody knows what it holds.
func TestMergeWaitsForAStreamThatIsNotAtItsTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := timed(t, 10, 20)
		if err := a.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		b := timed(t, 15)
		if err := b.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		got, err := drainMerge(t.Context(), newConsumer(t, a), newConsumer(t, lateSource{b, begun.Add(time.Hour)}))
		if want := []int{10, 15, 20}; !slices.Equal(got, want) || err != nil {
			t.Errorf("got %v and %v, want %v", got, err, want)
		}
		if time.Since(begun) < time.Hour {
			t.Errorf("the merge ended after %v", time.Since(begun))
		}
	})
}

// A lateSource opens no reader before a time.
type lateSource struct {
	backend.Source
	from time.Time
}

func (s lateSource) OpenReader(ctx context.Context, at backend.Offset) (backend.Reader, error) {
	if time.Now().Before(s.from) {
		return nil, errLost
	}
	return s.Source.OpenReader(ctx, at)
}

func TestMergeGivesOutRecordsWithoutATimeAsTheyArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newScript(recs(0, 1), step{from: 1, to: 2, wait: 3 * time.Second}, step{hang: true})
		b := newScript(step{from: 10, to: 11, wait: time.Second}, step{from: 11, to: 12, wait: time.Second}, step{hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		got, err := drainMerge(ctx, newConsumer(t, a), newConsumer(t, b))
		if want := []int{0, 10, 11, 1}; !slices.Equal(got, want) || err != context.DeadlineExceeded {
			t.Errorf("got %v and %v, want %v and ctx's error", got, err, want)
		}
	})
}

// A mergedPair is two streams that are read as one, with their places in a store.
type mergedPair struct {
	a, b  *memory.Stream
	store *spyStore
	cs    []*consumer.Consumer[int]
}

func newMergedPair(t *testing.T, opts ...consumer.Option) *mergedPair {
	p := &mergedPair{a: timed(t, 1, 3, 5, 7), b: timed(t, 2, 4, 6, 8), store: newSpy()}
	for i, s := range []*memory.Stream{p.a, p.b} {
		key := []string{"a/test", "b/test"}[i]
		p.cs = append(p.cs, newConsumer(t, s, append(opts, consumer.Checkpoint(p.store, key))...))
	}
	return p
}

// places checks which record of each stream comes next by the checkpoints.
func (p *mergedPair) places(t *testing.T, a, b int) {
	t.Helper()
	if got, want := storedAt(t, p.store, "a/test"), p.a.Records()[a].Offset; got != want {
		t.Errorf("the place of a is %q, want %q", got, want)
	}
	if got, want := storedAt(t, p.store, "b/test"), p.b.Records()[b].Offset; got != want {
		t.Errorf("the place of b is %q, want %q", got, want)
	}
}

func TestLeavingAMergeSavesWhatIsDoneInEveryStream(t *testing.T) {
	for name, c := range map[string]struct {
		leave func(consumer.MergedMessage[int]) bool // at record 5
		a     int                                    // index of the record of a that comes again
	}{
		"break":     {func(consumer.MergedMessage[int]) bool { return true }, 2},
		"Ack":       {func(m consumer.MergedMessage[int]) bool { m.Ack(); return true }, 3},
		"panic":     {func(consumer.MergedMessage[int]) bool { panic("of the body") }, 2},
		"next asks": {func(consumer.MergedMessage[int]) bool { return false }, 3},
	} {
		t.Run(name, func(t *testing.T) {
			p := newMergedPair(t)
			func() {
				defer func() { _ = recover() }()
				for m, err := range consumer.Merge(t.Context(), p.cs...) {
					if err != nil {
						t.Error(err)
						return
					}
					if m.Value == 6 || m.Value == 5 && c.leave(m) {
						return
					}
				}
			}()
			p.places(t, c.a, 2)
		})
	}
}

func TestEndOfCtxEndsAMergeAndSavesEveryPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newMergedPair(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		time.AfterFunc(time.Second, cancel)
		got, err := drainMerge(ctx, p.cs...)
		// 8 waits for MergeWait and is given out, too.
		if !slices.Equal(got, upTo(1, 9)) || err != context.Canceled {
			t.Errorf("got %v and %v", got, err)
		}
		for key, s := range map[string]*memory.Stream{"a/test": p.a, "b/test": p.b} {
			if got, want := storedAt(t, p.store, key), s.Records()[3].Next; got != want {
				t.Errorf("the place of %s is %q, want %q", key, got, want)
			}
		}
	})
}

func TestErrorOfOneStreamEndsAMergeAndNamesTheStream(t *testing.T) {
	p, boom := newMergedPair(t), errors.New("boom")
	bad := newConsumer(t, newScript(step{read: boom}), consumer.Checkpoint(p.store, "bad/test"))
	got, err := drainMerge(t.Context(), append(p.cs, bad)...)
	if got != nil || !errors.Is(err, boom) || !strings.Contains(err.Error(), `stream "bad/test"`) {
		t.Errorf("got %v and %v", got, err)
	}
	if _, err := drainMerge(t.Context(), newConsumer(t, newScript(step{read: boom}))); !errors.Is(err, boom) || !strings.Contains(err.Error(), "stream 0") {
		t.Errorf("without a key: %v", err)
	}
	// The other streams are free for another loop, which begins at their first record.
	if m, err := first(consumer.Merge(t.Context(), p.cs...)); err != nil || m.Value != 1 {
		t.Errorf("then got %v and %v", m.Value, err)
	}
}

// first returns the first pair of a loop.
func first(all func(func(consumer.MergedMessage[int], error) bool)) (m consumer.MergedMessage[int], err error) {
	for m, err = range all {
		break
	}
	return m, err
}

func TestFailedFinalSaveOfAMergeIsReported(t *testing.T) {
	lost := errors.New("disk full")
	fail := func(s *spyStore, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.fail = nil
		if err != nil {
			s.fail = func(context.Context, checkpoint.Checkpoint) error { return err }
		}
	}
	// At record 4 stream a has its next message, and at record 8 it is at its tail.
	for at, left := range map[int]bool{4: false, 8: true} {
		synctest.Test(t, func(t *testing.T) {
			p := newMergedPair(t, consumer.CheckpointEvery(0, 0))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var last error
			for m, err := range consumer.Merge(ctx, p.cs...) {
				if last = err; m.Value == at {
					fail(p.store, lost)
					if left {
						break
					}
					cancel()
				}
			}
			if !left {
				if !errors.Is(last, lost) || errors.Is(last, context.Canceled) || !strings.Contains(last.Error(), "a/test") || !strings.Contains(last.Error(), "b/test") {
					t.Errorf("yielded %v, want the failed saves of both streams and nothing of ctx", last)
				}
				return
			}
			fail(p.store, nil)
			for _, c := range p.cs {
				if _, err := drain(t.Context(), c); !errors.Is(err, lost) {
					t.Errorf("the next loop said %v, want the failed save", err)
				}
			}
		})
	}
}

func TestPanicOfAStreamIsRaisedInTheLoopOfTheMerge(t *testing.T) {
	p := newMergedPair(t)
	poison := newConsumer(t, newScript(step{from: 0, to: 1, values: []string{"bad"}}),
		consumer.OnPoison(func(*consumer.DecodeError) error { panic("odd poison") }))
	defer func() {
		p, _ := recover().(*consumer.PanicError)
		if p == nil || p.Value != "odd poison" || !strings.Contains(string(p.Stack), "merge_test.go") {
			t.Errorf("raised %v, want the panic with its stack", p)
		}
	}()
	for range consumer.Merge(t.Context(), append(p.cs, poison)...) {
	}
	t.Error("nothing was raised")
}

// A merge whose save panics at its end, whatever ends the merge, does not end as if the place were saved.
func TestPanicOfAFinalSaveIsRaisedByTheMerge(t *testing.T) {
	for name, end := range map[string]func(cancel func()) (leave bool){
		"the body leaves": func(func()) bool { return true },
		"ctx ends":        func(cancel func()) bool { cancel(); return false },
		"the end":         func(func()) bool { return false },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &brittleStore{Store: checkpoint.NewMemory()}
				quiet := consumer.CheckpointEvery(0, 0)
				cs := []*consumer.Consumer[int]{
					newConsumer(t, timed(t, 1, 2), consumer.StopAtTail(), quiet, consumer.Checkpoint(store, key)),
					newConsumer(t, timed(t, 3, 4), consumer.StopAtTail(), quiet, consumer.Checkpoint(checkpoint.NewMemory(), "good/test")),
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				func() {
					defer func() {
						if p, _ := recover().(*consumer.PanicError); p == nil || p.Value != "a bad save" {
							t.Errorf("raised %v, want the panic of the save", p)
						}
					}()
					for m, err := range consumer.Merge(ctx, cs...) {
						if err != nil {
							t.Error(err)
						}
						if m.Value == 2 {
							store.broken = "Save"
							if end(cancel) {
								break
							}
						}
					}
				}()
				store.broken = ""
				if got, err := drainMerge(t.Context(), cs...); err != nil {
					t.Errorf("the next merge: %v, %v", got, err)
				}
			})
		})
	}
}

func TestMergeRefusesWhatItCannotMerge(t *testing.T) {
	c := newConsumer(t, timed(t, 1), consumer.Checkpoint(newSpy(), key))
	for want, cs := range map[string][]*consumer.Consumer[int]{
		"stream 1: the consumer is nil":      {c, nil},
		"leave the option ManualAck":         {c, newConsumer(t, timed(t), consumer.ManualAck())},
		"a loop of this consumer is running": {c, c},
	} {
		if got, err := drainMerge(t.Context(), cs...); err == nil || got != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v and %v, want %q", got, err, want)
		}
	}
}

func TestMergeSavesPlacesWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newMergedPair(t)
		for m, err := range consumer.Merge(t.Context(), p.cs...) {
			if err != nil {
				t.Fatal(err)
			}
			elapse(2 * time.Second) // longer than CheckpointEvery
			if m.Value == 7 {
				p.places(t, 3, 3)
				break
			}
		}
	})
}
