package zerobus

import (
	"context"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
)

// The only method of the service.
const method = "/databricks.zerobus.Zerobus/EphemeralStream"

var streamDesc = grpc.StreamDesc{StreamName: "EphemeralStream", ServerStreams: true, ClientStreams: true}

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
	case d.sink.client.shared.isClosed():
		return fmt.Errorf("the client is closed: %w", backend.ErrClosed)
	case d.sink.fault != nil:
		return d.sink.fault
	}
	return d.refused
}

// attempt makes a connection and opens a stream. ctx bounds the opening and not the stream; the stream keeps its values. A
// failed attempt gives the connection back: without that, a Client whose openings fail would collect connections.
func (d *streamDialer) attempt(ctx context.Context, g grant, seq uint64) (*conn, error) {
	l, release, err := d.sink.client.connect()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", backend.ErrRejected, err)
	}
	// gRPC ends a stream when the context of its opening ends. So the stream gets a context of its own, and the end of ctx
	// cancels that context only until the stream is open.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	detach := context.AfterFunc(ctx, cancel)
	stream, id, err := d.create(life, l, g)
	// If detach returns false, the end of ctx cancels or has cancelled life. The stream is then dead, even if create
	// has returned no error.
	if !detach() && err == nil {
		err = ctx.Err() // ctx has ended just now, and has cancelled the stream
	}
	if err == nil {
		return &conn{
			sink: d.sink, id: id, kind: d.kind, first: seq,
			stream: stream, cancel: cancel, release: release, grant: g,
		}, nil
	}
	cancel()
	if ctx.Err() != nil {
		err = fmt.Errorf("no answer: %w", ctx.Err()) // gRPC says only: cancelled
	}
	// No answer, and UNAVAILABLE, may come from a shared connection that is dead. If the next attempt used the same connection,
	// a producer would fail until TCP gives the connection up, which takes about a quarter of an hour on Linux.
	if code, _ := codeOf(err); ctx.Err() != nil || code == codes.Unavailable {
		d.sink.client.shared.distrust(l)
	}
	release()
	return nil, err
}

// create sends the first request of a stream, and returns the stream and the server's id of the stream. create waits for the
// response. Without the wait, a producer would send batches on a stream that the service refuses, and all of these batches would
// be in doubt.
func (d *streamDialer) create(ctx context.Context, l *link, g grant) (grpc.ClientStream, string, error) {
	stream, err := l.NewStream(metadata.NewOutgoingContext(ctx, g.header), &streamDesc, method)
	if err != nil {
		// gRPC has made a text of the dialer's error. The dialer has the error itself.
		if refusal := l.dialer.refusal.Load(); refusal != nil {
			return nil, "", *refusal
		}
		return nil, "", fromStatus(err, g.hidden)
	}
	first := outgoing{buf: mem.SliceBuffer(appendCreate(nil, d.sink.table, d.kind, d.descriptor))}
	if err := stream.SendMsg(&first); err != nil && err != io.EOF { // io.EOF: RecvMsg says why
		return nil, "", fromStatus(err, g.hidden)
	}
	var r response
	switch err := stream.RecvMsg(&r); {
	case err != nil:
		return nil, "", statement(err, g.hidden)
	case r.malformed != nil:
		return nil, "", &ProtocolError{r.malformed}
	case r.kind != created:
		return nil, "", protocolErrorf("%s where a create response is due", r.kind)
	case r.stream == nil:
		return nil, "", protocolErrorf("a create response without a stream id")
	}
	// The id goes into errors and logs. A faulty server might put the token into the id.
	return stream, g.hidden.Text(*r.stream), nil
}
