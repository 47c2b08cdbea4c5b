package consumer

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/backend"
)

// parkAfter is how long a fetcher keeps its goroutine at the tail of the stream while no record comes: at least parkAfter, and at
// most twice as long. If the goroutine ended at once, every record of a stream that is read as fast as it is written would cost a
// new goroutine and the growth of its stack.
const parkAfter = time.Second

// run returns errParked when the fetcher waits without a goroutine. Reading has not ended: the next record starts run again.
var errParked = errors.New("parked")

// A tailWait is how a fetcher waits at the tail of a reader that is a [backend.Notifier]. After a while without a record the
// fetcher parks: its goroutine and the decoders end. A process may have thousands of consumers without work, and the stack of a
// goroutine that has read takes 4 to 8 KiB.
//
// The fields belong to the goroutine of the fetcher. The method wake is an exception, because any goroutine may call wake: wake uses
// state, uses woken while state is waiting, and uses resume while state is parked.
type tailWait struct {
	state       atomic.Int32
	resume      func()                // starts the fetcher again
	endDecoders func(context.Context) // returns when the decoders have ended

	woken chan struct{} // holds one token when wake has ended the wait; nil before the first wait, and when parked
	// The timer look runs on over many waits, and fires once in parkAfter. Otherwise each record at the tail would cost a new timer.
	look *time.Timer // nil when woken is nil
	seen uint64      // number of records that were read when look fired last
}

// The states of a tailWait.
const (
	awake   int32 = iota // the fetcher does not wait, or need not wait any more
	waiting              // the goroutine of the fetcher waits for woken
	leaving              // the goroutine of the fetcher ends the decoders, and then itself; until then, wake must not start another
	parked               // the fetcher has no goroutine
)

// wake ends the wait of the fetcher. wake never blocks. Without a wait, wake does nothing.
func (w *tailWait) wake() {
	switch w.state.Swap(awake) {
	case waiting:
		select {
		case w.woken <- struct{}{}:
		default: // wake must not block, even if a faulty reader calls wake twice
		}
	case parked:
		go w.resume()
	}
}

// wait returns when a Read of r would return at once, or when ctx is over. After a while without a record, wait returns true: the
// fetcher has parked, and the caller must return from run without touching the fetcher.
func (w *tailWait) wait(ctx context.Context, r backend.Notifier, read *atomic.Uint64) (parks bool) {
	if w.woken == nil {
		w.woken, w.look, w.seen = make(chan struct{}, 1), time.NewTimer(parkAfter), read.Load()
	}
	w.state.Store(waiting)
	if r.Notify(w.wake) {
		w.state.CompareAndSwap(waiting, awake) // or the loop has called wake, and state is awake already
		return false
	}
	for {
		select {
		case <-w.woken:
			return false
		case <-ctx.Done():
			return false
		case <-w.look.C:
		}
		if n := read.Load(); n != w.seen { // a record came since look fired last, so the next may come soon
			w.seen = n
			w.look.Reset(parkAfter)
			continue
		}
		return w.park(ctx)
	}
}

// park lets the fetcher wait without a goroutine, and returns true. When park returns true, another goroutine may be in run already.
// When the wait ends at the same time, park returns false, and the fetcher goes on.
func (w *tailWait) park(ctx context.Context) bool {
	// The loop calls wake after the end of ctx. A wake that came before the wait has done nothing, so we ask ctx.
	if ctx.Err() != nil {
		return false
	}
	if !w.state.CompareAndSwap(waiting, leaving) {
		<-w.woken // wake has changed the state, and its token comes
		return false
	}
	w.woken, w.look = nil, nil
	w.endDecoders(ctx)
	return w.state.CompareAndSwap(leaving, parked)
}

// reserveStack makes the stack of its goroutine 8 KiB, as large as reading and decoding often need. A goroutine that ends gives its
// stack back, but the runtime returns stacks only in blocks of 32 KiB, and a block holds stacks of one size. The stacks of the
// loops have 4 KiB and stay. If the stacks of the readers stood between them, few blocks would become free: an idle consumer on
// memory then takes 1.3 KiB more, of 10,000 that have started together.
//
//go:noinline
func reserveStack() {
	var room [4 << 10]byte
	runtime.KeepAlive(&room)
}
