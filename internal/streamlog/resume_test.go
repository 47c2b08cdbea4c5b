package streamlog_test

import (
	"reflect"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

// stored makes a log with one record for each value.
func stored(t *testing.T, values ...string) (*streamlog.Log, *slowStore) {
	t.Helper()
	s := newSlowStore()
	s.auto = true
	l := newLog(s, backend.Limits{})
	session := open(t, l.NewAppender(backend.Format{}))
	for i, v := range values {
		send(t, session, uint64(i), v)
		if _, err := session.Recv(ctx); err != nil {
			t.Fatal(err)
		}
	}
	session.Close()
	return l, s
}

func resume(t *testing.T, l *streamlog.Log, from backend.Resumption) (backend.Appender, string) {
	t.Helper()
	from.Name = "relay"
	a, origin, err := l.Resume(ctx, backend.Format{}, from)
	if err != nil {
		t.Fatal(err)
	}
	return a, origin
}

// Records that were there before the name, or come from a name that has ended, are no batches of it.
func TestResumedProducerBeginsBehindTheRecordsOfOthers(t *testing.T) {
	l, s := stored(t, "other")
	a, origin := resume(t, l, backend.Resumption{})
	session := open(t, a)
	send(t, session, 0, "a", "b")
	send(t, session, 1, "c")
	session.Close() // the acks are lost, and the process with them

	next, _ := resume(t, l, backend.Resumption{Sent: 2, Origin: origin})
	session = open(t, next)
	send(t, session, 0, "a", "b")
	wantAck(t, session, 0, "1")
	send(t, session, 1, "c")
	send(t, session, 2, "d")
	wantAck(t, session, 1, "3")
	wantAck(t, session, 2, "4")
	if got, want := s.values(), []string{"other", "a", "b", "c", "d"}; !reflect.DeepEqual(got, want) {
		t.Errorf("stored %q, want %q", got, want)
	}
}

// A sealed stream takes no batch, but it acknowledges those that are stored.
func TestResumedProducerGetsTheAcksOfASealedStream(t *testing.T) {
	l, _ := stored(t)
	a, origin := resume(t, l, backend.Resumption{})
	session := open(t, a)
	send(t, session, 0, "a")
	session.Close()
	if err := l.Seal(ctx); err != nil {
		t.Fatal(err)
	}
	next, _ := resume(t, l, backend.Resumption{Sent: 2, Origin: origin})
	session = open(t, next)
	send(t, session, 0, "a")
	send(t, session, 1, "b")
	wantAck(t, session, 0, "0")
	_, err := session.Recv(ctx)
	wantErr(t, err, backend.ErrStreamClosed)
}

// What cannot be told from a resend is refused for good. A retry of a transient error would never end.
func TestResumedProducerRefusesPlacesThatDoNotFit(t *testing.T) {
	for name, c := range map[string]struct {
		from   backend.Resumption
		values []string // of the batch
	}{
		"another producer has written there": {backend.Resumption{Origin: "0"}, []string{"x"}},
		"a batch of another size is there":   {backend.Resumption{Origin: "1", Records: 1, Seq: 1, Sent: 2}, []string{"c", "d"}},
		"acknowledged records are missing":   {backend.Resumption{Origin: "2", Records: 2, Seq: 2, Sent: 3}, []string{"d"}},
	} {
		t.Run(name, func(t *testing.T) {
			l, s := stored(t, "a", "b", "c")
			a, _ := resume(t, l, c.from)
			session := open(t, a)
			err := session.Send(ctx, 0, recs(c.values...))
			if err == nil {
				_, err = session.Recv(ctx)
			}
			wantErr(t, err, backend.ErrConflict)
			if got := s.values(); len(got) != 3 {
				t.Errorf("stored %q", got)
			}
		})
	}
}

func TestResumedProducerKnowsItsStream(t *testing.T) {
	before := streamlog.New("memory", streamlog.NewMemory(), backend.Limits{})
	_, origin := resume(t, before, backend.Resumption{})
	later := streamlog.New("memory", streamlog.NewMemory(), backend.Limits{})
	for want, from := range map[error]backend.Resumption{
		backend.ErrConflict: {Name: "relay", Sent: 1, Origin: origin},
		backend.ErrRejected: {Name: "relay", Sent: 1, Origin: "elsewhere"},
	} {
		_, _, err := later.Resume(ctx, backend.Format{}, from)
		wantErr(t, err, want)
	}
}
