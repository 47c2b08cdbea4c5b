package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/headrace/headrace/internal/unread"
)

// segments splits a path before it decodes the path. So a name may contain an escaped slash. S2 sends a name as one
// segment, and names with slashes are common.
func segments(u *url.URL) ([]string, error) {
	path, ok := strings.CutPrefix(u.EscapedPath(), "/v1/")
	if !ok {
		return nil, fail(http.StatusNotFound, "not_found", "no such endpoint: %s", u.EscapedPath())
	}
	parts := strings.Split(path, "/")
	for i, p := range parts {
		name, err := url.PathUnescape(p)
		if err != nil {
			return nil, badRequest("bad_path", "path: %v", err)
		}
		parts[i] = name
	}
	return parts, nil
}

// route finds the endpoint of the request, checks the token, and serves the request. The order matters to clients and
// tests. A preflight of a browser carries no token, so it is answered before the token is looked at. Faults at Arrived
// strike before the token too: they stand for a network that fails, and a network knows no tokens. A draining server
// answers 503 to everybody, and a client goes to another server without finding out whether its token is good.
func (x *exchange) route() error {
	// These methods need no body. If a body comes, we read the body to keep the connection usable.
	switch x.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodDelete, http.MethodOptions:
		x.bodyPassed = true
		if err := unread.PassOver(&x.w, x.r, unreadTime); err != nil {
			return fail(http.StatusRequestTimeout, "request_timeout", "%v", err)
		}
	}
	if x.r.Method == http.MethodOptions && x.r.Header.Get("access-control-request-method") != "" {
		return nil
	}
	if x.r.URL.Path == "/health" || x.r.URL.Path == "/ping" {
		return x.write([]byte("OK"))
	}
	parts, err := segments(x.r.URL)
	if err != nil {
		return err
	}
	handle, err := x.find(parts)
	if err != nil {
		return err
	}
	x.srv.stats.requests.Add(1)
	x.srv.meter.add(x.srv.now(), func(m *minute) { m.calls++ })
	if err := x.applyFault(x.srv.strike(x.op, x.stream, Arrived)); err != nil {
		return err
	}
	select {
	case <-x.srv.closing:
		return draining()
	default:
	}
	if x.who, err = x.srv.authenticate(x.r.Header.Get("authorization")); err != nil {
		return err
	}
	return handle()
}

// basinName returns the name of the basin of a call below /streams. The hosted service reads the basin from the host
// name. A server on a single host cannot, so S2's clients send the header when they have a basin endpoint of their own.
func (x *exchange) basinName() (string, error) {
	name := x.r.Header.Get("s2-basin")
	if name == "" {
		return "", badRequest("bad_header", "the header s2-basin is missing: name the basin there")
	}
	// The same mistake has another status in a header than in a body: 400 and not 422.
	if e := (*apiError)(nil); errors.As(checkBasinName(name), &e) {
		return "", badRequest("bad_header", "s2-basin: %s", e.message)
	}
	return name, nil
}

// mediaType returns the media type of a header, without parameters. A header that cannot be parsed is compared as it
// is: a wrong parameter must not turn a JSON request into another kind.
func mediaType(header string) string {
	t, _, err := mime.ParseMediaType(header)
	if err != nil {
		return strings.ToLower(strings.TrimSpace(header))
	}
	return t
}

const (
	typeS2S   = "s2s/proto"
	typeJSON  = "application/json"
	typeEvent = "text/event-stream"
)

func isProto(t string) bool { return t == "application/protobuf" || t == "application/x-protobuf" }

// accepts reports whether the request asks for an answer of a type for which is returns true.
func (x *exchange) accepts(is func(string) bool) bool {
	for _, line := range x.r.Header.Values("accept") {
		for part := range strings.SplitSeq(line, ",") {
			if is(mediaType(part)) {
				return true
			}
		}
	}
	return false
}

// body reads the whole body of a request and decompresses it. Two bounds protect the server: the size of the body
// before and after decompression, and a minute for its arrival. Without the minute, a client that announces a body and
// does not send it would hold its goroutine for ever.
func (x *exchange) body() ([]byte, error) {
	control := http.NewResponseController(&x.w)
	if unread.ReadBefore(control, time.Now().Add(bodyTime)) != nil {
		return nil, errAbort // the client is gone
	}
	b, err := io.ReadAll(http.MaxBytesReader(x.w.ResponseWriter, x.r.Body, maxBody))
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, fail(http.StatusRequestTimeout, "request_timeout", "the body took longer than %v", bodyTime)
		}
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			return nil, fail(http.StatusRequestEntityTooLarge, "invalid", "request exceeds %d bytes", maxBody)
		}
		return nil, errAbort // the client is gone
	}
	// The deadline is for the body alone. Left in place, it would break the connection under the next request, or under
	// a long answer.
	if unread.ReadBefore(control, time.Time{}) != nil {
		return nil, errAbort
	}
	how := plain
	switch enc := strings.ToLower(x.r.Header.Get("content-encoding")); enc {
	case "", "identity":
		return b, nil
	case "gzip":
		how = gzipC
	case "zstd":
		how = zstdC
	default:
		return nil, fail(http.StatusUnsupportedMediaType, "bad_header", "unknown content-encoding `%s`: use gzip, zstd or none", enc)
	}
	if b, err = x.srv.coder.decompress(how, b, maxBody); err != nil {
		return nil, badRequest("bad_header", "the body cannot be decompressed as content-encoding says: %v", err)
	}
	return b, nil
}

// decode reads a JSON request into v. If optional is true, an empty request is allowed, and leaves v as it is. S2
// answers every mistake in JSON with 400 bad_json, a missing content type included.
func (x *exchange) decode(v any, optional bool) error {
	b, err := x.body()
	if err != nil {
		return err
	}
	b = bytes.TrimSpace(b)
	if optional && (len(b) == 0 || string(b) == "null") {
		return nil
	}
	if t := mediaType(x.r.Header.Get("content-type")); t != typeJSON && !strings.HasSuffix(t, "+json") {
		return badRequest("bad_json", "expected request with `Content-Type: application/json`")
	}
	if err := json.Unmarshal(b, v); err != nil {
		if e := (*apiError)(nil); errors.As(err, &e) {
			return e
		}
		return badRequest("bad_json", "%v", err)
	}
	return nil
}

// answer writes v as JSON. It compresses the JSON if the client accepts that and the JSON is large enough.
func (x *exchange) answer(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := x.waitDurable(); err != nil {
		return err
	}
	return x.send(status, typeJSON, b)
}

// empty answers a change with a status and no body.
func (x *exchange) empty(status int) error {
	if err := x.waitDurable(); err != nil {
		return err
	}
	x.w.WriteHeader(status)
	return nil
}

// waitDurable waits until the change of this request is durable. Otherwise a client could be told of a change that a
// crash then loses. A GET changes nothing and does not wait.
func (x *exchange) waitDurable() error {
	if x.r.Method == http.MethodGet {
		return nil
	}
	return x.srv.waitDurable()
}

// send writes an answer in one Write with its length: some clients of S2 read an error from the first piece alone. The
// header vary tells caches that the bytes depend on accept-encoding.
func (x *exchange) send(status int, contentType string, b []byte) error {
	h := x.w.Header()
	h.Set("content-type", contentType)
	h.Set("vary", "accept-encoding")
	if how := responseCodec(x.r.Header.Values("accept-encoding")); how != plain && len(b) > minCompressed {
		h.Set("content-encoding", map[codec]string{zstdC: "zstd", gzipC: "gzip"}[how])
		b = x.srv.coder.compress(how, nil, b)
	}
	h.Set("content-length", strconv.Itoa(len(b)))
	x.w.WriteHeader(status)
	x.statusSent = true
	if _, err := x.w.Write(b); err != nil {
		return errAbort
	}
	return nil
}
