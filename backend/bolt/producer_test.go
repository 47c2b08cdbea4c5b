package bolt_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/bolt"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// A producer on a full file tries for a while, for room may be made, and then fails with the cause. What it had
// acknowledged is readable, and what it had not is handed back. The bubble makes the while cost nothing.
func TestAFullFileFailsTheProducerWithTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := bolt.Open(filepath.Join(t.TempDir(), "streams.db"), bolt.FileBytes(32<<20))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		stream := db.Stream("events")
		p, err := producer.New(ctx, stream, codec.String(), producer.BatchRecords(100), producer.Attempts(3))
		if err != nil {
			t.Fatal(err)
		}
		value := strings.Repeat("x", 10_000)
		accepted := 0
		for err == nil {
			if _, err = p.Enqueue(ctx, value); err == nil {
				accepted++
			}
		}
		cause := p.Close()
		if !errors.Is(err, backend.ErrClosed) || !errors.Is(cause, backend.ErrClosed) || !strings.Contains(cause.Error(), "size") {
			t.Errorf("Enqueue: %v\nClose: %v\nwant the cause, that the file has reached its size", err, cause)
		}
		acked := int(p.Stats().Acked)
		left := 0
		for range p.Unacked() {
			left++
		}
		if acked == 0 || acked+left != accepted {
			t.Errorf("%d records accepted, %d acknowledged and %d left", accepted, acked, left)
		}
		c, err := consumer.New(stream, codec.String(), consumer.StopAtTail())
		if err != nil {
			t.Fatal(err)
		}
		readable := 0
		for m, err := range c.Messages(ctx) {
			if err != nil || m.Value != value {
				t.Fatalf("record %d: %v", readable, err)
			}
			readable++
		}
		if readable != acked {
			t.Errorf("%d records are readable, %d were acknowledged", readable, acked)
		}
	})
}
