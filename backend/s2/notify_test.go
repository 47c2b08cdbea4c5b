package s2_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
	"github.com/headrace/headrace/backend/s2/server"
)

func TestReaderAtTheTailHoldsNoSessionButOneThatNobodyReads(t *testing.T) {
	t.Parallel()
	srv, _, st, s := sleeping(t, nil) // awaits that there is a single request
	for i := range 5 {
		put(t, st, strconv.Itoa(i))
		<-s.woken
		if b := next(t, s); string(b.Records[0].Value) != strconv.Itoa(i) {
			t.Errorf("record %q, want %d", b.Records[0].Value, i)
		}
		s.again(t)
	}
	check(t, s.Close())
	<-s.woken
	await(func() bool { return srv.Stats().Open == 0 })
}

// What happens while the reader waits reaches the next Read as it would reach the Read of a session.
func TestSleeperLearnsWhatHappens(t *testing.T) {
	t.Parallel()
	strike := func(do s2test.Effect) func(*testing.T, *s2test.Server, *s2.Client, *s2.Stream) {
		return func(t *testing.T, srv *s2test.Server, _ *s2.Client, _ *s2.Stream) {
			srv.Inject(s2test.Fault{Op: s2test.ReadSession, Stage: s2test.Replying, Do: do})
		}
	}
	for name, c := range map[string]struct {
		do   func(*testing.T, *s2test.Server, *s2.Client, *s2.Stream)
		want error // of the first Read; nil if the reader goes on by itself
	}{
		"connection lost":  {func(t *testing.T, srv *s2test.Server, _ *s2.Client, _ *s2.Stream) { srv.DropConnections() }, backend.ErrTransient},
		"server leaves":    {strike(s2test.GoAway()), backend.ErrTransient},
		"cut in a frame":   {strike(s2test.CutAfter(3)), backend.ErrTransient},
		"request reset":    {strike(s2test.Reset()), nil},
		"clean end":        {strike(s2test.End()), nil},
		"refused for now":  {strike(s2test.Status(503, "unavailable")), nil},
		"refused for good": {strike(s2test.Status(403, "permission_denied")), nil},
		"advice":           {strike(s2test.AdviseReconnect()), nil},
		"broken frame":     {strike(s2test.Frame([]byte{0, 0, 2, 0, 0xff})), nil},
		"no frame":         {strike(s2test.Frame([]byte("HTTP/1.1 502 Bad Gateway"))), nil},
		"tail moves":       {strike(s2test.Frame(frame(0, unhex("12 02 08 09")))), nil},
		"tail moves back":  {strike(s2test.Frame(frame(0, unhex("12 00")))), nil},
		"compressed":       {strike(s2test.Frame(frame(0x20, unhex("12 02 08 01")))), nil},
		"record":           {func(t *testing.T, _ *s2test.Server, _ *s2.Client, st *s2.Stream) {}, nil},
		"deletion": {func(t *testing.T, _ *s2test.Server, c *s2.Client, st *s2.Stream) {
			check(t, manage(c).DeleteStream(t.Context(), st.Name()))
		}, backend.ErrNotFound},
		"trim": {func(t *testing.T, _ *s2test.Server, _ *s2.Client, st *s2.Stream) { check(t, st.Trim(t.Context(), "1")) }, nil},
		"token has expired": {func(t *testing.T, srv *s2test.Server, _ *s2.Client, st *s2.Stream) {
			srv.Inject(s2test.Fault{Op: s2test.ReadSession, Do: s2test.Status(401, "authn")})
			put(t, st, "b")
		}, backend.ErrUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, client, st, s := sleeping(t, []s2test.Option{s2test.PurgeAfter(time.Hour)}) // no later stream of the name
			c.do(t, srv, client, st)
			if name == "record" {
				put(t, st, "b")
			}
			<-s.woken
			if c.want != nil {
				_, err := s.Read(t.Context())
				want(t, err, c.want)
				if _, again := s.Read(t.Context()); again == nil || again.Error() != err.Error() {
					t.Errorf("then %v, and before %v", again, err)
				}
				if !errors.Is(c.want, backend.ErrTransient) {
					return
				}
				check(t, s.Close())
				st = dial(t, srv).Basin(basinName).Stream(st.Name()) // without connections that were lost and do not know
				s = sleep(t, st, "1")
			}
			if name != "record" {
				put(t, st, "b")
			}
			if b := next(t, s); string(b.Records[0].Value) != "b" {
				t.Errorf("read %q, want b", b.Records[0].Value)
			}
		})
	}
}

func TestSleeperIsNotWokenByLateOrSplitHeartbeats(t *testing.T) {
	t.Parallel()
	srv, _, st, s := sleeping(t, nil)
	beat := frame(0, unhex("12 02 08 01"))
	var parts atomic.Int64
	split := [][]byte{beat[:3], beat[3:6], slices.Concat(beat[6:], beat, beat[:1]), beat[1:], beat}
	for _, f := range []s2test.Fault{
		{Do: s2test.Delay(50 * time.Millisecond)},
		{Do: s2test.Rewrite(func([]byte) []byte { return slices.Clone(split[parts.Add(1)-1]) }), Times: len(split)},
		{Do: s2test.Frame(frame(0, nil)), Times: 2}, // of an older server, without a tail
	} {
		f.Op, f.Stage = s2test.ReadSession, s2test.Replying
		in := srv.Inject(f)
		for in.Hits() < max(f.Times, 1) {
			select {
			case <-s.woken:
				t.Fatalf("the reader was woken after %d times %+v", in.Hits(), f)
			case <-time.After(time.Millisecond):
			}
		}
	}
	put(t, st, "b")
	<-s.woken
	if b := next(t, s); string(b.Records[0].Value) != "b" {
		t.Errorf("read %q", b.Records[0].Value)
	}
}

// A server that is silent about one stream is noticed, although its connection lives. A busy machine may be silent for a second too, so
// the reader may need several attempts until it sleeps.
func TestSilenceWakesASleeper(t *testing.T) {
	t.Parallel()
	srv := s2test.New(t, s2test.Basin(basinName, true), quick)
	st := dial(t, srv).Basin(basinName).Stream(streamName(), s2.Silence(time.Second))
	put(t, st, "a")
	s := sleep(t, st, backend.Earliest)
	// Always: the session that has ended may still send a heartbeat.
	srv.Inject(s2test.Fault{Op: s2test.ReadSession, On: st.Name(), Stage: s2test.Replying, Times: s2test.Always, Do: s2test.Stall()})
	<-s.woken
	_, err := s.Read(t.Context())
	want(t, err, backend.ErrTransient)
}

// A later stream of the same name is not read on from the place in the earlier one.
func TestSleeperRefusesALaterStreamOfTheName(t *testing.T) {
	t.Parallel()
	_, c, st, s := sleeping(t, []s2test.Option{s2test.PurgeAfter(0)})
	check(t, manage(c).DeleteStream(t.Context(), st.Name()))
	<-s.woken
	deleted := time.Now()
	await(func() bool {
		_, err := manage(c).CreateStream(t.Context(), st.Name(), s2.StreamConfig{})
		return err == nil
	})
	// So long a place is believed after the last sign of the stream.
	await(func() bool { return time.Since(deleted) > time.Second })
	put(t, c.Basin(basinName).Stream(st.Name()), "x", "y", "z")
	b, err := s.Read(t.Context())
	if want(t, err, backend.ErrOutOfRange); err == nil {
		t.Errorf("read %+v", b)
	}
}

func TestSleeperWhoseContextEndsOpensNothing(t *testing.T) {
	t.Parallel()
	srv, _, _, s := sleeping(t, nil)
	sessions := srv.Stats().Sessions
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Read(ctx)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, backend.ErrTransient) {
		t.Errorf("%v", err)
	}
	<-s.woken
	check(t, s.Close())
	if _, err := s.Read(t.Context()); !errors.Is(err, backend.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if n := srv.Stats().Sessions - sessions; n != 0 {
		t.Errorf("%d sessions were opened", n)
	}
}

// Close ends the opening of a session, also when the server says nothing.
func TestCloseEndsTheOpeningOfASleeper(t *testing.T) {
	t.Parallel()
	srv, _, st, s := sleeping(t, nil, s2.ConnectTimeout(time.Hour), s2.Timeout(time.Hour))
	in := srv.Inject(s2test.Fault{Op: s2test.ReadSession, Do: s2test.Stall()})
	put(t, st, "b")
	<-s.woken
	ended := make(chan error, 1)
	go func() {
		_, err := s.Read(context.Background())
		ended <- err
	}()
	await(func() bool { return in.Hits() > 0 })
	check(t, s.Close())
	if err := <-ended; !errors.Is(err, backend.ErrClosed) {
		t.Errorf("%v", err)
	}
}

// A server that restarts wakes a reader, and its successor reads on at the same place, and sleeps again.
func TestSleeperSurvivesARestartOfTheServer(t *testing.T) {
	t.Parallel()
	config := server.Config{
		Data: filepath.Join(t.TempDir(), "s2.db"), Basins: []server.Basin{{Name: basinName, AutoCreate: true}},
		HeartbeatLeast: 2 * time.Millisecond, HeartbeatMost: 5 * time.Millisecond,
	}
	start := func(addr string) *server.Server {
		srv, err := server.New(config)
		check(t, err)
		check(t, srv.Start(addr))
		return srv
	}
	srv := start("127.0.0.1:0")
	addr := strings.TrimPrefix(srv.URL(), "http://")
	st := at(t, srv.URL(), s2.ShortSleep(0)).Basin(basinName).Stream(streamName())
	put(t, st, "0")
	place := backend.Earliest
	for i := range 4 {
		s, err := persist(t.Context(), func() (*sleeper, error) { return openSleeper(t.Context(), st, place) })
		check(t, err)
		b := next(t, s)
		if string(b.Records[0].Value) != strconv.Itoa(i) {
			t.Errorf("read %q, want %d", b.Records[0].Value, i)
		}
		place = b.Next
		s.again(t)
		check(t, srv.Close())
		<-s.woken
		_, err = s.Read(t.Context())
		want(t, err, backend.ErrTransient)
		check(t, s.Close())
		srv = start(addr)
		_, err = persist(t.Context(), func() (s2.Appended, error) {
			return st.Append(t.Context(), values(strconv.Itoa(i+1)), s2.Condition{SeqNum: ptr(uint64(i + 1))})
		})
		if !errors.Is(err, backend.ErrConflict) { // an attempt before has stored the record
			check(t, err)
		}
	}
	check(t, srv.Close())
}

// A watch that the server refuses costs the reader nothing, and the server is asked more and more seldom.
func TestReaderGoesOnWithItsSessionWhereAWatchIsRefused(t *testing.T) {
	t.Parallel()
	srv := s2test.New(t, s2test.Basin(basinName, true), quick)
	st := dial(t, srv).Basin(basinName).Stream(streamName())
	put(t, st, "a")
	s := awake(t, st)
	next(t, s)
	in := srv.Inject(s2test.Fault{Op: s2test.ReadSession, Times: s2test.Always, Do: s2test.Status(403, "permission_denied")})
	for beats := 0; beats < 200 || in.Hits() == 0; beats++ {
		if b := readBatch(t, s); b.CaughtUp && s.waits(t) {
			t.Fatal("the reader waits for a request that the server has refused")
		}
	}
	if n := in.Hits(); n > 10 {
		t.Errorf("%d requests in about 200 heartbeats, want a few", n)
	}
	put(t, st, "b")
	if b := next(t, s); string(b.Records[0].Value) != "b" {
		t.Errorf("read %q", b.Records[0].Value)
	}
	in.Remove()
	s.again(t)
}

// A reader that is woken soon after it fell asleep keeps its session for longer each time. So a stream with a record each half minute
// costs no more requests than without sleep.
func TestReaderThatIsWokenSoonSleepsMoreAndMoreSeldom(t *testing.T) {
	t.Parallel()
	srv, _, st, s := sleeping(t, nil, s2.ShortSleep(time.Hour))
	for i := range 6 {
		put(t, st, "b")
		<-s.woken
		next(t, s)
		beats := 0
		for !s.waits(t) {
			if b := readBatch(t, s); b.CaughtUp {
				beats++
			}
		}
		if least := 2 << i; beats < least {
			t.Errorf("asleep after %d heartbeats, want %d at least", beats, least)
		}
	}
	before := srv.Stats().Sessions
	put(t, st, "b")
	<-s.woken
	next(t, s)
	if n := srv.Stats().Sessions - before; n != 1 {
		t.Errorf("%d sessions for a record, want 1", n)
	}
}

// A stream with records all the time costs no request beside the session of its reader.
func TestReaderOfABusyStreamKeepsItsSession(t *testing.T) {
	t.Parallel()
	// A heartbeat comes only when the reader reaches the tail.
	srv := s2test.New(t, s2test.Basin(basinName, true), s2test.Heartbeat(time.Hour, time.Hour))
	st := dial(t, srv).Basin(basinName).Stream(streamName())
	put(t, st, "a")
	s := awake(t, st)
	before := srv.Stats().Sessions
	for read := 0; read < 100; {
		b := readBatch(t, s)
		if read += len(b.Records); !b.CaughtUp {
			continue
		}
		if s.waits(t) {
			t.Fatal("the reader gives its session up in the middle of the records")
		}
		put(t, st, "b")
	}
	if n := srv.Stats().Sessions - before; n != 0 {
		t.Errorf("%d sessions beside the first one", n)
	}
}

// The connections of read sessions stay while there are readers, and no reader is counted for ever.
func TestReadersAreCountedFromTheirOpeningToTheirClose(t *testing.T) {
	t.Parallel()
	srv, c, st, s := sleeping(t, nil)
	if c.Readers() == 0 {
		t.Error("a reader that waits without a session does not count")
	}
	put(t, st, "b")
	<-s.woken
	next(t, s)
	session := open(t, st, "1")
	check(t, s.Close())
	check(t, s.Close())
	if c.Readers() == 0 {
		t.Error("a reader with a session does not count")
	}
	check(t, session.Close())
	for range st.ReadSession(s2.Range{From: backend.Earliest, Wait: s2.NoWait}).Records(t.Context()) {
	}
	srv.Inject(s2test.Fault{Op: s2test.ReadSession, Do: s2test.Status(500, "storage")})
	if _, err := st.OpenReader(t.Context(), backend.Earliest); err == nil {
		t.Error("the opening has not failed")
	}
	if n := c.Readers(); n != 0 {
		t.Errorf("%d readers count after the last one was closed", n)
	}
}

func TestReaderThatCannotSleepIsNoNotifier(t *testing.T) {
	t.Parallel()
	srv, plain := fresh(t, nil)
	put(t, plain, "a")
	name := plain.Name()
	pass := s2.RoundTripper(func(next http.RoundTripper) http.RoundTripper { return next })
	for what, st := range map[string]*s2.Stream{
		"server-sent events": dial(t, srv).Basin(basinName).Stream(name, s2.SSE()),
		"a RoundTripper":     dial(t, srv, pass).Basin(basinName).Stream(name),
	} {
		if _, sleeps := open(t, st, backend.Earliest).(backend.Notifier); sleeps {
			t.Errorf("over %s, a reader is a Notifier", what)
		}
	}
	awake(t, plain) // is a Notifier, or opens readers for ever
}

func TestReaderSleepsOverTLS(t *testing.T) {
	t.Parallel()
	srv := s2test.New(t, s2test.Basin(basinName, true), quick)
	addr, roots := terminate(t, srv)
	st := at(t, "https://"+addr, s2.TLS(&tls.Config{RootCAs: roots})).Basin(basinName).Stream(streamName())
	put(t, st, "a")
	s := sleep(t, st, backend.Earliest)
	put(t, st, "b")
	<-s.woken
	if b := next(t, s); string(b.Records[0].Value) != "b" {
		t.Errorf("read %q", b.Records[0].Value)
	}
	s.again(t)
	check(t, s.Close())
}

func ptr[T any](v T) *T { return &v }
