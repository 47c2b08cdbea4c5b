package server

import (
	"testing"
	"testing/synctest"
)

// A client that sends faster than the disk writes must not fill the memory of the server, neither with many small batches
// nor with few large ones.
func TestPendingBatchesAreBounded(t *testing.T) {
	for name, c := range map[string]struct{ size, want int }{
		"small": {100, maxPending},
		"large": {1 << 20, maxPendingBytes >> 20},
		"huge":  {maxPendingBytes + 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newAckQueue()
				reserved := 0
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					for {
						if _, ok := q.reserve(c.size); !ok {
							return
						}
						reserved++
					}
				}()
				synctest.Wait()
				if reserved != c.want {
					t.Errorf("%d batches wait, want %d", reserved, c.want)
				}
				q.decide(0, ack{}, nil)
				if acks, err := q.wait(nil); len(acks) != 1 || err != nil {
					t.Errorf("%d acks, %v", len(acks), err)
				}
				synctest.Wait()
				if reserved != c.want+1 {
					t.Errorf("%d batches were taken after one ack, want %d", reserved, c.want+1)
				}
				q.abandon()
				<-ended
			})
		})
	}
}
