package producer_test

import (
	"sync"
	"testing"

	"github.com/headrace/headrace/backend/memory"
)

// A store that answers at once must not serve one sender for as long as the Go scheduler lets it, while all the others are
// ready to send: they share its batches.
func TestSendersThatAreReadyShareBatches(t *testing.T) {
	const senders, each = 100, 200
	p := open(t, memory.New())
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for range each {
				if err := p.Send(t.Context(), "x"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if s := p.Stats(); s.Acked != senders*each || s.Batches > s.Acked/4 {
		t.Errorf("%d records of %d senders in %d batches, want at least 4 in each", s.Acked, senders, s.Batches)
	}
	closeNow(t, p)
}
