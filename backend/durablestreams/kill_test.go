package durablestreams_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// mortal is a server in another process that is killed and started again, on another port each time.
type mortal struct {
	t    *testing.T
	file string

	mu   sync.Mutex
	cmd  *exec.Cmd
	in   io.Closer
	addr string
}

func (m *mortal) start() {
	m.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HEADRACE_SERVE="+m.file)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		m.t.Fatal("the server did not start: ", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cmd, m.in, m.addr = cmd, in, line[:len(line)-1]
}

// kill ends the process with SIGKILL, in the middle of whatever it does.
func (m *mortal) kill() {
	m.t.Helper()
	if err := m.cmd.Process.Kill(); err != nil {
		m.t.Fatal(err)
	}
	_ = m.cmd.Wait() // "signal: killed"
	_ = m.in.Close()
}

func (m *mortal) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	m.mu.Lock()
	addr := m.addr
	m.mu.Unlock()
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

// A note says who wrote it and as how many-th.
type note struct{ Writer, N int }

// forward lets connections to one address reach the server at its present address, and returns the address.
func (m *mortal) forward() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		m.t.Fatal(err)
	}
	var ways sync.WaitGroup
	ways.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			ways.Go(func() {
				defer client.Close()
				server, err := m.dial(context.Background(), "tcp", "")
				if err != nil {
					return
				}
				defer server.Close()
				back := make(chan struct{})
				go func() {
					defer close(back)
					_, _ = io.Copy(client, server)
					_ = client.Close() // also where the server is dead, so that the copy below ends
				}()
				_, _ = io.Copy(server, client)
				_ = server.Close()
				<-back
			})
		}
	})
	m.t.Cleanup(func() { _ = l.Close(); ways.Wait() })
	return l.Addr().String()
}

// TestKilledServer kills the server while producers write through this client and a consumer follows, again and again.
// Nobody is told: what was acknowledged is there, what the producers sent again is there once, each one's records are in
// their order, and the consumer has seen all of it once. HEADRACE_KILLS says how often; 2 unless given.
func TestKilledServer(t *testing.T) {
	t.Run("net/http", func(t *testing.T) {
		testKilledServer(t, func(m *mortal) (string, []durablestreams.Option) {
			wire := &http.Transport{DialContext: m.dial, MaxIdleConnsPerHost: 16}
			return "http://server", []durablestreams.Option{durablestreams.HTTP(&http.Client{Transport: wire})}
		})
	})
	t.Run("links", func(t *testing.T) {
		testKilledServer(t, func(m *mortal) (string, []durablestreams.Option) { return "http://" + m.forward(), nil })
	})
}

func testKilledServer(t *testing.T, reach func(m *mortal) (base string, opts []durablestreams.Option)) {
	kills := 2
	if n, err := strconv.Atoi(os.Getenv("HEADRACE_KILLS")); err == nil {
		kills = n
	}
	const writers = 4
	m := &mortal{t: t, file: filepath.Join(t.TempDir(), "streams.db")}
	m.start()
	base, opts := reach(m)
	c, err := durablestreams.New(base, opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := c.Stream("notes")
	if _, err := s.Create(t.Context(), "application/json"); err != nil {
		t.Fatal(err)
	}

	var acked, resent atomic.Int64 // batches
	progress := make(chan struct{}, 1)
	watch := producer.Observe(producer.Hooks{
		BatchAcked: func(producer.BatchEvent) {
			acked.Add(1)
			select {
			case progress <- struct{}{}:
			default:
			}
		},
		BatchResent: func(producer.BatchEvent) { resent.Add(1) },
	})
	over, dead := make(chan struct{}), make(chan struct{}, writers)
	written := make([]int, writers)
	var writing, reading sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			// Each producer's own id on one stream: half of them by a name, whose epoch they claim, half without.
			to := c.Stream("notes")
			if w%2 == 0 {
				to = c.Stream("notes", durablestreams.ProducerID(fmt.Sprint("writer ", w)))
			}
			p, err := producer.New(t.Context(), to, codec.JSON[note](), producer.BatchRecords(20), watch)
			if err != nil {
				t.Error(err)
				dead <- struct{}{}
				return
			}
			for n := 0; ; n++ {
				select {
				case <-over:
					if err := p.Close(); err != nil { // nil says that all of it is stored
						t.Errorf("writer %d: %v", w, err)
					}
					written[w] = n
					return
				default:
				}
				_, err := p.Enqueue(t.Context(), note{w, n})
				if err == nil && n%50 == 49 { // or the writers would be far ahead of what is killed
					err = p.Flush(t.Context())
				}
				if err != nil {
					t.Errorf("writer %d: %v", w, err)
					dead <- struct{}{}
					return
				}
			}
		})
	}
	seen := make([]int, writers)
	var reopened atomic.Int64
	reading.Go(func() { follow(t, s, seen, &reopened) })

	// Should the kills so far have fallen where nobody had anything under way, there are more.
	for killed := 0; killed < kills || killed < 100 && (resent.Load() == 0 || reopened.Load() == 0); killed++ {
		for enough := acked.Load() + 20 + rand.Int64N(100); acked.Load() < enough; {
			select {
			case <-progress:
			case <-dead:
				t.Fatal("a writer has ended")
			}
		}
		m.kill()
		m.start()
	}
	close(over)
	writing.Wait()
	if _, err := s.SealWith(t.Context(), "application/json", []byte(`[{"Writer":0,"N":-1}]`)); err != nil {
		t.Error(err)
	}
	reading.Wait()
	total := 0
	for w := range writers {
		if total += written[w]; seen[w] != written[w] {
			t.Errorf("writer %d: the consumer has seen %d records, written were %d", w, seen[w], written[w])
		}
	}
	again := make([]int, writers) // and once more from the beginning
	follow(t, s, again, new(atomic.Int64))
	if fmt.Sprint(again) != fmt.Sprint(written) {
		t.Errorf("stored are %v, written were %v", again, written)
	}
	if resent.Load() == 0 || reopened.Load() == 0 {
		t.Errorf("%d batches were sent again and %d readers opened again: the kills were not noticed", resent.Load(), reopened.Load())
	}
	t.Logf("%d kills, %d records in %d acknowledged batches, %d sent again, %d readers opened again", kills, total, acked.Load(), resent.Load(), reopened.Load())
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.in.Close()
	_ = m.cmd.Wait()
}

// follow reads the stream to its end and counts each writer's records, which must come in order, and the readers opened again.
func follow(t *testing.T, s backend.Source, seen []int, reopened *atomic.Int64) {
	t.Helper()
	c, err := consumer.New(s, codec.JSON[note](), consumer.Observe(consumer.Hooks{
		ReaderReopened: func(consumer.ReaderEvent) { reopened.Add(1) },
	}))
	if err != nil {
		t.Error(err)
		return
	}
	ended := false
	for m, err := range c.Messages(t.Context()) {
		switch {
		case err != nil:
			t.Error(err)
		case ended:
			t.Errorf("%+v behind the last record", m.Value)
		case m.Value.N == -1:
			ended = true
		case m.Value.N != seen[m.Value.Writer]:
			t.Errorf("%+v, but %d was next", m.Value, seen[m.Value.Writer])
			return
		default:
			seen[m.Value.Writer]++
		}
	}
	if !ended {
		t.Error("the stream ended before its last record")
	}
}
