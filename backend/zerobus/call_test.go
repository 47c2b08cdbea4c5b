package zerobus

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
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
	"github.com/headrace/headrace/internal/redact"
)

// answering is the URL of a server that answers each call with f.
func answering(t *testing.T, f http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewUnstartedServer(f)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL
}

// begin makes a call. Its end cuts the connection.
func begin(t *testing.T, url string) (*call, error) {
	t.Helper()
	client, err := New(Config{Endpoint: url}, Headers(HeadersFunc(nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return client.newCall(ctx, grant{header: http.Header{"authorization": {"Bearer hunter2hunter2"}}, hidden: redact.Secrets{"hunter2hunter2"}}, []byte("first"))
}

// says is a server that sends a body, and then a status with its further fields.
func says(body, status string, fields ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc+proto")
		_, _ = io.WriteString(w, body)
		if status != "" {
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", status)
		}
		for i := 0; i < len(fields); i += 2 {
			w.Header().Set(http.TrailerPrefix+fields[i], fields[i+1])
		}
	}
}

func details(t *testing.T) string {
	info, err := anypb.New(&errdetails.ErrorInfo{Reason: "R", Metadata: map[string]string{"causes": "A, not: hunter2hunter2"}})
	if err != nil {
		t.Fatal(err)
	}
	retry, err := anypb.New(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := proto.Marshal(&spb.Status{Code: 3, Details: []*anypb.Any{info, retry}})
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// recv returns the end of a call by its words, by the rules of gRPC over HTTP/2.
func TestTheEndOfACall(t *testing.T) {
	const message = "\x00\x00\x00\x00\x02\x12\x00"
	for name, test := range map[string]struct {
		server http.HandlerFunc
		want   string
	}{
		"OK":                         {says(message, "0"), "EOF"},
		"a code and a text":          {says(message, "5", "Grpc-Message", "no%20table%3A %C3%A4"), "NotFound: no table: ä"},
		"a text with a lone percent": {says("", "13", "Grpc-Message", "100% sure"), "Internal: 100% sure"},
		"a text with the token":      {says("", "16", "Grpc-Message", "not hunter2hunter2"), "Unauthenticated: not [hidden]"},
		"a code of tomorrow":         {says("", "77"), "Code(77)"},
		"no status":                  {says(message, ""), `the server broke the protocol: the end of the stream has the status ""`},
		"a status that is none":      {says(message, "x"), `the server broke the protocol: the end of the stream has the status "x"`},
		"details":                    {says("", "3", "Grpc-Status-Details-Bin", base64.RawStdEncoding.EncodeToString([]byte(details(t)))), "InvalidArgument (R A not: [hidden])"},
		"details, padded":            {says("", "3", "Grpc-Status-Details-Bin", base64.StdEncoding.EncodeToString([]byte(details(t)))), "InvalidArgument (R A not: [hidden])"},
		"details that are none":      {says("", "3", "Grpc-Status-Details-Bin", "!"), "InvalidArgument"},
		"a compressed message":       {says("\x01\x00\x00\x00\x00", "0"), "the server broke the protocol: a compressed message, which nobody has asked for"},
		"a long message":             {says("\x00\x00\x01\x00\x01", "0"), "the server broke the protocol: a message of 65537 bytes, at most 65536 are allowed"},
		"half a message":             {says(message[:6], "0"), "the connection failed: unexpected EOF"},
		"half a head":                {says(message[:3], "0"), "the connection failed: unexpected EOF"},
		"a lost connection": {func(w http.ResponseWriter, r *http.Request) {
			says(message, "")(w, r)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, "the connection failed: the server has reset the request, error code 2"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := begin(t, answering(t, test.server))
			for r := (response{}); err == nil; {
				err = c.recv(&r)
			}
			if err.Error() != test.want {
				t.Errorf("%v, want %s", err, test.want)
			}
			var said *Error
			if errors.As(err, &said) && said.Reason != "" && said.RetryAfter() != time.Second {
				t.Errorf("wait %v", said.RetryAfter())
			}
		})
	}
}

// A web server without gRPC has answered, for example a gateway. The status of HTTP decides.
func TestAnAnswerWithoutGRPC(t *testing.T) {
	for status, want := range map[int]codes.Code{
		200: codes.Unknown, 400: codes.Internal, 401: codes.Unauthenticated, 403: codes.PermissionDenied, 404: codes.Unimplemented,
		418: codes.Unknown, 429: codes.Unavailable, 500: codes.Unknown, 502: codes.Unavailable, 503: codes.Unavailable, 504: codes.Unavailable,
	} {
		_, err := begin(t, answering(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		var said *Error
		if !errors.As(err, &said) || said.Code != want || !strings.Contains(said.Error(), http.StatusText(status)) {
			t.Errorf("%d: %v, want %v", status, err, want)
		}
	}
}

func TestACallBeginsWithItsHeadersAndTheFirstMessage(t *testing.T) {
	var got http.Header
	var path, body string
	c, err := begin(t, answering(t, func(w http.ResponseWriter, r *http.Request) {
		got, path = r.Header, r.URL.Path
		b := make([]byte, len("?????first"))
		_, _ = io.ReadFull(r.Body, b)
		body = string(b)
		says("", "0")(w, r)
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.recv(new(response)); err != io.EOF {
		t.Fatal(err)
	}
	want := http.Header{"Authorization": {"Bearer hunter2hunter2"}, "Content-Type": {"application/grpc"}, "Te": {"trailers"}, "User-Agent": {"headrace-zerobus"}}
	if len(got) != len(want) || path != "/databricks.zerobus.Zerobus/EphemeralStream" || body != "\x00\x00\x00\x00\x05first" {
		t.Errorf("%q %v %q", path, got, body)
	}
	for name, v := range want {
		if !slices.Equal(got[name], v) {
			t.Errorf("%s: %q, want %q", name, got[name], v)
		}
	}
}

func TestAHeaderWithAnyBytesIsSentInBase64(t *testing.T) {
	got, err := checkHeaders(map[string]string{"X-Trace-Bin": "\x00\xff\x01", "x-plain": "a b"})
	sent := map[string][]string(got) // a Header would look for names with capitals
	if err != nil || sent["x-trace-bin"][0] != "AP8B" || sent["x-plain"][0] != "a b" {
		t.Errorf("%v, %v", got, err)
	}
}

// A server refuses a request with such a header as malformed, and says no more than that.
func TestAHeaderThatHTTP2DoesNotAllowIsRefused(t *testing.T) {
	for _, name := range []string{"Connection", "Content-Length", "Host", "Transfer-Encoding", ":path", "grpc-timeout", "a b", ""} {
		if _, err := checkHeaders(map[string]string{name: "1"}); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
