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
	more   sync.Cond // of mu: there are frames, or the body ends
	frames [][]byte
	off    int      // bytes of frames[0] that the transport has taken
	queued int      // bytes still in frames
	begun  int      // frames of which the transport has taken at least a byte
	free   [][]byte // buffers for later frames
	kept   int      // bytes of free
	end    error    // returned by Read behind the frames: io.EOF ends the request, and the response goes on
	closed bool     // Read returns end at once, even before frames
}

func newOutbox(room chan<- struct{}) *outbox {
	o := &outbox{room: room}
	o.more.L = &o.mu
	return o
}

// buffer returns memory for a frame of size bytes. The buffer used last comes first, because the processor's caches may still
// hold its memory. A buffer with too little memory is dropped: batches grow with the load, and the next frames would not fit
// either.
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

// keepLocked keeps a buffer for a later frame. The kept buffers have at most as many bytes as frames can have at once: the bytes
// in the outbox before Write waits, a batch in Write's hands, and a batch in the transport's hands. More memory would never
// be used.
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

// pending returns the number of bytes still to leave.
func (o *outbox) pending() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.queued
}

// started returns the number of frames of which the transport has taken at least a byte. The server may have stored the batches of these
// frames, and no others.
func (o *outbox) started() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.begun
}

// finish ends the request behind the queued frames.
func (o *outbox) finish() {
	o.mu.Lock()
	if o.end == nil {
		o.end = io.EOF
	}
	o.mu.Unlock()
	o.more.Broadcast()
}

// stop ends the request behind the frame now leaving, and drops all later frames. The frame now leaving goes on, because half
// a frame would be a breach of the protocol. After stop, and without further calls of put, started stays the same.
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

// Read gives the transport as many frames as fit, because a few large writes cost less than many small writes.
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
			k := copy(o.frames, o.frames[1:]) // in place: frames keeps its memory, and a put seldom allocates
			o.frames[k] = nil
			o.frames = o.frames[:k]
		}
	}
	o.queued -= n
	o.mu.Unlock()
	wake(o.room)
	return n, nil
}

// Close drops all frames and buffers. The transport calls Close after its last read, and the conn's Close calls Close too. The
// memory must go now, because timers of the transport may refer to a dead connection, and so to the outbox, for a long time.
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
