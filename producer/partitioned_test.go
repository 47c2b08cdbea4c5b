package producer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/producer"
)

// keyOf is what stands before the colon.
func keyOf(v string) string {
	key, _, _ := strings.Cut(v, ":")
	return key
}

func openAll(t *testing.T, streams []*memory.Stream, opts ...producer.Option) *producer.Partitioned[string] {
	t.Helper()
	sinks := make([]backend.Sink, len(streams))
	for i, s := range streams {
		sinks[i] = s
	}
	p, err := producer.NewPartitioned(t.Context(), sinks, text(), keyOf, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newStreams(n int) []*memory.Stream {
	s := make([]*memory.Stream, n)
	for i := range s {
		s[i] = memory.New()
	}
	return s
}

// The hash must never change: values of one key would go to two streams.
func TestPartitionIsStable(t *testing.T) {
	for _, c := range []struct {
		key  string
		n, p int
	}{
		{"", 1, 0}, {"", 3, 2}, {"a", 2, 0}, {"a", 7, 5}, {"a", 32, 12}, {"foobar", 1000, 968}, {"customer-4711", 16, 15}, {"Köln", 12, 1}, {"\x00\xff", 5, 3},
	} {
		if got := producer.Partition(c.key, c.n); got != c.p {
			t.Errorf("Partition(%q, %d) = %d, want %d", c.key, c.n, got, c.p)
		}
	}
}

func TestPartitionsAreEven(t *testing.T) {
	const keys = 20000
	for _, n := range []int{2, 3, 8, 12, 32} {
		for _, format := range []string{"%d", "customer-%d", "%08d", "user/%d/orders"} {
			count := make([]int, n)
			for i := range keys {
				count[producer.Partition(fmt.Sprintf(format, i), n)]++
			}
			for i, c := range count {
				if want := keys / n; c < want*3/4 || c > want*5/4 {
					t.Errorf("%d partitions of %q: partition %d has %d of %d keys", n, format, i, c, keys)
				}
			}
		}
	}
}

// Several goroutines send in every way; each key is in one stream, in order.
func TestKeysKeepTheirOrderInOneStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		streams := newStreams(4)
		p := openAll(t, streams)
		const keys, each = 10, 70
		var all sync.WaitGroup
		for k := range keys {
			all.Go(func() {
				value := func(i int) string { return fmt.Sprintf("key-%d:%03d", k, i) }
				for i := 0; i < each; i += 7 {
					if err := p.Send(t.Context(), value(i), value(i+1)); err != nil {
						t.Error(err)
					}
					if err := p.SendRecord(t.Context(), producer.Record[string]{Value: value(i + 2)}); err != nil {
						t.Error(err)
					}
					_, err1 := p.Enqueue(t.Context(), value(i+3))
					_, err2 := p.EnqueueRecord(t.Context(), producer.Record[string]{Value: value(i + 4)})
					_, err3 := p.TryEnqueue(value(i + 5))
					_, err4 := p.TryEnqueueRecord(producer.Record[string]{Value: value(i + 6)})
					if err := errors.Join(err1, err2, err3, err4); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		next := make(map[string]int)
		for i, s := range streams {
			for _, r := range s.Records() {
				key, number, _ := strings.Cut(string(r.Value), ":")
				if want := producer.Partition(key, len(streams)); want != i {
					t.Errorf("%s is in stream %d, want %d", key, i, want)
				}
				if number != fmt.Sprintf("%03d", next[key]) {
					t.Errorf("%s: %s in stream, want %d", key, number, next[key])
				}
				next[key]++
			}
		}
		if len(next) != keys {
			t.Errorf("%d keys", len(next))
		}
	})
}

// A Send to several streams waits for all of them at once, and lingers in none.
func TestSendToSeveralStreamsDoesNotLinger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := openAll(t, newStreams(8), producer.Linger(time.Hour))
		defer p.Close()
		begun := time.Now()
		var vs []string
		for i := range 40 {
			vs = append(vs, fmt.Sprintf("key-%d:x", i))
		}
		if err := p.Send(t.Context(), vs...); err != nil || time.Since(begun) > time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

func TestValueThatIsRefusedLeavesNoOtherBehind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		streams := newStreams(3)
		p := openAll(t, streams)
		err := p.Send(t.Context(), "a:1", "b:1", "unencodable", "c:1")
		var refused *producer.EncodeError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "value 3 of 4") {
			t.Errorf("%v", err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		for i, s := range streams {
			if s.Len() != 0 {
				t.Errorf("stream %d holds %d records", i, s.Len())
			}
		}
	})
}

// The stream of one key is refused for good; the keys of other streams go on, and Send names the values that failed.
func TestStreamThatFailsAffectsItsKeysOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		streams := newStreams(2)
		p := openAll(t, streams)
		var good, bad string
		for i := 0; good == "" || bad == ""; i++ {
			if key := fmt.Sprint("key-", i); producer.Partition(key, 2) == 0 {
				good = key
			} else {
				bad = key
			}
		}
		if err := streams[1].Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		err := p.Send(t.Context(), good+":1", bad+":1", good+":2")
		var failed *producer.SendError
		if !errors.As(err, &failed) || len(failed.Failed) != 1 || failed.Failed[0].Index != 1 || !errors.Is(err, backend.ErrStreamClosed) {
			t.Errorf("%v", err)
		}
		if err := p.Send(t.Context(), good+":3"); err != nil {
			t.Error(err)
		}
		if all := p.Producers(); all[0].Err() != nil || all[1].Err() == nil {
			t.Errorf("%v, %v: want the second stopped", all[0].Err(), all[1].Err())
		}
		if err := p.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "partition 1 of 2") {
			t.Errorf("flush: %v", err)
		}
		if err := p.Shutdown(t.Context()); err == nil || !strings.Contains(err.Error(), "partition 1 of 2") {
			t.Errorf("shutdown: %v", err)
		}
		if n := streams[0].Len(); n != 3 {
			t.Errorf("%d records in the good stream, want 3", n)
		}
	})
}

func TestFullBufferOfOneStreamBlocksNoOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		stuck := backend.Serial(backend.Limits{}, func(ctx context.Context, seq uint64, _ []backend.Record) (backend.Ack, error) {
			select {
			case <-release:
				return backend.Ack{Seq: seq}, nil
			case <-ctx.Done():
				return backend.Ack{}, ctx.Err()
			}
		})
		p, err := producer.NewPartitioned(t.Context(), []backend.Sink{stuck, memory.New()}, text(), keyOf, producer.BufferBytes(2000))
		if err != nil {
			t.Fatal(err)
		}
		blocked, free := "key-0:x", "key-1:x"
		if producer.Partition(keyOf(blocked), 2) != 0 {
			blocked, free = free, blocked
		}
		for err == nil {
			_, err = p.TryEnqueue(blocked)
		}
		if !errors.Is(err, producer.ErrFull) {
			t.Errorf("%v", err)
		}
		if err := p.Send(t.Context(), free); err != nil {
			t.Errorf("to the other stream: %v", err)
		}
		close(release)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestNewPartitionedRefusesWrongArguments(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx := t.Context()
		one := []backend.Sink{memory.New()}
		if _, err := producer.NewPartitioned(ctx, nil, text(), keyOf); err == nil {
			t.Error("no sinks")
		}
		if _, err := producer.NewPartitioned(ctx, one, text(), nil); err == nil {
			t.Error("no key")
		}
		_, err := producer.NewPartitioned(ctx, []backend.Sink{memory.New(), nil, memory.New()}, text(), keyOf)
		if err == nil || !strings.Contains(err.Error(), "producer: partition 1 of 3: the sink is nil") {
			t.Errorf("a nil sink: %v", err)
		}
		ended, end := context.WithCancel(ctx)
		end()
		if _, err := producer.NewPartitioned(ended, one, text(), keyOf); !errors.Is(err, context.Canceled) {
			t.Errorf("after the end of ctx: %v", err)
		}
	})
}
