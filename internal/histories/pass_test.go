package histories

import (
	"context"
	"sync"

	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// A pass is one loop of a consumer, from its claim on, and what is done in it.
type pass struct {
	f     *follower
	start int

	mu       sync.Mutex
	next     int          // the next record to be delivered, or skipped
	done     map[int]bool // records that the loop may leave behind
	skipped  map[int]bool // of them, those that are not delivered
	posted   map[int]bool // dead letters handed over
	receipts map[int]producer.Receipt
}

func newPass(f *follower, start int) *pass {
	return &pass{
		f: f, start: start, next: start, done: make(map[int]bool), skipped: make(map[int]bool), posted: make(map[int]bool),
		receipts: make(map[int]producer.Receipt),
	}
}

// arrive notes a message, which must be the next record of the stream that is not skipped.
func (p *pass) arrive(m consumer.Message[value]) int {
	i := place(m.Offset)
	p.mu.Lock()
	defer p.mu.Unlock()
	if i < p.next {
		p.f.h.errorf("%s, mode %d: record %d came again in one loop, %d was next", p.f.key, p.f.mode, i, p.next)
	}
	for j := p.next; j < i; j++ {
		if !p.skipped[j] {
			p.f.h.errorf("%s, mode %d: record %d was passed over, %d came", p.f.key, p.f.mode, j, i)
		}
	}
	p.next = i + 1
	if raw := mustParse(&m.Record); raw.id() != m.Value.id() || place(m.Next) != i+1 {
		p.f.h.errorf("%s: record %d, followed by %q, was decoded as %s, want %s", p.f.key, i, m.Next, m.Value.id(), raw.id())
	}
	p.f.saw(i)
	return i
}

func (p *pass) finish(i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done[i] = true
}

func (p *pass) skip(i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done[i], p.skipped[i] = true, true
}

func (p *pass) owe(i int, r producer.Receipt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.receipts[i] = r
}

// post notes that a letter was handed over, and reports whether that was for the first time in this loop.
func (p *pass) post(i int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	again := p.posted[i]
	p.posted[i] = true
	return !again
}

// undone returns the first record that is not done.
func (p *pass) undone() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.start
	for p.isDone(i) {
		i++
	}
	return i
}

// undoneIn returns the first record from one number up to another that is not done, or -1.
func (p *pass) undoneIn(from, to int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := from; i < to; i++ {
		if !p.isDone(i) {
			return i
		}
	}
	return -1
}

func (p *pass) isDone(i int) bool {
	if p.done[i] {
		return true
	}
	r, ok := p.receipts[i]
	if !ok {
		return false
	}
	select {
	case <-r.Done():
		_, err := r.Wait(context.Background())
		return err == nil
	default:
		return false
	}
}
