package bolt

import (
	"context"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

var (
	_ backend.Stream  = (*Stream)(nil)
	_ backend.Resumer = (*Stream)(nil)
)

// A Stream is one stream of a [DB]. Any goroutine may call its methods.
type Stream struct{ log *streamlog.Log }

// NewAppender returns an appender for one producer. The first appender that is opened with a content type fixes the
// content type of the stream for good. An appender with another content type is refused at Open with
// [backend.ErrRejected]. An appender without a content type fits every stream.
func (s *Stream) NewAppender(f backend.Format) backend.Appender { return s.log.NewAppender(f) }

// Resume implements [backend.Resumer]. The appender recognizes a resend by its place in the stream, so nobody else may
// write to the stream: a batch in whose place there are other records is refused with [backend.ErrConflict].
func (s *Stream) Resume(ctx context.Context, f backend.Format, from backend.Resumption) (backend.Appender, string, error) {
	return s.log.Resume(ctx, f, from)
}

// OpenReader starts reading at from. It refuses an empty offset, and an offset that is not a place in this stream, with
// [backend.ErrOutOfRange].
func (s *Stream) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	return s.log.OpenReader(ctx, from)
}

// Trim drops the records before the place before. The [backend.Record.Next] of a record drops that record and all
// records in front of it; [backend.Latest] drops all. The trim is durable when Trim returns. The space in the file is
// used again over time, and the file does not shrink. If the place is already trimmed, Trim changes nothing. A place
// beyond the tail is [backend.ErrOutOfRange].
func (s *Stream) Trim(ctx context.Context, before backend.Offset) error {
	return s.log.Trim(ctx, before)
}

// Seal ends the stream for good. Nothing can undo this, not even opening the file again: appends fail, and readers get
// io.EOF behind the last record. The end is durable when Seal returns. A second call does nothing.
func (s *Stream) Seal(ctx context.Context) error { return s.log.Seal(ctx) }
