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
	return s.newAppender(s.encodingOf(f))
}

func (s *Stream) newAppender(e encoding) *appender {
	a := &appender{
		stream: s, encoding: e, epoch: max(s.config.epoch, 0), given: s.config.epoch >= 0,
		sent: -1, before: -1, window: window{size: s.config.inFlight},
	}
	if a.id = s.config.producer; a.id == "" {
		a.id, a.private = rand.Text(), true
	}
	return a
}

type appender struct {
	stream   *Stream
	encoding encoding
	id       string
	private  bool // nobody else has this id
	given    bool // the first epoch is the caller's

	mu      sync.Mutex
	checked bool   // the stream is there, with this content type
	epoch   int64  // 0 until the first opening, unless private or given
	claimed bool   // the server has accepted a batch: an epoch lost from now on is lost for good
	steady  bool   // the server has accepted a batch in this epoch: more may be on their way at once
	base    uint64 // the seq that is Producer-Seq 0 in this epoch
	acked   uint64 // seqs below it were returned by Recv
	sent    int64  // highest Producer-Seq sent in this epoch, -1 for none
	before  int64  // the same by the sessions before the one that is open
	free    [][]byte
	window  window
}

func (a *appender) Limits() backend.Limits {
	c := &a.stream.config
	return backend.Limits{BatchBytes: c.batchBytes, RecordBytes: c.batchBytes, InFlight: c.inFlight, Size: a.encoding.meter}
}

func (a *appender) Open(ctx context.Context) (backend.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, a.stream.failed("open", fmt.Errorf("%w: %w", backend.ErrTransient, err))
	}
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
	if a.epoch == 0 && !a.private && !a.given {
		a.epoch = time.Now().UnixMilli()
	}
	a.before = a.sent
	life, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	return &session{
		appender: a, life: life, cancel: cancel, next: a.acked,
		room: make(chan struct{}, a.stream.config.inFlight), wake: make(chan struct{}, 1), turn: make(chan struct{}, 1),
	}, nil
}

// check finds out at the opening what would otherwise be the fate of the first batch, as the protocol has one answer for a
// wrong content type and for other conflicts.
func (a *appender) check(ctx context.Context) error {
	s := a.stream
	if a.given && a.private {
		return fmt.Errorf("%w: Epoch without ProducerID: a producer with a random id has nobody before it", backend.ErrRejected)
	}
	if err := sendable(http.Header{"Producer-Id": {a.id}, "Content-Type": {a.encoding.contentType}}); err != nil {
		return err
	}
	req, err := s.request(ctx, http.MethodHead, nil, nil)
	if err != nil {
		return err
	}
	resp, err := s.do(req)
	if err != nil {
		return lost(err, false)
	}
	discard(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return statusError("head", resp)
	}
	if got := mediaType(resp.Header.Get("Content-Type")); got != a.encoding.contentType {
		return fmt.Errorf("%w: the stream has content type %.80q, the records need %q", backend.ErrConflict, got, a.encoding.contentType)
	}
	return nil
}

// fresh begins a new epoch at seq, because the server knows nothing of this one any more or because requests may be under
// way whose batches are going to be others: those are refused as stale now, whenever they arrive.
func (a *appender) fresh(seq uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.epoch++
	a.base, a.sent, a.before, a.steady = seq, -1, -1, false
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
