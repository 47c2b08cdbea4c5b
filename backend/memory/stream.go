package memory

import (
	"context"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

var (
	_ backend.Stream  = (*Stream)(nil)
	_ backend.Resumer = (*Stream)(nil)
)

// A Stream holds its records until a trim, or until the garbage collector frees the stream. [New] makes a Stream. Any
// goroutine may call its methods.
type Stream struct {
	log   *streamlog.Log
	store streamlog.Store
}

// New makes an empty stream.
func New(opts ...Option) *Stream {
	limits, err := complete(opts)
	s := streamlog.NewMemory()
	if err != nil {
		s.Board().End(err) // every operation returns err
	}
	return &Stream{log: streamlog.New("memory", s, limits), store: s}
}

// NewAppender returns an appender for one producer. The first opened appender with a content type fixes the content
// type of the stream. Open of an appender with another content type fails with [backend.ErrRejected]. An appender
// without a content type fits every stream.
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

// Seal ends the stream for good: appends fail with [backend.ErrStreamClosed], and readers get io.EOF behind the last
// record. A second call does nothing.
func (s *Stream) Seal(ctx context.Context) error { return s.log.Seal(ctx) }

// Trim drops the records before the place before. The [backend.Record.Next] of a record drops the record and all
// records in front of the record; [backend.Latest] drops all. If the place is already trimmed, Trim changes nothing. A
// place beyond the tail is [backend.ErrOutOfRange].
func (s *Stream) Trim(ctx context.Context, before backend.Offset) error {
	return s.log.Trim(ctx, before)
}

// Len returns how many records are kept.
func (s *Stream) Len() int {
	st := s.store.Board().State()
	return int(st.Tail - st.Head)
}

// Records returns all kept records in a new slice, for tests. The caller must not change the bytes of the records.
func (s *Stream) Records() []backend.Record {
	st := s.store.Board().State()
	recs := make([]backend.Record, 0, st.Tail-st.Head)
	for seq := st.Head; seq < st.Tail; {
		got, _, _ := s.store.Read(seq, streamlog.ReadLimit{Below: st.Tail, Records: int(st.Tail - st.Head), Bytes: 1 << 20})
		// Another goroutine has trimmed the stream since we took the state; begin again.
		if len(got) == 0 {
			return s.Records()
		}
		recs = append(recs, got...)
		seq += uint64(len(got))
	}
	return recs
}
