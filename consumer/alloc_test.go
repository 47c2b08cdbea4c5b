package consumer_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// What a pass over 100,000 records allocates, the reader's own allocations included, must not grow with the records: a
// tenth of an allocation a record would be 10,000.
func TestAllocationsPerRecord(t *testing.T) {
	if race {
		t.Skip("the race detector allocates")
	}
	s := filled(t, benchRecords)
	bytes := func(opts ...consumer.Option) *consumer.Consumer[[]byte] {
		c, err := consumer.New(s, codec.Bytes(), append(opts, consumer.StopAtTail())...)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	durable := producer.Resolved(backend.Offset("1"), nil)
	messages := func(ack bool, opts ...consumer.Option) func() {
		return func() {
			for m, err := range bytes(opts...).Messages(context.Background()) {
				if err != nil {
					t.Error(err)
				}
				if ack {
					m.Ack()
				}
			}
		}
	}
	handle := func(context.Context, consumer.Message[[]byte]) error { return nil }
	process := func(keyed bool, opts ...consumer.ProcessOption) func() {
		return func() {
			c := bytes(consumer.Checkpoint(newSpy(), key))
			if keyed {
				opts = append(opts, c.KeyBy(func(v []byte) string { return string(v[:1]) }))
			}
			if err := c.Process(context.Background(), handle, opts...); err != nil {
				t.Error(err)
			}
		}
	}
	// Bytes for each record. New memory for the values would be 24 bytes a record, and for the messages of a batch 144. A handler of
	// ProcessBatches owns its slice of messages.
	limits := map[string]uint64{
		"Messages": 12, "ManualAck": 12, "Batches": 20, "Pipe": 40,
		"Process": 50, "Process with 8 workers": 50, "Process with a key": 130, "ProcessBatches": 350,
	}
	for name, pass := range map[string]func(){
		"Process":                process(false),
		"Process with 8 workers": process(false, consumer.Concurrency(8)),
		"Process with a key":     process(true, consumer.Concurrency(8)),
		"ProcessBatches": func() {
			err := bytes().ProcessBatches(context.Background(), func(context.Context, []consumer.Message[[]byte]) error { return nil })
			if err != nil {
				t.Error(err)
			}
		},
		"Messages":                messages(false),
		"Messages and Ack":        messages(true),
		"Messages and Checkpoint": messages(false, consumer.Checkpoint(newSpy(), key), consumer.CheckpointEvery(1000, 0)),
		"ManualAck":               messages(true, consumer.ManualAck()),
		"Decoders":                messages(false, consumer.Decoders(2)),
		"Batches": func() {
			for _, err := range bytes().Batches(context.Background()) {
				if err != nil {
					t.Error(err)
				}
			}
		},
		"Pipe": func() {
			err := bytes().Pipe(context.Background(), func(context.Context, consumer.Message[[]byte]) (producer.Receipt, error) {
				return durable, nil
			})
			if err != nil {
				t.Error(err)
			}
		},
	} {
		if n := testing.AllocsPerRun(3, pass); n > benchRecords/20 {
			t.Errorf("%s: %v allocations for %d records", name, n, benchRecords)
		}
		if most := limits[name]; most > 0 {
			if n := allocatedBytes(pass) / benchRecords; n > most {
				t.Errorf("%s: %d bytes a record, want %d at most", name, n, most)
			}
		}
	}
}

// allocatedBytes returns how many bytes f allocates.
func allocatedBytes(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestMessageMethodsDoNotAllocate(t *testing.T) {
	c := newConsumer(t, newScript(recs(0, 3)))
	for m, err := range c.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() { _ = m.Checkpoint(); m.Ack() }); n != 0 {
			t.Errorf("%v allocations", n)
		}
		break
	}
}
