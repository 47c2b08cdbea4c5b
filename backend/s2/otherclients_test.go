package s2_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// These are the defects that clients of S2 have had. None of them may be here.

// fresh makes a server and a stream on it.
func fresh(t testing.TB, client []s2.Option, opts ...s2.StreamOption) (*s2test.Server, *s2.Stream) {
	t.Helper()
	srv := s2test.New(t, s2test.Basin(basinName, true))
	return srv, dial(t, srv, client...).Basin(basinName).Stream(streamName(), append(opts, s2.BareOffsets())...)
}

// put appends values in one batch.
func put(t testing.TB, st *s2.Stream, vs ...string) {
	t.Helper()
	if _, err := st.Append(t.Context(), values(vs...), s2.Condition{}); err != nil {
		t.Fatal(err)
	}
}

func TestBatchesAreStoredInTheOrderOfTheirSends(t *testing.T) {
	for range 5 {
		_, st := fresh(t, nil)
		p, err := producer.New(t.Context(), st, codec.String(), producer.BatchRecords(1), producer.Linger(0))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2000 {
			if _, err := p.Enqueue(t.Context(), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		exactly(t, st, 2000)
	}
}

func TestAcksOfAnOldConnectionAreNotTakenForThoseOfTheResend(t *testing.T) {
	t.Parallel()
	srv, st := fresh(t, nil)
	late := srv.Inject(s2test.Fault{Op: s2test.AppendSession, Stage: s2test.Replying, Do: s2test.Delay(time.Second)})
	a := st.NewAppender(backend.Format{})
	old, err := a.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	batches := []string{"A", "B", "C"}
	for i, v := range batches {
		if err := old.Send(t.Context(), uint64(i), values(v)); err != nil {
			t.Fatal(err)
		}
	}
	// The ack of A is on its way, and nothing of the old session can be stored behind what is counted below.
	for srv.Stats().Batches < 3 || late.Hits() == 0 {
		runtime.Gosched()
	}
	_ = old.Close()
	if _, err := old.Recv(t.Context()); !errors.Is(err, backend.ErrClosed) {
		t.Errorf("a closed session says %v", err)
	}
	before := len(stored(t, st))
	s, err := a.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i, v := range batches {
		if err := s.Send(t.Context(), uint64(i), values(v)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range batches {
		ack, err := s.Recv(t.Context())
		if err != nil || ack.Seq != uint64(i) || ack.OffsetOf(0) != s2.At(uint64(before+i)) {
			t.Errorf("ack %d: %+v at %q, %v, want %d", i, ack, ack.OffsetOf(0), err, before+i)
		}
	}
	for i, r := range stored(t, st)[before:] {
		if string(r.Value) != batches[i] {
			t.Errorf("record %d of the resend is %q", i, r.Value)
		}
	}
	if late.Hits() != 1 {
		t.Errorf("%d acks were late", late.Hits())
	}
}

func TestRecordsBeforeATerminalErrorAreReturned(t *testing.T) {
	srv, st := fresh(t, nil)
	put(t, st, "0", "1", "2", "3", "4", "5", "6", "7")
	for run := range 200 {
		in := srv.Inject(s2test.Fault{Op: s2test.ReadSession, Stage: s2test.Replying, Skip: 1, Do: s2test.Status(409, "stream_deletion_pending")})
		r, err := st.OpenReader(t.Context(), backend.Earliest)
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for err == nil {
			var b backend.Batch
			b, err = r.Read(t.Context())
			got += len(b.Records)
		}
		_ = r.Close()
		in.Remove()
		if got != 8 || !errors.Is(err, backend.ErrNotFound) {
			t.Fatalf("run %d: %d records, then %v, want 8 and ErrNotFound", run, got, err)
		}
	}
}

func TestCutStreamIsNotTakenForItsEnd(t *testing.T) {
	half := s2test.Rewrite(func(frame []byte) []byte { return frame[:len(frame)/2] })
	for name, do := range map[string][]s2test.Effect{"in a frame": {half, s2test.End()}, "between frames": {s2test.End()}} {
		srv, st := fresh(t, nil)
		put(t, st, "0", "1")
		inject := func() {
			for _, e := range do {
				srv.Inject(s2test.Fault{Op: s2test.ReadSession, Stage: s2test.Replying, Do: e})
			}
		}
		inject()
		r, err := st.OpenReader(t.Context(), backend.Earliest)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Read(t.Context())
		_ = r.Close()
		if !errors.Is(err, backend.ErrTransient) || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v, want ErrTransient", name, err)
		}
		inject()
		c, err := consumer.New(st, codec.String(), consumer.StopAtTail())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for m, err := range c.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.Value)
		}
		if fmt.Sprint(got) != "[0 1]" {
			t.Errorf("%s: a consumer reads %q", name, got)
		}
	}
}

func TestReadThatWaitsOutlivesTheTimeout(t *testing.T) {
	t.Parallel()
	_, st := fresh(t, []s2.Option{s2.Timeout(4 * time.Second)})
	put(t, st, "0")
	got, err := st.Read(t.Context(), s2.Range{From: s2.At(1), Wait: 5 * time.Second})
	if err != nil || len(got.Records) != 0 {
		t.Errorf("%d records, %v", len(got.Records), err)
	}
}

func TestEndWithUnackedInputIsNoticedAtOnce(t *testing.T) {
	srv, st := fresh(t, []s2.Option{s2.Timeout(time.Hour)})
	srv.Inject(s2test.Fault{Op: s2test.AppendSession, Stage: s2test.Replying, Do: s2test.End()})
	s, err := st.NewAppender(backend.Format{}).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Send(t.Context(), 0, values("0")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := s.Recv(ctx); !errors.Is(err, backend.ErrIndeterminate) || ctx.Err() != nil {
		t.Errorf("%v, want ErrIndeterminate at once", err)
	}
}

// listen starts a server that answers as h does and returns its URL.
func listen(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL
}

// fake is a stream on a server that answers as h does.
func fake(t testing.TB, h http.HandlerFunc, opts ...s2.StreamOption) *s2.Stream {
	t.Helper()
	url := listen(t, h)
	c, err := s2.New(s2.Config{Token: "secret-token", AccountEndpoint: url, BasinEndpoint: url}, patient()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.Basin(basinName).Stream("orders", append(opts, s2.BareOffsets())...)
}

func TestSequenceNumbersAreExactInJSON(t *testing.T) {
	st := fake(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusPreconditionFailed)
		_, _ = io.WriteString(w, `{"seq_num_mismatch":9007199254740993}`)
	})
	_, err := st.Append(t.Context(), values("0"), s2.Condition{})
	var refused *s2.Error
	if !errors.As(err, &refused) || refused.SeqNum != 1<<53+1 || !errors.Is(err, backend.ErrConflict) {
		t.Errorf("%v, want ErrConflict at %d", err, uint64(1<<53+1))
	}
}

func TestErrorsKeepTheirIdentity(t *testing.T) {
	srv, st := fresh(t, []s2.Option{s2.Attempts(2)})
	check := func(what string, err error, kinds ...error) {
		t.Helper()
		var refused *s2.Error
		if !errors.As(err, &refused) || refused.Status != 500 || refused.Code != "storage" {
			t.Errorf("%s: %v is no *s2.Error of status 500", what, err)
		}
		for _, kind := range kinds {
			if !errors.Is(err, kind) {
				t.Errorf("%s: %v does not wrap %v", what, err, kind)
			}
		}
	}
	broken := s2test.Status(500, "storage")
	in := srv.Inject(s2test.Fault{Times: s2test.Always, Do: broken})
	_, err := st.Append(t.Context(), values("0"), s2.Condition{})
	check("append", err, backend.ErrIndeterminate)
	_, err = st.CheckTail(t.Context())
	check("check tail", err, backend.ErrTransient)
	_, err = st.OpenReader(t.Context(), backend.Earliest)
	check("open reader", err, backend.ErrTransient)
	_, err = manage(dial(t, srv, s2.Attempts(2))).CreateStream(t.Context(), "other", s2.StreamConfig{})
	check("a management call, at the end of its attempts", err)
	in.Remove()

	srv.Inject(s2test.Fault{Op: s2test.AppendSession, Stage: s2test.Received, Do: broken})
	s, err := st.NewAppender(backend.Format{}).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Send(t.Context(), 0, values("0")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the cause stays
		_, err = s.Recv(t.Context())
		check("session", err, backend.ErrIndeterminate)
	}
	check("send behind the end", s.Send(t.Context(), 1, values("1")), backend.ErrIndeterminate)
}

func TestReceiptCanBeWaitedForAgain(t *testing.T) {
	_, st := fresh(t, nil)
	p, err := producer.New(t.Context(), st, codec.String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	r, err := p.Enqueue(t.Context(), "0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			for range 3 {
				if off, err := r.Wait(t.Context()); off != "0" || err != nil {
					t.Errorf("%q, %v", off, err)
				}
			}
		})
	}
	all.Wait()
}

func TestUnsentBatchesCostNoGoroutines(t *testing.T) {
	srv, st := fresh(t, nil)
	srv.Inject(s2test.Fault{Op: s2test.AppendSession, Stage: s2test.Received, Do: s2test.Stall()})
	p, err := producer.New(t.Context(), st, codec.String(), producer.BatchRecords(1), producer.BufferBytes(2<<20), producer.DrainTimeout(0))
	if err != nil {
		t.Fatal(err)
	}
	before, n := runtime.NumGoroutine(), 0
	for ; err == nil; n++ {
		_, err = p.TryEnqueue("value")
	}
	if !errors.Is(err, producer.ErrFull) || n < 1000 {
		t.Errorf("after %d records: %v, want ErrFull", n, err)
	}
	if more := runtime.NumGoroutine() - before; more > n/10 { // the runtime and the HTTP client have goroutines of their own
		t.Errorf("%d goroutines for %d records that wait", more, n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := p.Enqueue(ctx, "value"); !errors.Is(err, producer.ErrFull) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a caller has to wait: %v, want ErrFull in the end", err)
	}
	if err := p.Close(); err == nil {
		t.Error("Close forgets what was not stored")
	}
}
