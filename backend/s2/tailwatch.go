package s2

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/backend/s2/internal/wire"
	"github.com/headrace/headrace/internal/h2"
)

// A tailWatch is a read session at the tail of a stream that no goroutine reads. A tailWatch only finds out whether there is
// something to read, and forgets what it gets. The reader then asks for the same place with a session of its own. So no record can
// be lost or repeated here, and the reader alone decides about every other answer.
//
// Heartbeats are the only answer that does not end a tailWatch. They say each time that the tail still is at next.
type tailWatch struct {
	stream  *Stream
	next    uint64
	request *h2.Waiting
	silence *time.Timer
	part    []byte // of a frame whose rest has not come; only Data uses part

	mu        sync.Mutex
	confirmed bool      // the server has confirmed the watch: a heartbeat has said that the tail is at next
	heard     time.Time // when the latest heartbeat came
	over      bool      // the watch has ended
	lost      error     // why the watch has ended, if the server did not end it: nothing can come any more
	wake      func()    // called when the watch is over; nil before the reader relies on the watch
}

// watchTail starts a tailWatch at next. The server confirms the watch only later, and perhaps never: see tailWatch.rely.
func (s *Stream) watchTail(next uint64) *tailWatch {
	w := &tailWatch{stream: s, next: next}
	w.mu.Lock() // the watch may end before it is complete
	defer w.mu.Unlock()
	// The connections of the client to a server have a pool. A silent connection ends all its requests, and a server that is silent
	// about one stream alone ends the watch of the stream.
	w.silence = time.AfterFunc(s.cfg.silence, w.endSilent)
	w.request = s.client().waits(s.basin.name).Start(w.prepare, w)
	return w
}

// prepare makes the request of a read session at next.
func (w *tailWatch) prepare(ctx context.Context) (*http.Request, error) {
	q, err := startQuery(At(w.next))
	if err != nil {
		return nil, err
	}
	req, err := w.stream.sessionRequest(ctx, q)
	if err != nil {
		return nil, err
	}
	return req, w.stream.client().authorize(ctx, req)
}

// rely lets the watch call wake once when the watch is over. If the server has not confirmed the watch, or the watch is over, rely
// returns false, and the watch never calls wake. From rely to its end, the watch holds the incarnation of the stream, as a session does.
func (w *tailWatch) rely(wake func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.confirmed || w.over {
		return false
	}
	w.stream.incarnation.retain()
	w.wake = wake
	return true
}

// state reports whether the watch is over, and why nothing can come any more.
func (w *tailWatch) state() (over bool, lost error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over, w.lost
}

// Data implements [h2.Listener].
func (w *tailWatch) Data(p []byte) (more bool) {
	w.part = append(w.part, p...)
	confirmed, quiet := w.heartbeats()
	if !quiet {
		w.end(nil)
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return false
	}
	w.heard, w.confirmed = time.Now(), w.confirmed || confirmed
	w.silence.Reset(w.stream.cfg.silence)
	return true
}

// mostHeartbeat bounds the payload of a heartbeat. A heartbeat has two numbers of 64 bits, and needs less.
const mostHeartbeat = 64

// heartbeats cuts the whole frames off part. quiet is false when something other than a heartbeat has come, also if only its
// beginning has come. confirmed says that a heartbeat has told the tail, and that the tail is at next.
func (w *tailWatch) heartbeats() (confirmed, quiet bool) {
	rest := w.part
	for {
		flags, payload, behind, whole := s2s.Cut(rest)
		if !whole {
			break
		}
		// Any flag may end the session or ask for another connection, and a heartbeat has none.
		if flags.Terminal() || flags.Reconnect() || flags.Codec() != s2s.None || len(payload) > mostHeartbeat {
			return false, false
		}
		var d wire.Decoder
		b, err := d.Decode(payload)
		// A tail behind next without a record means that the record is on its way, or was trimmed.
		if err != nil || len(b.Records) > 0 || b.HasTail && b.Tail.SeqNum != w.next {
			return false, false
		}
		confirmed, rest = confirmed || b.HasTail, behind
	}
	w.part = nil // thousands of watches wait, nearly always between two frames
	if len(rest) > 0 {
		w.part = bytes.Clone(rest)
	}
	return confirmed, len(rest) < s2s.HeaderSize+mostHeartbeat
}

// Ended implements [h2.Listener].
func (w *tailWatch) Ended(err error, lost bool) {
	if !lost {
		err = nil // the server has a reason, and the reader will get the reason
	}
	w.end(err)
}

func (w *tailWatch) endSilent() {
	w.end(fmt.Errorf("no byte came for %v", w.stream.cfg.silence))
	w.mu.Lock()
	request := w.request
	w.mu.Unlock()
	request.Stop()
}

// close gives the watch up. A reader that relies on the watch is woken.
func (w *tailWatch) close() {
	w.request.Stop()
	w.end(nil)
}

func (w *tailWatch) end(lost error) {
	w.mu.Lock()
	if w.over {
		w.mu.Unlock()
		return
	}
	w.over, w.lost = true, lost
	w.silence.Stop()
	wake, heard := w.wake, w.heard
	w.wake = nil
	w.mu.Unlock()
	if wake == nil {
		return
	}
	// The stream was there when the latest heartbeat came. Later, somebody may have deleted the stream and made another one of
	// the same name.
	w.stream.incarnation.release(heard)
	wake()
}
