package s2

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/s2s"
)

// A server, or a proxy in front of it, may end its answer and go on reading. What had not left by then is said to be not
// stored, so it must not leave later.
func TestNothingLeavesBehindTheEndOfAnAppendSession(t *testing.T) {
	c, err := New("any-token")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a := c.Basin("test-basin").Stream("s").NewAppender(backend.Format{}).(*appender)
	s := a.newSession(0)
	if s.coder, err = s2s.NewCoder(s2s.None); err != nil {
		t.Fatal(err)
	}
	in, end := io.Pipe()
	s.body, s.frames = in, s2s.NewReader(in)
	go s.receive()
	defer s.Close()
	if err := s.Send(t.Context(), 0, []backend.Record{{Value: bytes.Repeat([]byte("a"), 100)}}); err != nil {
		t.Fatal(err)
	}
	_ = end.Close()
	if _, err := s.Recv(t.Context()); !errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate) {
		t.Errorf("%v, want ErrTransient alone: nothing has left", err)
	}
	if left, err := io.ReadAll(s.out); len(left) > 0 || err != nil {
		t.Errorf("%d bytes left afterwards, %v", len(left), err)
	}
}
