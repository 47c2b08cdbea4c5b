package s2

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/internal/httpwire"
)

// OpenReader starts a read session that follows the stream. It understands all portable starts. Offsets are sequence numbers
// in decimal, followed by the time of the stream's creation. The time is left out with [BareOffsets], and where the access
// token may not list streams. Command records are skipped unless [Commands] is given; a stretch that holds only commands is
// an empty Batch.
//
// The reader is a [backend.Notifier], and a consumer without work then has neither a session of its own nor a goroutine for
// reading. The reader is none with server-sent events and with [RoundTripper]: a wait for many readers at once does not pass through
// RoundTripper.
func (s *Stream) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	r, err := s.openAt(ctx, from)
	switch {
	case err != nil:
		return nil, err // not r: a nil *reader in a Reader does not compare equal to nil
	case r.transport == nil || s.client().cfg.wrapped:
		return r, nil
	}
	return newTailReader(r), nil
}

// openAt opens a session that follows the stream from a place on.
func (s *Stream) openAt(ctx context.Context, from backend.Offset) (*reader, error) {
	q, err := startQuery(from)
	if err != nil {
		return nil, fmt.Errorf("s2: %s: %w", s.op("read"), err)
	}
	r, err := s.openReader(ctx, from, q)
	if err != nil {
		return nil, err
	}
	if err := r.identify(ctx, from); err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("s2: %s: %w", s.op("read"), err)
	}
	return r, nil
}

// openReader opens a session for a query that starts at from.
func (s *Stream) openReader(ctx context.Context, from backend.Offset, q url.Values) (*reader, error) {
	if err := s.fault; err != nil {
		return nil, fmt.Errorf("s2: %s: %w", s.op("read"), err)
	}
	r := &reader{stream: s}
	// ctx limits the opening alone, and the session lives on behind it, so life does not descend from ctx.
	r.life, r.kill = context.WithCancel(context.Background())
	// With a known start, expect notices records that are missing from the start on.
	if from == backend.Earliest {
		r.known, r.earliest = true, true
	} else if seq, err := SeqNum(from); err == nil {
		r.known, r.next = true, seq
	}
	if err := r.open(ctx, q); err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("s2: %s: %w", s.op("read"), repeatableMeaning(err))
	}
	r.watchSilence() // behind fallBack, which may replace kill
	return r, nil
}

// identify asks for the incarnation of the stream, and refuses a start in another incarnation. The session is open by now: if
// somebody deletes the stream while identify asks, the server ends the session.
func (r *reader) identify(ctx context.Context, from backend.Offset) (err error) {
	if r.stream.cfg.bareOffsets {
		return nil
	}
	if r.suffix, err = r.stream.holdIncarnation(ctx); err != nil {
		return repeatableMeaning(err)
	}
	r.held = true
	return r.stream.sameIncarnation(from, r.suffix)
}

// open sends the request over HTTP/2, or over HTTP/1.1 where the session is one of server-sent events.
func (r *reader) open(ctx context.Context, q url.Values) error {
	client := r.stream.client()
	if r.stream.cfg.events {
		return r.openEvents(ctx, q)
	}
	// Read sessions share the connection: a session that only waits costs a stream of HTTP/2 and no socket.
	// The reader keeps its transport, because the Client may replace the shared one: advice, silence and Close are about the
	// connection of this reader.
	r.transport = client.reading()
	req, err := r.stream.sessionRequest(r.life, q)
	if err != nil {
		return err
	}
	res, err := client.open(ctx, r.kill, r.transport, req)
	if err != nil {
		// Once HTTP/2 has worked, a failure is the failure of a connection, and no reason to change the protocol.
		if !eventsMayPass(err) || ctx.Err() != nil || client.http2.Load() {
			return err
		}
		return r.fallBack(ctx, q, err)
	}
	r.body = res.Body
	// The flags of each frame name the compression, so the coder needs no codec of its own.
	coder, err := client.coders.New(s2s.None)
	if err != nil {
		return err
	}
	r.source = &frames{secrets: r.stream.secrets, in: s2s.NewReader(watched{r}), coder: coder}
	return nil
}

// sessionRequest makes the request of a read session over HTTP/2.
func (s *Stream) sessionRequest(ctx context.Context, q url.Values) (*http.Request, error) {
	req, err := s.request(ctx, http.MethodGet, q)
	if err != nil {
		return nil, err
	}
	// S2 chooses the form of a read by the content type, although the request has no body.
	req.Header.Set("Content-Type", "s2s/proto")
	req.Header.Set("Accept", protobuf)
	return req, nil
}

// openEvents opens the session as server-sent events. The connection may serve unary calls before and after the session.
func (r *reader) openEvents(ctx context.Context, q url.Values) error {
	client := r.stream.client()
	req, err := r.stream.request(r.life, http.MethodGet, q)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	// In the raw format, the server replaces bytes that are not UTF-8, and the reader would get other records than were appended.
	req.Header.Set("S2-Format", "base64")
	req.Header.Del("Accept-Encoding") // a compressor may hold events back, and the session would look silent
	res, err := client.open(ctx, r.kill, client.unary, req)
	if err != nil {
		return err
	}
	// The body is set before the check, so that the caller's Close closes the body of a wrong answer too.
	r.body = res.Body
	if res.ContentLength == 0 {
		return errEmpty
	}
	if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || kind != "text/event-stream" {
		return protocolErrorf("content-type %q, want text/event-stream", res.Header.Get("Content-Type"))
	}
	r.source = &events{secrets: r.stream.secrets, in: httpwire.NewEventReader(watched{r})}
	return nil
}

// fallBack tries server-sent events after an opening over HTTP/2 has failed with why. The caller has made sure of one thing: no
// session of the client was ever answered over HTTP/2, so the server, or a proxy in front of the server, may not speak HTTP/2.
// If the server answers now, the answer counts, also a refusal. Otherwise HTTP/2 is not to blame, and fallBack returns why, unless
// only the failure over HTTP/1.1 may pass.
func (r *reader) fallBack(ctx context.Context, q url.Values, why error) error {
	r.stream.client().closeUnused(r.transport)
	r.transport = nil
	if r.life.Err() != nil { // the opening over HTTP/2 ended because the server said nothing in time
		r.life, r.kill = context.WithCancel(context.Background())
	}
	err := r.openEvents(ctx, q)
	switch {
	case err == nil || errors.As(err, new(*Error)):
		return err
	// Every attempt over HTTP/2 fails in the same way, and another attempt over HTTP/1.1 may pass. With why alone, a reader of events
	// would end for good when its connection breaks at an unlucky moment.
	case judge(err).retryable() && !judge(why).retryable():
		return fmt.Errorf("%w; over HTTP/2: %v", err, why)
	}
	// Both protocols have failed without an answer of the server. Sessions should use HTTP/2, so the operator gets the error of
	// HTTP/2.
	return why
}
