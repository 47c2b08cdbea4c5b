package s2

import "testing"

// A connection that is long over may still be held on to, by the timers of its transport, and the outbox with it.
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
	o.recycle(make([]byte, 100)) // by a Send that was under way
	if len(o.frames) != 0 || len(o.free) != 0 {
		t.Errorf("%d frames and %d buffers are held after Close", len(o.frames), len(o.free))
	}
}
