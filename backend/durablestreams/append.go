package durablestreams

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strconv"

	"github.com/headrace/headrace/backend"
)

// An AppendOption is an option of [Stream.Append], [Stream.CloseWith] and [Stream.CloseRecords].
type AppendOption func(*appending)

// appending is what the options of an append say.
type appending struct {
	header http.Header
	wrong  error
}

// Sequence has the append refused with [ErrSequence] unless v is greater, byte by byte, than that of every append before:
// the protocol's Stream-Seq, by which writers that do not know each other find out who is late. "10" is less than "9".
func Sequence(v string) AppendOption {
	return func(a *appending) { a.header.Set("Stream-Seq", v) }
}

// Identity makes the append known to the server as number seq of a producer's epoch, the first of each epoch being 0. One
// that the server has already is not stored again, whatever it holds ([Info.Duplicate]), so an append with an identity is
// also tried again when its answer was lost, and may be repeated by another process. A gap is a [StatusError] with what is
// expected, a stale epoch one with the current one. epoch and seq are at most 2^53-1.
func Identity(id string, epoch, seq int64) AppendOption {
	return func(a *appending) {
		if id == "" || epoch < 0 || epoch > maxNumber || seq < 0 || seq > maxNumber {
			a.wrong = fmt.Errorf("%w: Identity(%.80q, %d, %d): the id must not be empty, epoch and seq are 0 to 2^53-1", backend.ErrRejected, id, epoch, seq)
			return
		}
		a.header.Set("Producer-Id", id)
		a.header.Set("Producer-Epoch", strconv.FormatInt(epoch, 10))
		a.header.Set("Producer-Seq", strconv.FormatInt(seq, 10))
	}
}

// Append appends a body as it goes over the wire, bytes as they are: on a JSON stream a value, or an array whose elements are
// messages each. Without an [Identity] the protocol cannot tell a second try from a second append, so it is tried again only
// where the first cannot be stored (429, or no connection). Otherwise the error is [backend.ErrIndeterminate] and not
// [backend.ErrTransient]. No identity is made up here as in [Stream.CloseWith]: the server would keep each for days.
func (s *Stream) Append(ctx context.Context, contentType string, body []byte, opts ...AppendOption) (Info, error) {
	header, err := appendHeader(contentType, opts)
	if err != nil {
		return Info{}, s.failed("append", err)
	}
	return s.append(ctx, "append", header, body)
}

// Close closes the stream for good: readers come to an end, appends are refused with [backend.ErrStreamClosed]. Closing a
// closed stream does nothing, except under an [Identity]: the close then takes a sequence of the producer, a stale epoch or a
// gap refuses it, and a stream that was closed in another way is [backend.ErrStreamClosed].
func (s *Stream) Close(ctx context.Context, opts ...AppendOption) (Info, error) {
	header, err := appendHeader("", opts)
	if err != nil {
		return Info{}, s.failed("close", err)
	}
	header.Set("Stream-Closed", "true")
	info, err := s.call(ctx, "close", http.MethodPost, header, nil, true)
	return s.closed(ctx, info, err)
}

// CloseWith appends a body as [Stream.Append] does and closes the stream in the same step: no reader sees the one without the
// other. It has an [Identity] of its own unless it is given one, so it is tried again when its answer was lost. Repeated with
// the same one it succeeds without doing anything; otherwise a closed stream is [backend.ErrStreamClosed]. An identity that
// an append without a close has had is [backend.ErrConflict].
func (s *Stream) CloseWith(ctx context.Context, contentType string, body []byte, opts ...AppendOption) (Info, error) {
	header, err := appendHeader(contentType, append([]AppendOption{Identity(rand.Text(), 0, 0)}, opts...))
	if err != nil {
		return Info{}, s.failed("close", err)
	}
	header.Set("Stream-Closed", "true")
	info, err := s.append(ctx, "close", header, body)
	return s.closed(ctx, info, err)
}

// CloseRecords is [Stream.CloseWith] for records, which become what [Stream.NewAppender] makes of those of their format.
func (s *Stream) CloseRecords(ctx context.Context, f backend.Format, recs []backend.Record, opts ...AppendOption) (Info, error) {
	e := s.encodingOf(f)
	var body []byte
	for i := range recs {
		if _, err := e.meter(&recs[i]); err != nil {
			return Info{}, s.failed("close", &backend.RecordError{Index: i, Err: err})
		}
	}
	if len(recs) > 0 {
		body = e.body(nil, recs)
	}
	return s.CloseWith(ctx, e.contentType, body, opts...)
}

func appendHeader(contentType string, opts []AppendOption) (http.Header, error) {
	a := appending{header: http.Header{}}
	if contentType != "" {
		a.header.Set("Content-Type", contentType)
	}
	for _, o := range opts {
		o(&a)
	}
	return a.header, a.wrong
}

func (s *Stream) append(ctx context.Context, op string, header http.Header, body []byte) (Info, error) {
	if len(body) == 0 {
		return Info{}, s.failed(op, fmt.Errorf("%w: nothing to append", backend.ErrRejected))
	}
	return s.call(ctx, op, http.MethodPost, header, body, header.Get("Producer-Id") != "")
}

// closed refuses to believe in a success that leaves the stream open, as that of a server which does not know how to close.
// Of a close that it had before a server need not say it again, but an append that it had under the same identity may not
// have been a close.
func (s *Stream) closed(ctx context.Context, info Info, err error) (Info, error) {
	if err != nil || info.Closed {
		return info, err
	}
	if !info.Duplicate {
		return info, s.failed("close", malformed("the stream is not said to be closed"))
	}
	head, err := s.Head(ctx)
	if err != nil {
		return info, fmt.Errorf("durablestreams: close: %w", err) // it names the stream already
	}
	if !head.Closed {
		return info, s.failed("close", fmt.Errorf("%w: the server has an append with this identity that did not close the stream", backend.ErrConflict))
	}
	info.Closed = true
	return info, nil
}
