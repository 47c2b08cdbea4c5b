package s2_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/admin"
	"github.com/headrace/headrace/backend/s2/s2test"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// A proxy may speak HTTP/2 for calls and block sessions. Events over HTTP/2 prove nothing about sessions, so the second reader
// must fall back like the first.
func TestEventsOverHTTP2DoNotEndTheFallBack(t *testing.T) {
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") == "s2s/proto" {
			hangUp()
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "event: ping\ndata: {\"tail\":{\"seq_num\":0,\"timestamp\":0}}\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	web.EnableHTTP2 = true
	web.StartTLS()
	defer web.Close()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	c, err := s2.New(s2.Config{Token: "any-token", AccountEndpoint: web.URL, BasinEndpoint: web.URL},
		patient(s2.TLS(&tls.Config{RootCAs: roots}))...)
	check(t, err)
	defer c.Close()
	for i := range 2 {
		r, err := c.Basin(basinName).Stream("s", s2.BareOffsets()).OpenReader(t.Context(), backend.Earliest)
		if err != nil {
			t.Fatalf("reader %d: %v", i, err)
		}
		if b, err := r.Read(t.Context()); !b.CaughtUp || err != nil {
			t.Errorf("reader %d: %+v, %v", i, b, err)
		}
		check(t, r.Close())
	}
}

// Where the basin allows an append to create the stream, a missing stream counts as an empty stream.
func TestExclusiveCreatesTheStreamThatAnAppendCreates(t *testing.T) {
	srv := s2test.New(t)
	c := dial(t, srv)
	_, err := admin.New(c).CreateBasin(t.Context(), basinName, admin.NewBasin{Config: &admin.BasinConfig{CreateStreamOnAppend: true}})
	check(t, err)
	st := c.Basin(basinName).Stream("new", s2.Exclusive())
	p, err := producer.New(t.Context(), st, codec.String())
	if err != nil {
		t.Fatal(err)
	}
	check(t, p.Send(t.Context(), "a", "b"))
	check(t, p.Close())
	if got := stored(t, st); len(got) != 2 || got[0].Offset != "0" {
		t.Errorf("%v", got)
	}

	_, err = admin.New(c).CreateBasin(t.Context(), "no-creation", admin.NewBasin{})
	check(t, err)
	_, err = c.Basin("no-creation").Stream("new", s2.Exclusive()).NewAppender(backend.Format{}).Open(t.Context())
	want(t, err, backend.ErrNotFound)
	_, err = c.Basin("no-such-basin").Stream("new", s2.Exclusive()).NewAppender(backend.Format{}).Open(t.Context())
	want(t, err, backend.ErrNotFound)
}

// After somebody deleted the stream, an exclusive appender must not go on at 0 of a newly created stream.
func TestExclusiveDoesNotGoOnInANewStream(t *testing.T) {
	srv := s2test.New(t, s2test.PurgeAfter(0))
	c := dial(t, srv)
	_, err := admin.New(c).CreateBasin(t.Context(), basinName, admin.NewBasin{Config: &admin.BasinConfig{CreateStreamOnAppend: true}})
	check(t, err)
	a := c.Basin(basinName).Stream("s", s2.Exclusive()).NewAppender(backend.Format{})
	s, err := a.Open(t.Context())
	check(t, err)
	check(t, s.Send(t.Context(), 0, values("a")))
	_, err = s.Recv(t.Context())
	check(t, err)
	check(t, s.Close())
	check(t, manage(c).DeleteStream(t.Context(), "s"))
	for err == nil {
		_, err = manage(c).StreamConfig(t.Context(), "s") // until it is gone
	}
	if s, err = a.Open(t.Context()); err == nil {
		_ = s.Close()
		t.Error("opened, at 1 of a stream that is not there")
	}
}

// A fence at the position of a batch with a lost ack means a newer owner, and not just any writer.
func TestAFenceAtThePlaceOfALostBatchIsAFence(t *testing.T) {
	srv, st := fresh(t, nil, s2.Exclusive(), s2.Fence(""))
	a := st.NewAppender(backend.Format{})
	s, err := a.Open(t.Context())
	check(t, err)
	srv.Inject(s2test.Fault{Op: s2test.AppendSession, Stage: s2test.Received, Do: s2test.Drop()})
	check(t, s.Send(t.Context(), 0, values("a")))
	_, err = s.Recv(t.Context())
	want(t, err, backend.ErrIndeterminate)
	check(t, s.Close())
	other, err := dial(t, srv).Basin(basinName).Stream(st.Name(), s2.Fence("")).NewAppender(backend.Format{}).Open(t.Context())
	check(t, err)
	defer other.Close()
	s, err = a.Open(t.Context())
	check(t, err)
	defer s.Close()
	err = s.Send(t.Context(), 0, values("a"))
	if err == nil {
		_, err = s.Recv(t.Context())
	}
	want(t, err, backend.ErrFenced)
}

// Headers of one byte take four times their metered size in JSON. A record full of such headers passes as an event.
func TestTheLargestEventPasses(t *testing.T) {
	_, st := fresh(t, nil, s2.SSE())
	r := backend.Record{Headers: slices.Repeat(backend.Headers{{Name: "k"}}, (1<<20-8)/3)}
	_, err := st.Append(t.Context(), []backend.Record{r}, s2.Condition{})
	check(t, err)
	if b := next(t, open(t, st, backend.Earliest)); len(b.Records) != 1 || len(b.Records[0].Headers) != len(r.Headers) {
		t.Errorf("%d records", len(b.Records))
	}
}

// A heartbeat tells the tail. It does not say that all records before the tail were trimmed: otherwise StopAtTail would end
// without any record.
func TestAHeartbeatAheadOfTheEarliestRecordsIsNotTheTail(t *testing.T) {
	srv, st := fresh(t, nil)
	put(t, st, "a", "b", "c")
	srv.Inject(s2test.Fault{Op: s2test.ReadSession, Stage: s2test.Replying, Do: s2test.Frame(frame(0, unhex("12 02 08 03")))})
	b, err := open(t, st, backend.Earliest).Read(t.Context())
	if err != nil || b.CaughtUp || len(b.Records) > 0 || b.Next != "0" {
		t.Errorf("%+v, %v, want no progress yet", b, err)
	}
}

// Close ends the extra request of a reader too.
func TestCloseEndsAReadThatLooksForARecord(t *testing.T) {
	looking := make(chan struct{})
	st := fakeClient(t, "any-token", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") == "s2s/proto" {
			_, _ = w.Write(frame(0, unhex("12 02 08 09"))) // the tail is at 9
			_ = http.NewResponseController(w).Flush()
		} else {
			close(looking)
		}
		<-r.Context().Done()
	}, s2.Timeout(time.Hour)).Basin(basinName).Stream("s", s2.BareOffsets())
	r, err := st.OpenReader(t.Context(), "1")
	check(t, err)
	read := make(chan error, 1)
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	go func() {
		_, err := r.Read(ctx)
		read <- err
	}()
	<-looking
	check(t, r.Close())
	select {
	case err := <-read:
		want(t, err, backend.ErrClosed)
	case <-time.After(10 * time.Second):
		t.Fatal("Read goes on after Close")
	}
}

// A wait may run out while the session has no connection. Then the session ends, also at its start.
func TestAWaitThatIsOverIsAnEndAlsoWhereTheSessionBegan(t *testing.T) {
	t.Parallel()
	srv := s2test.New(t, s2test.Basin(basinName, true), s2test.Heartbeat(50*time.Millisecond, 60*time.Millisecond))
	st := dial(t, srv, s2.Attempts(1000)).Basin(basinName).Stream(streamName())
	put(t, st, "0")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := st.ReadSession(s2.Range{From: s2.At(1), Count: 5, Wait: time.Second})
	go func() {
		// The session knows the tail, so its wait has begun. With breaks from before, on a busy machine, the wait might never begin.
		select {
		case <-r.CaughtUp():
			srv.Inject(s2test.Fault{Op: s2test.ReadSession, Stage: s2test.Replying, Times: s2test.Always, Do: s2test.Drop()})
		case <-ctx.Done():
		}
	}()
	if got, err := drain(ctx, r); len(got) != 0 || err != nil {
		t.Errorf("%q, %v, want the end", got, err)
	}
}

// After Close of the client, the last session closes the connection.
func TestTheLastReaderOfAClosedClientClosesItsConnection(t *testing.T) {
	closed := make(chan struct{}, 100)
	var opened atomic.Int64
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	web.Config.Protocols = new(http.Protocols)
	web.Config.Protocols.SetUnencryptedHTTP2(true)
	web.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			opened.Add(1)
		case http.StateClosed:
			closed <- struct{}{}
		}
	}
	web.Start()
	defer web.Close()
	for range 100 {
		c, err := s2.New(s2.Config{Token: "any-token", AccountEndpoint: web.URL, BasinEndpoint: web.URL}, patient()...)
		check(t, err)
		r, err := c.Basin(basinName).Stream("s", s2.BareOffsets()).OpenReader(t.Context(), backend.Earliest)
		check(t, err)
		check(t, c.Close())
		check(t, r.Close())
	}
	deadline := time.After(10 * time.Second)
	for n := range opened.Load() {
		select {
		case <-closed:
		case <-deadline:
			t.Fatalf("%d of %d connections are closed", n, opened.Load())
		}
	}
}
