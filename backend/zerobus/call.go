package zerobus

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/headrace/headrace/internal/h2"
	"github.com/headrace/headrace/internal/redact"
)

// The only method of the service.
const method = "/databricks.zerobus.Zerobus/EphemeralStream"

const (
	// Each message has a head of gRPC: a flag for compression, and the length in 4 bytes.
	messageHead = 5

	// responseBytes is the largest message that we take from the server. The server sends little.
	responseBytes = 64 << 10
)

// A call is a call of the method, on an HTTP/2 connection of its own: the body of the request has our messages, and the body of
// the response those of the server. See package h2. One goroutine calls send, and another recv.
type call struct {
	out    *h2.Stream
	res    *http.Response
	hidden redact.Secrets

	head    [messageHead]byte // of the latest message from the server
	message []byte            // the latest message from the server; used again for each
}

// newCall makes a connection, and sends the headers and the first message. ctx lasts as long as the call: its end cuts the
// connection.
func (c *Client) newCall(ctx context.Context, g grant, first []byte) (*call, error) {
	made, err := c.tryCall(ctx, g, first, h2.Do)
	// Without a second attempt, the next opening would be refused for the same reason.
	if errors.Is(err, h2.ErrRefused) {
		return c.tryCall(ctx, g, first, h2.DoAfterSettings)
	}
	return made, err
}

type doer func(net.Conn, *http.Request, time.Duration) (*h2.Stream, *http.Response, error)

// tryCall is newCall for one attempt.
func (c *Client) tryCall(ctx context.Context, g grant, first []byte, do doer) (*call, error) {
	head := appendMessageHead(nil, len(first))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.place.endpoint.url+method, io.MultiReader(bytes.NewReader(head), bytes.NewReader(first)))
	if err != nil {
		return nil, err
	}
	req.Header = g.header.Clone()
	req.Header["content-type"] = []string{"application/grpc"}
	req.Header["te"] = []string{"trailers"} // without it, gRPC servers suspect a proxy that would drop the trailers
	req.Header["user-agent"] = []string{c.userAgent}
	conn, err := c.connect(ctx, req.URL)
	if err != nil {
		return nil, err
	}
	out, res, err := do(conn, req, 0)
	if err != nil {
		return nil, connectionFault(g.hidden.Error(err))
	}
	// A gateway may refuse a call of gRPC with a status of HTTP and nothing else.
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "application/grpc") || res.StatusCode != http.StatusOK && res.Header.Get("Grpc-Status") == "" {
		_ = out.Close()
		return nil, notGRPC(res.StatusCode)
	}
	return &call{out: out, res: res, hidden: g.hidden}, nil
}

// send sends a message, which begins behind messageRoom. An error means that the message has not left whole, so the server cannot
// have understood it. partly says that ctx has ended while the server took no more bytes, and that a part of the message may have
// left. Then the call is of no use, and the caller must cut it.
//
// behind says that the server owes acks for earlier messages. Then the message may leave a few microseconds later, together with
// the next messages: a call of the operating system costs as much as the making of a small message.
func (c *call) send(ctx context.Context, message []byte, behind bool) (partly bool, err error) {
	if err := c.out.Ready(ctx); err != nil {
		return false, err
	}
	if !c.out.Claim() {
		return false, io.EOF
	}
	if behind && c.out.Collect(message) {
		return false, nil
	}
	rest, err := c.out.Write(ctx, message)
	if rest != nil {
		return true, ctx.Err()
	}
	return false, err
}

// recv reads a message. The error is io.EOF or an [*Error] for the status by which the server ends the call, a
// [*ProtocolError], or errConnection.
func (c *call) recv(r *response) error {
	switch _, err := io.ReadFull(c.res.Body, c.head[:]); err {
	case nil:
	case io.EOF:
		return c.status()
	default:
		return c.lost(err)
	}
	n := binary.BigEndian.Uint32(c.head[1:])
	switch {
	case c.head[0] != 0:
		return protocolErrorf("a compressed message, which nobody has asked for")
	case n > responseBytes:
		return protocolErrorf("a message of %d bytes, at most %d are allowed", n, responseBytes)
	case int(n) > cap(c.message):
		c.message = make([]byte, n)
	}
	c.message = c.message[:n]
	if _, err := io.ReadFull(c.res.Body, c.message); err != nil {
		return c.lost(err)
	}
	if err := r.parse(c.message); err != nil {
		return &ProtocolError{err}
	}
	return nil
}

// lost is the error for a connection that was lost in the middle of the response. A server may repeat the token in its last words.
// Behind the headers of a response, nothing can come from a wrong setting, so this error has no explanation.
func (c *call) lost(err error) error { return fmt.Errorf("%w: %w", errConnection, c.hidden.Error(err)) }

// status is how the server has ended the call.
func (c *call) status() error {
	fields := c.res.Trailer
	if len(fields) == 0 { // without any message, the headers of the response are its trailer too
		fields = c.res.Header
	}
	return statusOf(fields, c.hidden)
}

// cut closes the connection.
func (c *call) cut() { _ = c.out.Close() }

// messageRoom is the room in front of a message: for the head of HTTP/2 and that of gRPC.
const messageRoom = h2.HeadRoom + messageHead

func appendMessageHead(dst []byte, length int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, 0), uint32(length))
}

// messages holds memory for messages, for all streams of the process. A stream borrows memory for one Write. With memory of its
// own, each idle stream would hold the memory of its largest batch.
var messages = sync.Pool{New: func() any { return new([]byte) }}

// keptMessage is the largest memory that goes back to messages. A producer's default batch of 1 MiB has up to 5 more bytes for
// each of 10,000 records.
const keptMessage = 1<<20 + 64<<10

func returnMessage(b *[]byte) {
	if cap(*b) <= keptMessage {
		messages.Put(b)
	}
}
