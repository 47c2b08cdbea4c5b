package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
)

// The protocol of the store. All numbers are big endian. The first byte of a client is the operation:
//
//   - 'A' appends. The client sends batches: the number of records in 4 bytes, then each record as its length in 4
//     bytes and its bytes. The server answers each batch, in order, with the place of its first record in 8 bytes.
//   - 'R' reads. The client sends the place of the first record in 8 bytes, or `tail`. The server answers with the
//     place and the tail of the stream, in 8 bytes each. Then it sends records as soon as they exist, and never ends.
//     If the place is beyond the tail, the server answers `tail` as the place.
const (
	opAppend = 'A'
	opRead   = 'R'
	tail     = ^uint64(0)

	recordBytes  = 1 << 20
	batchRecords = 1000
)

var errTooLarge = errors.New("the peer sent more than the protocol allows")

// A server keeps one stream in memory.
type server struct {
	listener net.Listener
	calls    sync.WaitGroup

	mu      sync.Mutex
	grown   sync.Cond // uses mu; signals a change of records or conns
	records [][]byte
	conns   map[net.Conn]bool
	closed  bool
}

func serve(l net.Listener) *server {
	s := &server{listener: l, conns: make(map[net.Conn]bool)}
	s.grown.L = &s.mu
	s.calls.Go(s.accept)
	return s
}

func (s *server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		if !s.keep(conn) {
			return
		}
		s.calls.Go(func() {
			defer s.drop(conn)
			s.handle(conn)
		})
	}
}

// keep notes an open connection. When the server is closed, keep closes the connection and returns false: Close may have cut all
// connections between Accept and keep, and would wait for this one for ever.
func (s *server) keep(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = conn.Close()
		return false
	}
	s.conns[conn] = true
	return true
}

func (s *server) handle(conn net.Conn) {
	r := bufio.NewReader(conn)
	switch op, _ := r.ReadByte(); op {
	case opAppend:
		s.append(conn, r)
	case opRead:
		s.read(conn, r)
	}
}

// append stores a batch after the whole batch has arrived. If the connection breaks inside a batch, nothing of the
// batch is stored.
func (s *server) append(conn net.Conn, r *bufio.Reader) {
	for {
		batch, err := readBatch(r)
		if err != nil {
			return
		}
		s.mu.Lock()
		first := len(s.records)
		s.records = append(s.records, batch...)
		s.mu.Unlock()
		s.grown.Broadcast()
		if _, err := conn.Write(binary.BigEndian.AppendUint64(nil, uint64(first))); err != nil {
			return
		}
	}
}

func readBatch(r *bufio.Reader) ([][]byte, error) {
	n, err := readUint32(r, batchRecords)
	if err != nil {
		return nil, err
	}
	batch := make([][]byte, n)
	for i := range batch {
		if batch[i], err = readRecord(r); err != nil {
			return nil, err
		}
	}
	return batch, nil
}

func readRecord(r *bufio.Reader) ([]byte, error) {
	n, err := readUint32(r, recordBytes)
	if err != nil {
		return nil, err
	}
	record := make([]byte, n)
	_, err = io.ReadFull(r, record)
	return record, err
}

func readUint32(r *bufio.Reader, limit uint32) (uint32, error) {
	var b [4]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, err
	}
	n := binary.BigEndian.Uint32(b[:])
	if n > limit {
		return 0, errTooLarge
	}
	return n, nil
}

func readUint64(r *bufio.Reader) (uint64, error) {
	var b [8]byte
	_, err := io.ReadFull(r, b[:])
	return binary.BigEndian.Uint64(b[:]), err
}

func (s *server) read(conn net.Conn, r *bufio.Reader) {
	at, err := readUint64(r)
	if err != nil {
		return
	}
	s.mu.Lock()
	end := uint64(len(s.records))
	s.mu.Unlock()
	if at == tail {
		at = end
	} else if at > end {
		at = tail
	}
	reply := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, at), end)
	if _, err := conn.Write(reply); err != nil || at == tail {
		return
	}
	w := bufio.NewWriter(conn)
	for {
		records := s.await(conn, at)
		for _, record := range records {
			_, _ = w.Write(binary.BigEndian.AppendUint32(nil, uint32(len(record))))
			_, _ = w.Write(record)
		}
		if err := w.Flush(); err != nil || len(records) == 0 {
			return
		}
		at += uint64(len(records))
	}
}

// await waits until there are records from a place on, and returns them. It returns no records if the connection was
// dropped.
func (s *server) await(conn net.Conn, at uint64) [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.conns[conn] && at >= uint64(len(s.records)) {
		s.grown.Wait()
	}
	if !s.conns[conn] {
		return nil
	}
	return s.records[at:]
}

func (s *server) drop(conn net.Conn) {
	s.mu.Lock()
	delete(s.conns, conn)
	s.mu.Unlock()
	s.grown.Broadcast()
	_ = conn.Close()
}

// breakAll cuts all open connections.
func (s *server) breakAll() {
	s.mu.Lock()
	var conns []net.Conn
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		s.drop(c)
	}
}

func (s *server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	err := s.listener.Close()
	s.breakAll()
	s.calls.Wait()
	return err
}
