package batcher

import (
	"fmt"
	"time"
)

// An Option sets one of a Batcher's bounds.
type Option func(*config)

type config struct {
	linger  time.Duration
	records int
	bytes   int
	budget  int
	batch   int
}

func defaults() config {
	return config{linger: 5 * time.Millisecond, records: 1000, bytes: 1 << 20, budget: 32 << 20}
}

// Linger is how long a batch may wait for more, counted from its first element. The default is 5 ms; 0 or less means
// that a batch goes as soon as it can be taken.
func Linger(d time.Duration) Option { return func(c *config) { c.linger = d } }

// BatchRecords is how many elements a batch holds at most. The default is 1,000; it is at least 1.
func BatchRecords(n int) Option { return func(c *config) { c.records = n } }

// BatchBytes is how many metered bytes a batch holds at most; an element that is larger goes alone. The default is 1 MiB;
// it is at least 1.
func BatchBytes(n int) Option { return func(c *config) { c.bytes = n } }

// BufferBytes is the budget: how many bytes may be held at once, in elements put and not yet released. Each element
// counts what it holds and the size of its own value, each batch its [BatchOverhead]. The default is 32 MiB; it is at
// least 1.
func BufferBytes(n int) Option { return func(c *config) { c.budget = n } }

// BatchOverhead is how many bytes a batch itself counts against BufferBytes, beside its elements: what its taker keeps for
// each, which is most of it where batches are small. The default is 0, as is anything less.
func BatchOverhead(n int) Option { return func(c *config) { c.batch = max(n, 0) } }

// check panics on bounds under which nothing could ever be put: that is a bug in the caller, not a condition.
func (c *config) check() {
	for name, n := range map[string]int{"BatchRecords": c.records, "BatchBytes": c.bytes, "BufferBytes": c.budget} {
		if n < 1 {
			panic(fmt.Sprintf("batcher: %s(%d): must be at least 1", name, n))
		}
	}
}
