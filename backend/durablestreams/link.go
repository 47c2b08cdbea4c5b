package durablestreams

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Bounds on what a server may send on a link. The first two are those of net/http.
const (
	mostInterim = 5    // answers with a status of 1xx in front of the answer
	linkBuffer  = 4096 // bytes read at once: an answer to an append has a few hundred
	bodyOfLink  = 2 * maxDrain
)

// A link is a connection with HTTP/1.1 for appends, one after another. The goroutine that has the batch writes the request, and the
// goroutine that wants the ack reads the answer. net/http would hand both to goroutines of its own, and with them the record.
//
// Only appends go over links, because only the appends of a producer are many and small. net/http makes all other requests.
type link struct {
	conn      net.Conn
	raw       net.Conn // conn, or what is under its TLS
	bound     io.LimitedReader
	answers   *bufio.Reader
	failed    error // of the last read of conn
	idleSince time.Time
}

func newLink(conn, raw net.Conn) *link {
	l := &link{conn: conn, raw: raw}
	l.bound.R = (*linkReader)(l)
	l.answers = bufio.NewReaderSize(&l.bound, linkBuffer)
	return l
}

// A linkReader reads the connection and keeps the error. The parser of net/http says "malformed" of a line that is cut by an error.
type linkReader link

func (r *linkReader) Read(p []byte) (n int, err error) {
	n, err = r.conn.Read(p)
	r.failed = err
	return n, err
}

// dialLink connects to the server. The errors are those of net/http, so lost finds wrong settings in them.
func (c *Client) dialLink(ctx context.Context) (*link, error) {
	port := c.base.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[c.base.Scheme]
	}
	raw, err := newDialer().DialContext(ctx, "tcp", net.JoinHostPort(c.base.Hostname(), port))
	if err != nil || c.base.Scheme == "http" {
		return newLink(raw, raw), err
	}
	// The caller's config may be nil, and Clone of nil is nil.
	settings := c.config.tls.Clone()
	if settings == nil {
		settings = new(tls.Config)
	}
	if settings.ServerName == "" {
		settings.ServerName = c.base.Hostname()
	}
	settings.NextProtos = []string{"http/1.1"} // a link has no other protocol
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	conn := tls.Client(raw, settings)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return newLink(conn, raw), nil
}

// cut closes the connection at once, and makes send, wait and answer return. The goodbye of TLS is left out: it could wait for
// the server, and says nothing, because every answer carries its length.
func (l *link) cut() { _ = l.raw.Close() }

// send writes one request. Plain TCP gathers head and body in one call of the system without a copy. Under TLS a short body is
// joined to the head, because the two would go out in two packets otherwise.
func (l *link) send(head, body []byte) error {
	if l.conn != l.raw && len(body) <= oneWrite {
		_, err := l.conn.Write(append(head, body...))
		return err
	}
	parts := net.Buffers{head, body}
	_, err := parts.WriteTo(l.conn)
	return err
}

// wait returns when the first byte of an answer is there. wait may be called again after an error with a timeout.
func (l *link) wait() error {
	l.bound.N = maxHeader
	_, err := l.answers.Peek(1)
	return err
}

// answer reads the answer to req up to its body. What the server may send is bounded: the headers by maxHeader, and the body by
// bodyOfLink.
func (l *link) answer(req *http.Request) (*http.Response, error) {
	for range mostInterim + 1 {
		l.bound.N = maxHeader
		resp, err := http.ReadResponse(l.answers, req)
		switch {
		case err != nil && l.bound.N <= 0:
			return nil, fmt.Errorf("the headers of the answer have more than %d bytes", maxHeader)
		case err != nil && l.failed != nil && l.failed != io.EOF:
			return nil, l.failed
		case err != nil:
			return nil, err
		case resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols:
			l.bound.N = bodyOfLink
			resp.Body = &linkBody{Reader: resp.Body}
			return resp, nil
		}
	}
	return nil, errors.New("the server sends interim answers without end")
}

// usable reports whether another request may follow on the link after the answer resp. The body has to be read to its end.
// Otherwise the rest of the body would be taken for the beginning of the next answer.
func (l *link) usable(resp *http.Response) bool {
	body, ok := resp.Body.(*linkBody)
	return ok && body.whole && !resp.Close && resp.StatusCode >= 200 && l.answers.Buffered() == 0
}

// A linkBody notes whether a body was read to its end. Close does not read the rest, as the Close of net/http's body would, however
// long the rest is.
type linkBody struct {
	io.Reader
	whole bool
}

func (b *linkBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.whole = b.whole || err == io.EOF
	return n, err
}

func (b *linkBody) Close() error { return nil }

// headOf returns the request line and the headers, as net/http would write them.
func headOf(req *http.Request, length int) []byte {
	if u := req.URL.User; u != nil && req.Header.Get("Authorization") == "" {
		password, _ := u.Password()
		req.SetBasicAuth(u.Username(), password)
	}
	var head bytes.Buffer
	head.Grow(512)
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", req.Method, req.URL.RequestURI(), req.Host, length)
	_ = req.Header.WriteSubset(&head, ownHeaders) // cannot fail: head is memory
	head.WriteString("\r\n")
	return head.Bytes()
}

// ownHeaders are the headers that a caller's option cannot set, with net/http or without.
var ownHeaders = map[string]bool{"Host": true, "Content-Length": true, "Transfer-Encoding": true, "Trailer": true}
