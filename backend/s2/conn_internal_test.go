package s2

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/wire"
)

// A peer is the server's end of a conn, and does only what a test says.
type peer struct {
	net.Conn
	data atomic.Int64 // bytes of the body that have come
}

// unanswered makes a conn whose server takes window bytes of batches and does not answer.
func unanswered(t *testing.T, window int, opts ...StreamOption) (*conn, *peer) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := New(Config{Token: "any-token", BasinEndpoint: "http://" + l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	server := new(peer)
	served := make(chan struct{})
	go func() {
		defer close(served)
		var err error
		if server.Conn, err = l.Accept(); err == nil {
			server.serve(window)
		}
	}()
	c := client.Basin("test-basin").Stream("s", append(opts, BareOffsets())...).newAppender(sizeOfData).newConn(0, 0)
	if err := c.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Conn.Close() // or Close waits for answers
		_ = c.Close()
		_ = client.Close()
		<-served
	})
	return c, server
}

// serve reads to the end of the connection. It answers the settings and the request.
func (p *peer) serve(window int) {
	if _, err := io.CopyN(io.Discard, p, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
		return
	}
	for {
		var head [9]byte
		if _, err := io.ReadFull(p, head[:]); err != nil {
			return
		}
		length := binary.BigEndian.Uint32(head[:]) >> 8
		if _, err := io.CopyN(io.Discard, p, int64(length)); err != nil {
			return
		}
		switch head[3] {
		case 0: // DATA
			p.data.Add(int64(length))
		case 1: // HEADERS: the settings with the window, and ":status: 200", which is number 8 of HPACK's table
			p.send(4, 0, 0, append([]byte{0, 4}, binary.BigEndian.AppendUint32(nil, uint32(window))...))
			p.send(1, 4, 1, []byte{0x88})
		}
	}
}

func (p *peer) send(typ, flags byte, stream uint32, payload []byte) {
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(typ))
	frame = binary.BigEndian.AppendUint32(append(frame, flags), stream)
	_, _ = p.Write(append(frame, payload...)) // a conn that is closed reads no more
}

// end ends the response.
func (p *peer) end() { p.send(0, 1, 1, nil) }

func letter(value string) []backend.Record { return []backend.Record{{Value: []byte(value)}} }

// A server, or a proxy, may end the response and go on reading the request. Fate speaks of what has left by then. Nothing may leave
// later.
func TestNothingLeavesBehindTheEndOfAnAppendSession(t *testing.T) {
	c, server := unanswered(t, 0)
	written := make(chan error, 1)
	go func() { written <- c.Write(t.Context(), 0, letter("a")) }()
	server.end()
	_, err := c.Read(t.Context())
	if !errors.Is(err, errEnded) {
		t.Errorf("Read: %v", err)
	}
	if err := <-written; err == nil || len(c.inflight) > 0 || server.data.Load() > 0 {
		t.Errorf("Write: %v, with %d batches taken and %d bytes sent, want nothing of it", err, len(c.inflight), server.data.Load())
	}
	if err = c.Fate(err, 0); !errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate) {
		t.Errorf("%v, want ErrTransient alone: nothing has left", err)
	}
}

// The caller of Recv may give up while Write waits for the server. A batch of which no byte has left is not taken.
func TestAReadThatIsGivenUpSaysWhetherRecordsHaveLeft(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, leave := range []bool{false, true} {
		window, taken := 0, 0
		if leave {
			window, taken = 100, 1
		}
		c, _ := unanswered(t, window)
		written := make(chan error, 1)
		go func() { written <- c.Write(t.Context(), 0, letter("a")) }()
		if leave {
			if err := <-written; err != nil {
				t.Fatal(err)
			}
		}
		_, err := c.Read(canceled)
		if !leave {
			if err := <-written; err == nil {
				t.Error("a batch is taken although the server takes no byte")
			}
		}
		// A batch taken now could leave after Fate has said that nothing left.
		if err := c.Write(t.Context(), 1, letter("b")); err == nil {
			t.Error("a batch is taken although Recv has given up")
		}
		if err = c.Fate(err, taken); errors.Is(err, backend.ErrIndeterminate) != leave || !errors.Is(err, context.Canceled) {
			t.Errorf("%v, where records have left: %v", err, leave)
		}
	}
}

// An ack may stand in receive's buffer when Recv gives up. Nobody returns that ack, so the batch is one that may be stored. If the ack
// counted, the batch would look as if it had not left, and a producer would store it twice.
func TestAnAckBehindTheEndOfAReadDoesNotCount(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, opts := range map[string][]StreamOption{"plain": nil, "exclusive": {Exclusive()}} {
		c, _ := unanswered(t, 100, opts...)
		if err := c.Write(t.Context(), 0, letter("a")); err != nil {
			t.Fatal(err)
		}
		_, err := c.Read(canceled)
		if err := c.matchAck(wire.Ack{End: wire.Position{SeqNum: 1}}, false); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: the late ack: %v", name, err)
		}
		if err = c.Fate(err, 1); !errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("%s: %v, although the server may have stored the batch", name, err)
		}
	}
}

// Half a batch has left when the server takes no more bytes. Its fate is open, and Close does not wait for the rest.
func TestABatchThatHasLeftInPartIsTaken(t *testing.T) {
	c, server := unanswered(t, 5)
	written := make(chan error, 1)
	go func() { written <- c.Write(t.Context(), 0, letter("a")) }()
	for server.data.Load() < 5 {
		runtime.Gosched()
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Read(canceled)
	if err := <-written; err != nil {
		t.Errorf("Write: %v, although a part has left", err)
	}
	if err = c.Fate(err, 1); !errors.Is(err, backend.ErrIndeterminate) {
		t.Errorf("%v, want ErrIndeterminate", err)
	}
}

// The end of the request waits for the batch that is leaving: half a frame would break the protocol. The test ends only if the
// rest of the batch leaves.
func TestTheRequestEndsBehindABatchThatIsLeaving(t *testing.T) {
	c, server := unanswered(t, 5)
	written := make(chan error, 1)
	go func() { written <- c.Write(t.Context(), 0, letter("a")) }()
	for server.data.Load() < 5 {
		runtime.Gosched()
	}
	c.appender.mu.Lock()
	c.advised = true
	c.drainLocked()
	c.appender.mu.Unlock()
	if got := server.data.Load(); got != 5 {
		t.Errorf("%d bytes have left through a window of 5", got)
	}
	server.send(8, 0, 1, []byte{0, 0, 0, 100}) // WINDOW_UPDATE
	if err := <-written; err != nil {
		t.Error(err)
	}
	for server.data.Load() == 5 {
		runtime.Gosched()
	}
}

// Write notices the loss of a connection without batches in flight.
func TestALostConnectionTakesNoBatch(t *testing.T) {
	c, server := unanswered(t, 100)
	server.end()
	<-c.received
	if err := c.Write(t.Context(), 0, letter("a")); !errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate) {
		t.Errorf("%v, want ErrTransient alone", err)
	}
	if len(c.inflight) != 0 || len(c.appender.taken) != 0 {
		t.Error("the batch was taken all the same")
	}
}

// A certain refusal frees the seq for another batch, also of another size.
func TestARefusalFreesTheSeqsOfWhatIsNotStored(t *testing.T) {
	for status, free := range map[int]bool{422: true, 500: false} {
		c, server := unanswered(t, 100, Exclusive())
		if err := c.Write(t.Context(), 0, letter("a")); err != nil {
			t.Fatal(err)
		}
		server.send(0, 0, 1, terminal(status, `{"code":"invalid"}`))
		_, err := c.Read(t.Context())
		err = c.Fate(err, 1)
		next := c.appender.newConn(0, 0)
		if _, refusal := next.appender.placeLocked(0, 2); (refusal == nil) != free {
			t.Errorf("after %v, another batch: %v", err, refusal)
		}
	}
}

func terminal(status int, body string) []byte {
	payload := append([]byte{byte(status >> 8), byte(status)}, body...)
	n := len(payload) + 1
	return bytes.Join([][]byte{{byte(n >> 16), byte(n >> 8), byte(n), 0x80}, payload}, nil)
}
