package zerobus

import (
	"testing"

	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// rotated writes rows over streams that each end with the event, and fails unless each row is stored once, and unless there was
// one more stream than plans.
func rotated(t *testing.T, w way, p plan) {
	t.Helper()
	const rotations = 5
	plans := make([]plan, rotations)
	for i := range plans {
		plans[i] = p
	}
	x := newTable(t, plans...)
	rows := numbered(3000)
	// The bounds make sure that each stream meets its event: after the event, a stream takes no more than the batches in flight.
	produce(t, x.sink(t, w, zerobus.InFlight(4)), codec.JSON[row](), rows, producer.BatchRecords(50))
	same(t, x.rows(t), encoded(t, codec.JSON[row](), rows))
	if n := len(x.streams(t)); n != rotations+1 {
		t.Errorf("%d streams, want %d", n, rotations+1)
	}
}

func TestRotationsNeitherLoseNorRepeatRows(t *testing.T) {
	for _, w := range ways {
		t.Run(string(w), func(t *testing.T) {
			rotated(t, w, plan{After: 3, Event: "signal", Pause: 60})
		})
	}
}

// With default options, and one row at a time.
func TestRotationsBetweenLoneRowsAreNotNoticed(t *testing.T) {
	p := plan{After: 2, Event: "signal", Pause: 60}
	x := newTable(t, p, p, p, p)
	pr, err := producer.New(t.Context(), x.sink(t, overHTTP), codec.JSON[row]())
	if err != nil {
		t.Fatal(err)
	}
	defer pr.Close()
	rows := numbered(12)
	for _, r := range rows {
		if err := pr.Send(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	same(t, x.rows(t), encoded(t, codec.JSON[row](), rows))
	if n := len(x.streams(t)); n != 5 {
		t.Errorf("%d streams, want 5", n)
	}
}

// A server that shuts down in good order sends GOAWAY and lets the stream go on.
func TestAStreamOutlivesTheShutdownOfItsServer(t *testing.T) {
	for _, w := range ways {
		t.Run(string(w), func(t *testing.T) {
			x := newTable(t, plan{After: 3, Event: "shutdown"})
			rows := numbered(3000)
			produce(t, x.sink(t, w), codec.JSON[row](), rows, producer.BatchRecords(50))
			same(t, x.rows(t), encoded(t, codec.JSON[row](), rows))
			if n := len(x.streams(t)); n != 1 {
				t.Errorf("%d streams, want 1", n)
			}
		})
	}
}

// As when a service is replaced server by server: each sends GOAWAY, and then ends its streams with a close signal.
func TestReplacedServersNeitherLoseNorRepeatRows(t *testing.T) {
	for _, w := range ways {
		t.Run(string(w), func(t *testing.T) {
			rotated(t, w, plan{After: 3, Event: "replace", Pause: 60})
		})
	}
}
