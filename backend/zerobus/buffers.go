package zerobus

import (
	"math/bits"
	"sync"

	"google.golang.org/grpc/mem"
)

// buffers lends memory for messages, in powers of two, and does not clear the memory. gRPC's own pool clears
// memory before each use, and lends a megabyte for every message of more than 32 KiB. Clearing was a quarter of the work of
// sending 100 KiB.
type buffers [largestBuffer + 1]sync.Pool

// largestBuffer is the largest size in the pool, as a power of two: 2 MiB. A producer's batch of 1 MiB fits in with the
// bytes around its records.
const largestBuffer = 21

var _ mem.BufferPool = (*buffers)(nil)

var messages buffers

// Get returns n bytes.
func (p *buffers) Get(n int) *[]byte {
	size := bits.Len(uint(max(n, 1) - 1))
	if size > largestBuffer {
		b := make([]byte, n)
		return &b
	}
	b, ok := p[size].Get().(*[]byte)
	if !ok {
		fresh := make([]byte, 1<<size)
		b = &fresh
	}
	*b = (*b)[:n]
	return b
}

// Put takes back memory from Get.
func (p *buffers) Put(b *[]byte) {
	if n := cap(*b); n <= 1<<largestBuffer {
		p[bits.Len(uint(n))-1].Put(b)
	}
}
