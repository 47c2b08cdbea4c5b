package idle

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/bolt"
	"github.com/headrace/headrace/backend/durablestreams"
	dsserver "github.com/headrace/headrace/backend/durablestreams/server"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/backend/postgres"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/server"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// A server is a process of its own, so that its memory is not counted. The variable says which server the process is.
const serverMark = "HEADRACE_IDLE_SERVER"

const (
	s2Server             = "s2"
	durableStreamsServer = "durable streams"
)

func TestMain(m *testing.M) {
	kind := os.Getenv(serverMark)
	if kind == "" {
		os.Exit(m.Run())
	}
	if err := serve(kind); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve runs a server until its standard input ends, so that it never outlives the test.
func serve(kind string) error {
	s, err := newServer(kind)
	if err != nil {
		return err
	}
	if err := s.Start("127.0.0.1:0"); err != nil {
		return err
	}
	fmt.Println(s.URL())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return s.Close()
}

type startable interface {
	Start(address string) error
	URL() string
	Close() error
}

func newServer(kind string) (startable, error) {
	if kind == durableStreamsServer {
		return dsserver.New(dsserver.Config{})
	}
	// A reader gives its session up after some heartbeats. S2 sends them every 5 to 15 s.
	return server.New(server.Config{Basins: []server.Basin{{Name: "idle-basin", AutoCreate: true}}, HeartbeatLeast: time.Second, HeartbeatMost: 2 * time.Second})
}

// startServer starts a server and returns its URL.
func startServer(t *testing.T, kind string) (url string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), serverMark+"="+kind), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	if _, err := fmt.Fscan(out, &url); err != nil {
		t.Fatal(err)
	}
	return url
}

func s2Stream(t *testing.T) func(name string) backend.Stream {
	t.Helper()
	url := startServer(t, s2Server)
	client, err := s2.New(s2.Config{Token: "any", AccountEndpoint: url, BasinEndpoint: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return func(name string) backend.Stream { return client.Basin("idle-basin").Stream(name) }
}

func durableStream(t *testing.T) func(name string) backend.Stream {
	t.Helper()
	client, err := durablestreams.New(startServer(t, durableStreamsServer) + "/v1/stream")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return func(name string) backend.Stream {
		s := client.Stream(name)
		if _, err := s.Create(t.Context(), ""); err != nil {
			t.Error(err)
		}
		return s
	}
}

func memoryStream(*testing.T) func(name string) backend.Stream {
	var mu sync.Mutex
	all := map[string]*memory.Stream{}
	return func(name string) backend.Stream {
		mu.Lock()
		defer mu.Unlock()
		if all[name] == nil {
			all[name] = memory.New()
		}
		return all[name]
	}
}

func boltStream(t *testing.T) func(name string) backend.Stream {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "idle.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return func(name string) backend.Stream { return db.Stream(name) }
}

// postgresStream returns the streams of a new schema of the database in HEADRACE_POSTGRES.
func postgresStream(t *testing.T) func(name string) backend.Stream {
	t.Helper()
	dsn := os.Getenv("HEADRACE_POSTGRES")
	if dsn == "" {
		t.Skip("HEADRACE_POSTGRES is not set: no PostgreSQL to test with; use .ci/postgres")
	}
	schema := "idle" + strings.ToLower(rand.Text())
	pool, err := pgxpool.New(t.Context(), dsn+" search_path="+schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := pool.Exec(context.Background(), "DROP SCHEMA "+schema+" CASCADE"); err != nil {
			t.Error(err)
		}
		pool.Close()
	})
	if _, err := pool.Exec(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	db, err := postgres.Open(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return func(name string) backend.Stream { return db.Stream(name) }
}

// A cost is what one of many costs.
type cost struct{ bytes, goroutines float64 }

// live returns the memory of the heap and of the stacks that is in use, and the number of goroutines.
func live() cost {
	var m runtime.MemStats
	for range 3 { // pools need two collections to become empty
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return cost{float64(m.HeapAlloc + m.StackInuse), float64(runtime.NumGoroutine())}
}

func (c cost) since(before cost, n int) cost {
	return cost{(c.bytes - before.bytes) / float64(n), (c.goroutines - before.goroutines) / float64(n)}
}

// settle waits until each of n costs no more than the limit and the cost falls no further, and returns the cost. After a minute settle
// returns a higher cost, and check fails.
func settle(before cost, n int, limit cost) (is cost) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if float64(runtime.NumGoroutine()) > before.goroutines+(limit.goroutines+slack)*float64(n) {
			continue
		}
		// The last goroutines may have ended a moment ago, and their memory is free only some collections later.
		last := is.bytes
		is = live().since(before, n)
		if race || is.bytes <= limit.bytes && is.bytes > 0.99*last && last > 0 {
			return is
		}
	}
	return live().since(before, n)
}

// A few goroutines belong to all of them together.
const slack = 0.05

func (c cost) check(t *testing.T, what string, limit cost) {
	t.Helper()
	if c.goroutines > limit.goroutines+slack {
		t.Errorf("an idle %s has %.2f goroutines, want %.2f at most", what, c.goroutines, limit.goroutines)
	}
	if !race && c.bytes > limit.bytes { // the race detector needs memory of its own
		t.Errorf("an idle %s has %.0f bytes, want %.0f at most", what, c.bytes, limit.bytes)
	}
}

// producers opens n producers of n streams, each of which stores a record. With timeout, it waits until the sessions of all of
// them have ended, and a producer costs no more than the limit. It returns what a producer costs then.
func producers(t *testing.T, n int, stream func(name string) backend.Stream, prefix string, timeout time.Duration, limit cost) (is cost) {
	t.Helper()
	before := live()
	open := make([]*producer.Producer[[]byte], n)
	var sessions sync.WaitGroup
	hooks := producer.Hooks{
		SessionOpened: func(producer.SessionEvent) { sessions.Add(1) },
		SessionIdle:   func(producer.SessionEvent) { sessions.Done() },
	}
	spread(t, n, func(i int) error {
		p, err := producer.New(t.Context(), stream(prefix+strconv.Itoa(i)), codec.Bytes(), producer.IdleTimeout(timeout), producer.Observe(hooks))
		if err != nil {
			return err
		}
		open[i] = p
		return p.Send(t.Context(), []byte("a record"))
	})
	if timeout > 0 {
		sessions.Wait()
		is = settle(before, n, limit) // the goroutines end after the hook
	} else {
		is = live().since(before, n)
	}
	spread(t, n, func(i int) error { return open[i].Close() })
	return is
}

// consumers runs n consumers that wait at the tail of n streams, each of which has read a record. It waits until a consumer costs no
// more than the limit, and returns the cost. Then each stream gets another record, which its consumer must read.
func consumers(t *testing.T, n int, stream func(name string) backend.Stream, limit cost) cost {
	t.Helper()
	before := live()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var ended sync.WaitGroup
	read := make([]chan struct{}, n) // get a token for each record
	// Not all begin at once: a client keeps some connections of so many calls for a while, and their goroutines would count.
	spread(t, n, func(i int) error {
		c, err := consumer.New(stream("idle-"+strconv.Itoa(i)), codec.Bytes())
		if err != nil {
			return err
		}
		read[i] = make(chan struct{}, 1)
		ended.Go(func() {
			for _, err := range c.Messages(ctx) {
				switch {
				case err == nil:
					read[i] <- struct{}{}
				case ctx.Err() == nil:
					t.Error(err)
				}
			}
		})
		<-read[i]
		return nil
	})
	is := settle(before, n, limit)
	spread(t, n, func(i int) error {
		p, err := producer.New(ctx, stream("idle-"+strconv.Itoa(i)), codec.Bytes())
		if err != nil {
			return err
		}
		defer p.Close()
		if err := p.Send(ctx, []byte("another record")); err != nil {
			return err
		}
		<-read[i]
		return nil
	})
	stop()
	ended.Wait()
	return is
}

// spread runs f for 0 to n-1, some at a time.
func spread(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			for i := w; i < n; i += 16 {
				if err := f(i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

func TestCostOfIdleProducersAndConsumers(t *testing.T) {
	n := 1000
	if os.Getenv("HEADRACE_LONG") != "" {
		n = 10_000
	}
	// The limits are the most that was measured under load and on up to 64 processors, and a quarter more. The runtime keeps free
	// stacks in blocks, so the figures of a thousand differ from run to run.
	for _, on := range []struct {
		name                    string
		streams                 func(t *testing.T) func(name string) backend.Stream
		session, idle, consumer cost // the limits of a producer with a session, of one without, and of a consumer
	}{
		{"memory", memoryStream, cost{20 << 10, 2}, cost{6 << 10, 0}, cost{9 << 10, 1}},
		{"bolt", boltStream, cost{20 << 10, 2}, cost{6 << 10, 0}, cost{10 << 10, 1}},
		{"postgres", postgresStream, cost{24 << 10, 2}, cost{8 << 10, 0.1}, cost{12 << 10, 1}},
		// The connection of each append session has one goroutine, which reads. All producers share a pool of connections,
		// which are counted here too. A consumer has the goroutine of its loop on every store. On S2, all consumers share
		// connections with a goroutine each.
		{"s2", s2Stream, cost{29 << 10, 3.2}, cost{8 << 10, 0.1}, cost{12 << 10, 1}},
		// A waiting reader has a request over HTTP/1.1, with a connection and three goroutines. The connections that have read
		// the first record stay open for a while too, and their buffers are larger.
		{"durable streams", durableStream, cost{29 << 10, 3.2}, cost{8 << 10, 0.1}, cost{80 << 10, 4.3}},
	} {
		t.Run(on.name, func(t *testing.T) {
			stream := on.streams(t)
			if on.name == "s2" { // and behind it
				n = max(n/10, 500) // more connections need more files than a process may open by default
			}
			begun := time.Now()
			s := producers(t, n, stream, "busy-", 0, on.session)
			p := producers(t, n, stream, "idle-", 100*time.Millisecond, on.idle)
			c := consumers(t, n, stream, on.consumer)
			t.Logf("%d of each: a producer %.0f bytes and %.2f goroutines, without a session %.0f bytes and %.2f goroutines, a consumer %.0f bytes and %.2f goroutines (%v)",
				n, s.bytes, s.goroutines, p.bytes, p.goroutines, c.bytes, c.goroutines, time.Since(begun))
			s.check(t, "producer with a session", on.session)
			p.check(t, "producer", on.idle)
			c.check(t, "consumer", on.consumer)
		})
	}
}
