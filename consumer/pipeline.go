package consumer

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
)

// A pipeline reads batches, cuts them into chunks, and decodes the chunks ahead of the loop. The loop receives the
// chunks from queue, in the order read.
type pipeline[T any] struct {
	codec      codec.Codec[T]
	decoders   int // 0: the reader decodes
	track      *tracker
	seq        uint64       // number of the next record to be read; the fetcher's goroutine uses it alone
	handedOver atomic.Int64 // chunks that the reader has handed over, received by the loop or not
	fetcher    *fetcher

	work       chan *chunk[T] // from the reader to the decoders; nil without decoders. A nil chunk ends a decoder.
	decoding   int            // number of decoders that run; the fetcher's goroutine uses it alone
	running    sync.WaitGroup // the decoders that have not returned
	queue      chan *chunk[T] // to the loop, in order
	spare      sync.Pool      // of *[]T: values of chunks that the loop has left, zeroed
	goroutines sync.WaitGroup // the reader, also while it is parked, and the decoders
}

func newPipeline[T any](c codec.Codec[T], decoders int, t *tracker) *pipeline[T] {
	p := &pipeline[T]{codec: c, decoders: decoders, track: t}
	// To decode with Bytes is to take the slice of the value. A goroutine for that costs an idle consumer its stack, and saves
	// no time.
	if decoders == 1 && any(c) == any(codec.Bytes()) {
		p.decoders = 0
		p.queue = make(chan *chunk[T], 2*chunksAhead) // as much as work and queue hold together
		return p
	}
	p.work, p.queue = make(chan *chunk[T], chunksAhead), make(chan *chunk[T], chunksAhead)
	return p
}

// start runs f and the decoders until ctx is over. When they have ended, goroutines.Wait returns. When f has parked, f and the
// decoders end only after a call of wake.
func (p *pipeline[T]) start(ctx context.Context, f *fetcher) {
	p.fetcher, f.deliver = f, p.cut
	f.tail.resume, f.tail.endDecoders = func() { p.fetch(ctx) }, p.endDecoders
	p.goroutines.Add(1)
	go p.fetch(ctx)
}

// fetch is the goroutine of the reader.
func (p *pipeline[T]) fetch(ctx context.Context) {
	err := fmt.Errorf("consumer: read: %w", errGoexit) // unless runGuarded returns
	defer func() {
		if err == errParked {
			return
		}
		defer p.goroutines.Done()
		// The end of the stream goes through the queue like a chunk, so all records before the end are handed out
		// first. handOver fails only when ctx is over, and then the loop does not receive any more.
		_ = p.handOver(ctx, &chunk[T]{first: p.seq, last: true, err: err})
	}()
	reserveStack()
	err = p.fetcher.runGuarded(ctx)
}

// wake lets a parked reader see that ctx is over.
func (p *pipeline[T]) wake() { p.fetcher.tail.wake() }

// cut makes chunks of the batch b. Each chunk carries the place behind its end: a loop may save there as behind a record.
// Records filtered out by the store behind the last record of b belong to the last chunk. A batch without records makes
// one empty chunk.
func (p *pipeline[T]) cut(ctx context.Context, b backend.Batch, start backend.Offset) error {
	now := time.Now()
	recs := b.Records
	lent := lend(b)
	for first := true; first || len(recs) > 0; first = false {
		n, bytes := 0, 0
		for n < len(recs) && n < chunkRecords && bytes < chunkBytes {
			bytes += weigh(&recs[n])
			n++
		}
		// The chunk shares its records with the batch. That is safe: neither side ever writes again to what a reader
		// returned, unless the slice is given back: see lentBatch.
		ch := &chunk[T]{first: p.seq, recs: recs[:n:n], bytes: bytes, start: start, arrived: now, lent: lent}
		lent.use()
		// The last chunk carries the place behind the batch, which may be further than the place behind its last
		// record.
		if recs = recs[n:]; len(recs) == 0 {
			ch.next = b.Next
		} else {
			ch.next = ch.recs[n-1].Next
		}
		start = ""
		p.seq += uint64(n)
		// Charge the bytes here, when the records are held in memory, and not later in the loop.
		p.track.budget.charge(bytes)
		if n > 0 {
			p.track.expect(ch.first, n, ch.recs[0].Time)
		}
		if err := p.handOver(ctx, ch); err != nil {
			return err
		}
	}
	lent.leave()
	return nil
}

// handOver passes ch on to the decoders and to the loop.
//
// Several decoders finish chunks in any order. Therefore the loop gets the chunks from the reader, in the order read and
// before decoding, and waits until a chunk's ready is closed. A single decoder keeps the order by itself, and passes a
// chunk to the loop after decoding. Then the loop is woken once for each chunk and not twice; the second wake-up would be
// most of the latency at the tail. Without decoders, handOver decodes the chunk itself.
func (p *pipeline[T]) handOver(ctx context.Context, ch *chunk[T]) error {
	p.handedOver.Add(1)
	if p.decoders == 0 {
		p.decode(ch)
		return sendOn(ctx, p.queue, ch)
	}
	for ; p.decoding < p.decoders; p.decoding++ {
		p.running.Add(1)
		p.goroutines.Go(func() {
			defer p.running.Done()
			p.decodeAll(ctx)
		})
	}
	if p.decoders > 1 {
		if len(ch.recs) > 0 {
			ch.ready = make(chan struct{})
		}
		if err := sendOn(ctx, p.queue, ch); err != nil || ch.ready == nil {
			return err
		}
	}
	return sendOn(ctx, p.work, ch)
}

// endDecoders returns when the decoders have ended, after the chunks that were handed over. The next chunk starts them again.
func (p *pipeline[T]) endDecoders(ctx context.Context) {
	for ; p.decoding > 0; p.decoding-- {
		if sendOn(ctx, p.work, nil) != nil {
			return // ctx ends the decoders
		}
	}
	// Without the wait, a decoder that the next chunk starts would work beside a decoder that has not ended. Beside a single
	// decoder, the new one would take a chunk that was handed over before the pause, and the loop would get the chunks in the
	// wrong order.
	p.running.Wait()
}

// decodeAll is the goroutine of one decoder.
func (p *pipeline[T]) decodeAll(ctx context.Context) {
	reserveStack()
	for {
		select {
		case ch := <-p.work:
			if ch == nil || p.decodeAndPass(ctx, ch) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// decodeAndPass decodes ch and lets the loop have ch, also when the codec ends the goroutine: the loop would wait for ch for ever.
func (p *pipeline[T]) decodeAndPass(ctx context.Context, ch *chunk[T]) (err error) {
	defer func() {
		if ch.ready != nil {
			close(ch.ready)
		} else {
			err = sendOn(ctx, p.queue, ch)
		}
	}()
	p.decode(ch)
	return nil
}

func (p *pipeline[T]) decode(ch *chunk[T]) {
	ch.values = p.newValues(len(ch.recs))
	ch.decode(p.codec)
}

// newValues returns room for n values, where possible that of a chunk that the loop has left.
func (p *pipeline[T]) newValues(n int) []T {
	if s, ok := p.spare.Get().(*[]T); ok && cap(*s) >= n {
		return (*s)[:n]
	}
	return make([]T, n)
}

// recycle takes the room of values that nobody uses any more.
func (p *pipeline[T]) recycle(values []T) {
	if cap(values) > 0 {
		clear(values) // or the room would keep what the values point to
		p.spare.Put(&values)
	}
}

// sendOn sends e to the channel to, unless ctx ends first.
func sendOn[E any](ctx context.Context, to chan<- E, e E) error {
	select {
	case to <- e:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
