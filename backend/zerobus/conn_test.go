package zerobus

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/headrace/headrace/backend"
)

// newConn is an open stream. The server reads the call to its end, and then ends the call with OK.
func newConn(t *testing.T) *conn {
	t.Helper()
	client, err := New(Config{Endpoint: answering(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		_ = http.NewResponseController(w).Flush()
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	})}, Headers(HeadersFunc(nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	call, err := client.newCall(ctx, grant{header: http.Header{}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := client.Table("a.b.c").newDialer(backend.Format{ContentType: "application/json"}).newConn(ctx, cancel, grant{}, call, "id", 0)
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

// A timer of a closed conn would run in a goroutine of its own, and would keep the conn in memory.
func TestCloseStopsTheLookAtSlowWrites(t *testing.T) {
	c := newConn(t)
	if err := c.Write(t.Context(), 0, []backend.Record{{Value: []byte(`{}`)}}); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watch != nil {
		t.Error("the timer still runs behind Close")
	}
}
