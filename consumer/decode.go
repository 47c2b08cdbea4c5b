package consumer

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
)

// What one chunk holds at most. It is the grain of every hand-over between goroutines: large enough that a hand-over
// costs next to nothing a record, small enough that several decoders share a batch and the first record of a large one
// does not wait for the last.
const (
	chunkRecords = 256
	chunkBytes   = 256 << 10 // reached by the last record: one may be larger alone
	chunksAhead  = 16        // between two stages; BufferBytes is the bound that counts
)

// A chunk is a part of one batch on its way from the reader to the loop. One without records moves the place on, or ends
// the stream.
type chunk[T any] struct {
	first   uint64 // number of the first record
	recs    []backend.Record
	next    backend.Offset
	start   backend.Offset // the place that a relative start turned out to be; "" in all chunks but the first
	bytes   int
	last    bool  // nothing comes behind it,
	err     error // because of this: nil at the end of the stream or the tail
	arrived time.Time

	values []T
	bad    []bad
	ready  chan struct{} // closed when decoded; nil: it is
}

func (ch *chunk[T]) decode(c codec.Codec[T]) {
	// Values beside the records and not messages: a message is put together when it is handed out, so its record is
	// copied once.
	ch.values = make([]T, len(ch.recs))
	i := 0
	defer func() {
		// In this goroutine a panic of the codec would end the process, and nobody could recover it. The loop raises it
		// again where it reaches the record, so what lies behind that needs no decoding.
		if p := recover(); p != nil {
			ch.bad = append(ch.bad, bad{at: i, panicked: fmt.Sprintf("%v\n\n%s", p, debug.Stack())})
		}
	}()
	for ; i < len(ch.recs); i++ {
		v, err := c.Decode(ch.recs[i].Value)
		if err != nil {
			ch.bad = append(ch.bad, bad{at: i, err: err})
			continue
		}
		ch.values[i] = v
	}
}

// A pipeline reads, cuts and decodes ahead of the loop, which receives from queue.
type pipeline[T any] struct {
	codec    codec.Codec[T]
	decoders int
	track    *tracker
	seq      uint64       // of the next record
	handed   atomic.Int64 // chunks on their way or received

	work  chan *chunk[T] // to the decoders
	queue chan *chunk[T] // to the loop, in order
	group sync.WaitGroup
}

func newPipeline[T any](c codec.Codec[T], decoders int, t *tracker) *pipeline[T] {
	return &pipeline[T]{
		codec: c, decoders: decoders, track: t,
		work: make(chan *chunk[T], chunksAhead), queue: make(chan *chunk[T], chunksAhead),
	}
}

// start runs f and the decoders until ctx is over; group is done when nothing of them runs.
func (p *pipeline[T]) start(ctx context.Context, f *fetcher) {
	f.deliver = p.cut
	p.group.Go(func() {
		err := f.run(ctx)
		// The end goes through the queue like a chunk, so all that came before it is handed out first. It fails only
		// when ctx is over, and then nobody listens.
		_ = p.hand(ctx, &chunk[T]{first: p.seq, last: true, err: err})
	})
	for range p.decoders {
		p.group.Go(func() { p.decodeAll(ctx) })
	}
}

// cut makes chunks of a batch. Each carries where to go on behind it, so that a chunk's end is a place like any record's;
// what the store filtered out behind the last record belongs to the last chunk.
func (p *pipeline[T]) cut(ctx context.Context, b backend.Batch, start backend.Offset) error {
	now := time.Now()
	recs := b.Records
	for first := true; first || len(recs) > 0; first = false {
		n, bytes := 0, 0
		for n < len(recs) && n < chunkRecords && bytes < chunkBytes {
			bytes += weigh(&recs[n])
			n++
		}
		// The records are shared with the batch: what a reader returned is never written to again, by either side.
		ch := &chunk[T]{first: p.seq, recs: recs[:n:n], bytes: bytes, start: start, arrived: now}
		if recs = recs[n:]; len(recs) == 0 {
			ch.next = b.Next
		} else {
			ch.next = ch.recs[n-1].Next
		}
		start = ""
		p.seq += uint64(n)
		p.track.budget.charge(bytes)
		if n > 0 {
			p.track.expect(ch.first, ch.recs[0].Time)
		}
		if err := p.hand(ctx, ch); err != nil {
			return err
		}
	}
	return nil
}

// hand passes ch on. Several decoders finish in any order, so the loop gets the chunks in the order read, before they are
// decoded, and waits for each. A single one keeps the order by itself and passes the chunk to the loop when it is
// decoded: the loop is then woken once for a chunk and not twice, which is most of the latency at the tail.
func (p *pipeline[T]) hand(ctx context.Context, ch *chunk[T]) error {
	p.handed.Add(1)
	if p.decoders > 1 {
		if len(ch.recs) > 0 {
			ch.ready = make(chan struct{})
		}
		if err := put(ctx, p.queue, ch); err != nil || ch.ready == nil {
			return err
		}
	}
	return put(ctx, p.work, ch)
}

func (p *pipeline[T]) decodeAll(ctx context.Context) {
	for {
		select {
		case ch := <-p.work:
			ch.decode(p.codec)
			if ch.ready != nil {
				close(ch.ready)
			} else if put(ctx, p.queue, ch) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func put[E any](ctx context.Context, to chan<- E, e E) error {
	select {
	case to <- e:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
