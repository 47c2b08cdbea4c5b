package consumer_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
)

// A collected source returns a batch, and ends when the garbage collector has taken the slice of the batch.
type collected struct{ batch weak.Pointer[backend.Record] }

func (c *collected) OpenReader(context.Context, backend.Offset) (backend.Reader, error) {
	return c, nil
}

func (c *collected) Close() error { return nil }

func (c *collected) Read(ctx context.Context) (backend.Batch, error) {
	if c.batch == (weak.Pointer[backend.Record]{}) {
		recs := make([]backend.Record, 100)
		for i := range recs {
			recs[i] = backend.Record{Value: []byte(offset(i)), Offset: offset(i), Next: offset(i + 1)}
		}
		c.batch = weak.Make(&recs[0])
		return backend.Batch{Records: recs, Next: offset(100), CaughtUp: true}, nil
	}
	for end := time.Now().Add(time.Minute); c.batch.Value() != nil; runtime.Gosched() {
		if time.Now().After(end) {
			return backend.Batch{}, errors.New("the batch is still in memory")
		}
		runtime.GC()
	}
	return backend.Batch{}, io.EOF
}

// A loop that waits for records holds none of the records that it has handed out.
func TestAWaitingLoopHoldsNoRecords(t *testing.T) {
	for name, opts := range map[string][]consumer.Option{"reader decodes": nil, "decoders": {consumer.Decoders(2)}} {
		t.Run(name, func(t *testing.T) {
			c, err := consumer.New(&collected{}, codec.Bytes(), opts...)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, err := range c.Messages(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			if n != 100 {
				t.Errorf("%d records, want 100", n)
			}
		})
	}
}
