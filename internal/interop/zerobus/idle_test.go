package zerobus

import (
	"os"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
)

// The server asks for signs of life all the time, and the client never does: a server of gRPC ends the connection of a client that
// asks too often.
func TestAnIdleStreamStaysOpen(t *testing.T) {
	if os.Getenv("HEADRACE_LONG") == "" {
		t.Skip("HEADRACE_LONG is not set: the test takes 100 s")
	}
	for _, w := range append(ways, pinged) {
		t.Run(string(w), func(t *testing.T) {
			t.Parallel()
			x := newTable(t)
			s := open(t, x.sink(t, w))
			for seq := range uint64(2) {
				if seq > 0 {
					<-time.After(100 * time.Second)
				}
				if err := s.Send(t.Context(), seq, []backend.Record{{Value: []byte(`{}`)}}); err != nil {
					t.Fatal(err)
				}
				if ack, err := s.Recv(t.Context()); err != nil || ack.Seq != seq {
					t.Fatalf("%+v, %v", ack, err)
				}
			}
			if n := len(x.streams(t)); n != 1 {
				t.Errorf("%d streams, want 1", n)
			}
		})
	}
}
