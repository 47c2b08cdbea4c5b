package s2

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/s2s"
)

// unconnected makes a conn to a server without answers, until the test writes to end or closes end.
func unconnected(t *testing.T, opts ...StreamOption) (c *conn, end *io.PipeWriter) {
	t.Helper()
	client, err := New(Config{Token: "any-token"})
	if err != nil {
		t.Fatal(err)
	}
	c = client.Basin("test-basin").Stream("s", opts...).newAppender(sizeOfData).newConn(0, 0)
	if c.coder, err = s2s.NewCoder(s2s.None); err != nil {
		t.Fatal(err)
	}
	in, end := io.Pipe()
	c.body, c.frames = in, s2s.NewReader(in)
	go c.receive()
	t.Cleanup(func() {
		_ = end.Close() // or Close waits for answers
		_ = c.Close()
		_ = client.Close()
	})
	return c, end
}

func letter(value string) []backend.Record { return []backend.Record{{Value: []byte(value)}} }

// A server, or a proxy, may end the response and go on reading the request. Fate says about frames still in the outbox: not
// stored. Therefore these frames must not leave later.
func TestNothingLeavesBehindTheEndOfAnAppendSession(t *testing.T) {
	c, end := unconnected(t)
	if err := c.Write(t.Context(), 0, letter("a")); err != nil {
		t.Fatal(err)
	}
	_ = end.Close()
	_, err := c.Read(t.Context())
	if err = c.Fate(err, 1); !errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate) {
		t.Errorf("%v, want ErrTransient alone: nothing has left", err)
	}
	if left, err := io.ReadAll(c.out); len(left) > 0 || err != nil {
		t.Errorf("%d bytes left afterwards, %v", len(left), err)
	}
}

// The caller of Recv may give up while frames wait in the outbox. The records may be stored only if their frame has begun to
// leave.
func TestAReadThatIsGivenUpSaysWhetherRecordsHaveLeft(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, leave := range []bool{false, true} {
		c, _ := unconnected(t)
		if err := c.Write(t.Context(), 0, letter("a")); err != nil {
			t.Fatal(err)
		}
		if leave {
			if _, err := c.out.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		_, err := c.Read(canceled)
		// A batch taken now could leave after Fate has said that nothing left.
		if err := c.Write(t.Context(), 1, letter("b")); err == nil {
			t.Error("a batch is taken although Recv has given up")
		}
		if err = c.Fate(err, 1); errors.Is(err, backend.ErrIndeterminate) != leave || !errors.Is(err, context.Canceled) {
			t.Errorf("%v, where frames have left: %v", err, leave)
		}
	}
}

// Write notices the loss of a connection without batches in flight.
func TestALostConnectionTakesNoBatch(t *testing.T) {
	c, end := unconnected(t)
	_ = end.Close()
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
		c, end := unconnected(t, Exclusive())
		if err := c.Write(t.Context(), 0, letter("a")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.out.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = end.Write(terminal(status, `{"code":"invalid"}`)) }()
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
