package s2

import (
	"context"
	"fmt"
	"io"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/backend/s2/internal/wire"
	"github.com/headrace/headrace/internal/h2"
)

// Write sends recs in a frame. The frame is a copy, and lent memory is not read after Write has returned. Write waits while the
// server takes no more bytes.
//
// With Exclusive, an earlier connection may have stored the batch and lost the ack. Write then compares the stored records
// with recs, and sends nothing. If the server does not answer the comparison, the batch may be stored, and the error wraps
// backend.ErrIndeterminate.
func (c *conn) Write(ctx context.Context, seq uint64, recs []backend.Record) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	err := c.write(ctx, seq, recs)
	if err == nil || err == io.EOF { // Pipelined knows io.EOF: see backend.Conn
		return err
	}
	return fmt.Errorf("s2: %s: %w", c.op(), err)
}

func (c *conn) write(ctx context.Context, seq uint64, recs []backend.Record) error {
	// admit, compare or encode, and take are three steps, because no lock is held while the network or the encoder works. take
	// looks again at everything that admit has seen.
	b, err := c.admit(ctx, seq, len(recs))
	if err != nil {
		return err
	}
	// At or behind the tail nothing is stored, so a resent batch there is sent again like a new batch.
	if b.resent && c.stream.cfg.exclusive && b.at < c.tail {
		if err := c.compare(ctx, b, recs); err != nil {
			return err
		}
		_, err := c.take(b, false)
		return err
	}
	buf := borrowBuffer()
	behind := false
	err = c.encode(buf, recs, b)
	if err == nil {
		behind, err = c.take(b, true)
	}
	if err != nil {
		returnBuffer(buf)
		return err
	}
	c.send(ctx, buf, behind)
	return nil
}

// send writes the frame in buf. The batch is taken, so send returns no error: a failure closes the connection, and Read says what
// became of the batches in flight. If ctx ends while the server gives no room, the rest of the frame leaves later. Half a frame
// would end the session, and with it the answers to the batches before.
//
// behind says that earlier batches wait for their acks. Then a small frame may leave a few microseconds later, together with the next
// frames: a call of the operating system costs more than the making of a small frame.
func (c *conn) send(ctx context.Context, buf *[]byte, behind bool) {
	if behind && c.out.Collect(*buf) {
		returnBuffer(buf)
		return
	}
	// An error ends out. receive still reads the acks that the server has sent, for a second at most, and then ends the connection.
	rest, _ := c.out.Write(ctx, *buf)
	if rest == nil {
		returnBuffer(buf)
		return
	}
	// The rest has no time limit of its own. The end of the connection ends the wait, and close waits for this goroutine.
	c.working.Go(func() {
		_, _ = c.out.Write(context.Background(), rest)
		returnBuffer(buf)
	})
}

// admit waits until the server takes bytes, and returns the batch with its position. Without the wait, a batch would be taken
// that cannot leave. A producer can give the batch to the next connection only as long as the batch is not taken.
func (c *conn) admit(ctx context.Context, seq uint64, n int) (batch, error) {
	failure := c.out.Ready(ctx)
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	// What the server said explains more than the end of the stream.
	if err := c.refusalLocked(); err != nil {
		return batch{}, err
	}
	switch {
	case failure == nil:
		return a.placeLocked(seq, n)
	// Nothing of this batch has left, so the producer may send the batch over this or another connection.
	case ctx.Err() != nil:
		return batch{}, fmt.Errorf("%w: %w", backend.ErrTransient, ctx.Err())
	}
	return batch{}, io.EOF // receive has not yet noted why the connection is lost
}

// refusalLocked returns why the connection takes no batch, or nil. If the connection is lost, the error is the fate of the
// batches in flight. Pipelined keeps the first error as the reason for the end of the session: an error about the new batch alone
// would hide that earlier batches may be stored.
func (c *conn) refusalLocked() error {
	switch {
	case c.closed:
		return backend.ErrClosed
	// The batches in flight get their answers from this connection. The new batch is refused as transient, and the producer
	// takes it to the next connection.
	case c.advised:
		return meaning(errAdvised, whenIdle)
	case c.ended != nil:
		return meaning(c.ended, c.situationLocked(len(c.inflight)-c.answered))
	}
	return nil
}

// encode makes the frame of a batch in buf, with room for the connection in front.
func (c *conn) encode(buf *[]byte, recs []backend.Record, b batch) error {
	var room [h2.HeadRoom + s2s.HeaderSize]byte // Seal fills in the header, and out its own
	*buf = wire.AppendInput(append((*buf)[:0], room[:]...), recs, c.demand(b))
	size := len(*buf) - len(room)
	// Limits counts metered bytes. Many short headers take about twice as many bytes on the wire, so a batch within the limits
	// of S2 may be too large for a frame. The server would answer bad_frame and end the session, and the batches in flight with
	// it.
	if size > s2s.MaxPayload {
		return tooLargeBatch(size)
	}
	var spare *[]byte
	if c.coder.Compresses(size) {
		spare = borrowBuffer()
		defer returnBuffer(spare)
		if cap(*spare) < len(*buf) { // a result as large as the payload is of no use, so more memory is not needed
			*spare = make([]byte, 0, len(*buf))
		}
	} else {
		spare = new([]byte)
	}
	sealed, compressed, err := c.coder.Seal(*buf, *spare, h2.HeadRoom)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if compressed {
		// Both buffers go back to the pool in the end, whichever holds the frame.
		*spare = *buf // the two buffers change their places
	}
	*buf = sealed
	return nil
}

// demand is the condition for storing the batch. Exclusive demands the position, and the batch's own condition wins over the
// stream's token.
func (c *conn) demand(b batch) wire.Condition {
	own := c.appender.condition
	demand := wire.Condition{MatchSeqNum: own.SeqNum, FencingToken: own.FencingToken}
	// With a demanded position, the server itself refuses a batch that an earlier connection has stored already, and a batch
	// behind another writer's records. Without the demand, a resend could be stored twice.
	if c.stream.cfg.exclusive {
		demand.MatchSeqNum = &b.at
	}
	if demand.FencingToken == nil {
		demand.FencingToken = c.token
	}
	return demand
}

// take puts the batch in flight, unless the connection has ended since admit looked. behind says that earlier batches wait for their
// acks.
//
// leaves says that the frame of the batch leaves next. Otherwise an earlier connection has stored the batch, and take counts the batch
// as answered. Stored batches come first on a connection, because only positions below the tail are compared. Therefore no batch that
// waits for its answer stands in front of a stored batch.
func (c *conn) take(b batch, leaves bool) (behind bool, err error) {
	a := c.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := c.refusalLocked(); err != nil {
		return false, err
	}
	behind = c.answered < len(c.inflight)
	// The claim and the entry in the lists are one step. Otherwise the server's advice could end the request in between, and a
	// batch would wait for its answer that never left.
	if leaves && !c.out.Claim() {
		return false, io.EOF
	}
	// The batch enters the list of the connection and the list of the appender under one lock: see appender.
	c.inflight = append(c.inflight, b)
	if !b.resent { // a resent batch is in the list since an earlier connection took the batch
		a.taken = append(a.taken, b.n)
	}
	if !leaves {
		c.answered++
		wake(c.readWake)
	}
	return behind, nil
}
