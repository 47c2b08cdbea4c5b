package memory

import (
	"context"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

var _ backend.Stream = (*Stream)(nil)

// A Stream holds its records until they are trimmed or it is garbage. Make one with [New]. Its methods may be called from
// any goroutine.
type Stream struct {
	log   *streamlog.Log
	store streamlog.Store
}

// New makes an empty stream.
func New(opts ...Option) *Stream {
	// The numbers are the limits of an S2 batch.
	c := config{limits: backend.Limits{BatchRecords: 1000, BatchBytes: 1 << 20, RecordBytes: 1 << 20, InFlight: 16}}
	for _, o := range opts {
		o(&c)
	}
	s := streamlog.NewMemory()
	return &Stream{log: streamlog.New("memory", s, c.limits), store: s}
}

// NewAppender makes one producer's way in. The first one that is opened with a content type fixes that of the stream; an
// appender with another one is refused at Open with [backend.ErrRejected]. One without a content type fits every stream.
func (s *Stream) NewAppender(f backend.Format) backend.Appender { return s.log.NewAppender(f) }

// OpenReader starts reading at from. It refuses "" and whatever is no place in this stream with [backend.ErrOutOfRange].
func (s *Stream) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	return s.log.OpenReader(ctx, from)
}

// Close closes the stream for good: nothing is appended any more, and readers get io.EOF behind the last record. A second
// Close does nothing. It always returns nil.
func (s *Stream) Close() error { return s.log.CloseForGood(context.Background()) }

// Trim drops the records before the place given: the [backend.Record.Next] of a record drops it and all before it,
// [backend.Latest] drops all. A place already trimmed changes nothing; one beyond the tail is [backend.ErrOutOfRange].
func (s *Stream) Trim(before backend.Offset) error { return s.log.Trim(context.Background(), before) }

// Len returns how many records are kept.
func (s *Stream) Len() int {
	st := s.store.Board().State()
	return int(st.Tail - st.Head)
}

// Records returns all records that are kept, in a new slice; their bytes are for reading only. It is for tests.
func (s *Stream) Records() []backend.Record {
	st := s.store.Board().State()
	recs := make([]backend.Record, 0, st.Tail-st.Head)
	for seq := st.Head; seq < st.Tail; {
		got, _ := s.store.Read(seq, streamlog.ReadLimit{Below: st.Tail, Records: int(st.Tail - st.Head), Bytes: 1 << 20})
		if len(got) == 0 { // trimmed since
			return s.Records()
		}
		recs = append(recs, got...)
		seq += uint64(len(got))
	}
	return recs
}
