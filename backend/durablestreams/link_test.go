package durablestreams_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/metrics"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
)

// A lineServer speaks HTTP/1.1 on bare connections. A test says what it does with each append.
type lineServer struct {
	*durablestreams.Stream
	client *durablestreams.Client

	mu      sync.Mutex
	appends int // connections that have carried an append
}

// lines starts a lineServer. post gets an append whose body is not read, and the connection; false ends the connection. It is
// called from one goroutine for each connection.
func lines(t *testing.T, post func(r *http.Request, conn net.Conn) bool, opts ...durablestreams.Option) *lineServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := new(lineServer)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { s.serve(conn, post) })
		}
	})
	if s.client, err = durablestreams.New("http://"+l.Addr().String(), opts...); err != nil {
		t.Fatal(err)
	}
	s.Stream = s.client.Stream("s")
	t.Cleanup(func() {
		_, _ = s.client.Close(), l.Close()
		running.Wait()
	})
	return s
}

func (s *lineServer) serve(conn net.Conn, post func(*http.Request, net.Conn) bool) {
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(64 << 10) // a server that does not read takes little
	in, first := bufio.NewReader(conn), true
	for {
		r, err := http.ReadRequest(in)
		switch {
		case err != nil:
			return
		case r.Method == http.MethodHead:
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nStream-Next-Offset: 0\r\n\r\n")
			continue
		case first:
			first = false
			s.mu.Lock()
			s.appends++
			s.mu.Unlock()
		}
		if !post(r, conn) {
			return
		}
	}
}

// connections returns how many connections have carried an append.
func (s *lineServer) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.appends
}

// stores reads an append and acknowledges it.
func stores(r *http.Request, conn net.Conn) bool {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return false
	}
	_, err := fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nProducer-Seq: %s\r\nContent-Length: 0\r\n\r\n", r.Header.Get("Producer-Seq"))
	return err == nil
}

// large is a batch that fills the buffers of a connection to a lineServer.
func large() []backend.Record {
	return []backend.Record{{Value: append(append([]byte{'"'}, bytes.Repeat([]byte("x"), 16<<20)...), '"')}}
}

// needLinks skips a test of links on a system without links.
func needLinks(t *testing.T) {
	t.Helper()
	if !durablestreams.CanTellIdle {
		t.Skip("appends go through net/http on this system")
	}
}

// A short append is written by the goroutine of Send, and its answer is read by the goroutine of Recv. No other goroutine has a part in
// it: none begins, and none of net/http serves a connection.
func TestShortAppendNeedsNoFurtherGoroutine(t *testing.T) {
	needLinks(t)
	s := lines(t, stores)
	session := open(t, s.NewAppender(jsonFormat))
	send(t, session, 0)
	recv(t, session, 0)
	before := created()
	const n = 200
	for seq := 1; seq <= n; seq++ {
		send(t, session, seq)
		recv(t, session, seq)
	}
	// The garbage collector may begin a few of its own.
	if begun := created() - before; begun > n/4 {
		t.Errorf("%d goroutines for %d appends", begun, n)
	}
	if got := s.connections(); got != 1 {
		t.Errorf("%d connections for one append after another", got)
	}
	var stacks strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&stacks, 2); err != nil {
		t.Fatal(err)
	}
	// net/http has made the request at the opening, and serves its one connection.
	if got := strings.Count(stacks.String(), "net/http.(*persistConn).writeLoop"); got > 1 {
		t.Errorf("%d connections are served by net/http, want that of the opening only", got)
	}
}

// created is how many goroutines have begun in this process.
func created() int {
	sample := []metrics.Sample{{Name: "/sched/goroutines-created:goroutines"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}

// A caller need not wait in Recv for Send to go on, where the session has room.
func TestSendGoesOnWhileNobodyReceives(t *testing.T) {
	s := lines(t, stores)
	session := open(t, s.NewAppender(jsonFormat))
	send(t, session, 0, 1, 2, 3, 4)
	recv(t, session, 0, 1, 2, 3, 4)
}

// The bodies of several batches are on their way at once. Otherwise a network with a long way would take one body after another.
func TestLongBodiesAreWrittenSideBySide(t *testing.T) {
	needLinks(t)
	var begun sync.WaitGroup
	begun.Add(4)
	s := lines(t, func(r *http.Request, conn net.Conn) bool {
		if r.Header.Get("Producer-Seq") != "0" { // others begin behind the answer to the first batch
			begun.Done()
			begun.Wait() // no body is read before the heads of all requests are here
		}
		return stores(r, conn)
	})
	session := open(t, s.Stream.With(durablestreams.BatchBytes(64<<20)).NewAppender(jsonFormat))
	for seq := range uint64(5) {
		if err := session.Send(t.Context(), seq, large()); err != nil {
			t.Fatal(err)
		}
	}
	recv(t, session, 0, 1, 2, 3, 4)
}

func TestLinkIsMadeAnewWhereTheServerEndsTheLast(t *testing.T) {
	needLinks(t)
	s := lines(t, func(r *http.Request, conn net.Conn) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nProducer-Seq: %s\r\nContent-Length: 0\r\n\r\n", r.Header.Get("Producer-Seq"))
		return false
	})
	session := open(t, s.NewAppender(jsonFormat))
	for seq := range 3 {
		send(t, session, seq)
		recv(t, session, seq)
	}
	if got := s.connections(); got != 3 {
		t.Errorf("%d connections, want 3", got)
	}
}

// A server may refuse a request by its headers, and read no more.
func TestAnswerCountsBeforeTheRequestIsWritten(t *testing.T) {
	s := lines(t, func(r *http.Request, conn net.Conn) bool {
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
		// The connection stays open and is not read, until the client has given it up.
		for {
			if _, err := conn.Write([]byte("x")); err != nil {
				return false
			}
		}
	}, durablestreams.Timeout(time.Hour))
	session := open(t, s.Stream.With(durablestreams.BatchBytes(64<<20)).NewAppender(jsonFormat))
	sent := make(chan error, 1)
	go func() { sent <- session.Send(t.Context(), 0, large()) }()
	wantError(t, session, backend.ErrTooLarge)
	<-sent // Send returns, with or without an error
}

// blocked opens a session whose first batch is being written to a server that does not read.
func blocked(t *testing.T) (backend.Session, chan error) {
	t.Helper()
	begun := make(chan struct{})
	s := lines(t, func(_ *http.Request, conn net.Conn) bool {
		close(begun)
		<-t.Context().Done() // the end of the test, before its cleanup
		return false
	})
	session := open(t, s.Stream.With(durablestreams.BatchBytes(64<<20)).NewAppender(jsonFormat))
	sent := make(chan error, 1)
	go func() { sent <- session.Send(t.Context(), 0, large()) }()
	<-begun
	return session, sent
}

func TestWritingToAServerThatDoesNotReadEnds(t *testing.T) {
	t.Run("with the session", func(t *testing.T) {
		session, sent := blocked(t)
		if err := session.Close(); err != nil {
			t.Error(err)
		}
		<-sent
		wantError(t, session, backend.ErrClosed)
	})
	t.Run("with the context of Recv", func(t *testing.T) {
		session, sent := blocked(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := session.Recv(ctx); !errors.Is(err, backend.ErrTransient) || !errors.Is(err, context.Canceled) {
			t.Errorf("Recv: %v", err)
		}
		<-sent
	})
	t.Run("in time", func(t *testing.T) {
		s := lines(t, func(*http.Request, net.Conn) bool { <-t.Context().Done(); return false })
		session := open(t, s.Stream.With(durablestreams.BatchBytes(64<<20)).NewAppender(jsonFormat))
		s.client.SetTimeout(10 * time.Millisecond) // not before: the opening may take longer
		sent := make(chan error, 1)
		go func() { sent <- session.Send(t.Context(), 0, large()) }()
		wantLate(t, session)
		<-sent
	})
}

// wantLate checks that a batch had no answer in time. A slow machine may not even have made the connection in time.
func wantLate(t *testing.T, session backend.Session) {
	t.Helper()
	_, err := session.Recv(t.Context())
	late := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
	if !late || !errors.Is(err, backend.ErrTransient) {
		t.Errorf("Recv: %v", err)
	}
}

// An answer that does not come, or comes in part, leaves the batch in doubt, and ends with the session, in time or with Recv.
func TestWaitForAnAnswerEnds(t *testing.T) {
	for name, answer := range map[string]string{"nothing": "", "half of the headers": "HTTP/1.1 200 OK\r\nProd"} {
		// silent opens a session on a server that answers in part and not to the end.
		silent := func(t *testing.T) (*lineServer, backend.Session) {
			t.Helper()
			s := lines(t, func(r *http.Request, conn net.Conn) bool {
				_, _ = io.Copy(io.Discard, r.Body)
				_, _ = io.WriteString(conn, answer)
				<-t.Context().Done()
				return false
			})
			return s, open(t, s.NewAppender(jsonFormat))
		}
		t.Run(name+", Close", func(t *testing.T) {
			_, session := silent(t)
			send(t, session, 0)
			received := make(chan error, 1)
			go func() { _, err := session.Recv(t.Context()); received <- err }()
			if err := session.Close(); err != nil {
				t.Error(err)
			}
			if err := <-received; !errors.Is(err, backend.ErrClosed) {
				t.Errorf("Recv: %v", err)
			}
		})
		t.Run(name+", Recv", func(t *testing.T) {
			_, session := silent(t)
			send(t, session, 0)
			received := make(chan error, 1)
			ctx, cancel := context.WithCancel(t.Context())
			go func() { _, err := session.Recv(ctx); received <- err }()
			cancel()
			if err := <-received; !errors.Is(err, backend.ErrIndeterminate) || !errors.Is(err, backend.ErrTransient) {
				t.Errorf("Recv: %v", err)
			}
		})
		t.Run(name+", Timeout", func(t *testing.T) {
			s, session := silent(t)
			s.client.SetTimeout(10 * time.Millisecond) // not before: the opening may take longer
			send(t, session, 0)
			wantLate(t, session)
		})
	}
}

// Where nobody listens, nothing was sent, and a batch is not in doubt.
func TestBatchWithoutAConnectionIsNotInDoubt(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "application/json") })}
	served := make(chan error, 1)
	go func() { served <- h.Serve(l) }()
	c, err := durablestreams.New("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	session := open(t, c.Stream("s").NewAppender(jsonFormat))
	_ = h.Close()
	<-served
	send(t, session, 0)
	wantError(t, session, backend.ErrTransient)
}

// Over a link the server sees the request that net/http sends.
func TestRequestsOverLinksAreThoseOfNetHTTP(t *testing.T) {
	var seen [2]*http.Request
	for i, opts := range [][]durablestreams.Option{nil, {durablestreams.HTTP(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}})}} {
		opts = append(opts, durablestreams.UserAgent("test"), durablestreams.Header("Authorization", durablestreams.Static("Bearer x")),
			durablestreams.Query("tenant", durablestreams.Static("a b")), durablestreams.Header("Trailer", durablestreams.Static("X")))
		s := lines(t, func(r *http.Request, conn net.Conn) bool {
			if seen[i] == nil {
				seen[i] = r
			}
			return stores(r, conn)
		}, opts...)
		session := open(t, s.Stream.With(durablestreams.Epoch(3), durablestreams.ProducerID("p")).NewAppender(jsonFormat))
		send(t, session, 0)
		recv(t, session, 0)
	}
	link, std := seen[0], seen[1]
	std.Header.Del("Connection") // of DisableKeepAlives
	if link.Method != std.Method || link.RequestURI != std.RequestURI || link.ContentLength != std.ContentLength || link.Proto != std.Proto {
		t.Errorf("%+v, want %+v", link, std)
	}
	if fmt.Sprint(link.Header) != fmt.Sprint(std.Header) {
		t.Errorf("headers %v, want %v", link.Header, std.Header)
	}
}

// The answer to an append often comes before the goroutine of the writing goes on. The connection is whole then, and carries the next
// append. A producer that waits for each ack needs a single connection.
func TestAnswerInFrontOfTheEndOfTheWritingKeepsTheLink(t *testing.T) {
	needLinks(t)
	for name, test := range map[string]struct{ appends, bytes int }{"short": {5000, 1}, "long": {1000, 20_000}} {
		t.Run(name, func(t *testing.T) {
			s := lines(t, stores)
			session := open(t, s.NewAppender(jsonFormat))
			acked := make(chan error, test.appends)
			go func() {
				for range test.appends {
					_, err := session.Recv(context.Background())
					acked <- err
				}
			}()
			batch := []backend.Record{{Value: bytes.Repeat([]byte("1"), test.bytes)}}
			for seq := range uint64(test.appends) {
				if err := session.Send(t.Context(), seq, batch); err != nil {
					t.Fatal(err)
				}
				if err := <-acked; err != nil {
					t.Fatal(err)
				}
			}
			if c := s.connections(); c != 1 {
				t.Errorf("%d connections for %d appends, one after another", c, test.appends)
			}
		})
	}
}
