package bolt

import (
	"context"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

var _ backend.Stream = (*Stream)(nil)

// A Stream is one stream of a [DB]. Its methods may be called from any goroutine.
type Stream struct{ log *streamlog.Log }

// NewAppender makes one producer's way in. The first one that is opened with a content type fixes that of the stream, for
// good; an appender with another one is refused at Open with [backend.ErrRejected]. One without a content type fits every
// stream.
func (s *Stream) NewAppender(f backend.Format) backend.Appender { return s.log.NewAppender(f) }

// OpenReader starts reading at from. It refuses "" and whatever is no place in this stream with [backend.ErrOutOfRange].
func (s *Stream) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	return s.log.OpenReader(ctx, from)
}

// Trim drops the records before the place given: the [backend.Record.Next] of a record drops it and all before it,
// [backend.Latest] drops all. It is durable when it returns; the space in the file is used again by and by, and the file
// does not shrink. A place already trimmed changes nothing; one beyond the tail is [backend.ErrOutOfRange].
func (s *Stream) Trim(ctx context.Context, before backend.Offset) error {
	return s.log.Trim(ctx, before)
}

// CloseForGood ends the stream and cannot be undone, by opening the file again either: nothing is appended any more, and
// readers get io.EOF behind the last record. It is durable when it returns. A second call does nothing.
func (s *Stream) CloseForGood(ctx context.Context) error { return s.log.CloseForGood(ctx) }
