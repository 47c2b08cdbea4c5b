package zerobus_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/producer"
)

// The service announces the end of each stream and ends the stream after about 15 minutes. The tests live through a day of
// that by the bubble's clock. The end of a bubble also shows that no goroutine is left.
const (
	day      = 24 * time.Hour
	lifetime = 15 * time.Minute
	notice   = 30 * time.Second
)

// ends are the ways in which a server may end a stream when the announced time is over.
var ends = map[string]zerobustest.Effect{
	"the end":          zerobustest.EOF(),
	"UNAVAILABLE":      zerobustest.Status(codes.Unavailable, "rotated"),
	"a cut connection": zerobustest.Drop(),
}

// A diary keeps the events of a producer.
type diary struct {
	lost   []error
	unsure int // sessions that ended with batches of unknown fate
	resent int
}

func (d *diary) keep() producer.Option {
	return producer.Observe(producer.Hooks{
		SessionLost: func(e producer.SessionEvent) {
			d.lost = append(d.lost, e.Err)
			if e.Unacked > 0 || !errors.Is(e.Err, backend.ErrTransient) {
				d.unsure++
			}
		},
		BatchResent: func(producer.BatchEvent) { d.resent++ },
	})
}

// heard fails if a request came on a stream after the signal of its end. In this test no request is on its way at a signal.
func heard(t testing.TB, srv *zerobustest.Server) (signals int) {
	t.Helper()
	for _, st := range srv.Streams() {
		signalled := false
		for _, e := range st.Events {
			signalled = signalled || e.Kind == zerobustest.Signalled
			if signalled && e.Kind == zerobustest.Ingested {
				t.Errorf("stream %d: a request after the signal", st.Number)
			}
		}
		if signalled {
			signals++
		}
	}
	return signals
}

// A producer without rows loses its stream once, opens no other, and still writes the next row.
func TestADayOfRotationsIdle(t *testing.T) {
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := quiet(t, zerobustest.Lifetime(lifetime, notice, end))
				var d diary
				p := produce(t, sinkOf(srv), d.keep(), producer.IdleTimeout(0)) // otherwise the producer itself ends the stream
				pass(day)
				if s := srv.Stats(); s.Streams != 1 || s.Connections != 1 || s.TokenRequests != 1 {
					t.Errorf("%+v: it was busy", s)
				}
				if err := p.Send(t.Context(), row{0}); err != nil {
					t.Error(err)
				}
				if err := p.Close(); err != nil {
					t.Error(err)
				}
				if d.unsure != 0 || d.resent != 0 || !slices.Equal(values(srv), numbered(1)) {
					t.Errorf("%+v; rows %q", d, values(srv))
				}
				t.Logf("%+v, sessions lost: %v", srv.Stats(), d.lost)
			})
		})
	}
}

// A producer that writes now and then stores each row once.
func TestADayOfRotationsNowAndThen(t *testing.T) {
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			dice := rand.New(rand.NewPCG(seed, 0))
			synctest.Test(t, func(t *testing.T) {
				srv := quiet(t, zerobustest.Lifetime(lifetime, notice, end), zerobustest.Acks(zerobustest.AckAfter(200*time.Millisecond)))
				var d diary
				p := produce(t, sinkOf(srv), d.keep(), producer.IdleTimeout(0)) // otherwise few streams live until their rotation
				n := 0
				for began := time.Now(); time.Since(began) < day; n++ {
					pass(time.Duration(dice.Int64N(int64(10 * time.Minute))))
					if err := p.Send(t.Context(), row{n}); err != nil {
						t.Fatalf("seed %d, row %d: %v", seed, n, err)
					}
				}
				if err := p.Close(); err != nil {
					t.Error(err)
				}
				s := srv.Stats()
				if !slices.Equal(values(srv), numbered(n)) || d.resent != 0 || d.unsure != 0 || heard(t, srv) < 50 || s.Streams > 100 {
					t.Errorf("seed %d: %d of %d rows; %+v; %+v", seed, len(values(srv)), n, d, s)
				}
				t.Logf("%d rows, %+v", n, s)
			})
		})
	}
}

// Under load and with late acks, every rotation finds unacknowledged batches and waits for their acks. No row is missing, and
// no row is stored twice.
func TestADayOfRotationsUnderLoad(t *testing.T) {
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := quiet(t, zerobustest.Lifetime(lifetime, notice, end), zerobustest.Acks(zerobustest.AckAfter(20*time.Second)))
				var d diary
				p := produce(t, sinkOf(srv), d.keep())
				n := 0
				for began := time.Now(); time.Since(began) < day; n++ {
					enqueue(t, p, n, 1)
					pass(9100 * time.Millisecond)
				}
				if err := p.Flush(t.Context()); err != nil {
					t.Error(err)
				}
				signals := heard(t, srv)
				if !slices.Equal(values(srv), numbered(n)) || d.resent != 0 || d.unsure != 0 || signals < 94 || signals > 97 {
					t.Errorf("%d of %d rows, %d rotations; %+v", len(values(srv)), n, signals, d)
				}
				t.Logf("%d rows, %d rotations, %+v", n, signals, srv.Stats())
			})
		})
	}
}
