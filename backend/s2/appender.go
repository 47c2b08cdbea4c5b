package s2

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/s2s"
)

// NewAppender makes one producer's way in. S2 has no place for a format: readers must know what was written.
func (s *Stream) NewAppender(backend.Format) backend.Appender {
	return &appender{stream: s, token: s.cfg.token}
}

// An appender keeps what outlives a session. Its lock is also that of its session.
type appender struct {
	stream *Stream

	mu      sync.Mutex
	acked   uint64 // seqs below it were returned by Recv
	claimed bool   // the fence is set
	token   *string
	left    time.Time // when a session last ended because the server advised to reconnect

	// With Exclusive: where batch acked must go, and how many records each batch from there on has that some session
	// took. Together they say where every batch must go, for as long as it is not known whether it went there.
	placed bool
	next   uint64
	taken  []int
}

// Limits are S2's for one append; Size is its meter.
func (a *appender) Limits() backend.Limits {
	return backend.Limits{
		BatchRecords: BatchRecords,
		BatchBytes:   BatchBytes,
		RecordBytes:  BatchBytes,
		InFlight:     a.stream.cfg.inFlight,
		Size:         size,
	}
}

// Open claims the stream if it is to be fenced and has not been, looks where its tail is if appends are exclusive, and
// opens an append session on a connection of its own: when that is closed, nothing more can come of it, and a slow stream
// holds up no other.
func (a *appender) Open(ctx context.Context) (backend.Session, error) {
	s := a.stream
	if err := s.basin.check(s.name); err != nil {
		return nil, fmt.Errorf("s2: %s: %w", s.op("open"), err)
	}
	if a.token != nil {
		if err := checkToken(*a.token); err != nil {
			return nil, fmt.Errorf("s2: %s: %w", s.op("open"), err)
		}
	}
	if err := a.claim(ctx); err != nil {
		return nil, err
	}
	tail, err := a.locate(ctx)
	if err != nil {
		return nil, err
	}
	n := a.newSession(tail)
	if err := n.dial(ctx); err != nil {
		_ = n.Close()
		return nil, fmt.Errorf("s2: %s: %w", s.op("open"), harmless(err))
	}
	go n.receive()
	if s.cfg.bare {
		return n, nil
	}
	if n.suffix, err = s.hold(ctx); err != nil {
		_ = n.Close()
		return nil, fmt.Errorf("s2: %s: %w", s.op("open"), harmless(err))
	}
	s.release() // an append session that is idle hears nothing of a deletion
	return n, nil
}

// claim sets the fence, once. Doing it twice is harmless, so a failure of unknown outcome may be tried again.
func (a *appender) claim(ctx context.Context) error {
	a.mu.Lock()
	need := a.stream.cfg.fence && !a.claimed
	token := a.token
	a.mu.Unlock()
	if !need {
		return nil
	}
	if token == nil {
		t := rand.Text()
		token = &t
	}
	// S2 raises the time to that of the record before. With the present one, times that are given to the records behind it
	// would be raised to that; without one, a stream that requires times would refuse it.
	fence := FenceRecord(*token)
	fence.Time = time.UnixMilli(0)
	if _, err := a.stream.append(ctx, []backend.Record{fence}, Condition{}); err != nil {
		if errors.Is(err, backend.ErrIndeterminate) {
			return fmt.Errorf("s2: %s: %w: %w", a.stream.op("claim"), backend.ErrTransient, err)
		}
		return fmt.Errorf("s2: %s: %w", a.stream.op("claim"), err)
	}
	a.mu.Lock()
	a.claimed, a.token = true, token
	a.mu.Unlock()
	return nil
}

// locate finds the tail for exclusive appends: at first it is where the appender begins, later it says what may have
// landed.
func (a *appender) locate(ctx context.Context) (uint64, error) {
	if !a.stream.cfg.exclusive {
		return 0, nil
	}
	pos, err := a.stream.CheckTail(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	var refused *Error
	switch {
	case errors.As(err, &refused) && refused.Code == "stream_not_found" && a.next == 0:
		// The first append may create it, and it will begin at 0. If none may, the opening says so.
		pos = Position{}
	case err != nil:
		return 0, err
	}
	if !a.placed {
		a.placed, a.next = true, pos.SeqNum
	}
	if pos.SeqNum < a.next {
		return 0, fmt.Errorf("s2: %s: the tail is at %d, behind %d that was acknowledged: %w", a.stream.op("open"),
			pos.SeqNum, a.next, backend.ErrConflict)
	}
	return pos.SeqNum, nil
}

// position says where seq must go, and how many records it has if a session has taken it before. The lock is held.
func (a *appender) position(seq uint64) (pos uint64, n int, resent bool) {
	pos = a.next
	for i, n := range a.taken {
		if a.acked+uint64(i) == seq {
			return pos, n, true
		}
		pos += uint64(n)
	}
	return pos, 0, false
}

func (a *appender) newSession(tail uint64) *session {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &session{
		appender: a,
		stream:   a.stream,
		tail:     tail,
		token:    a.token,
		next:     a.acked,
		recv:     make(chan struct{}, 1),
		send:     make(chan struct{}, 1),
		done:     make(chan struct{}),
	}
	s.out = newOutbox(s.send)
	s.life, s.kill = context.WithCancel(context.Background())
	return s
}

// dial opens the request. ctx bounds this and nothing later.
func (s *session) dial(ctx context.Context) error {
	client := s.stream.client()
	var plain *settledConn // with TLS, what is read says nothing of settings
	s.transport = client.streaming(func(c net.Conn) net.Conn {
		s.connMu.Lock()
		defer s.connMu.Unlock()
		s.conns = append(s.conns, c)
		if client.basin.scheme == "http" {
			plain = newSettledConn(c)
			c = plain
		}
		return c
	})
	life := settled(s.life, func() *settledConn {
		s.connMu.Lock()
		defer s.connMu.Unlock()
		return plain
	})
	coder, err := s2s.NewCoder(client.cfg.compression)
	if err != nil {
		return err
	}
	s.coder = coder
	req, err := s.stream.request(life, http.MethodPost, nil)
	if err != nil {
		return err
	}
	req.Body = s.out
	req.ContentLength = -1
	req.Header.Set("Content-Type", "s2s/proto")
	req.Header.Set("Accept", protobuf)
	giveUp := func() {
		s.kill()
		_ = s.out.Close() // over HTTP/1.1 the transport waits for its reading of the body, whatever becomes of the request
	}
	res, err := client.open(ctx, giveUp, s.transport, req)
	if err != nil {
		return err
	}
	s.body = res.Body
	s.frames = s2s.NewReader(res.Body)
	return nil
}
