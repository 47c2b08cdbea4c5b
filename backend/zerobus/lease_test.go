package zerobus

import (
	"math/rand/v2"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
)

// Streams begin, fail and end in any order. The connection of each stream stays open, and no connection outlives its last stream.
func TestLeasesAreCounted(t *testing.T) {
	var all []*link // under the lock of c
	var c connections
	dial := func() (*link, error) {
		conn, err := grpc.NewClient("passthrough:///nowhere", grpc.WithTransportCredentials(insecure.NewCredentials()))
		l := &link{ClientConn: conn, dialer: &dialer{}}
		all = append(all, l)
		return l, err
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				l, release, err := c.lease(dial)
				if err != nil {
					t.Error(err)
					return
				}
				if rand.IntN(3) == 0 {
					c.distrust(l)
				}
				if l.GetState() == connectivity.Shutdown {
					t.Error("a connection was closed while a stream had it")
				}
				release()
			}
		})
	}
	wg.Wait()
	if c.conn != nil || len(c.users) > 0 {
		t.Errorf("left: %v, %v", c.conn, c.users)
	}
	for _, l := range all {
		if l.GetState() != connectivity.Shutdown {
			t.Error("a connection was left open")
		}
	}
}
