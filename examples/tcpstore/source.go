package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"

	"github.com/headrace/headrace/backend"
)

// OpenReader starts at the first record, at the tail, or at an offset of this store.
func (s store) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	start, err := s.start(from)
	if err != nil {
		return nil, err
	}
	conn, err := s.dial(ctx, binary.BigEndian.AppendUint64([]byte{opRead}, start))
	if err != nil {
		return nil, err
	}
	return &reader{store: s, from: from, conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}, nil
}

func (s store) start(from backend.Offset) (uint64, error) {
	switch {
	case from == backend.Earliest:
		return 0, nil
	case from == backend.Latest:
		return tail, nil
	case len(from) > 0 && from[0] == '@':
		return 0, fmt.Errorf("tcpstore: %s: start at %s: %w", s.addr, from, backend.ErrUnsupported)
	}
	start, err := strconv.ParseUint(string(from), 10, 63)
	if err != nil || offset(start) != from {
		return 0, fmt.Errorf("tcpstore: %s: %q is no offset of this store: %w", s.addr, from, backend.ErrOutOfRange)
	}
	return start, nil
}

type reader struct {
	store store
	from  backend.Offset
	conn  *net.TCPConn
	in    *bufio.Reader

	closed atomic.Bool

	began bool
	next  uint64
	tail  uint64 // tail of the stream when the reader was opened
}

// Read waits for a record, and returns all records that have arrived.
func (r *reader) Read(ctx context.Context) (backend.Batch, error) {
	defer context.AfterFunc(ctx, func() { _ = r.conn.Close() })()
	batch, err := r.read()
	switch {
	case r.closed.Load():
		err = backend.ErrClosed
	case ctx.Err() != nil:
		err = fmt.Errorf("%w: %w", backend.ErrTransient, ctx.Err())
	case err == nil:
		return batch, nil
	}
	return backend.Batch{}, fmt.Errorf("tcpstore: %s: read: %w", r.store.addr, err)
}

func (r *reader) read() (b backend.Batch, err error) {
	if !r.began {
		r.began = true
		if err := r.begin(); err != nil {
			return b, err
		}
		if r.next >= r.tail { // report that we are caught up, without waiting for a record
			return backend.Batch{Next: offset(r.next), CaughtUp: true}, nil
		}
	}
	for len(b.Records) == 0 || r.complete() && len(b.Records) < batchRecords {
		value, err := readRecord(r.in)
		if err != nil {
			return b, fmt.Errorf("%w: %w", backend.ErrTransient, err)
		}
		next := offset(r.next + 1)
		b.Records = append(b.Records, backend.Record{Value: value, Offset: offset(r.next), Next: next})
		b.Next = next
		r.next++
	}
	b.CaughtUp = r.next >= r.tail
	return b, nil
}

// begin reads the place where the server starts, and the tail.
func (r *reader) begin() (err error) {
	if r.next, err = readUint64(r.in); err == nil {
		r.tail, err = readUint64(r.in)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", backend.ErrTransient, err)
	case r.next == tail:
		return fmt.Errorf("%s is beyond the tail %d: %w", r.from, r.tail, backend.ErrOutOfRange)
	}
	return nil
}

// complete reports whether a whole record has arrived.
func (r *reader) complete() bool {
	head, err := r.in.Peek(min(4, r.in.Buffered()))
	return err == nil && len(head) == 4 && r.in.Buffered() >= 4+int(binary.BigEndian.Uint32(head))
}

func (r *reader) Close() error {
	r.closed.Store(true)
	_ = r.conn.Close()
	return nil
}
