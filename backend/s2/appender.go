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

// NewAppender makes a producer's way into the stream. S2 has no place for a format: readers must know the format already.
func (s *Stream) NewAppender(backend.Format) backend.Appender {
	return s.pipelined(s.newAppender(sizeOfData))
}

func (s *Stream) pipelined(a *appender) backend.Appender {
	return backend.Pipelined("s2: "+s.basin.name+"/"+s.name, a)
}

func (s *Stream) newAppender(size func([]byte, backend.Headers, time.Time) (int, error)) *appender {
	return &appender{stream: s, size: size, token: s.cfg.token}
}

// An appender keeps the state of a producer over all its connections. The appender's lock guards the state of the current conn
// too, because a batch must enter the lists of both at once, or of neither. With two locks, the connection could end in between:
// the batch would be in flight and unknown to the appender, and an exclusive resend would get a wrong position.
type appender struct {
	stream *Stream
	size   func([]byte, backend.Headers, time.Time) (int, error) // sizeOfData, or sizeOf where command records are allowed

	// An AppendSession sets condition before each Send, and reads lastAck after each Recv. Write runs within Send and Read
	// within Recv, so no lock is needed.
	condition Condition
	lastAck   wire.Ack

	mu      sync.Mutex
	acked   uint64 // the first seq without an ack
	claimed bool   // the fence is set
	token   *string
	advised time.Time // when a session last followed the server's advice to reconnect

	// Exclusive demands a position for every batch, also while nobody knows whether an earlier connection has stored the
	// batch. next is the position of the batch with seq acked. taken[i] is the number of records of the batch with seq acked+i,
	// for every batch that a connection has taken. The position of that batch is next + taken[0] + … + taken[i-1].
	placed bool // next is known
	next   uint64
	taken  []int // uncounted for a batch of another process
}

// Limits are S2's for one append.
func (a *appender) Limits() backend.Limits { return limits(a.stream.cfg.inFlight, a.size) }

// Dial makes a connection for a single append session. When the connection is closed, nothing of the session can reach the
// server any more, and a slow stream does not delay other streams. With Fence, the first Dial claims the stream. With
// Exclusive, each Dial asks for the tail.
func (a *appender) Dial(ctx context.Context, seq uint64) (backend.Conn, error) {
	s := a.stream
	if err := s.fault; err != nil {
		return nil, fmt.Errorf("s2: %s: %w", s.op("open"), err)
	}
	if a.token != nil {
		if err := checkToken(*a.token); err != nil {
			return nil, fmt.Errorf("s2: %s: %w", s.op("open"), err)
		}
	}
	// The fence comes before the tail is read. Otherwise an older producer could append between the two, and the position of the
	// first batch would be wrong.
	if err := a.claim(ctx); err != nil {
		return nil, err
	}
	tail, err := a.locate(ctx)
	if err != nil {
		return nil, err
	}
	// With Exclusive, the tail was asked after the earlier connection was closed and before this session sends anything. So a
	// batch below the tail is from before this connection, and compare can decide about the batch.
	c := a.newConn(seq, tail)
	if err := c.open(ctx); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("s2: %s: %w", s.op("open"), repeatableMeaning(err))
	}
	return c, nil
}

func (a *appender) newConn(seq, tail uint64) *conn {
	a.mu.Lock()
	defer a.mu.Unlock()
	// Batches of an earlier connection keep their entries in taken, so a resend is recognized by its seq.
	a.acked = seq // the first seq of a connection is the first seq without an ack
	c := &conn{
		appender: a,
		stream:   a.stream,
		tail:     tail,
		token:    a.token,
		readWake: make(chan struct{}, 1),
		received: make(chan struct{}),
	}
	// The session must live on when the ctx of Dial has ended, so life does not descend from that ctx.
	c.life, c.kill = context.WithCancel(context.Background())
	return c
}

// claim sets the fence at the first opening. A fence set twice by the same appender does no harm, so after a failure of
// unknown outcome the opening may be tried again.
func (a *appender) claim(ctx context.Context) error {
	a.mu.Lock()
	need := a.stream.cfg.fence && !a.claimed
	token := a.token
	a.mu.Unlock()
	if !need {
		return nil
	}
	// A random token is as good as any: the fence only has to differ from the fences of all other producers.
	if token == nil {
		t := rand.Text()
		token = &t
	}
	// S2 raises the time of a record to the time of the record before. If the fence had the present time, S2 would raise the
	// times given to the records behind the fence. If the fence had no time, a stream with required times would refuse the
	// fence. The time 0 avoids both.
	fence := FenceRecord(*token)
	fence.Time = time.UnixMilli(0)
	if _, err := a.stream.append(ctx, a.stream.op("fence"), []backend.Record{fence}, Condition{}); err != nil {
		// An append of unknown outcome would stop a producer with AtMostOnce. Here the record is a fence that may be stored
		// twice without harm, so the opening counts as transient.
		if errors.Is(err, backend.ErrIndeterminate) {
			return fmt.Errorf("s2: %s: %w: %w", a.stream.op("claim"), backend.ErrTransient, err)
		}
		return fmt.Errorf("s2: %s: %w", a.stream.op("claim"), err)
	}
	a.mu.Lock()
	// Only a stored fence counts. If claimed were set before the append, the opening after a failed append would go on without
	// a fence.
	a.claimed, a.token = true, token
	a.mu.Unlock()
	return nil
}

// locate finds the tail for exclusive appends. The appender begins at the tail of the first opening. The tail of a later
// opening shows which batches without an ack may be stored.
func (a *appender) locate(ctx context.Context) (uint64, error) {
	if !a.stream.cfg.exclusive {
		return 0, nil
	}
	pos, err := a.stream.CheckTail(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	var refused *Error
	switch {
	case errors.As(err, &refused) && refused.Code == codeStreamNotFound && a.next == 0:
		// The first append may create the stream at position 0. If appends may not create streams, the opening of the session
		// fails.
		pos = Position{}
	case err != nil:
		return 0, err
	}
	// Only the first opening chooses the place. If a later opening took the tail as the place, records of another writer in
	// between would go unnoticed.
	if !a.placed {
		a.placed, a.next = true, pos.SeqNum
	}
	// The stream was deleted and created again, or the server has lost acknowledged records. Appending at the new tail would hide
	// the loss from the readers.
	if pos.SeqNum < a.next {
		return 0, fmt.Errorf("s2: %s: the tail is at %d, behind %d that was acknowledged: %w", a.stream.op("open"),
			pos.SeqNum, a.next, backend.ErrConflict)
	}
	return pos.SeqNum, nil
}

// placeLocked gives batch seq of n records its position. A resend must keep the number of records: with another number, the
// batches behind would move, and earlier connections have already sent these batches to the old positions. When another
// process has sent the batch, the number is unknown until the caller sends the batch again.
func (a *appender) placeLocked(seq uint64, n int) (batch, error) {
	b := batch{n: n, at: a.next}
	ahead := seq - a.acked // batches before batch seq
	for i, before := range a.taken {
		if uint64(i) < ahead {
			b.at += uint64(before)
			continue
		}
		if before == uncounted {
			a.taken[i] = n
		} else if before != n {
			return batch{}, fmt.Errorf("seq %d had %d records and now has %d: %w", seq, before, n, backend.ErrConflict)
		}
		b.resent = true
		break
	}
	return b, nil
}

// ackedLocked moves on behind b, the oldest batch without an ack, and returns the seq of b.
func (a *appender) ackedLocked(b batch) uint64 {
	seq := a.acked
	a.acked++
	a.taken = a.taken[1:]
	// b.at is the position that the ack has named, or that compare has found.
	a.next = b.at + uint64(b.n)
	a.lastAck = b.ack
	return seq
}
