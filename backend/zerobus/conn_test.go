package zerobus

import (
	"context"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc"

	"github.com/headrace/headrace/backend"
)

// A halfClosed stream fails the test if a message is sent after the half-close, which gRPC does not allow.
type halfClosed struct {
	grpc.ClientStream
	t    *testing.T
	done bool
}

func (s *halfClosed) CloseSend() error {
	s.done = true
	return nil
}

func (s *halfClosed) SendMsg(any) error {
	if s.done {
		s.t.Error("a message was sent after the half-close")
	}
	return nil
}

func (s *halfClosed) RecvMsg(any) error { return io.EOF }

func newConn(t *testing.T) *conn {
	c := &conn{sink: newClient(t).Table("a.b.c"), kind: jsonRecords, stream: &halfClosed{t: t}, cancel: func() {}, release: func() {}}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestAWriteWhoseContextHasEndedSendsNothing(t *testing.T) {
	c := newConn(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := c.Write(ctx, 0, []backend.Record{{Value: []byte(`{}`)}})
	if !errors.Is(err, backend.ErrTransient) || !errors.Is(err, context.Canceled) {
		t.Errorf("Write: %v", err)
	}
	if _, err := c.Read(t.Context()); !errors.Is(err, context.Canceled) {
		t.Errorf("Read: %v, want the cause of the end", err)
	}
}

func TestAWriteAfterTheEndLeavesTheReasonToRead(t *testing.T) {
	recs := []backend.Record{{Value: []byte(`{}`)}}
	for name, end := range map[string]func(*conn){
		"a rotation": func(c *conn) { c.rotate(0) },
		"Finish":     (*conn).Finish,
		"Close":      func(c *conn) { _ = c.Close() },
	} {
		c := newConn(t)
		if err := c.Write(t.Context(), 0, recs); err != nil {
			t.Fatal(err)
		}
		end(c)
		if err := c.Write(t.Context(), 1, recs); err != io.EOF {
			t.Errorf("after %s: %v, want io.EOF", name, err)
		}
	}
}
