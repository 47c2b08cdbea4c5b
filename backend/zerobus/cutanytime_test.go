package zerobus_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/headrace/headrace/backend/zerobus"
)

// A fragile connection is cut in the middle of its bytes.
type fragile struct {
	net.Conn
	mu     sync.Mutex
	writes int // bytes until the cut; below 0 for never
	reads  int
}

func (c *fragile) Write(p []byte) (int, error) {
	n := c.spend(&c.writes, len(p))
	n, err := c.Conn.Write(p[:n])
	if err == nil && n < len(p) {
		_ = c.Conn.Close()
		return n, net.ErrClosed
	}
	return n, err
}

func (c *fragile) Read(p []byte) (int, error) {
	n := c.spend(&c.reads, len(p))
	if n == 0 && len(p) > 0 {
		_ = c.Conn.Close()
	}
	return c.Conn.Read(p[:n])
}

func (c *fragile) spend(left *int, n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *left < 0 {
		return n
	}
	n = min(n, *left)
	*left -= n
	return n
}

// A batch whose Send failed is not stored, an acknowledged batch is stored, and no batch is stored twice or out of order. The
// connection is cut at any byte, and the session is closed, finished or rotated at any moment.
func TestNoEndOfAStreamLiesAboutARow(t *testing.T) {
	ctx, total := limited(t), 0
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		srv := quiet(t)
		dial := func(ctx context.Context, hostport string) (net.Conn, error) {
			c, err := srv.Dial(ctx, hostport)
			f := &fragile{Conn: c, writes: -1, reads: -1}
			switch r.IntN(3) {
			case 0:
				f.writes = 400 + r.IntN(100_000)
			case 1:
				f.reads = 200 + r.IntN(2_000)
			}
			return f, err
		}
		s, err := sinkOf(srv, zerobus.Dial(dial)).NewAppender(jsonFormat).Open(ctx)
		if err != nil {
			continue // cut while it was opened
		}
		acked := make(chan uint64, 1)
		go func() {
			next := uint64(0)
			for {
				a, err := s.Recv(ctx)
				if err != nil {
					acked <- next
					return
				}
				next = a.Seq + 1
			}
		}()
		batches, size, stop := r.Uint64N(60), r.IntN(3_000), r.Uint64N(60)
		var others sync.WaitGroup
		sent := uint64(0)
		for ; sent < batches; sent++ {
			if sent == stop {
				if r.IntN(2) == 0 {
					others.Go(func() { _ = s.Close() })
				} else {
					others.Go(func() { srv.Signal(table, 0) })
				}
			}
			if s.Send(ctx, sent, records(fmt.Sprintf(`{"n":%d,"s":"%0*d"}`, sent, size, 0))) != nil {
				break
			}
		}
		others.Wait()
		_ = s.Close()
		durable := <-acked
		srv.Close()
		rows := values(srv)
		total += len(rows)
		for i, v := range rows {
			if want := fmt.Sprintf(`{"n":%d,"s":"%0*d"}`, i, size, 0); v != want {
				t.Errorf("seed %d: row %d is %.20s", seed, i, v)
			}
		}
		if n := uint64(len(rows)); n < durable || n > sent {
			t.Errorf("seed %d: %d rows are stored; %d were sent and %d acknowledged", seed, n, sent, durable)
		}
	}
	if total == 0 {
		t.Error("no stream has stored a row")
	}
}
