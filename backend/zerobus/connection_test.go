package zerobus_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

// Each stream has a connection of its own. If a stream ends, the others go on.
func TestEachStreamHasAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.CreateTables())
		client := clientOf(config(srv), reach(srv)...)
		var sessions []backend.Session
		for i := range 4 { // of two tables
			sessions = append(sessions, open(t, client.Table(fmt.Sprintf("main.air.t%d", i%2))))
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
		if n := srv.Stats().Connections; n != 4 {
			t.Errorf("%d connections for 4 streams", n)
		}
	})
}

// After GOAWAY the streams go on. Each row that is written meanwhile and afterwards is stored once.
func TestGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		p := produce(t, sinkOf(srv))
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
}

// An endingConn tells of its end.
type endingConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *endingConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// A function for Dial may not look at its context: many libraries of tunnels have no context.
func TestADialThatHangsHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		late := &endingConn{closed: make(chan struct{})}
		released := make(chan struct{})
		dial := func(_ context.Context, hostport string) (net.Conn, error) {
			<-released
			var err error
			late.Conn, err = srv.Dial(context.WithoutCancel(t.Context()), hostport)
			return late, err
		}
		openEndsWithItsContext(t, sinkOf(srv, zerobus.Dial(dial)))
		close(released)
		<-late.closed // nobody else would close the connection
	})
}
