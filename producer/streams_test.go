package producer_test

import (
	"os"
	"runtime"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// What a lone record allocates must hardly grow with the number of streams over which the records of a program are spread.
// HEADRACE_LONG=1 takes 10,000 streams instead of 1,000.
func TestALoneRecordAllocatesLittleMoreOverManyStreams(t *testing.T) {
	if race {
		t.Skip("the race detector allocates")
	}
	streams := 1000
	if os.Getenv("HEADRACE_LONG") != "" {
		streams = 10_000
	}
	one, many := bytesOfALoneRecord(t, 1), bytesOfALoneRecord(t, streams)
	t.Logf("%d bytes a record over one stream, %d over %d", one, many, streams)
	// More than over one stream, because a collection of the garbage empties the pools of all producers. Measured on two cores: 1.14
	// times for 1,000 streams and 1.24 times for 10,000; on eight, whose pools are apart, 1.75 times.
	if many > 3*one {
		t.Errorf("a record allocates %d bytes over %d streams, and %d over one", many, streams, one)
	}
}

// bytesOfALoneRecord returns what one of 20,000 records allocates, when each is sent alone and the next goes to another stream.
func bytesOfALoneRecord(t *testing.T, streams int) uint64 {
	all := make([]*producer.Producer[[]byte], streams)
	for i := range all {
		p, err := producer.New(t.Context(), backendtest.Discard(backend.Limits{}), codec.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		all[i] = p
	}
	value := make([]byte, 100)
	pass := func(records int) {
		for i := range records {
			if err := all[i%streams].Send(t.Context(), value); err != nil {
				t.Fatal(err)
			}
		}
	}
	pass(2 * streams)
	const records = 20_000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	pass(records)
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / records
}
