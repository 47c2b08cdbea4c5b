package consumer_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
)

// lending is a source of three batches that wants its slices of records back. It counts the slices that came back.
type lending struct {
	read int // batches that were read
	back atomic.Int64
}

const (
	lentBatches = 3
	lentRecords = 600 // more than a chunk
)

func (l *lending) OpenReader(context.Context, backend.Offset) (backend.Reader, error) { return l, nil }

func (l *lending) Close() error { return nil }

func (l *lending) Read(context.Context) (backend.Batch, error) {
	if l.read == lentBatches {
		return backend.Batch{}, io.EOF
	}
	recs := make([]backend.Record, lentRecords)
	for i := range recs {
		at := l.read*lentRecords + i
		recs[i] = backend.Record{Value: []byte(offset(at)), Offset: offset(at), Next: offset(at + 1)}
	}
	l.read++
	return backend.Batch{Records: recs, Next: recs[lentRecords-1].Next, Free: func() {
		clear(recs)
		l.back.Add(1)
	}}, nil
}

func TestSliceOfABatchGoesBackWhenAllItsRecordsAreDone(t *testing.T) {
	source := &lending{}
	c, err := consumer.New(source, codec.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for m, err := range c.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Offset != offset(i) || m.Next != offset(i+1) || string(m.Value) != string(offset(i)) {
			t.Fatalf("record %d is %q at %q", i, m.Value, m.Offset)
		}
		if back := source.back.Load(); back > int64(i/lentRecords) {
			t.Fatalf("%d slices are back at record %d", back, i)
		}
		i++
	}
	if back := source.back.Load(); i != lentBatches*lentRecords || back != lentBatches {
		t.Errorf("%d records, and %d slices are back of %d", i, back, lentBatches)
	}
}

func TestSliceOfABatchStaysWithTheHandlersOfProcess(t *testing.T) {
	source := &lending{}
	c, err := consumer.New(source, codec.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Process(t.Context(), func(context.Context, consumer.Message[[]byte]) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if back := source.back.Load(); back != 0 {
		t.Errorf("%d slices went back, want none", back)
	}
}

// An earlier loop has finished all records but the first, so the slice goes back while the loop still has to report the record at
// which the codec panics.
func TestPanicOfTheCodecNamesItsRecordAfterTheSliceWentBack(t *testing.T) {
	store := checkpoint.NewMemory()
	acked(t, newConsumer(t, newScript(recs(0, 10)), consumer.StartAt(offset(0)), consumer.Checkpoint(store, key), consumer.ManualAck()), 10, upTo(1, 10)...)
	panics := codec.Func("text/plain", func(dst []byte, v int) ([]byte, error) { return fmt.Append(dst, v), nil },
		func(src []byte) (int, error) {
			if string(src) == "5" {
				panic("five")
			}
			return decodeNumber(src)
		})
	c, err := consumer.New[int](newScript(recs(0, 10)), panics, consumer.StartAt(offset(0)), consumer.Checkpoint(store, key), consumer.ManualAck())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if p := fmt.Sprint(recover()); !strings.Contains(p, `record "5"`) || !strings.Contains(p, "five") {
			t.Errorf("panicked with %.100s", p)
		}
	}()
	for m, err := range c.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		m.Ack()
	}
}
