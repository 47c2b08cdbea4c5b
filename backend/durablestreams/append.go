package durablestreams

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"

	"github.com/headrace/headrace/backend"
)

// Append appends a body as it goes over the wire. The bytes stay as they are; on a JSON stream the body is a value, or an array
// whose elements are the messages.
//
// Without an [Identity] the protocol cannot tell a second try from a second append. So Append tries again only where the first
// try cannot be stored (429, or no connection). Otherwise the error is [backend.ErrIndeterminate] and not
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

// Seal ends the stream for good: readers come to an end, and appends are refused with [backend.ErrStreamClosed]. To seal a
// stream that is sealed already does nothing.
func (s *Stream) Seal(ctx context.Context) error {
	_, err := s.seal(ctx, http.Header{}, nil)
	return err
}

// SealWith appends a body as [Stream.Append] does and seals the stream in the same step: no reader sees the one without the
// other. Without a body it only seals.
//
// The step has an [Identity] of its own unless it is given one, so it is tried again when its answer was lost. Repeated under
// the same identity it succeeds without doing anything; under another one, a stream that is sealed already is
// [backend.ErrStreamClosed]. An identity that an append without a seal has had is [backend.ErrConflict]. The identity takes a
// sequence of the producer, so a stale epoch or a gap refuses it.
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

// SealRecords is [Stream.SealWith] for records, which become what [Stream.NewAppender] makes of records of their format.
func (s *Stream) SealRecords(ctx context.Context, f backend.Format, recs []backend.Record, opts ...AppendOption) (Info, error) {
	if len(recs) == 0 {
		return Info{}, s.failed("seal", errNothing)
	}
	e := s.encodingOf(f)
	for i := range recs {
		if _, err := e.meter(&recs[i]); err != nil {
			return Info{}, s.failed("seal", &backend.RecordError{Index: i, Err: err})
		}
	}
	return s.SealWith(ctx, e.contentType, e.body(nil, recs), opts...)
}

// seal makes the request that seals. It does not believe a success that leaves the stream open, which is what a server says
// that does not know how to seal. A server need not say again that the stream is sealed when it has had the request before,
// but an append that it has had under the same identity may not have sealed the stream: Head decides.
func (s *Stream) seal(ctx context.Context, header http.Header, body []byte) (Info, error) {
	header.Set("Stream-Closed", "true")
	info, err := s.call(ctx, "seal", http.MethodPost, header, body, true)
	if err != nil || info.Closed {
		return info, err
	}
	if !info.Duplicate {
		return info, s.failed("seal", protocolErrorf("a success that does not say that the stream is closed"))
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
