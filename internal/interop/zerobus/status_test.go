package zerobus

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/codec/protobuf"
)

var jsonFormat = backend.Format{ContentType: "application/json"}

// final are the codes for which another attempt does not help. Every other code is tried again.
var final = map[codes.Code]error{
	codes.InvalidArgument: backend.ErrRejected, codes.NotFound: backend.ErrNotFound, codes.OutOfRange: backend.ErrConflict,
	codes.PermissionDenied: backend.ErrUnauthorized, codes.Unauthenticated: backend.ErrUnauthorized,
	codes.Unimplemented: backend.ErrUnsupported,
}

// message has characters that gRPC writes with percent signs, and percent signs of its own.
const message = "die Zeile paßt nicht: 100% ✓, %41 + \"x\"\n日本語 🎏"

// details are those of a refused schema, with a wait.
func details(t *testing.T, code codes.Code) []byte {
	t.Helper()
	st := &spb.Status{Code: int32(code), Message: message}
	for _, d := range []proto.Message{
		&errdetails.ErrorInfo{
			Domain: "zerobus.databricks.com", Reason: "SCHEMA_VALIDATION_FAILED",
			Metadata: map[string]string{"causes": "FIELD_NOT_IN_TABLE, TYPE_INCOMPATIBLE", "error_code": "8001"},
		},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(7 * time.Second)},
	} {
		a, err := anypb.New(d)
		if err != nil {
			t.Fatal(err)
		}
		st.Details = append(st.Details, a)
	}
	b, err := proto.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// statusPlan ends a stream with the code. The status OK has no words.
func statusPlan(t *testing.T, code codes.Code) plan {
	t.Helper()
	if code == codes.OK {
		return plan{Event: "end"}
	}
	return plan{Event: "status", Code: int(code), Message: message, Details: details(t, code)}
}

// wantStatus fails unless err has the sentinel, and all that the server said.
func wantStatus(t *testing.T, err error, code codes.Code, sentinel error) {
	t.Helper()
	if !errors.Is(err, sentinel) {
		t.Errorf("%v is not %q", err, sentinel)
	}
	for _, other := range []error{backend.ErrTransient, backend.ErrIndeterminate, backend.ErrRejected} {
		if other != sentinel && errors.Is(err, other) {
			t.Errorf("%v is also %q", err, other)
		}
	}
	var said *zerobus.Error
	switch {
	case !errors.As(err, &said) || said.Code != code:
		t.Errorf("%v is not of the code %v", err, code)
	case code != codes.OK && (said.Message != message || said.Reason != "SCHEMA_VALIDATION_FAILED" || said.ErrorCode != "8001" ||
		!slices.Equal(said.Causes, []string{"FIELD_NOT_IN_TABLE", "TYPE_INCOMPATIBLE"}) || said.RetryAfter() != 7*time.Second):
		t.Errorf("the error has %+v", said)
	}
}

// limited turns a hang into a failure.
func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func open(t *testing.T, sink *zerobus.Sink) backend.Session {
	t.Helper()
	s, err := sink.NewAppender(jsonFormat).Open(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestEveryStatusAtAnOpeningHasItsMeaning(t *testing.T) {
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		t.Run(code.String(), func(t *testing.T) {
			p := statusPlan(t, code)
			x := newTable(t, p, p) // the client tries twice where other credentials may help
			_, err := x.sink(t, overHTTP).NewAppender(jsonFormat).Open(limited(t))
			want := final[code]
			if want == nil {
				want = backend.ErrTransient
			}
			wantStatus(t, err, code, want)
		})
	}
}

func TestEveryStatusOnAnOpenStreamHasItsMeaning(t *testing.T) {
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		t.Run(code.String(), func(t *testing.T) {
			p := statusPlan(t, code)
			p.After = 1
			s := open(t, newTable(t, p).sink(t, overHTTPS))
			if err := s.Send(limited(t), 0, []backend.Record{{Value: []byte(`{}`)}}); err != nil {
				t.Fatal(err)
			}
			ack, err := s.Recv(limited(t))
			want := final[code]
			if want == nil {
				want = backend.ErrIndeterminate
			}
			if err == nil {
				t.Fatalf("the batch was acknowledged: %+v", ack)
			}
			wantStatus(t, err, code, want)
		})
	}
}

// A service may refuse a token before it reads anything. Then the first message, which is larger than the first window, stands still.
func TestARefusalBeforeTheFirstMessageIsHeard(t *testing.T) {
	p := statusPlan(t, codes.PermissionDenied)
	p.After = -1
	format := backend.Format(protobuf.Raw(wide(t)).Format())
	for _, w := range ways {
		t.Run(string(w), func(t *testing.T) {
			_, err := newTable(t, p, p).sink(t, w).NewAppender(format).Open(limited(t))
			wantStatus(t, err, codes.PermissionDenied, backend.ErrUnauthorized)
		})
	}
}

// The server ends the stream while the client is about to send far more than a window.
func TestAStatusInTheMiddleOfAMessageIsHeard(t *testing.T) {
	p := statusPlan(t, codes.ResourceExhausted)
	p.After = 1
	large := []backend.Record{{Value: []byte(`{"text":"` + strings.Repeat("x", 9<<20) + `"}`)}}
	for _, w := range ways {
		t.Run(string(w), func(t *testing.T) {
			s := open(t, newTable(t, p).sink(t, w))
			if err := s.Send(limited(t), 0, []backend.Record{{Value: []byte(`{}`)}}); err != nil {
				t.Fatal(err)
			}
			_ = s.Send(limited(t), 1, large) // fails, unless the system has taken everything before the status came
			_, err := s.Recv(limited(t))
			wantStatus(t, err, codes.ResourceExhausted, backend.ErrIndeterminate)
		})
	}
}

// Such a trailer needs a frame of HEADERS and one of CONTINUATION.
func TestALongStatusMessageArrives(t *testing.T) {
	long := strings.Repeat("column ", 5000)
	_, err := newTable(t, plan{Event: "status", Code: int(codes.NotFound), Message: long}).sink(t, overHTTP).NewAppender(jsonFormat).Open(limited(t))
	var said *zerobus.Error
	if !errors.As(err, &said) || said.Code != codes.NotFound || said.Message != long {
		t.Errorf("%.200v", err)
	}
}

// Node sends the headers of the response together with the first message, or at once, and both may take time.
func TestHeadersOfTheResponseMayComeAtAnyTime(t *testing.T) {
	for name, p := range map[string]plan{
		"at once": {Early: true}, "at once, and late": {Early: true, Delay: 200},
		"with the first message": {}, "with the first message, and late": {Delay: 200},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, newTable(t, p).sink(t, overHTTP))
			if err := s.Send(limited(t), 0, []backend.Record{{Value: []byte(`{}`)}}); err != nil {
				t.Fatal(err)
			}
			if ack, err := s.Recv(limited(t)); err != nil || ack.Seq != 0 {
				t.Errorf("%+v, %v", ack, err)
			}
		})
	}
}
