package s2

import (
	"io"
	"sync"
)

// An outbox is the request body of an append session: the transport reads from it what Send puts in. Frames are copies,
// so nothing of it reads lent records.
type outbox struct {
	room chan<- struct{} // a token when frames have left

	mu     sync.Mutex
	more   sync.Cond // of mu
	frames [][]byte
	off    int      // how much of frames[0] has left
	queued int      // bytes not yet taken by the transport
	begun  int      // frames of which the transport has at least a byte
	free   [][]byte // buffers to use again
	kept   int      // their bytes
	end    error    // what Read returns behind the frames: io.EOF half-closes the request
	cut    bool     // end comes now, frames or not
}

func newOutbox(room chan<- struct{}) *outbox {
	o := &outbox{room: room}
	o.more.L = &o.mu
	return o
}

// buffer returns memory for a frame, with room for so many bytes. The one used last is the likeliest to be in the
// processor's caches; one that is too small is given up, as batches grow with the load.
func (o *outbox) buffer(size int) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(o.free); n > 0 {
		b := o.free[n-1]
		o.free = o.free[:n-1]
		o.kept -= cap(b)
		if cap(b) >= size {
			return b[:0]
		}
	}
	return make([]byte, 0, size)
}

// recycle takes a buffer back.
func (o *outbox) recycle(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keep(b)
}

// keep holds no more memory in reserve than may be in use: what Send waits above, and a batch on either side of that.
func (o *outbox) keep(b []byte) {
	if !o.cut && o.kept+cap(b) <= outboxBytes+2*BatchBytes {
		o.free = append(o.free, b)
		o.kept += cap(b)
	}
}

// put queues a frame, which is the outbox's from then on.
func (o *outbox) put(frame []byte) {
	o.mu.Lock()
	o.frames = append(o.frames, frame)
	o.queued += len(frame)
	o.mu.Unlock()
	o.more.Signal()
}

// pending returns how many bytes wait.
func (o *outbox) pending() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.queued
}

// started returns how many frames have begun to leave.
func (o *outbox) started() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.begun
}

// finish half-closes the request once what is queued has left.
func (o *outbox) finish() {
	o.mu.Lock()
	if o.end == nil {
		o.end = io.EOF
	}
	o.mu.Unlock()
	o.more.Broadcast()
}

// stop half-closes the request behind the frame that is leaving and drops those behind it.
func (o *outbox) stop() {
	o.mu.Lock()
	keep := 0
	if o.off > 0 {
		keep = 1
	}
	clear(o.frames[min(keep, len(o.frames)):])
	o.frames = o.frames[:min(keep, len(o.frames))]
	o.mu.Unlock()
	o.finish()
}

// Read gives the transport as many frames as fit: few large writes cost less than many small ones.
func (o *outbox) Read(p []byte) (n int, err error) {
	o.mu.Lock()
	for len(o.frames) == 0 && o.end == nil {
		o.more.Wait()
	}
	if o.cut || len(o.frames) == 0 {
		defer o.mu.Unlock()
		return 0, o.end
	}
	for n < len(p) && len(o.frames) > 0 {
		frame := o.frames[0]
		if o.off == 0 {
			o.begun++
		}
		m := copy(p[n:], frame[o.off:])
		n += m
		if o.off += m; o.off == len(frame) {
			o.keep(frame)
			o.off = 0
			k := copy(o.frames, o.frames[1:])
			o.frames[k] = nil
			o.frames = o.frames[:k]
		}
	}
	o.queued -= n
	o.mu.Unlock()
	select {
	case o.room <- struct{}{}:
	default:
	}
	return n, nil
}

// Close is called by the transport when it will read no more, and by the session's Close. It lets go of all memory: timers
// of a transport may hold on to a connection that is long over, and with it to this.
func (o *outbox) Close() error {
	o.mu.Lock()
	if !o.cut {
		o.cut = true
		o.end = io.ErrClosedPipe
		o.frames, o.free = nil, nil
	}
	o.mu.Unlock()
	o.more.Broadcast()
	return nil
}
