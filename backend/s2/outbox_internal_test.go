package s2

import "testing"

// Timers of a transport may hold a dead connection, and its outbox, for a long time.
func TestAClosedOutboxHoldsNoMemory(t *testing.T) {
	o := newOutbox(make(chan struct{}, 1))
	o.put(append(o.buffer(100), "on its way"...))
	o.recycle(o.buffer(100))
	if len(o.frames) != 1 || len(o.free) != 1 {
		t.Fatalf("%d frames and %d buffers to use again, want one of each", len(o.frames), len(o.free))
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	o.recycle(make([]byte, 100)) // by a Write during Close
	if len(o.frames) != 0 || len(o.free) != 0 {
		t.Errorf("%d frames and %d buffers are held after Close", len(o.frames), len(o.free))
	}
}
