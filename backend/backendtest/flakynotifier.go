package backendtest

import (
	"sync"

	"github.com/headrace/headrace/backend"
)

// A flakyNotifier is a flakyReader in front of a [backend.Notifier]. Without flakyNotifier, a consumer behind a FlakySource would
// always wait in Read, and faults would never meet a consumer that waits without a goroutine.
type flakyNotifier struct {
	*flakyReader
	below backend.Notifier

	mu   sync.Mutex
	wake func() // of the Notify whose function was not called yet; nil without
}

// Notify implements [backend.Notifier]. A fault that ends the reader calls f too.
func (n *flakyNotifier) Notify(f func()) bool {
	n.mu.Lock()
	n.wake = f
	n.mu.Unlock()
	ready := n.below.Notify(n.call)
	if !ready && n.endReason() == nil {
		return false
	}
	// The reader may have ended at the same time, and called f. Then the caller must wait for f, which has run.
	return n.take() != nil
}

// take returns the function that was not called yet, or nil.
func (n *flakyNotifier) take() func() {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.wake
	n.wake = nil
	return f
}

// call calls the function of Notify, once.
func (n *flakyNotifier) call() {
	if f := n.take(); f != nil {
		f()
	}
}
