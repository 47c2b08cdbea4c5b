package batcher

import (
	"fmt"
	"time"
)

// An Option sets one of a Batcher's bounds.
type Option func(*config)

type config struct {
	linger        time.Duration
	records       int
	bytes         int
	budget        int
	batchOverhead int
}

func defaults() config {
	return config{linger: 5 * time.Millisecond, records: 1000, bytes: 1 << 20, budget: 32 << 20}
}

// Linger is how long a batch may wait for more elements, counted from the first element. The default is 5 ms. With 0 or
// less a batch is due at once, and goes with the next Take.
func Linger(d time.Duration) Option { return func(c *config) { c.linger = d } }

// BatchRecords is the most elements in a batch. The default is 1,000, the minimum 1.
func BatchRecords(n int) Option { return func(c *config) { c.records = n } }

// BatchBytes is the most metered bytes in a batch. A larger element gets a batch of its own. The default is 1 MiB, the
// minimum 1.
func BatchBytes(n int) Option { return func(c *config) { c.bytes = n } }

// BufferBytes is the budget: the most bytes held at once, in elements put and not yet released. Each element counts the
// bytes it holds and the size of its own value; each batch counts its [BatchOverhead]. The default is 32 MiB, the minimum 1.
func BufferBytes(n int) Option { return func(c *config) { c.budget = n } }

// BatchOverhead is how many bytes a batch itself counts against BufferBytes, beside its elements. The overhead stands for
// memory that the taker keeps for each batch; where batches are small, the overhead is most of the memory. The default is 0;
// a negative number counts as 0.
func BatchOverhead(n int) Option { return func(c *config) { c.batchOverhead = max(n, 0) } }

// check panics on a bound under which nothing could ever be put. Such a bound is a bug of the caller; no retry and no wait
// can mend the bug, so an error would be of no use.
func (c *config) check() {
	for name, n := range map[string]int{"BatchRecords": c.records, "BatchBytes": c.bytes, "BufferBytes": c.budget} {
		if n < 1 {
			panic(fmt.Sprintf("batcher: %s(%d): must be at least 1", name, n))
		}
	}
}
