package zerobus_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

// final are the codes for which another attempt does not help, by the vendor's list. All other codes are tried again.
var final = map[codes.Code]error{
	codes.InvalidArgument: backend.ErrRejected, codes.NotFound: backend.ErrNotFound, codes.OutOfRange: backend.ErrConflict,
	codes.PermissionDenied: backend.ErrUnauthorized, codes.Unauthenticated: backend.ErrUnauthorized,
	codes.Unimplemented: backend.ErrUnsupported,
}

// verdict names the sentinels of an error, for the matrix that the test prints.
func verdict(err error) string {
	var all []string
	for name, sentinel := range map[string]error{
		"transient": backend.ErrTransient, "indeterminate": backend.ErrIndeterminate, "rejected": backend.ErrRejected, "not found": backend.ErrNotFound,
		"unauthorized": backend.ErrUnauthorized, "unsupported": backend.ErrUnsupported, "conflict": backend.ErrConflict,
	} {
		if errors.Is(err, sentinel) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return strings.Join(all, " + ")
}

// Every code at an opening, and on an open stream with no, one and two unacknowledged batches. Code 0 is the end of a stream
// without an error.
func TestEveryCode(t *testing.T) {
	matrix := fmt.Sprintf("\n%-22s %-16s %-26s %-30s %s", "code", "at open", "mid-stream, idle", "mid-stream, one unacked", "mid-stream, two unacked")
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		matrix += fmt.Sprintf("\n%2d %-19v", code, code)
		t.Run(code.String(), func(t *testing.T) {
			t.Run("at open", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					err := codeAtOpen(t, code)
					matrix += fmt.Sprintf(" %-16s", verdict(err))
				})
			})
			for unacked := range 3 {
				t.Run([]string{"idle", "one unacked", "two unacked"}[unacked], func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						err := codeInMidStream(t, code, unacked)
						matrix += fmt.Sprintf(" %-*s", []int{26, 30, 0}[unacked], verdict(err))
					})
				})
			}
		})
	}
	t.Log(matrix)
}

func codeAtOpen(t *testing.T, code codes.Code) error {
	t.Helper()
	srv := quiet(t)
	srv.Inject(zerobustest.Fault{Stage: zerobustest.Creating, Times: -1, Do: zerobustest.Status(code, "told you")})
	began := time.Now()
	_, err := sinkOf(srv).NewAppender(jsonFormat).Open(t.Context())
	took(t, began, 0)
	if why := final[code]; why != nil {
		wantIs(t, err, why)
	} else {
		wantIs(t, err, backend.ErrTransient)
	}
	var said *zerobus.Error
	if !errors.As(err, &said) || said.Code != code || code != codes.OK && said.Message != "told you" {
		t.Errorf("%v names %+v", err, said)
	}
	want := int64(1)
	if code == codes.Unauthenticated {
		want = 2 // with another token
	}
	if n := srv.Stats().Streams; n != want {
		t.Errorf("%d attempts in one opening, want %d", n, want)
	}
	return err
}

func codeInMidStream(t *testing.T, code codes.Code, unacked int) error {
	t.Helper()
	srv := quiet(t, zerobustest.Acks(zerobustest.AckNever()))
	s := open(t, sinkOf(srv))
	if unacked == 0 {
		srv.End(table, zerobustest.Status(code, "told you"))
	} else {
		srv.Inject(zerobustest.Fault{Stage: zerobustest.Receiving, Skip: unacked - 1, Do: zerobustest.Status(code, "told you")})
	}
	for i := range unacked {
		if err := s.Send(t.Context(), uint64(i), records(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	acked, err := reason(t, s)
	took(t, began, 0)
	if len(acked) > 0 {
		t.Errorf("%v were acknowledged", acked)
	}
	var want []error
	switch {
	case code == codes.InvalidArgument && unacked == 2:
		want = []error{backend.ErrRejected, backend.ErrIndeterminate}
	case code == codes.Unauthenticated && unacked == 0:
		want = []error{backend.ErrUnauthorized, backend.ErrTransient}
	case code == codes.Unauthenticated:
		want = []error{backend.ErrUnauthorized, backend.ErrIndeterminate}
	case final[code] != nil:
		want = []error{final[code]}
	case unacked == 0:
		want = []error{backend.ErrTransient}
	default:
		want = []error{backend.ErrIndeterminate}
	}
	wantIs(t, err, want...)
	var said *zerobus.Error
	if !errors.As(err, &said) || said.Code != code {
		t.Errorf("%v names %+v", err, said)
	}
	return err
}

// Programs can read the reason of a refusal from fields.
func TestSchemaErrorsAreStructured(t *testing.T) {
	srv := serve(t)
	srv.Inject(zerobustest.Fault{Stage: zerobustest.Creating, Do: zerobustest.Status(codes.InvalidArgument, "no", &errdetails.ErrorInfo{
		Domain: "zerobus.databricks.com", Reason: "SCHEMA_VALIDATION_FAILED",
		Metadata: map[string]string{"causes": "FIELD_NOT_IN_TABLE, TYPE_INCOMPATIBLE", "error_code": "8001"},
	})})
	_, err := clientOf(config(srv)).Table(table).NewAppender(jsonFormat).Open(limited(t))
	var said *zerobus.Error
	if !errors.As(err, &said) || said.Reason != "SCHEMA_VALIDATION_FAILED" || len(said.Causes) != 2 || said.Causes[1] != "TYPE_INCOMPATIBLE" ||
		said.ErrorCode != "8001" {
		t.Errorf("%v: %+v", err, said)
	}
}
