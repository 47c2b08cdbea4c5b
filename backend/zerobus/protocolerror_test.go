package zerobus_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

// wantBreach says that err is the server's breach of the protocol, and not an answer of the server.
func wantBreach(t *testing.T, err, sentinel error, says string) {
	t.Helper()
	var breach *zerobus.ProtocolError
	switch {
	case !errors.As(err, &breach):
		t.Fatalf("%v, want a ProtocolError", err)
	case errors.As(err, new(*zerobus.Error)):
		t.Errorf("%v: the server has not said anything like that", err)
	case breach.Unwrap() == nil || !errors.Is(err, breach.Err):
		t.Errorf("%v does not wrap the details", err)
	case !errors.Is(err, sentinel) || !strings.Contains(err.Error(), table) || !strings.Contains(err.Error(), says):
		t.Errorf("%v, want %v, the table, and %q", err, sentinel, says)
	}
}

func TestABreachOfTheProtocolAtTheOpening(t *testing.T) {
	for says, do := range map[string]zerobustest.Effect{
		"a create response without a stream id":                   zerobustest.NoStreamID(),
		"an acknowledgement where a create response is due":       zerobustest.Ack(0),
		"an unknown message where a create response is due":       zerobustest.Reply(nil),
		"the server broke the protocol: malformed protobuf messa": zerobustest.Reply([]byte{0x0a, 0xff}),
	} {
		t.Run(says, func(t *testing.T) {
			srv := serve(t)
			srv.Inject(zerobustest.Fault{Stage: zerobustest.Creating, Do: do})
			_, err := clientOf(config(srv)).Table(table).NewAppender(jsonFormat).Open(limited(t))
			wantBreach(t, err, backend.ErrTransient, says)
		})
	}
}

func TestABreachOfTheProtocolOnAnOpenStream(t *testing.T) {
	for says, do := range map[string]zerobustest.Effect{
		"an acknowledgement without an offset":                         zerobustest.AckWithoutOffset(),
		"an acknowledgement of offset 7, where 1 batches were sent":    zerobustest.Ack(7),
		"a create response on an open stream":                          zerobustest.Reply([]byte{0x0a, 0}),
		"an unknown message on an open stream":                         zerobustest.Reply([]byte{0x22, 0}),
		"the server broke the protocol: malformed protobuf message: ":  zerobustest.Reply([]byte{0x12, 0xff}),
		"the server broke the protocol: malformed protobuf message:  ": zerobustest.Then(zerobustest.CloseSignal(time.Minute), zerobustest.Reply([]byte{0x12, 0xff})),
	} {
		t.Run(says, func(t *testing.T) {
			srv := serve(t)
			srv.Inject(zerobustest.Fault{Stage: zerobustest.Stored, Do: do})
			s := open(t, clientOf(config(srv)).Table(table))
			if err := s.Send(limited(t), 0, records(`{"n":0}`)); err != nil {
				t.Fatal(err)
			}
			_, err := s.Recv(limited(t))
			wantBreach(t, err, backend.ErrIndeterminate, strings.TrimSpace(says))
			var stream *zerobus.StreamError
			if !errors.As(err, &stream) || stream.ID == "" {
				t.Errorf("%v does not name the stream", err)
			}
		})
	}
}
