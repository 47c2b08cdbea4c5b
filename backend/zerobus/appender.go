package zerobus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
)

// The only method of the service.
const method = "/databricks.zerobus.Zerobus/EphemeralStream"

// What the server sends is small. More than that is not read.
const (
	responseBytes = 64 << 10
	headerBytes   = 64 << 10
)

// An appender keeps what outlives a session: which batch is next. Its lock is also that of its session.
type appender struct {
	sink       *Sink
	kind       recordType
	descriptor []byte
	refused    error // why there can be no stream of the format

	mu     sync.Mutex
	acked  uint64 // seqs below it were returned by Recv
}

// Limits are the service's for one request. Framing is not metered: see batchRecords.
func (a *appender) Limits() backend.Limits {
	return backend.Limits{
		BatchRecords: batchRecords,
		BatchBytes:   payloadBytes,
		RecordBytes:  payloadBytes,
		InFlight:     a.sink.cfg.inFlight,
		Size:         a.kind.size,
	}
}

// Open gets a token, makes a connection and opens a stream on it. A token that is refused is replaced, once: that which was
// kept may have been revoked, and that which is new may not be known everywhere yet.
func (a *appender) Open(ctx context.Context) (backend.Session, error) {
	s, err := a.open(ctx)
	if err == nil {
		return s, nil
	}
	err = fmt.Errorf("zerobus: open %s: %w", httpwire.Clip(a.sink.table), unopened(err))
	return nil, err
}

func (a *appender) open(ctx context.Context) (backend.Session, error) {
	if a.refused != nil {
		return nil, a.refused
	}
	if err := checkTable(a.sink.table); err != nil {
		return nil, err
	}
	if !httpwire.Printable(a.sink.cfg.application) {
		return nil, fmt.Errorf("%w: Application: must be printable ASCII", backend.ErrRejected)
	}
	ep, err := parseEndpoint(a.sink.client.config.Endpoint)
	if err != nil {
		return nil, err
	}
	attempt := ctx
	if d := a.sink.cfg.attemptTimeout; d > 0 {
		var cancel context.CancelFunc
		attempt, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	for again := false; ; again = true {
		g, err := a.sink.grant(attempt, ep)
		if err != nil {
			return nil, err
		}
		s, err := a.dial(attempt, ep, g)
		if err == nil {
			return s, nil
		}
		var said *Error
		if errors.As(err, &said) && (said.Code == codes.Unauthenticated || said.Code == codes.PermissionDenied) {
			a.sink.invalidate(attempt, g)
			if (g.reused || said.Code == codes.Unauthenticated) && !again {
				continue
			}
		}
		return nil, err
	}
}

// dial makes a connection and opens a stream. ctx bounds this and nothing later; its values stay.
func (a *appender) dial(ctx context.Context, ep endpoint, g grant) (_ *session, err error) {
	conn, release, err := a.sink.connect(ep)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", backend.ErrRejected, err)
	}
	life, kill := context.WithCancel(context.WithoutCancel(ctx))
	detach := context.AfterFunc(ctx, kill)
	defer func() {
		if !detach() && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			if ctx.Err() != nil {
				// What gRPC says of it is that it was cancelled, which does not tell whose patience it was.
				err = fmt.Errorf("no answer: %w", ctx.Err())
			}
			kill()
			if said := statement(err, g.hidden); ctx.Err() != nil || said.Code == codes.Unavailable {
				a.sink.shared.distrust(conn)
			}
			release()
		}
	}()
	stream, err := conn.NewStream(metadata.NewOutgoingContext(life, g.header), &streamDesc, method)
	if err != nil {
		if refusal := conn.dialer.refusal.Load(); refusal != nil {
			return nil, *refusal
		}
		return nil, fromStatus(err, g.hidden)
	}
	create := outgoing{buf: mem.SliceBuffer(appendCreate(nil, a.sink.table, a.kind, a.descriptor))}
	if err := stream.SendMsg(&create); err != nil && err != io.EOF { // io.EOF: RecvMsg says why
		return nil, fromStatus(err, g.hidden)
	}
	var r response
	switch err := stream.RecvMsg(&r); {
	case err == io.EOF:
		return nil, &Error{Code: codes.OK, Message: "stream closed gracefully by server"}
	case err != nil:
		return nil, fromStatus(err, g.hidden)
	case r.kind != created:
		return nil, &Error{Code: codes.Internal, Message: "unexpected response from server: " + r.kind.String()}
	case r.stream == nil:
		return nil, &Error{Code: codes.Internal, Message: "the server opened a stream without an id"}
	}
	return a.newSession(release, stream, kill, g, g.hidden.Text(*r.stream)), nil
}

var streamDesc = grpc.StreamDesc{StreamName: "EphemeralStream", ServerStreams: true, ClientStreams: true}

// dialOptions are for one connection. Nothing in it retries: that is the producer's work, as is the backoff.
func (s *Sink) dialOptions(ep endpoint, d *dialer) []grpc.DialOption {
	agent := "headrace-zerobus"
	if s.cfg.application != "" {
		agent += " " + s.cfg.application
	}
	secure := insecure.NewCredentials()
	if !ep.plaintext {
		t := s.cfg.tls
		if t == nil {
			t = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		secure = credentials.NewTLS(t.Clone())
	}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(&handshake{TransportCredentials: secure, dialer: d, plaintext: ep.plaintext}),
		grpc.WithUserAgent(agent),
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0), // a quiet stream is not an idle connection
		grpc.WithMaxHeaderListSize(headerBytes),
		grpc.WithWriteBufferSize(writeBuffer),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{}), grpc.MaxCallRecvMsgSize(responseBytes), grpc.MaxCallSendMsgSize(1<<31-1)),
	}
	if ep.host != "" {
		opts = append(opts, grpc.WithContextDialer(d.dial))
	}
	return append(opts, s.cfg.dial...)
}

// writeBuffer is how much goes to the connection at once, while a session has that much to send.
const writeBuffer = 128 << 10

func (a *appender) newSession(release func(), stream grpc.ClientStream, kill context.CancelFunc, g grant, id string) *session {
	a.mu.Lock()
	defer a.mu.Unlock()
	return &session{
		appender: a, release: release, stream: stream, kill: kill, grant: g, id: id,
		first: a.acked,
		room:  make(chan struct{}, 1),
		clear: make(chan struct{}, 1),
		gone:  make(chan struct{}),
	}
}

// lastAcks is how long a stream is read to its end after this side has said that nothing more comes.
const lastAcks = 500 * time.Millisecond
