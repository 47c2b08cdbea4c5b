package zerobus_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// Each of these defects was in another client of Zerobus.

func TestRecordsCostFewAllocationsAndNoThread(t *testing.T) {
	srv := serve(t, zerobustest.DiscardRows())
	// The server checks JSON rows with pooled memory, and the race detector makes pools drop memory. PROTO rows need no such memory.
	p, err := producer.New(limited(t), clientOf(config(srv)).Table(table), protoCodec(t), producer.BufferBytes(16<<20),
		producer.Linger(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const n = 20_000
	rec := backend.Record{Value: []byte(`{"n":1234567890,"text":"about a hundred bytes, as a record of a sensor would have them, more or less"}`)}
	per := testing.AllocsPerRun(3, func() { // client and server together
		for range n {
			if _, err := p.EnqueueEncoded(t.Context(), rec); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}) / n
	t.Logf("%.3f allocations a record", per)
	if per > 0.5 {
		t.Errorf("%.3f allocations a record", per)
	}

	full, err := producer.New(limited(t), clientOf(config(serve(t, zerobustest.Acks(zerobustest.AckNever())))).Table(table), jsonCodec(),
		producer.BufferBytes(500), producer.DrainTimeout(0))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	threads := pprof.Lookup("threadcreate").Count()
	var wg sync.WaitGroup
	for range 500 {
		wg.Go(func() {
			for ctx.Err() == nil {
				_, _ = full.EnqueueEncoded(ctx, rec)
			}
		})
	}
	for full.Stats().Buffered == 0 {
		runtime.Gosched()
	}
	pass(20 * time.Millisecond)
	if more := pprof.Lookup("threadcreate").Count() - threads; more > 50 {
		t.Errorf("%d threads for 500 blocked calls", more)
	}
	cancel()
	wg.Wait()
	_ = full.Close()
}

// The contexts of openings and of Enqueue are in TestContextsEndHeadersHandshakesAndBackpressure.
func TestEveryCallCanBeCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.Acks(zerobustest.AckNever()))
		srv.InjectToken(zerobustest.TokenFault{Delay: time.Hour, Times: -1})
		patience := func() context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			t.Cleanup(cancel)
			return ctx
		}
		began := time.Now()
		_, err := producer.New(patience(), sinkOf(srv), codec.JSON[row]())
		took(t, began, time.Second)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("New: %v", err)
		}
		srv = quiet(t, zerobustest.Acks(zerobustest.AckNever()))
		p := produce(t, sinkOf(srv), producer.DrainTimeout(0), producer.AckTimeout(0))
		r := enqueue(t, p, 0, 1)[0]
		for i, call := range []func(context.Context) error{
			func(ctx context.Context) error { return p.Send(ctx, row{1}) },
			p.Flush,
			func(ctx context.Context) error { _, err := r.Wait(ctx); return err },
			p.Shutdown,
		} {
			began := time.Now()
			err := call(patience())
			took(t, began, time.Second)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("call %d: %v", i, err)
			}
		}
	})
}

func TestCloseBesideSendAndRecvIsSafe(t *testing.T) {
	for range 20 {
		srv := serve(t)
		p := produce(t, clientOf(config(srv)).Table(table), producer.BatchRecords(3), producer.BufferBytes(64<<10)) // so small that Close overtakes those who wait for room
		var wg sync.WaitGroup
		var mu sync.Mutex
		accepted, confirmed := 0, 0
		for range 4 {
			wg.Go(func() {
				for i := 0; ; i++ {
					r, err := p.Enqueue(t.Context(), row{i})
					if err != nil {
						if !errors.Is(err, backend.ErrClosed) {
							t.Error(err)
						}
						return
					}
					mu.Lock()
					accepted++
					mu.Unlock()
					wg.Go(func() {
						if _, err := r.Wait(t.Context()); err == nil {
							mu.Lock()
							confirmed++
							mu.Unlock()
						}
					})
				}
			})
		}
		for srv.Stats().Records == 0 {
			runtime.Gosched()
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if n := len(srv.Rows(table)); n != accepted || n != confirmed {
			t.Fatalf("%d rows, %d accepted, %d confirmed", n, accepted, confirmed)
		}
	}
}

func TestPayloadsWithNULAndEmptyOnesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []raw{jsonCodec(), protoCodec(t)} {
			srv := quiet(t)
			p, err := producer.New(t.Context(), sinkOf(srv), c)
			if err != nil {
				t.Fatal(err)
			}
			want := []string{`{"a":"x\u0000y"}`} // JSON text has no NUL of its own
			if c.format.Schema != nil {
				want = []string{"", "\x00", "x\x00y"}
			}
			for _, v := range want {
				if err := p.Send(t.Context(), []byte(v)); err != nil {
					t.Errorf("%q: %v", v, err)
				}
			}
			if got := values(srv); !slices.Equal(got, want) {
				t.Errorf("%q", got)
			}
			_ = p.Close()
		}
	})
}

func TestAcksThatNobodyAwaitsDoNotLeak(t *testing.T) {
	srv := serve(t, zerobustest.DiscardRows())
	p := produce(t, clientOf(config(srv)).Table(table))
	r := enqueue(t, p, 0, 1)[0]
	for range 3 { // any number of times, in any order
		if _, err := r.Wait(limited(t)); err != nil {
			t.Error(err)
		}
		select {
		case <-r.Done():
		default:
			t.Error("waited for, and not done")
		}
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what lies in pools outlives one
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	spend := func() {
		for i := range 200_000 {
			if _, err := p.Enqueue(t.Context(), row{i}); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	spend() // buffers grow to their size
	before, more := heap(), int64(math.MaxInt64)
	for range 5 { // a leak is there each time and grows, a buffer of the connection comes and goes
		spend()
		if more = min(more, heap()-before); more <= 4<<20 { // 21 bytes a record
			break
		}
	}
	if more > 4<<20 {
		t.Errorf("%d bytes more after 200,000 records that nobody waited for", more)
	}
	if s := p.Stats(); s.Buffered != 0 || s.BufferedBytes != 0 {
		t.Errorf("%+v", s)
	}
}

// A provider may open streams itself, and may fail for a while. It hears that its headers were refused.
func TestHeadersProviderMayReenterAndFailForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.Token("mine"))
		h := &staticHeaders{}
		calls := 0
		h.HeadersFunc = func(ctx context.Context, name string) (map[string]string, error) {
			calls++
			switch calls {
			case 1:
				return nil, fmt.Errorf("%w: vault is sealed", backend.ErrTransient)
			case 2: // another stream, opened from in here
				s, err := sinkOf(srv).NewAppender(jsonFormat).Open(ctx)
				if err != nil {
					return nil, err
				}
				return map[string]string{"authorization": "Bearer stale", "x-databricks-zerobus-table-name": name}, s.Close()
			}
			return map[string]string{"authorization": "Bearer mine", "x-databricks-zerobus-table-name": name}, nil
		}
		p := produce(t, sinkOf(srv, zerobus.Headers(h)))
		if err := p.Send(t.Context(), row{0}); err != nil {
			t.Error(err)
		}
		if calls != 3 || h.invalidated != 1 {
			t.Errorf("%d calls, %d times invalidated", calls, h.invalidated)
		}
	})
}

func TestErrorsHaveTypes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Inject(zerobustest.Fault{Stage: zerobustest.Creating, Do: zerobustest.Status(codes.Unavailable, "busy")})
		_, err := sinkOf(srv).NewAppender(jsonFormat).Open(t.Context())
		var said *zerobus.Error
		if wantIs(t, err, backend.ErrTransient); !errors.As(err, &said) || said.Code != codes.Unavailable || said.Message != "busy" {
			t.Errorf("open: %v", err)
		}
		srv.InjectToken(zerobustest.TokenFault{Status: 503, RetryAfter: "3"})
		_, err = sinkOf(srv).NewAppender(jsonFormat).Open(t.Context())
		var token *zerobus.TokenError
		if wantIs(t, err, backend.ErrTransient); !errors.As(err, &token) || token.Status != 503 || backend.RetryAfter(err) != 3*time.Second {
			t.Errorf("token: %v", err)
		}
		p := produce(t, sinkOf(srv))
		srv.Inject(zerobustest.Fault{Stage: zerobustest.Receiving, Do: zerobustest.Status(codes.PermissionDenied, "no")})
		for _, err := range []error{p.Send(t.Context(), row{0}), p.Flush(t.Context()), p.Close()} {
			if !errors.Is(err, backend.ErrUnauthorized) || !errors.As(err, &said) || said.Code != codes.PermissionDenied {
				t.Errorf("%v", err)
			}
		}
	})
}

func TestAProducerWithOneAttemptKeepsWhatWasNotAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Inject(zerobustest.Fault{Stage: zerobustest.Receiving, Times: -1, Do: zerobustest.Status(codes.Unavailable, "away")})
		p := produce(t, sinkOf(srv), producer.Attempts(1))
		if err := p.Send(t.Context(), row{0}, row{1}); err == nil {
			t.Error("no failure")
		}
		_ = p.Close()
		if n := srv.Stats().Streams; n != 1 {
			t.Errorf("%d streams with one attempt", n)
		}
		if got := left(p); !slices.Equal(got, []string{`{"n":0} true`, `{"n":1} true`}) {
			t.Errorf("after Close: %q", got)
		}
	})
}

// In Go, writing to a closed socket raises no SIGPIPE unless the program asks for the signal, and there is no other runtime
// here. So the test only shows that a producer goes on after its connections were cut.
func TestBrokenPipeDoesNotKillTheProcess(t *testing.T) {
	srv := serve(t)
	p := produce(t, clientOf(config(srv)).Table(table), producer.BatchRecords(1))
	for i := range 5 {
		for j := range 200 {
			if _, err := p.Enqueue(limited(t), row{200*i + j}); err != nil {
				t.Fatal(err)
			}
		}
		srv.DropConnections()
		if err := p.Flush(limited(t)); err != nil {
			t.Fatal(err)
		}
	}
	all := values(srv)
	slices.Sort(all)
	if n := len(slices.Compact(all)); n != 1000 {
		t.Errorf("%d different rows", n)
	}
}
