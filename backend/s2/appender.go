package s2

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/wire"
)

// NewAppender makes one producer's way into the stream. S2 has no place for a format, so readers must know what was written.
func (s *Stream) NewAppender(backend.Format) backend.Appender {
	return backend.Pipelined("s2: "+s.basin.name+"/"+s.name, s.newAppender(size))
}

func (s *Stream) newAppender(door func(*backend.Record) (int, error)) *appender {
	return &appender{stream: s, door: door, token: s.cfg.token}
}

// An appender keeps what outlives a connection. Its lock guards the state of its connection too: a batch must enter both
// or neither.
type appender struct {
	stream *Stream
	door   func(*backend.Record) (int, error) // what a record counts, or why S2 cannot store it

	// An AppendSession sets condition before each Send, and reads lastAck after each Recv, in the goroutine of that call.
	condition Condition
	lastAck   wire.Ack

	mu      sync.Mutex
	acked   uint64 // seqs below it are acknowledged
	claimed bool   // the fence is set
	token   *string
	left    time.Time // when a connection was last left because the server advised to reconnect

	// With Exclusive: next is the position of batch acked, and taken holds how many records each batch from there on has
	// that some connection took. Together they give the position of every batch, for as long as it is not known whether
	// the batch was stored there.
	placed bool // next is known
	next   uint64
	taken  []int
}

// Limits are S2's for one append.
func (a *appender) Limits() backend.Limits { return limits(a.stream.cfg.inFlight, a.door) }

// Dial makes a connection of its own for an append session: when the connection is closed, nothing more can come of it, and
// a slow stream holds up no other. Dial claims the stream first if it is to be fenced and is not yet, and looks where the
// tail is if appends are exclusive.
func (a *appender) Dial(ctx context.Context, seq uint64) (backend.Conn, error) {
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
	c := a.newConn(seq, tail)
	if err := c.open(ctx); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("s2: %s: %w", s.op("open"), meaning(err, repeatable))
	}
	return c, nil
}

func (a *appender) newConn(seq, tail uint64) *conn {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.acked = seq
	c := &conn{
		appender:  a,
		stream:    a.stream,
		tail:      tail,
		token:     a.token,
		readWake:  make(chan struct{}, 1),
		writeWake: make(chan struct{}, 1),
		received:  make(chan struct{}),
	}
	c.out = newOutbox(c.writeWake)
	c.life, c.kill = context.WithCancel(context.Background())
	return c
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

// locate finds the tail for exclusive appends. At the first opening the tail is where the appender begins; later it says
// which unacknowledged batches may have been stored.
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
		// The first append may create the stream, which then begins at 0. If appends may not create it, the opening of the
		// session fails.
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

// placeLocked says where batch seq of n records must go. A resend must have as many records as the batch had before:
// otherwise the batches behind it would have other positions than the ones that were sent already.
func (a *appender) placeLocked(seq uint64, n int) (batch, error) {
	b := batch{n: n, at: a.next}
	ahead := seq - a.acked // batches before this one
	for i, before := range a.taken {
		if uint64(i) < ahead {
			b.at += uint64(before)
			continue
		}
		if before != n {
			return batch{}, fmt.Errorf("seq %d had %d records and now has %d: %w", seq, before, n, backend.ErrConflict)
		}
		b.resent = true
		break
	}
	return b, nil
}

// ackedLocked notes that b, the oldest batch that is not acknowledged, is stored. It returns the seq of b.
func (a *appender) ackedLocked(b batch) uint64 {
	seq := a.acked
	a.acked++
	a.taken = a.taken[1:]
	a.next = b.at + uint64(b.n)
	a.lastAck = b.ack
	return seq
}
