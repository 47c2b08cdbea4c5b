package durablestreams

import (
	"context"
	"crypto/rand"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
)

// NewAppender implements [backend.Sink]. Records with the format application/json become messages of a JSON stream; all other
// records are framed.
func (s *Stream) NewAppender(f backend.Format) backend.Appender {
	return s.pipelined(s.newAppender(s.encodingOf(f)))
}

// pipelined makes the appender for a producer.
func (s *Stream) pipelined(a *appender) backend.Appender {
	name := fmt.Sprintf("durablestreams: stream %.80q at %s://%s", s.name, s.url.Scheme, s.url.Host)
	return metered{Appender: backend.Pipelined(name, a), meter: a.encoding.meter}
}

// A metered appender checks the whole of a record when the record is offered to a producer. A session only measures the
// size: the check of the JSON is a third of the client's work for encoded records of 100 bytes, and is made once.
type metered struct {
	backend.Appender
	meter func([]byte, backend.Headers, time.Time) (int, error)
}

// Limits are the limits of the appender, with the meter for producers.
func (m metered) Limits() backend.Limits {
	l := m.Appender.Limits()
	l.Size = m.meter
	return l
}

// newAppender makes an appender before its first opening. The epoch is chosen by the first Dial, because NewAppender does no work.
func (s *Stream) newAppender(e encoding) *appender {
	a := &appender{
		stream: s, encoding: e, epoch: max(s.config.epoch, 0), epochGiven: s.config.epoch >= 0,
		highest: -1, highestEarlier: -1, window: window{size: s.config.inFlight},
	}
	// A random id has 128 bits or more: no other producer has the same, and epoch 0 is free.
	if a.id = s.config.producer; a.id == "" {
		a.id, a.randomID = rand.Text(), true
	}
	return a
}

// An appender is one producer as the server knows producers, over all sessions: an id, an epoch and a sequence.
//
// Each batch has two numbers. A seq is the number of a batch in the life of the appender, and never changes. A sequence
// (Producer-Seq) is the number of a batch in an epoch and begins at 0 again with each epoch: sequence = seq - base. The server
// compares epoch and sequence, and stores a batch with the same pair once.
type appender struct {
	stream     *Stream
	encoding   encoding
	id         string
	randomID   bool // no other producer has this id
	epochGiven bool // the caller has chosen the first epoch
	resumed    bool // made by Resume: the appender never begins another epoch, see finalError

	mu             sync.Mutex // also guards a conn and its batches; the order of locks is at conn
	checked        bool       // the stream is there, with this content type
	direct         bool       // appends go over links
	epoch          int64      // 0 until the first opening, unless the id is random or the epoch is given
	placeAccepted  bool       // the server has accepted a batch: from now on the loss of an epoch fences this producer
	epochAccepted  bool       // the server has accepted a batch in this epoch: several batches may be in flight
	base           uint64     // the seq of the batch with sequence 0 in this epoch; see Resume for a base below 0
	highest        int64      // highest sequence sent in this epoch, -1 before the first
	highestEarlier int64      // highest sequence sent in this epoch by sessions before the open session
	free           [][]byte   // buffers for bodies, not in use
	window         window
}

// Limits are the limits of a session. A metered appender has the limits for a producer.
func (a *appender) Limits() backend.Limits {
	c := &a.stream.config
	return backend.Limits{BatchBytes: c.batchBytes, RecordBytes: c.batchBytes, InFlight: c.inFlight, Size: a.encoding.size}
}

// Dial opens a session. The first Dial asks the server for the stream; later ones trust the first, because a request for each
// session would delay every reconnection, and a batch finds out soon enough.
func (a *appender) Dial(ctx context.Context, _ uint64) (backend.Conn, error) {
	// The lock is not held during the request, as no lock of this package is.
	a.mu.Lock()
	checked := a.checked
	a.mu.Unlock()
	if !checked {
		if err := a.check(ctx); err != nil {
			return nil, a.stream.failed("open", err)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	// The lock was free during the request. If two openings overlap, both have asked, and both answers are good.
	a.checked = true
	// The time orders the producers of an id without a shared counter: a later start has a later epoch. If two clocks differ, the
	// later producer meets a stale answer and claims the epoch behind the server's.
	if a.epoch == 0 && !a.randomID && !a.epochGiven {
		a.epoch = time.Now().UnixMilli()
	}
	// From here on, sequences up to highest count as sent by an earlier session: their batches may be stored.
	a.highestEarlier = a.highest
	return newConn(ctx, a), nil
}

// check finds mistakes at the opening that would otherwise end the first batch. The protocol has the same status for a wrong
// content type and for other conflicts, and an answer to a batch would not tell the two apart.
func (a *appender) check(ctx context.Context) error {
	s := a.stream
	if a.epochGiven && a.randomID {
		return fmt.Errorf("%w: Epoch without ProducerID: a producer with a random id has no producer before it", backend.ErrRejected)
	}
	// The id and the type are the caller's texts. A wrong one is refused here, not with each batch.
	if err := sendable(http.Header{"Producer-Id": {a.id}, "Content-Type": {a.encoding.contentType}}); err != nil {
		return err
	}
	ctx, cancel := s.client.attempt(ctx)
	defer cancel()
	req, err := s.request(ctx, http.MethodHead, nil, nil)
	if err != nil {
		return err
	}
	resp, err := s.do(req)
	if err != nil {
		return lost(err, false)
	}
	if resp.StatusCode != http.StatusOK {
		return s.statusError("head", resp)
	}
	discard(resp.Body)
	a.mu.Lock()
	// net/http and the server have agreed on a protocol, for https during the handshake. The next connections agree on the same.
	a.direct = s.client.links != nil && resp.ProtoMajor == 1
	a.mu.Unlock()
	// A wrong type is found here, and not at the first batch: the protocol answers a batch of a wrong type with the
	// status of a conflict.
	if got := mediaType(resp.Header.Get("Content-Type")); got != a.encoding.contentType {
		return fmt.Errorf("%w: the stream has content type %.80q, the records need %q", backend.ErrRejected, got, a.encoding.contentType)
	}
	return nil
}

// claim tries another epoch, which may also have an owner. Nothing was sent in the epoch by this appender.
func (a *appender) claim(epoch int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	// base stays: only the first batch of an epoch is in flight while the epoch is contested, so base is the seq of the batch.
	a.epoch, a.highest, a.highestEarlier = epoch, -1, -1
}

// beginEpochLocked begins the next epoch at seq. There are two reasons: the server knows nothing of the present epoch any more, or
// other batches will take the place of batches whose requests may still arrive. The server refuses the late requests as stale
// then. Without a new epoch it would store an old batch under the sequence of a new one.
func (a *appender) beginEpochLocked(seq uint64) {
	a.epoch++
	a.base, a.highest, a.highestEarlier, a.epochAccepted = seq, -1, -1, false
}

// accepted notes that the server has accepted a batch. The answer may come after the beginning of another epoch, and says nothing
// about the new epoch then.
func (a *appender) accepted(t ticket) {
	a.mu.Lock()
	defer a.mu.Unlock()
	// The place is ours, in whatever epoch. A stale answer from now on means that another producer has taken over, and
	// raising the epoch again would fence that producer in turn.
	a.placeAccepted = true
	a.epochAccepted = a.epochAccepted || t.epoch == a.epoch // the window opens
	a.window.accept(a.stream.config.inFlight)
}

// highestSent is the highest sequence sent in the present epoch.
func (a *appender) highestSent() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.highest
}

// buffer returns an empty buffer, used before if possible.
func (a *appender) buffer() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.free); n > 0 {
		b := a.free[n-1]
		a.free = a.free[:n-1]
		return b[:0]
	}
	return nil
}

// reuse keeps a buffer for a later batch.
func (a *appender) reuse(b []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reuseLocked(b)
}

// reuseLocked keeps a buffer for a later batch. More buffers than batches in flight are never in use at once.
func (a *appender) reuseLocked(b []byte) {
	if len(a.free) < a.stream.config.inFlight {
		a.free = append(a.free, b)
	}
}

// mediaType is the type without parameters, in lower case. The protocol compares content types in this form.
func mediaType(v string) string {
	if t, _, err := mime.ParseMediaType(v); err == nil {
		return t
	}
	t, _, _ := strings.Cut(v, ";")
	return strings.ToLower(strings.TrimSpace(t))
}
