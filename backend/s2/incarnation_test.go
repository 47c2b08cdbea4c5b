package s2_test

import (
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
)

// recreate deletes a stream and creates it anew with more records than before.
func recreate(t *testing.T, c *s2.Client, name string) {
	t.Helper()
	check(t, manage(c).DeleteStream(t.Context(), name))
	for range 1000 {
		if _, err := manage(c).CreateStream(t.Context(), name, s2.StreamConfig{}); err == nil {
			put(t, c.Basin(basinName).Stream(name), "x", "y", "z", "and more")
			return
		}
	}
	t.Fatal("the name does not become free")
}

// A place in a stream that was deleted and created again is refused: going on at its number would skip records silently.
func TestAPlaceInADeletedStreamIsOutOfRange(t *testing.T) {
	srv := s2test.New(t, s2test.Basin(basinName, true), s2test.PurgeAfter(0))
	c := dial(t, srv)
	b := c.Basin(basinName)
	name := streamName()
	put(t, b.Stream(name), "a", "b")
	read := next(t, open(t, b.Stream(name), backend.Earliest))
	s, err := b.Stream(name).NewAppender(backend.Format{}).Open(t.Context())
	check(t, err)
	check(t, s.Send(t.Context(), 0, values("c")))
	ack, err := s.Recv(t.Context())
	check(t, err)
	check(t, s.Close())
	places := []backend.Offset{read.Records[1].Offset, read.Next, ack.Next, ack.OffsetOf(0)}
	for _, at := range places {
		open(t, b.Stream(name), at)
	}
	recreate(t, c, name)
	for _, at := range places {
		r, err := b.Stream(name).OpenReader(t.Context(), at)
		if want(t, err, backend.ErrOutOfRange); err == nil {
			_ = r.Close()
		} else if !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name the stream", err)
		}
	}
	for _, at := range places {
		for r, err := range b.Stream(name).ReadSession(s2.Range{From: at, Wait: s2.NoWait}).Records(t.Context()) {
			if want(t, err, backend.ErrOutOfRange); err == nil {
				t.Errorf("a read session from %q returns %q of the later stream", at, r.Value)
				break
			}
		}
	}
	open(t, b.Stream(name), "1") // a bare number belongs to any stream
}

// A place that names its stream is the tail as much as its bare number.
func TestReadSessionFromThePlaceAtTheTailEnds(t *testing.T) {
	srv, bare := fresh(t, nil)
	put(t, bare, "a", "b")
	st := dial(t, srv).Basin(basinName).Stream(bare.Name())
	at := next(t, open(t, st, backend.Earliest)).Next
	if !strings.Contains(string(at), "@") {
		t.Fatalf("the place %q does not name its stream", at)
	}
	for r, err := range st.ReadSession(s2.Range{From: at, Wait: s2.NoWait}).Records(t.Context()) {
		t.Errorf("%q, %v, want the end of the range", r.Value, err)
	}
}

// Who may not list streams gets bare sequence numbers, and one who holds a longer place reads on without the check.
func TestOffsetsAreBareWhereStreamsMayNotBeListed(t *testing.T) {
	srv, st := fresh(t, nil)
	put(t, st, "a", "b")
	srv.Inject(s2test.Fault{Op: s2test.StreamCall, Times: s2test.Always, Do: s2test.Status(403, "permission_denied")})
	full := dial(t, srv).Basin(basinName).Stream(st.Name())
	if b := next(t, open(t, full, "1@abc")); b.Records[0].Offset != "1" || b.Next != "2" {
		t.Errorf("%+v", b)
	}
}

// The server is asked when a stream is opened first, and not when a session is opened again at once.
func TestReopeningAsksNothing(t *testing.T) {
	srv, bare := fresh(t, nil)
	put(t, bare, "a")
	asked := srv.Inject(s2test.Fault{Op: s2test.StreamCall, Times: s2test.Always, Do: s2test.Delay(0)}) // counts
	st := dial(t, srv).Basin(basinName).Stream(bare.Name())
	held := open(t, st, backend.Earliest)
	for range 5 {
		at := next(t, open(t, st, backend.Earliest)).Next
		s, err := st.NewAppender(backend.Format{}).Open(t.Context())
		check(t, err)
		check(t, s.Close())
		_ = open(t, st, at).Close()
	}
	_ = held.Close()
	if asked.Hits() != 1 {
		t.Errorf("asked %d times", asked.Hits())
	}
}
