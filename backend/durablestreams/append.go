package durablestreams

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"

	"github.com/headrace/headrace/backend"
)

// Append appends a body unchanged, as bytes on the wire. On a JSON stream the body is a value, or an array of messages.
//
// Without an [Identity] the protocol cannot tell a second try from a second append. Append then tries again only after a first
// try with no effect (429, or no connection). Otherwise the error is [backend.ErrIndeterminate] and not
// [backend.ErrTransient]. Append makes up no identity, as [Stream.SealWith] does: the server would keep each for days.
func (s *Stream) Append(ctx context.Context, contentType string, body []byte, opts ...AppendOption) (Info, error) {
	header, err := appendHeader(contentType, opts)
	if err == nil && len(body) == 0 {
		err = errNothing
	}
	if err != nil {
		return Info{}, s.failed("append", err)
	}
	return s.call(ctx, "append", http.MethodPost, header, body, header.Get("Producer-Id") != "")
}

var errNothing = fmt.Errorf("%w: nothing to append", backend.ErrRejected)

// Seal ends the stream for good: readers come to an end, and appends are refused with [backend.ErrStreamClosed]. A second call
// does nothing.
func (s *Stream) Seal(ctx context.Context) error {
	_, err := s.seal(ctx, http.Header{}, nil)
	return err
}

// SealWith appends a body as [Stream.Append] does and seals the stream in the same step: no reader sees the body without the
// end. Without a body SealWith only seals.
//
// SealWith has a random [Identity] unless an option gives another, and is tried again when an answer was lost. A repetition under
// the same identity succeeds and does nothing; under another identity, a stream with an end is [backend.ErrStreamClosed]. The
// identity of an append without a seal is [backend.ErrConflict]. The identity takes a sequence of the producer: with a stale
// epoch, or with a gap before the sequence, the server refuses the seal.
func (s *Stream) SealWith(ctx context.Context, contentType string, body []byte, opts ...AppendOption) (Info, error) {
	if len(body) == 0 {
		contentType = ""
	}
	header, err := appendHeader(contentType, append([]AppendOption{Identity(rand.Text(), 0, 0)}, opts...))
	if err != nil {
		return Info{}, s.failed("seal", err)
	}
	return s.seal(ctx, header, body)
}

// SealRecords is [Stream.SealWith] for records. The body is the same as from an appender for the format.
func (s *Stream) SealRecords(ctx context.Context, f backend.Format, recs []backend.Record, opts ...AppendOption) (Info, error) {
	if len(recs) == 0 {
		return Info{}, s.failed("seal", errNothing)
	}
	e := s.encodingOf(f)
	for i := range recs {
		if _, err := e.meter(recs[i].Value, recs[i].Headers, recs[i].Time); err != nil {
			return Info{}, s.failed("seal", &backend.RecordError{Index: i, Err: err})
		}
	}
	return s.SealWith(ctx, e.contentType, e.body(nil, recs), opts...)
}

// seal makes the request. A server without support for the end of streams answers with a success and leaves the stream open, so
// a success must say "closed". A server need not say "closed" again for a request that came before. But the earlier request with
// the identity may also have been an append without a seal: Head decides.
func (s *Stream) seal(ctx context.Context, header http.Header, body []byte) (Info, error) {
	header.Set("Stream-Closed", "true")
	info, err := s.call(ctx, "seal", http.MethodPost, header, body, true)
	if err != nil || info.Closed {
		return info, err
	}
	if !info.Duplicate {
		return info, s.failed("seal", protocolErrorf("a success without Stream-Closed"))
	}
	head, err := s.Head(ctx)
	if err != nil {
		return info, fmt.Errorf("durablestreams: seal: %w", err) // the error of Head names the stream
	}
	if !head.Closed {
		return info, s.failed("seal", fmt.Errorf("%w: the server has an append with this identity that did not seal the stream", backend.ErrConflict))
	}
	info.Closed = true
	return info, nil
}
