package zerobus

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
)

// A streamDialer opens the streams of a producer.
type streamDialer struct {
	sink       *Sink
	kind       recordType
	descriptor []byte
	refused    error // why there can be no stream of the format
}

func (s *Sink) newDialer(f backend.Format) *streamDialer {
	kind, err := recordTypeOf(f)
	return &streamDialer{sink: s, kind: kind, descriptor: f.Schema, refused: err}
}

// Limits are the limits of a batch, without the meter: see appender.
func (d *streamDialer) Limits() backend.Limits {
	return backend.Limits{
		BatchRecords: batchRecords,
		BatchBytes:   payloadBytes,
		RecordBytes:  payloadBytes,
		InFlight:     d.sink.cfg.inFlight,
	}
}

// Dial opens a stream, on which batch seq has wire offset 0. Every error says what to do: see verdictOn. The producer, and not
// this client, decides whether and when to try again. If both did, their attempts would multiply, and a service in trouble
// would get many more requests than the producer's options allow.
func (d *streamDialer) Dial(ctx context.Context, seq uint64) (backend.Conn, error) {
	c, err := d.open(ctx, seq)
	if err != nil {
		v := verdictOn(err, false)
		return nil, fmt.Errorf("zerobus: open %s: %w", httpwire.Clip(d.sink.table), v.wrap(err, opening))
	}
	return c, nil
}

// open gets a token, makes a connection and opens a stream. If the service refuses the token, open gets another
// and tries once more: a cached token may have been revoked, and a fresh token may not have reached every server yet.
func (d *streamDialer) open(ctx context.Context, seq uint64) (*conn, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.sink.client.cfg.timeout)
	defer cancel()
	// Timeout bounds both attempts together, because a producer counts them as one opening.
	for again := false; ; again = true {
		g, err := d.sink.grant(ctx)
		if err != nil {
			return nil, err
		}
		c, err := d.attempt(ctx, g, seq)
		if !refusesCredentials(err) {
			return c, err
		}
		d.sink.invalidate(ctx, g)
		// PERMISSION_DENIED for a fresh token is about the grants of the service principal, and a third token does not help.
		//
		// After a second refusal we give up, because the producer decides about further attempts.
		if code, _ := codeOf(err); again || !g.cached && code == codes.PermissionDenied {
			return nil, err
		}
	}
}

// check refuses wrong names, options and formats before any request.
func (d *streamDialer) check() error {
	switch {
	case d.sink.client.closed.Load():
		return fmt.Errorf("the client is closed: %w", backend.ErrClosed)
	case d.sink.fault != nil:
		return d.sink.fault
	}
	return d.refused
}

// attempt makes a connection and opens a stream. ctx bounds the opening and not the stream; the stream keeps its values.
func (d *streamDialer) attempt(ctx context.Context, g grant, seq uint64) (*conn, error) {
	// The end of the context of a request cuts the connection. So the stream gets a context of its own, and the end of ctx
	// cancels that context only until the stream is open.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	detach := context.AfterFunc(ctx, cancel)
	c, id, err := d.create(life, g)
	// If detach returns false, the end of ctx cancels or has cancelled life. The stream is then dead, even if create
	// has returned no error.
	if !detach() && err == nil {
		err = ctx.Err() // ctx has ended just now, and has cancelled the stream
	}
	if err == nil {
		return d.newConn(life, cancel, g, c, id, seq), nil
	}
	cancel()
	if ctx.Err() != nil {
		err = fmt.Errorf("no answer: %w", ctx.Err()) // the error says only that the connection was cut
	}
	return nil, err
}

func (d *streamDialer) newConn(life context.Context, cancel context.CancelFunc, g grant, call *call, id string, first uint64) *conn {
	c := &conn{
		sink: d.sink, id: id, kind: d.kind, first: first, call: call, life: life, cancel: cancel, grant: g,
		news: make(chan struct{}, 1), received: make(chan struct{}),
	}
	go c.receive()
	return c
}

// create begins a call with the first request of a stream, and returns the call and the server's id of the stream. create waits
// for the response. Without the wait, a producer would send batches on a stream that the service refuses, and all of these batches
// would be in doubt.
func (d *streamDialer) create(ctx context.Context, g grant) (*call, string, error) {
	c, err := d.sink.client.newCall(ctx, g, appendCreate(nil, d.sink.table, d.kind, d.descriptor))
	if err != nil {
		return nil, "", err
	}
	id, err := c.created()
	if err != nil {
		c.cut()
		return nil, "", err
	}
	return c, id, nil
}

// created reads the answer to the first request, and returns the server's id of the stream.
func (c *call) created() (id string, err error) {
	var r response
	switch err := c.recv(&r); {
	case err != nil:
		return "", endOfStream(err)
	case r.kind != created:
		return "", protocolErrorf("%s where a create response is due", r.kind)
	case r.stream == nil:
		return "", protocolErrorf("a create response without a stream id")
	}
	// The id goes into errors and logs. A faulty server might put the token into the id.
	return c.hidden.Text(*r.stream), nil
}
