package zerobus_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

func TestMain(m *testing.M) {
	serveIfAsked()
	goleak.VerifyTestMain(m)
}

const table = "main.air.readings"

var jsonFormat = backend.Format{ContentType: "application/json"}

// A row is what the tests write.
type row struct {
	N int `json:"n"`
}

func config(s *zerobustest.Server) zerobus.Config {
	return zerobus.Config{Endpoint: s.Endpoint, UnityCatalog: s.UnityCatalogURL, ClientID: "id", ClientSecret: "secret"}
}

// serve starts a server with the table.
func serve(t testing.TB, opts ...zerobustest.Option) *zerobustest.Server {
	t.Helper()
	return zerobustest.New(t, append([]zerobustest.Option{zerobustest.Table(table)}, opts...)...)
}

// quiet starts a server with the table off the network, for a bubble with a clock of its own.
func quiet(t testing.TB, opts ...zerobustest.Option) *zerobustest.Server {
	t.Helper()
	return serve(t, append([]zerobustest.Option{zerobustest.InMemory()}, opts...)...)
}

// reach is the client's side of quiet.
func reach(srv *zerobustest.Server) []zerobus.Option {
	dial := func(ctx context.Context, _, hostport string) (net.Conn, error) { return srv.Dial(ctx, hostport) }
	return []zerobus.Option{
		zerobus.Dial(srv.Dial),
		zerobus.HTTP(&http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}),
	}
}

// clientOf makes a client. The configuration must be right.
func clientOf(c zerobus.Config, opts ...zerobus.Option) *zerobus.Client {
	client, err := zerobus.New(c, opts...)
	if err != nil {
		panic(err)
	}
	return client
}

// openWith opens and closes a stream. It returns the error of New or of the opening.
func openWith(t testing.TB, c zerobus.Config, opts ...zerobus.Option) error {
	t.Helper()
	client, err := zerobus.New(c, opts...)
	if err != nil {
		return err
	}
	s, err := client.Table(table).NewAppender(jsonFormat).Open(limited(t))
	if err != nil {
		return err
	}
	return s.Close()
}

// sinkOf is the table of a quiet server.
func sinkOf(srv *zerobustest.Server, opts ...zerobus.Option) *zerobus.Sink {
	return clientOf(config(srv), append(reach(srv), opts...)...).Table(table)
}

// tableOf is sinkOf with options of the table.
func tableOf(srv *zerobustest.Server, opts ...zerobus.TableOption) *zerobus.Sink {
	return clientOf(config(srv), reach(srv)...).Table(table, opts...)
}

// took fails unless exactly so much time has passed on the bubble's clock.
func took(t testing.TB, began time.Time, want time.Duration) {
	t.Helper()
	if d := time.Since(began); d != want {
		t.Errorf("it took %v, want %v", d, want)
	}
}

// pass lets time pass on the bubble's clock.
func pass(d time.Duration) { <-time.After(d) }

// requests returns the requests on all streams of a server, each as stream/wire offset:number of records.
func requests(srv *zerobustest.Server) (all []string) {
	for _, st := range srv.Streams() {
		for _, e := range st.Events {
			if e.Kind == zerobustest.Ingested {
				all = append(all, fmt.Sprintf("%d/%d:%d", st.Number, e.Offset, e.Records))
			}
		}
	}
	return all
}

// enqueue accepts rows from first on and returns their receipts.
func enqueue(t testing.TB, p *producer.Producer[row], first, n int) (receipts []producer.Receipt) {
	t.Helper()
	for i := range n {
		r, err := p.Enqueue(t.Context(), row{first + i})
		if err != nil {
			t.Fatal(err)
		}
		receipts = append(receipts, r)
	}
	return receipts
}

// limited is a context that turns a hang into a failure.
func limited(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// open opens a session of a new appender.
func open(t testing.TB, sink *zerobus.Sink) backend.Session {
	t.Helper()
	s, err := sink.NewAppender(jsonFormat).Open(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// produce makes a producer.
func produce(t testing.TB, sink backend.Sink, opts ...producer.Option) *producer.Producer[row] {
	t.Helper()
	p, err := producer.New(t.Context(), sink, codec.JSON[row](), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// values returns the rows of the table.
func values(s *zerobustest.Server) (all []string) {
	for _, r := range s.Rows(table) {
		all = append(all, string(r.Value))
	}
	return all
}

// numbered are the values of rows 0 to n-1.
func numbered(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf(`{"n":%d}`, i))
	}
	return all
}

func records(vs ...string) (recs []backend.Record) {
	for _, v := range vs {
		recs = append(recs, backend.Record{Value: []byte(v)})
	}
	return recs
}

// reason receives until the session's last words.
func reason(t testing.TB, s backend.Session) (acked []uint64, why error) {
	t.Helper()
	ctx := limited(t)
	for {
		a, err := s.Recv(ctx)
		if err != nil {
			if ctx.Err() != nil {
				t.Fatalf("no end: %v", err)
			}
			return acked, err
		}
		acked = append(acked, a.Seq)
	}
}

// wantIs fails unless err wraps the sentinels in want and no other sentinel.
func wantIs(t testing.TB, err error, want ...error) {
	t.Helper()
	for _, sentinel := range []error{
		backend.ErrTransient, backend.ErrIndeterminate, backend.ErrRejected, backend.ErrTooLarge, backend.ErrUnauthorized,
		backend.ErrNotFound, backend.ErrUnsupported, backend.ErrConflict, backend.ErrClosed,
	} {
		expected := false
		for _, w := range want {
			expected = expected || w == sentinel
		}
		if errors.Is(err, sentinel) != expected {
			t.Errorf("%v: is %q: %v", err, sentinel, !expected)
		}
	}
}
