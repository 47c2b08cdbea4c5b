package zerobus

import (
	"math/bits"
	"sync"

	"google.golang.org/grpc/mem"
)

// buffers lends memory for messages and does not clear the memory. gRPC's own pool clears memory before each use, and lends a
// megabyte for every message of more than 32 KiB. Clearing was a quarter of the work of sending 100 KiB.
//
// The sizes are the powers of two up to 1 MiB, and largestBuffer. A producer's default batch of 1 MiB has a size a little above
// 1 MiB with the bytes around its records: up to 5 bytes for each of 10,000 records. With 2 MiB for such a batch, half of the
// memory would be allocated, cleared and never used.
type buffers [topPower + 2]sync.Pool

const (
	topPower      = 20 // 1 MiB
	largestBuffer = 1<<topPower + 64<<10
)

var _ mem.BufferPool = (*buffers)(nil)

var messages buffers

// class returns which pool has memory for n bytes, and how much memory the pool lends.
func (p *buffers) class(n int) (*sync.Pool, int) {
	if n > 1<<topPower {
		return &p[topPower+1], largestBuffer
	}
	power := bits.Len(uint(max(n, 1) - 1))
	return &p[power], 1 << power
}

// Get returns n bytes.
func (p *buffers) Get(n int) *[]byte {
	if n > largestBuffer {
		b := make([]byte, n)
		return &b
	}
	pool, size := p.class(n)
	b, ok := pool.Get().(*[]byte)
	if !ok {
		fresh := make([]byte, size)
		b = &fresh
	}
	*b = (*b)[:n]
	return b
}

// Put takes back memory from Get.
func (p *buffers) Put(b *[]byte) {
	if pool, size := p.class(cap(*b)); size == cap(*b) {
		pool.Put(b)
	}
}
