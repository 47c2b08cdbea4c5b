package zerobus_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

// Four streams have four connections, or share one. If a stream ends, the others go on. The last stream closes the shared
// connection.
func TestConnectionPerStreamModes(t *testing.T) {
	for name, test := range map[string]struct {
		opts []zerobus.Option
		want int64
	}{
		"by default": {nil, 4},
		"on":         {[]zerobus.Option{zerobus.ConnectionPerStream(true)}, 4},
		"off":        {[]zerobus.Option{zerobus.ConnectionPerStream(false)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := quiet(t, zerobustest.CreateTables())
				client := clientOf(config(srv), append(reach(srv), test.opts...)...)
				var sessions []backend.Session
				for i := range 4 { // of two tables
					sessions = append(sessions, open(t, client.Table(fmt.Sprintf("main.air.t%d", i%2))))
				}
				if n := srv.Stats().Connections; n != test.want {
					t.Errorf("%d connections for 4 streams, want %d", n, test.want)
				}
				srv.Inject(zerobustest.Fault{Stage: zerobustest.Receiving, Do: zerobustest.Status(codes.Unavailable, "this one")})
				if err := sessions[0].Send(t.Context(), 0, records("{}")); err != nil {
					t.Fatal(err)
				}
				_, err := reason(t, sessions[0])
				wantIs(t, err, backend.ErrIndeterminate)
				_ = sessions[0].Close()
				_ = sessions[1].Close()
				for _, s := range sessions[2:] {
					if acks := sendAll(t, s, 1, 2, 3); !slices.Equal(acks, []uint64{0, 1, 2}) {
						t.Errorf("a survivor acknowledged %v", acks)
					}
					_ = s.Close()
				}
				if n := srv.Stats().Connections; n != test.want {
					t.Errorf("%d connections in the end, want %d", n, test.want)
				}
				_ = open(t, client.Table(table)).Close()
				if n := srv.Stats().Connections; n != test.want+1 {
					t.Errorf("%d connections after the last stream, want a new one", n)
				}
			})
		})
	}
}

// If a shared connection is lost, or if no stream can be opened on the connection, the next opening uses another connection.
func TestASharedConnectionIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		client := clientOf(config(srv), append(reach(srv), zerobus.ConnectionPerStream(false))...)
		one, two := open(t, client.Table(table)), open(t, client.Table(table))
		srv.DropConnections()
		for _, s := range []backend.Session{one, two} {
			_, err := reason(t, s)
			wantIs(t, err, backend.ErrTransient)
		}
		_, _ = open(t, client.Table(table)), open(t, client.Table(table)) // the first two are not closed
		if n := srv.Stats().Connections; n != 2 {
			t.Errorf("%d connections, want a second one", n)
		}
		srv.Inject(zerobustest.Fault{Stage: zerobustest.Opening, Do: zerobustest.Stall()})
		_, err := client.Table(table).NewAppender(jsonFormat).Open(t.Context())
		wantIs(t, err, backend.ErrTransient)
		_ = open(t, client.Table(table))
		if n := srv.Stats().Connections; n != 3 {
			t.Errorf("%d connections, want a third one beside that which did not answer", n)
		}
	})
}

// After GOAWAY the streams go on. Each row that is written meanwhile and afterwards is stored once.
func TestGoAway(t *testing.T) {
	for _, own := range []bool{true, false} {
		t.Run(fmt.Sprintf("ConnectionPerStream(%v)", own), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := quiet(t)
				client := clientOf(config(srv), append(reach(srv), zerobus.ConnectionPerStream(own))...)
				p := produce(t, client.Table(table))
				n := 0
				write := func() {
					for range 5 {
						if err := p.Send(t.Context(), row{n}); err != nil {
							t.Fatal(err)
						}
						n++
					}
				}
				write()
				restarted := make(chan error)
				go func() { restarted <- srv.Restart(true, 0) }()
				synctest.Wait()
				write()
				srv.Signal(table, 0)
				if err := <-restarted; err != nil {
					t.Fatal(err)
				}
				write()
				if got := values(srv); !slices.Equal(got, numbered(n)) || srv.Stats().Connections != 2 {
					t.Errorf("%q over %d connections", got, srv.Stats().Connections)
				}
			})
		})
	}
}
