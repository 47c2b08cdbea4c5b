package h2

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/headrace/headrace/internal/misconfig"
)

// Configure makes t send each request over a connection of its own, as a [Stream]. t makes the connections as its settings
// say. Other than for net/http, the Body of the request is only the beginning of the body, and is sent in one piece: the caller
// writes the rest to the Stream, see [Await].
//
// A silent connection is asked for a sign of life after pingAfter, and is given up after pingAfter more. 0 means never: many
// servers of gRPC end a connection with a client that asks more often than every five minutes.
func Configure(t *http.Transport, pingAfter time.Duration) {
	configure(t, func(c net.Conn) http.RoundTripper { return connection{c, pingAfter} })
}

// configure makes t give each new connection to use. What use returns sends the request for which t made the connection.
func configure(t *http.Transport, use func(net.Conn) http.RoundTripper) {
	t.DisableKeepAlives = true // every Stream has its own connection
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP2(true)
	t.Protocols.SetUnencryptedHTTP2(true)
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = new(tls.Config)
	}
	// HTTP/1.1 is not offered: there, a server or a proxy may answer only behind the whole body, and an append session would get
	// no ack before its end.
	t.TLSClientConfig.NextProtos = []string{"h2"}
	// net/http calls these functions with a new connection. The second name is the one for connections without TLS.
	t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{
		"h2": func(_ string, c *tls.Conn) http.RoundTripper { return use(c) },
		"unencrypted_http2": func(_ string, c *tls.Conn) http.RoundTripper {
			return use(c.NetConn().(interface{ UnencryptedNetConn() net.Conn }).UnencryptedNetConn())
		},
	}
}

type streamKey struct{}

// Await returns a context for a request, and a function that returns the Stream of the request after its response has come,
// or nil if the request was answered in another way. The context reaches the connection also where a RoundTripper of
// somebody else stands in between, and a response may have a wrapped Body then.
func Await(ctx context.Context) (context.Context, func() *Stream) {
	var s *Stream
	return context.WithValue(ctx, streamKey{}, &s), func() *Stream { return s }
}

// A connection is a new connection, on which no request was sent yet.
type connection struct {
	net.Conn
	pingAfter time.Duration
}

// RoundTrip is [Do] for a connection of net/http, or [DoAfterSettings] with a context of [AfterSettings].
func (c connection) RoundTrip(req *http.Request) (*http.Response, error) {
	s, res, err := do(c.Conn, req, c.pingAfter, req.Context().Value(patientKey{}) != nil)
	if err != nil {
		return nil, err
	}
	// The Stream is handed over only with a response. Before, Do reads the frames, and a second reader would take its bytes.
	if to, ok := req.Context().Value(streamKey{}).(**Stream); ok {
		*to = s
	}
	return res, nil
}

// Do sends a request over a new connection, and returns its Stream and the response when the headers of the response have come.
// The end of the request's context closes the connection, before and after. Do also closes the connection after an error. See
// [Configure] for the body of the request and for pingAfter.
func Do(conn net.Conn, req *http.Request, pingAfter time.Duration) (*Stream, *http.Response, error) {
	return do(conn, req, pingAfter, false)
}

// do is [Do], and with patient [DoAfterSettings].
func do(conn net.Conn, req *http.Request, pingAfter time.Duration, patient bool) (*Stream, *http.Response, error) {
	s := newStream(conn, pingAfter)
	// The watch begins before the first byte: a server that accepts the connection and says nothing must not hold the opening
	// beyond the end of its context.
	s.watch(req.Context())
	res, err := s.open(req, patient)
	if err != nil {
		_ = s.Close() // the request may be wrong, and nothing was sent
		return nil, nil, err
	}
	return s, res, nil
}

// open sends the request, and waits for the headers of the response.
func (s *Stream) open(req *http.Request, patient bool) (*http.Response, error) {
	first, err := s.firstHeaders(req)
	if err != nil {
		return nil, err
	}
	body, err := firstData(req)
	if err != nil {
		return nil, err
	}
	if !patient {
		first = append(greeting(), first...) // leaves in one write
	} else if err := s.meet(); err != nil {
		return nil, err
	}
	// The request leaves while this goroutine reads. Some servers send their SETTINGS before they read anything, and the beginning
	// of the body may need more room than a server gives at first.
	s.post(first)
	// The claim comes before open returns. Otherwise the caller could claim first, and the rest of the body would leave before its
	// beginning.
	if body != nil && s.Claim() && !s.Collect(body) {
		go func() { _, _ = s.Write(req.Context(), body) }() // a failure ends the stream
	}
	return s.awaitResponse(req)
}

// greeting is what every connection begins with: the preface and our SETTINGS.
func greeting() []byte {
	// Without a push, every frame of the server belongs to our request or to the connection.
	return appendFrame([]byte(preface), frameSettings, 0, 0, 0, settingEnablePush, 0, 0, 0, 0)
}

// firstHeaders is the frame with the headers of the request.
func (s *Stream) firstHeaders(req *http.Request) ([]byte, error) {
	block, size, err := encodeHeaders(req)
	if err != nil {
		return nil, err
	}
	s.asked = size
	// The frame has no END_STREAM: the body follows with each Write.
	return appendFrame(nil, frameHeaders, flagEndHeaders, requestStream, block...), nil
}

// firstData is the beginning of the body, in the form for Write; nil if there is none.
func firstData(req *http.Request) ([]byte, error) {
	if req.Body == nil {
		return nil, nil
	}
	defer req.Body.Close()
	return io.ReadAll(io.MultiReader(bytes.NewReader(make([]byte, HeadRoom)), req.Body))
}

func (s *Stream) awaitResponse(req *http.Request) (*http.Response, error) {
	for {
		// In front of the response come the SETTINGS of the server, and perhaps interim responses. frame obeys the SETTINGS,
		// and the loop goes on to the real response.
		fields, final, err := s.frame()
		switch {
		case err != nil:
			return nil, s.lost(err)
		case final:
			return s.makeResponse(req, fields)
		}
	}
}

// encodeHeaders encodes the headers of the request. size is what a server compares with its limit (SETTINGS_MAX_HEADER_LIST_SIZE).
// Every field is marked as sensitive, so that no proxy keeps the access token in a table, and so that we need no table either.
func encodeHeaders(req *http.Request) (encoded []byte, size uint32, err error) {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	put := func(name, value string) {
		f := hpack.HeaderField{Name: name, Value: value, Sensitive: true}
		_ = enc.WriteField(f) // cannot fail: block is memory
		size += f.Size()
	}
	authority := req.Host
	if authority == "" {
		authority = req.URL.Host
	}
	// The fields with a colon must come first (RFC 9113, section 8.3), or the server refuses the request as malformed.
	put(":method", req.Method)
	put(":scheme", req.URL.Scheme)
	put(":authority", authority)
	put(":path", req.URL.RequestURI())
	for name, values := range req.Header {
		for _, v := range values {
			// HTTP/2 allows no capital letters in a name (section 8.2.1). net/http keeps its names with capitals.
			put(strings.ToLower(name), v)
		}
	}
	// We send the headers in one frame, and the SETTINGS of the server, which might allow a longer frame, may not have come yet. Many
	// servers take no more than 8 or 16 KiB of headers in any number of frames.
	if block.Len() > leastMaxFrame {
		return nil, 0, longHeaders(block.Len(), leastMaxFrame)
	}
	return block.Bytes(), size, nil
}

// longHeaders is the error for headers of size bytes. Another attempt would fail in the same way.
func longHeaders(size, limit int) error {
	err := fmt.Errorf("the headers of the request have %d bytes, at most %d are allowed", size, limit)
	return &misconfig.Sign{Cause: misconfig.LongHeaders, Err: err}
}

// mostHeaders bounds the encoded and the decoded headers of a response.
const mostHeaders = 64 << 10

// response reads headers. final is false for an interim response, behind which the real response follows, and for a trailer
// behind the body.
func (s *Stream) response(length int, f flags, stream uint32) (fields []hpack.HeaderField, final bool, err error) {
	if stream != requestStream {
		return nil, false, fmt.Errorf("the server sent headers for stream %d", stream)
	}
	// The end stands in the HEADERS frame, also when CONTINUATION frames follow, for a CONTINUATION has no such flag.
	s.last = f&flagEndStream != 0
	block, err := s.block(length, f)
	if err != nil {
		return nil, false, err
	}
	if fields, err = s.decode(block); err != nil {
		return nil, false, fmt.Errorf("the headers of the response: %w", err)
	}
	interim := len(fields) > 0 && fields[0].Name == ":status" && strings.HasPrefix(fields[0].Value, "1")
	switch {
	// Without this check, a server could send trailers for ever, and s.trailer would grow.
	case s.responded && !s.last:
		return nil, false, errors.New("the server sent headers in the middle of a response")
	case s.responded:
		for _, f := range fields {
			if !strings.HasPrefix(f.Name, ":") { // a trailer has no pseudo-headers
				s.trailer.Add(f.Name, f.Value)
			}
		}
		return nil, false, nil
	// We would wait for the response for ever.
	case interim && s.last:
		return nil, false, errors.New("the server ended an interim response")
	case interim:
		return nil, false, nil
	}
	s.responded = true
	return fields, true, nil
}

// block reads the rest of a HEADERS frame and its continuations: a block of encoded fields.
func (s *Stream) block(length int, f flags) ([]byte, error) {
	payload, err := s.payload(length)
	if err != nil {
		return nil, err
	}
	block, err := trim(payload, f)
	if err != nil {
		return nil, err
	}
	// payload lends the array small, and the next payload overwrites the array.
	block = bytes.Clone(block)
	for f&flagEndHeaders == 0 {
		length, typ, more, stream, err := s.head()
		switch {
		case err != nil:
			return nil, err
		// Nothing may stand between the frames of one block. The bound stops a server that sends continuations for ever: each
		// one would make the block grow.
		case typ != frameContinuation || stream != requestStream || len(block)+length > mostHeaders:
			return nil, errors.New("the server broke off its headers, or they are too long")
		}
		if payload, err = s.payload(length); err != nil {
			return nil, err
		}
		block, f = append(block, payload...), more
	}
	return block, nil
}

// trim cuts the padding and the priority off the payload of a HEADERS frame.
func trim(b []byte, f flags) ([]byte, error) {
	padding := 0
	if f&flagPadded != 0 && len(b) > 0 {
		padding, b = int(b[0]), b[1:]
	}
	// The priority has 5 bytes. HTTP/2 has given priorities up, and a client has no use for them.
	if f&flagPriority != 0 && len(b) >= 5 {
		b = b[5:]
	}
	// The server chooses the number, so the slice below would panic without the check.
	if padding > len(b) {
		return nil, fmt.Errorf("a HEADERS frame of %d bytes with %d bytes of padding", len(b), padding)
	}
	return b[:len(b)-padding], nil
}

// decode decodes a block of headers. A block of a few bytes may repeat long fields, so the sum of the fields is bounded too.
func (s *Stream) decode(block []byte) (fields []hpack.HeaderField, err error) {
	size := 0
	s.headers.SetEmitFunc(func(f hpack.HeaderField) {
		if size += int(f.Size()); size <= mostHeaders {
			fields = append(fields, f)
		}
	})
	// The decoder stays as long as the Stream, and would keep the fields by this function.
	defer s.headers.SetEmitFunc(func(hpack.HeaderField) {})
	// Without this bound, a single string of a compressed block could be long before size counts it.
	s.headers.SetMaxStringLength(mostHeaders)
	// Close reports a block that ends inside a field.
	if _, err = s.headers.Write(block); err == nil {
		err = s.headers.Close()
	}
	if err == nil && size > mostHeaders {
		err = fmt.Errorf("%d bytes, at most %d are allowed", size, mostHeaders)
	}
	return fields, err
}

func (s *Stream) makeResponse(req *http.Request, fields []hpack.HeaderField) (*http.Response, error) {
	// The length of the body stays unknown, because END_STREAM and not a length tells the end.
	res := &http.Response{
		Proto: "HTTP/2.0", ProtoMajor: 2, Header: http.Header{}, Trailer: s.trailer, Body: s, ContentLength: -1, Request: req,
	}
	for _, f := range fields {
		if f.Name == ":status" {
			code, err := strconv.Atoi(f.Value)
			// Interim responses (1xx) do not get this far.
			if err != nil || code < 200 || code > 999 {
				return nil, errors.New("a response whose status is not from 200 to 999")
			}
			res.StatusCode, res.Status = code, f.Value+" "+http.StatusText(code)
			continue
		}
		res.Header.Add(f.Name, f.Value)
	}
	// Without this check, the caller would take the status 0 for a refusal of the server.
	if res.StatusCode == 0 {
		return nil, errors.New("a response without a status")
	}
	return res, nil
}
