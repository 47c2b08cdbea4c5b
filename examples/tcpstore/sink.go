package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
)

// patience is how long we wait for a new connection, and for the last answers of the store.
const patience = 5 * time.Second

// A store is the address of a server, and a backend.Stream. A backend for a new system needs only this file and
// source.go.
type store struct{ addr string }

func (s store) NewAppender(backend.Format) backend.Appender {
	return backend.Pipelined("tcpstore: "+s.addr, dialer{s})
}

// A dialer can keep state that outlives a connection. This store needs no such state, because its server does not
// recognize producers.
type dialer struct{ store }

func (dialer) Limits() backend.Limits {
	return backend.Limits{BatchRecords: batchRecords, RecordBytes: recordBytes, BatchBytes: 4 * recordBytes, InFlight: 16, Size: size}
}

// size refuses records that the store cannot keep, here headers and times. Without the check, the store would drop
// headers and times silently.
func size(value []byte, headers backend.Headers, at time.Time) (int, error) {
	if len(headers) > 0 || !at.IsZero() {
		return 0, fmt.Errorf("%w: the store keeps neither headers nor times", backend.ErrRejected)
	}
	return len(value), nil
}

func (d dialer) Dial(ctx context.Context, _ uint64) (backend.Conn, error) {
	conn, err := d.dial(ctx, []byte{opAppend})
	if err != nil {
		return nil, err
	}
	return &appendConn{conn: conn, in: bufio.NewReader(conn)}, nil
}

// dial makes a connection and sends its first bytes.
func (s store) dial(ctx context.Context, hello []byte) (*net.TCPConn, error) {
	d := net.Dialer{Timeout: patience}
	conn, err := d.DialContext(ctx, "tcp", s.addr)
	if err == nil {
		if _, err = conn.Write(hello); err != nil {
			_ = conn.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("tcpstore: %s: connect: %w: %w", s.addr, backend.ErrTransient, err)
	}
	return conn.(*net.TCPConn), nil
}

// An appendConn encodes batches and matches answers with batches. backend.Pipelined does the rest: the order of seqs,
// the bound on batches in flight, and the rules for the end of a session.
type appendConn struct {
	conn *net.TCPConn
	in   *bufio.Reader
	buf  []byte // memory that Write uses again

	mu      sync.Mutex
	pending []pending // batches without an answer, in order
}

type pending struct {
	seq     uint64
	records int
}

// Write may fail after a part of the batch was sent. The server stores no part of a batch. But the server may have
// received the whole batch even though the connection reports an error. Therefore Write does not return the error, and
// Read finds out.
func (c *appendConn) Write(ctx context.Context, seq uint64, recs []backend.Record) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrTransient, err) // nothing was sent
	}
	c.buf = binary.BigEndian.AppendUint32(c.buf[:0], uint32(len(recs)))
	for i := range recs {
		c.buf = binary.BigEndian.AppendUint32(c.buf, uint32(len(recs[i].Value)))
		c.buf = append(c.buf, recs[i].Value...)
	}
	c.mu.Lock()
	c.pending = append(c.pending, pending{seq, len(recs)})
	c.mu.Unlock()
	defer context.AfterFunc(ctx, c.abort)() // otherwise a server that reads nothing would block Write for ever
	if _, err := c.conn.Write(c.buf); err != nil {
		c.abort()
	}
	return nil
}

func (c *appendConn) Read(ctx context.Context) (backend.Ack, error) {
	defer context.AfterFunc(ctx, c.abort)()
	first, err := readUint64(c.in)
	if ctx.Err() != nil {
		return backend.Ack{}, ctx.Err()
	}
	if err != nil {
		return backend.Ack{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) == 0 {
		return backend.Ack{}, errors.New("the server answered a batch that was never sent")
	}
	b := c.pending[0]
	c.pending = c.pending[1:]
	return backend.Ack{
		Seq:      b.seq,
		Next:     offset(first + uint64(b.records)),
		OffsetOf: func(i int) backend.Offset { return offset(first + uint64(i)) },
	}, nil
}

// abort makes Write and Read return.
func (c *appendConn) abort() { _ = c.conn.Close() }

// Finish ends the sending side. The server then has some time for its last answers.
func (c *appendConn) Finish() {
	_ = c.conn.CloseWrite()
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
}

// Fate returns the fate of batches without an answer. The server answers after storing, so such a batch may be stored.
func (c *appendConn) Fate(err error, unanswered int) error {
	if errors.Is(err, io.EOF) {
		err = errors.New("the server closed the connection")
	}
	if unanswered == 0 {
		return fmt.Errorf("%w: %w", backend.ErrTransient, err)
	}
	return fmt.Errorf("%w: %w", backend.ErrIndeterminate, err)
}

func (c *appendConn) Close() error {
	c.abort()
	return nil
}

func offset(place uint64) backend.Offset { return backend.Offset(strconv.FormatUint(place, 10)) }
