package s2

import (
	"io"
	"sync"
)

// An outbox is the request body of an append session: Write puts frames in, and the transport reads them out. A frame is a
// copy of the records, so the transport never reads lent memory.
type outbox struct {
	room chan<- struct{} // gets a token when frames have left

	mu     sync.Mutex
	more   sync.Cond // its lock is mu; signals that there are frames, or that the body ends
	frames [][]byte
	off    int      // how many bytes of frames[0] have left
	queued int      // bytes that the transport has not taken
	begun  int      // frames of which at least one byte has left
	free   [][]byte // buffers for later frames
	kept   int      // bytes of free
	end    error    // what Read returns behind the frames: io.EOF ends the request, and the response goes on
	closed bool     // end comes at once, even if there are frames
}

func newOutbox(room chan<- struct{}) *outbox {
	o := &outbox{room: room}
	o.more.L = &o.mu
	return o
}

// buffer returns memory for a frame of size bytes. It prefers the buffer that was used last, because the processor's caches
// may still hold that memory. A buffer that is too small is dropped: batches grow with the load, and the buffer would stay
// too small for the next ones.
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
	o.keepLocked(b)
}

// keepLocked keeps a buffer for a later frame. The buffers kept have at most as many bytes as can be in use at once: what
// the outbox holds before Write waits, the batch that Write encodes, and the batch that the transport copies.
func (o *outbox) keepLocked(b []byte) {
	if !o.closed && o.kept+cap(b) <= outboxBytes+2*BatchBytes {
		o.free = append(o.free, b)
		o.kept += cap(b)
	}
}

// put queues a frame. The caller must not use the frame's memory again.
func (o *outbox) put(frame []byte) {
	o.mu.Lock()
	o.frames = append(o.frames, frame)
	o.queued += len(frame)
	o.mu.Unlock()
	o.more.Signal()
}

// pending returns how many bytes wait for the transport.
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

// finish ends the request when the queued frames have left.
func (o *outbox) finish() {
	o.mu.Lock()
	if o.end == nil {
		o.end = io.EOF
	}
	o.mu.Unlock()
	o.more.Broadcast()
}

// stop ends the request behind the frame that is leaving, and drops the frames behind it. After stop, started does not
// change any more.
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

// Read gives the transport as many frames as fit, because few large writes cost less than many small ones.
func (o *outbox) Read(p []byte) (n int, err error) {
	o.mu.Lock()
	for len(o.frames) == 0 && o.end == nil {
		o.more.Wait()
	}
	if o.closed || len(o.frames) == 0 {
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
			o.keepLocked(frame)
			o.off = 0
			k := copy(o.frames, o.frames[1:])
			o.frames[k] = nil
			o.frames = o.frames[:k]
		}
	}
	o.queued -= n
	o.mu.Unlock()
	wake(o.room)
	return n, nil
}

// Close drops all frames and buffers. The transport calls it when it reads no more, and the conn's Close calls it too. The
// memory must go now: timers of a transport may refer to a dead connection for a long time, and so to this outbox.
func (o *outbox) Close() error {
	o.mu.Lock()
	if !o.closed {
		o.closed = true
		o.end = io.ErrClosedPipe
		o.frames, o.free = nil, nil
	}
	o.mu.Unlock()
	o.more.Broadcast()
	return nil
}
