package zerobus

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/headrace/headrace/internal/httpwire"
	"github.com/headrace/headrace/internal/redact"
)

// statusOf reads the status of gRPC in the trailer of a response: io.EOF for OK, and otherwise an [*Error], without the secrets.
func statusOf(trailer http.Header, hidden redact.Secrets) error {
	text := trailer.Get("Grpc-Status")
	code, err := strconv.ParseUint(text, 10, 32)
	switch {
	case err != nil:
		return protocolErrorf("the end of the stream has the status %q", httpwire.Clip(hidden.Text(text)))
	case code == 0:
		return io.EOF
	}
	message := trailer.Get("Grpc-Message")
	if plain, err := url.PathUnescape(message); err == nil {
		message = plain
	}
	e := &Error{Code: codes.Code(code), Message: hidden.Text(message)}
	e.readDetails(trailer.Get("Grpc-Status-Details-Bin"), hidden)
	return e
}

// readDetails reads the details of a status. Details that cannot be read are left out, because the code says what to do.
func (e *Error) readDetails(encoded string, hidden redact.Secrets) {
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	st := new(spb.Status)
	if err != nil || proto.Unmarshal(raw, st) != nil {
		return
	}
	for _, detail := range st.Details {
		d, err := detail.UnmarshalNew()
		if err != nil {
			continue
		}
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			// An ErrorInfo of another domain, for example of a gateway, has reasons with other meanings.
			if d.GetDomain() != "" && d.GetDomain() != "zerobus.databricks.com" {
				continue
			}
			e.Reason, e.ErrorCode = hidden.Code(d.GetReason()), hidden.Code(d.GetMetadata()["error_code"])
			for c := range strings.SplitSeq(d.GetMetadata()["causes"], ",") {
				if c = strings.TrimSpace(c); c != "" {
					e.Causes = append(e.Causes, hidden.Code(c))
				}
			}
		case *errdetails.RetryInfo:
			e.after = min(max(d.GetRetryDelay().AsDuration(), 0), httpwire.LongestWait)
		}
	}
}

// codesOfHTTP are gRPC's codes for the HTTP status of a response that is not gRPC's. Any other status is codes.Unknown.
var codesOfHTTP = map[int]codes.Code{
	http.StatusBadRequest:         codes.Internal,
	http.StatusUnauthorized:       codes.Unauthenticated,
	http.StatusForbidden:          codes.PermissionDenied,
	http.StatusNotFound:           codes.Unimplemented,
	http.StatusTooManyRequests:    codes.Unavailable,
	http.StatusBadGateway:         codes.Unavailable,
	http.StatusServiceUnavailable: codes.Unavailable,
	http.StatusGatewayTimeout:     codes.Unavailable,
}

// notGRPC is the error for the response of a web server without gRPC.
func notGRPC(httpStatus int) *Error {
	code, ok := codesOfHTTP[httpStatus]
	if !ok {
		code = codes.Unknown
	}
	return &Error{Code: code, Message: fmt.Sprintf("HTTP status %d %s, without gRPC", httpStatus, http.StatusText(httpStatus)), httpStatus: httpStatus}
}
