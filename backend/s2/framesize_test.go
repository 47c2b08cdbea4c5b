package s2_test

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
)

// A tap passes connections on to a server and notes the largest DATA frame that clients send.
type tap struct {
	net.Listener
	to      string
	running sync.WaitGroup
	mu      sync.Mutex
	largest int
}

func newTap(t *testing.T, url string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{Listener: l, to: strings.TrimPrefix(url, "http://")}
	p.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.pass(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.running.Wait()
	})
	return p
}

func (p *tap) pass(c net.Conn) {
	defer c.Close()
	up, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer up.Close()
	p.running.Go(func() {
		_, _ = io.Copy(c, up)
		_ = c.Close()
	})
	in := io.TeeReader(c, up)
	if _, err := io.CopyN(io.Discard, in, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
		return
	}
	var head [9]byte
	for {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return
		}
		n := int64(binary.BigEndian.Uint32(head[:4]) >> 8)
		if head[3] == 0 {
			p.mu.Lock()
			p.largest = max(p.largest, int(n))
			p.mu.Unlock()
		}
		if _, err := io.CopyN(io.Discard, in, n); err != nil {
			return
		}
	}
}

// A session that begins before the server's settings are known cuts a large batch into pieces of 16 KiB, all its life.
func TestBatchesLeaveInFramesAsLargeAsTheServerTakes(t *testing.T) {
	srv := s2test.New(t, s2test.Basin(basinName, true))
	recs := []backend.Record{{Value: make([]byte, 500_000)}}
	for range 10 {
		p := newTap(t, srv.URL())
		c, err := s2.New(s2.Config{Token: srv.Token(), AccountEndpoint: "http://" + p.Addr().String(), BasinEndpoint: "http://" + p.Addr().String()}, patient()...)
		if err != nil {
			t.Fatal(err)
		}
		session, err := c.Basin(basinName).Stream(streamName()).NewAppender(backend.Format{}).Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := session.Send(t.Context(), 0, recs); err != nil {
			t.Fatal(err)
		}
		if _, err := session.Recv(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := session.Close(); err != nil {
			t.Error(err)
		}
		_ = c.Close()
		p.mu.Lock()
		if p.largest <= 16<<10 {
			t.Errorf("the largest of the frames that 500,000 bytes left in has %d", p.largest)
		}
		p.mu.Unlock()
	}
}
