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

// NewAppender implements [backend.Sink]. Records whose format is application/json become messages of a JSON stream; all
// others are framed.
func (s *Stream) NewAppender(f backend.Format) backend.Appender {
	return s.pipelined(s.encodingOf(f))
}

func (s *Stream) pipelined(e encoding) backend.Appender {
	name := fmt.Sprintf("durablestreams: stream %.80q at %s://%s", s.name, s.url.Scheme, s.url.Host)
	return metered{Appender: backend.Pipelined(name, s.newAppender(e)), meter: e.meter}
}

// A metered appender looks at the whole of a record when the record is offered to a producer. A session measures only the
// size: to look again at the JSON of every record would cost as much as to encode the record.
type metered struct {
	backend.Appender
	meter func(*backend.Record) (int, error)
}

func (m metered) Limits() backend.Limits {
	l := m.Appender.Limits()
	l.Size = m.meter
	return l
}

func (s *Stream) newAppender(e encoding) *appender {
	a := &appender{
		stream: s, encoding: e, epoch: max(s.config.epoch, 0), epochGiven: s.config.epoch >= 0,
		highest: -1, highestEarlier: -1, window: window{size: s.config.inFlight},
	}
	if a.id = s.config.producer; a.id == "" {
		a.id, a.randomID = rand.Text(), true
	}
	return a
}

// An appender is what one producer is to the server, over all its sessions: an id, an epoch and a sequence.
type appender struct {
	stream     *Stream
	encoding   encoding
	id         string
	randomID   bool // no other producer has this id
	epochGiven bool // the caller has chosen the first epoch

	mu             sync.Mutex // see conn for what else it guards, and for the order of locks
	checked        bool       // the stream is there, with this content type
	epoch          int64      // 0 until the first opening, unless the id is random or the epoch is given
	placeAccepted  bool       // the server has accepted a batch: a producer that loses its epoch from now on is fenced
	epochAccepted  bool       // the server has accepted a batch in this epoch: several may be in flight at once
	base           uint64     // the seq that is Producer-Seq 0 in this epoch
	highest        int64      // highest Producer-Seq sent in this epoch, -1 for none
	highestEarlier int64      // the same, sent by the sessions before the one that is open
	free           [][]byte   // buffers for bodies
	window         window
}

// Limits are those of the session. See metered for those of the producer.
func (a *appender) Limits() backend.Limits {
	c := &a.stream.config
	return backend.Limits{BatchBytes: c.batchBytes, RecordBytes: c.batchBytes, InFlight: c.inFlight, Size: a.encoding.size}
}

// Dial opens a session. The first time it asks whether the stream is there.
func (a *appender) Dial(ctx context.Context, _ uint64) (backend.Conn, error) {
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
	a.checked = true
	if a.epoch == 0 && !a.randomID && !a.epochGiven {
		a.epoch = time.Now().UnixMilli()
	}
	a.highestEarlier = a.highest
	return newConn(ctx, a), nil
}

// check finds out at the opening what would otherwise end the first batch. The protocol has one status for a wrong content
// type and for other conflicts, so the answer to a batch does not tell them apart.
func (a *appender) check(ctx context.Context) error {
	s := a.stream
	if a.epochGiven && a.randomID {
		return fmt.Errorf("%w: Epoch without ProducerID: a producer with a random id has no producer before it", backend.ErrRejected)
	}
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
	if got := mediaType(resp.Header.Get("Content-Type")); got != a.encoding.contentType {
		return fmt.Errorf("%w: the stream has content type %.80q, the records need %q", backend.ErrRejected, got, a.encoding.contentType)
	}
	return nil
}

// claim takes an epoch that another producer may have.
func (a *appender) claim(epoch int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.epoch, a.highest, a.highestEarlier = epoch, -1, -1
}

// beginEpochLocked begins the next epoch at seq: the server knows nothing of the present epoch any more, or other batches
// will take the place of batches whose requests may still arrive. The server refuses those requests as stale then.
func (a *appender) beginEpochLocked(seq uint64) {
	a.epoch++
	a.base, a.highest, a.highestEarlier, a.epochAccepted = seq, -1, -1, false
}

// accepted notes that the server has accepted a batch. The answer may come when another epoch has begun: then it says nothing
// about the new epoch.
func (a *appender) accepted(t ticket) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.placeAccepted = true
	a.epochAccepted = a.epochAccepted || t.epoch == a.epoch
	a.window.accept(a.stream.config.inFlight)
}

func (a *appender) highestSent() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.highest
}

// buffer returns an empty buffer that may have been used before.
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

func (a *appender) reuse(b []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reuseLocked(b)
}

// reuseLocked keeps a buffer for a later batch. More than one for each batch in flight are never used at once.
func (a *appender) reuseLocked(b []byte) {
	if len(a.free) < a.stream.config.inFlight {
		a.free = append(a.free, b)
	}
}

// mediaType is the type alone, in lower case, as the protocol compares it.
func mediaType(v string) string {
	if t, _, err := mime.ParseMediaType(v); err == nil {
		return t
	}
	t, _, _ := strings.Cut(v, ";")
	return strings.ToLower(strings.TrimSpace(t))
}
