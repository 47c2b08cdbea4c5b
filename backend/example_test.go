package backend_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/backend"
)

// A store with one blocking call an append becomes a Sink.
func ExampleSerial() {
	ctx := context.Background()
	var table []string
	insert := func(_ context.Context, _ uint64, recs []backend.Record) (backend.Ack, error) {
		for i, r := range recs {
			if len(r.Value) == 0 {
				return backend.Ack{}, &backend.RecordError{Index: i, Err: backend.ErrRejected}
			}
		}
		for _, r := range recs {
			table = append(table, string(r.Value))
		}
		return backend.Ack{}, nil
	}
	session, err := backend.Serial(backend.Limits{BatchRecords: 500}, insert).NewAppender(backend.Format{}).Open(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer session.Close()

	session.Send(ctx, 0, []backend.Record{{Value: []byte("one")}, {Value: []byte("two")}})
	session.Send(ctx, 1, []backend.Record{{Value: []byte("three")}, {}})
	for {
		ack, err := session.Recv(ctx)
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println("acknowledged batch", ack.Seq)
	}
	fmt.Println(table)
	// Output:
	// acknowledged batch 0
	// serial: append: record 1: rejected
	// [one two]
}

// An error says what to do, and names the record where the store does.
func ExampleRecordError() {
	err := fmt.Errorf("append: %w", &backend.RecordError{Index: 3, Err: backend.ErrTooLarge})

	var culprit *backend.RecordError
	if errors.As(err, &culprit) && errors.Is(err, backend.ErrTooLarge) {
		fmt.Println("leave out record", culprit.Index)
	}
	// Output: leave out record 3
}

func ExampleLast() {
	start := backend.Last(100)
	fmt.Println(start.Relative(), backend.Offset("17").Relative())
	// Output: true false
}
