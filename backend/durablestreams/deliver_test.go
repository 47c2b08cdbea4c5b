package durablestreams

import (
	"errors"
	"runtime"
	"testing"

	"github.com/headrace/headrace/backend"
)

// A session that is over sends nothing more, and does not say of a batch that it was sent under the epoch of the next session.
func TestNothingIsSentAfterTheEnd(t *testing.T) {
	c, err := New("http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	a := c.Stream("s").newAppender(encodingOf(backend.Format{ContentType: jsonType}))
	s := newConn(t.Context(), a)
	s.cancel(backend.ErrClosed)
	a.beginEpochLocked(7)
	if _, err := s.deliver(&batch{seq: 9}); !errors.Is(err, backend.ErrClosed) {
		t.Error(err)
	}
	if a.highest != -1 {
		t.Errorf("sequence %d of the new epoch counts as sent", a.highest)
	}
}

// An answer to a batch behind one that was refused may come when the next epoch has begun. It says nothing of that one, whose
// first batch has to be accepted before others are sent.
func TestLateAnswerDoesNotSettleTheNextEpoch(t *testing.T) {
	c, err := New("http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	a := c.Stream("s").newAppender(encodingOf(backend.Format{ContentType: jsonType}))
	late := ticket{epoch: a.epoch}
	a.beginEpochLocked(7)
	if a.accepted(late); a.epochAccepted {
		t.Error("the answer to a batch of the epoch before has decided about the next one")
	}
	if a.accepted(ticket{epoch: a.epoch}); !a.epochAccepted {
		t.Error("the answer to its own batch has not confirmed the epoch")
	}
}

// A frame that says it has millions of headers, and has not, gets no memory for them.
func TestHeadersThatAreNotThere(t *testing.T) {
	b := make([]byte, 1<<20)
	b[0], b[1], b[2] = 0xff, 0xff, 0x1f // 524,287 of them
	b[3] = 0xff                         // the first of which does not end
	for i := range b[4:20] {
		b[4+i] = 0xff
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := headersOf(b)
	runtime.ReadMemStats(&after)
	if !errors.As(err, new(*ProtocolError)) {
		t.Error(err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes for headers that are not there", n)
	}
}
