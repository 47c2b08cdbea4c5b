package s2

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/backend/s2/internal/wire"
)

var errEnded = errors.New("the server ended the session")

// Read returns one ack for each batch. When an ack and a failure are both there, the ack comes first. A token of readWake may
// belong to something that an earlier Read has returned already, so Read polls again after every token.
func (c *conn) Read(ctx context.Context) (backend.Ack, error) {
	for {
		ack, ok, err := c.poll(ctx)
		if ok || err != nil {
			return ack, err
		}
		select {
		case <-c.readWake:
		case <-ctx.Done(): // poll sees the end of ctx too, and looks for an ack before
		}
	}
}

// poll returns an ack, or the reason for no further acks, without waiting. The order of the cases matters: acks first, then the
// ends that we know best, and the end of ctx last.
func (c *conn) poll(ctx context.Context) (ack backend.Ack, ok bool, err error) {
	c.appender.mu.Lock()
	defer c.appender.mu.Unlock()
	switch {
	case c.answered > 0:
		// Acks come first in every case: an ack lost here would make the producer send the batch a second time.
		return c.ackLocked(), true, nil
	// Close cuts the connection, and the cut sets ended. ErrClosed tells the caller that Close was the reason, and not the
	// network.
	case c.closed:
		return ack, false, backend.ErrClosed
	case c.advised && len(c.inflight) == 0:
		// The server has answered everything. It may take its time to end the response, and nobody needs to wait.
		return ack, false, errAdvised
	// This case comes before ended: the connection may be lost behind the last answer, and such a loss harms nobody.
	case c.finished && len(c.inflight) == 0:
		return ack, false, io.EOF
	case c.ended != nil:
		return ack, false, c.ended
	case ctx.Err() != nil:
		// Pipelined ends the session with this error, so the connection must not take or acknowledge anything from now on.
		c.endLocked(ctx.Err())
		return ack, false, c.ended
	}
	return ack, false, nil
}

// ackLocked takes the oldest batch off the queue. OffsetOf outlives the connection, so the closure holds three small values
// and neither the batch nor the conn.
func (c *conn) ackLocked() backend.Ack {
	b := c.inflight[0]
	c.inflight = c.inflight[1:]
	c.answered--
	// The appender moves on together with the queue, under the same lock. If the connection ended in between, the next
	// connection would send an acknowledged batch again.
	seq := c.appender.ackedLocked(b)
	first, n, suffix := b.at, b.n, c.suffix
	return backend.Ack{
		Seq:  seq,
		Next: offsetIn(first+uint64(n), suffix),
		OffsetOf: func(i int) backend.Offset {
			if i < 0 || i >= n {
				return ""
			}
			return offsetIn(first+uint64(i), suffix)
		},
	}
}

// receive reads the server's answers to the end of the response, all the time and not only within Read. Therefore a connection
// lost while nothing is in flight is noticed too, and Write refuses the next batch.
func (c *conn) receive() {
	defer close(c.received)
	defer c.body.Close()
	coder, _ := c.stream.client().coders.New(s2s.None) // without a codec New cannot fail, and the coder opens frames of all codecs
	// The coder and the body live as long as this goroutine, and no other goroutine uses them.
	defer coder.Close()
	for {
		// This read never stops, also while nothing is in flight: see h2.Stream.
		flags, payload, err := c.frames.Borrow() // payload is valid until the next call; frame keeps nothing of it
		if err == nil {
			err = c.frame(coder, flags, payload)
		}
		if err != nil {
			c.end(err)
			return
		}
	}
}

// frame handles one frame of the server: an ack, or the reason for no further acks.
func (c *conn) frame(coder *s2s.Coder, flags s2s.Flags, payload []byte) error {
	if flags.Terminal() { // the last frame of a session that the server ends: a status and the body of an error
		status, body, err := s2s.Terminal(payload)
		if err != nil {
			return err
		}
		// A proxy may repeat the headers of the request in its answer, and with the headers the access token. parseError hides
		// the token.
		return parseError(status, body, c.stream.secrets())
	}
	// The server chooses a codec for each frame, so the flags of the frame decide, and not what we have asked for.
	payload, err := coder.Open(flags, payload)
	if err != nil {
		return err
	}
	ack, err := wire.DecodeAck(payload)
	if err != nil {
		return &ProtocolError{err}
	}
	return c.matchAck(ack, flags.Reconnect())
}

// matchAck matches an ack with the first batch without an ack. An ack with the wrong number of records, or with a wrong position,
// is not believed: the producer would report lost records as stored, or report wrong offsets.
func (c *conn) matchAck(ack wire.Ack, reconnect bool) error {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	// The context of Read has ended, and Read has returned this end: nobody would return a later ack. If the later ack counted, Fate
	// would take its batch for unsent, and the producer would store the batch a second time.
	if c.ended != nil {
		return c.ended
	}
	// The wire has no ids, so only these checks notice that an ack belongs to another batch: the number of records, the order of the
	// positions, and with Exclusive the position itself.
	start, end := ack.Start.SeqNum, ack.End.SeqNum
	// A server that acknowledges more than it got has lost count. From now on every ack could belong to another batch.
	if c.answered == len(c.inflight) {
		return protocolErrorf("an ack of %d to %d, and no batch is in flight", start, end)
	}
	b := &c.inflight[c.answered]
	switch {
	// Both numbers come from the server: end may be the smaller one, and the difference would be a huge number.
	case end < start || end-start != uint64(b.n):
		return protocolErrorf("an ack of %d to %d for a batch of %d records", start, end, b.n)
	// Two batches at the same positions: one of them was not stored.
	case c.acks > 0 && start < c.ackEnd:
		return protocolErrorf("an ack of %d to %d behind an ack up to %d", start, end, c.ackEnd)
	case c.stream.cfg.exclusive && start != b.at:
		return protocolErrorf("an ack of %d to %d for a batch at %d", start, end, b.at)
	}
	// b.at was the demanded position, or unknown. From here on b.at is the position of the stored records, and OffsetOf counts
	// from there.
	b.at, b.ack = start, ack
	c.answered++
	c.acks++
	c.ackEnd = end
	// Advice behind Finish comes too late. The session ends anyway, and the next connection may reach the next server.
	if reconnect && !c.advised && !c.finished && adviceDue(a.advised) {
		a.advised = time.Now()
		c.advised = true
		c.drainLocked()
	}
	wake(c.readWake)
	return nil
}

// end handles err, the end of the response.
func (c *conn) end(err error) {
	var malformed *s2s.FormatError
	switch {
	case errors.Is(err, io.EOF):
		err = errEnded // io.EOF from Read would mean to Pipelined: all answers are here
	// A malformed frame is a fault of the server and not of the network: see effectBroken.
	case errors.As(err, &malformed):
		err = &ProtocolError{err}
	}
	// Redaction comes before the lock, because the locks of the tokens are taken alone.
	err = c.stream.client().redact(err)
	c.appender.mu.Lock()
	defer c.appender.mu.Unlock()
	c.endLocked(err)
}

// endLocked notes why no further ack comes. The first reason stays. The connection is cut, because nobody would wait for the
// answer to a later frame: a frame that left now could be stored although Fate has said otherwise.
func (c *conn) endLocked(err error) {
	// The first reason is the cause, and later errors only say that the connection was cut.
	if c.ended == nil {
		c.ended = err
	}
	_ = c.out.Close()
	wake(c.readWake)
}
