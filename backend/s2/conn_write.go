package s2

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/backend/s2/internal/wire"
)

// outboxBytes is how many bytes the outbox holds before Write waits. With 4 MiB, a batch of 1 MiB can be encoded while the
// transport sends the batches before.
const outboxBytes = 4 << 20

// Write encodes recs into a frame of the outbox. The frame is a copy, and lent memory is not read after Write has returned.
// Write waits while the outbox is full.
//
// With Exclusive, an earlier connection may have stored the batch and lost the ack. Write then compares the stored records
// with recs, and sends nothing. If the server does not answer the comparison, the batch may be stored, and the error wraps
// backend.ErrIndeterminate.
func (c *conn) Write(ctx context.Context, seq uint64, recs []backend.Record) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	err := c.write(ctx, seq, recs)
	if err != nil {
		return fmt.Errorf("s2: %s: %w", c.op(), err)
	}
	return nil
}

func (c *conn) write(ctx context.Context, seq uint64, recs []backend.Record) error {
	b, err := c.admit(ctx, seq, len(recs))
	if err != nil {
		return err
	}
	// At or behind the tail nothing is stored, so a resent batch there is sent again like a new batch.
	if b.resent && c.stream.cfg.exclusive && b.at < c.tail {
		if err := c.compare(ctx, b, recs); err != nil {
			return err
		}
		return c.take(b, nil)
	}
	frame, err := c.encode(recs, b)
	if err != nil {
		return err
	}
	return c.take(b, frame)
}

// admit waits for room in the outbox. It returns the batch with its position.
func (c *conn) admit(ctx context.Context, seq uint64, n int) (batch, error) {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		// Look again after every wait. The connection may have ended meanwhile, and the end makes room too.
		if err := c.refusalLocked(); err != nil {
			return batch{}, err
		}
		if c.out.pending() < outboxBytes {
			return a.placeLocked(seq, n)
		}
		a.mu.Unlock()
		select {
		case <-c.writeWake:
		case <-ctx.Done():
		}
		a.mu.Lock()
		if ctx.Err() != nil {
			return batch{}, fmt.Errorf("%w: %w", backend.ErrTransient, ctx.Err())
		}
	}
}

// refusalLocked returns why the connection takes no batch, or nil. If the connection is lost, the error is the fate of the
// batches in flight. Pipelined keeps the first error as the reason for the end of the session: an error about the new batch alone
// would hide that earlier batches may be stored.
func (c *conn) refusalLocked() error {
	switch {
	case c.closed:
		return backend.ErrClosed
	case c.advised:
		return meaning(errAdvised, whenIdle)
	case c.ended != nil:
		return meaning(c.ended, c.situationLocked(len(c.inflight)-c.answered))
	}
	return nil
}

// encode makes the frame of a batch in memory of the outbox.
func (c *conn) encode(recs []backend.Record, b batch) ([]byte, error) {
	size, err := encodedSize(recs)
	if err != nil {
		return nil, err
	}
	frame := append(c.out.buffer(s2s.HeaderSize+size), 0, 0, 0, 0) // Seal fills in the header
	frame = wire.AppendInput(frame, recs, c.demand(b))
	// Seal compresses into a second buffer. The buffer that does not hold the result goes back to the outbox.
	var spare []byte
	if c.coder.Compresses(len(frame) - s2s.HeaderSize) {
		spare = c.out.buffer(0)
	}
	sealed, compressed, err := c.coder.Seal(frame, spare)
	switch {
	case compressed:
		c.out.recycle(frame)
	case spare != nil:
		c.out.recycle(spare)
	}
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return sealed, nil
}

// demand is the condition for storing the batch. Exclusive demands the position, and the batch's own condition wins over the
// stream's token.
func (c *conn) demand(b batch) wire.Condition {
	own := c.appender.condition
	demand := wire.Condition{MatchSeqNum: own.SeqNum, FencingToken: own.FencingToken}
	if c.stream.cfg.exclusive {
		demand.MatchSeqNum = &b.at
	}
	if demand.FencingToken == nil {
		demand.FencingToken = c.token
	}
	return demand
}

// take queues the batch and its frame, unless the connection has ended since admit looked. A nil frame marks a batch that an
// earlier connection has stored: take counts the batch as answered. Stored batches come first on a connection, because only
// positions below the tail are compared. Therefore no batch that waits for its answer stands in front of a stored batch.
func (c *conn) take(b batch, frame []byte) error {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := c.refusalLocked(); err != nil {
		return err
	}
	// The batch enters the list of the connection and the list of the appender under one lock: see appender.
	c.inflight = append(c.inflight, b)
	if !b.resent { // a resent batch is in the list since an earlier connection took the batch
		a.taken = append(a.taken, b.n)
	}
	if frame == nil {
		c.answered++
		wake(c.readWake)
		return nil
	}
	c.out.put(frame)
	return nil
}
