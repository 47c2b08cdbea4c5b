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

// NewAppender returns an appender for one producer. The first opened appender with a content type fixes the content
// type of the stream for good. Open of an appender with another content type fails with [backend.ErrRejected]. An
// appender without a content type fits every stream.
func (s *Stream) NewAppender(f backend.Format) backend.Appender { return s.log.NewAppender(f) }

// Resume implements [backend.Resumer]. The appender recognizes a resend by its place in the stream, so nobody else may
// write to the stream. If other records are in the place of a batch, the batch is refused with [backend.ErrConflict].
func (s *Stream) Resume(ctx context.Context, f backend.Format, from backend.Resumption) (backend.Appender, string, error) {
	return s.log.Resume(ctx, f, from)
}

// OpenReader starts reading at from. An empty offset, and an offset without a place in this stream, are
// [backend.ErrOutOfRange].
func (s *Stream) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	return s.log.OpenReader(ctx, from)
}

// Trim drops the records before the place before. The [backend.Record.Next] of a record drops the record and all
// records in front of the record; [backend.Latest] drops all. The trim is durable when Trim returns. The space in the
// file is used again over time, and the file does not shrink. If the place is already trimmed, Trim changes nothing. A
// place beyond the tail is [backend.ErrOutOfRange].
func (s *Stream) Trim(ctx context.Context, before backend.Offset) error {
	return s.log.Trim(ctx, before)
}

// Seal ends the stream for good. Appends fail, and readers get io.EOF behind the last record, also after the file is
// opened again. The end is durable when Seal returns. A second call does nothing.
func (s *Stream) Seal(ctx context.Context) error { return s.log.Seal(ctx) }
