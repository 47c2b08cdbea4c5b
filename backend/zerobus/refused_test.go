package zerobus_test

import (
	"context"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

// A fussyStream refuses to send a message after a number of messages.
type fussyStream struct {
	grpc.ClientStream
	left int
}

func (s *fussyStream) SendMsg(m any) error {
	if s.left--; s.left < 0 {
		return status.Error(codes.InvalidArgument, "not this one")
	}
	return s.ClientStream.SendMsg(m)
}

// fussy makes all streams of a sink refuse to send their (n+1)th batch. An interceptor may do that.
func fussy(n int) zerobus.Option {
	return zerobus.DialOptions(grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn,
		method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		s, err := next(ctx, desc, cc, method, opts...)
		return &fussyStream{ClientStream: s, left: n + 1}, err // with the create
	}))
}

// If gRPC refuses to send a batch, the code says nothing about the earlier batches: they may be stored.
func TestWhatGRPCRefusesToSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.Acks(zerobustest.AckNever()))
		for n, want := range []error{backend.ErrTransient, backend.ErrIndeterminate} {
			s := open(t, sinkOf(srv, fussy(n)))
			for seq := range uint64(n) {
				if err := s.Send(t.Context(), seq, records(`{}`)); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Send(t.Context(), uint64(n), records(`{}`)); err == nil {
				t.Error("sent")
			}
			acked, err := reason(t, s)
			if wantIs(t, err, want); len(acked) > 0 {
				t.Errorf("acked %v", acked)
			}
		}
	})
}
