package durablestreams

import (
	"context"
	"math"
	"net/http"
	"time"

	"github.com/headrace/headrace/backend"
)

// Info is the server's description of a stream.
type Info struct {
	ContentType string
	Next        backend.Offset // the tail, as a place for readers and for [ForkOf]; "" when the server does not say
	Offset      string         // the server's own name of Next, which other clients take
	Closed      bool           // the stream is sealed
	Created     bool           // this call of Create made the stream; false if an earlier try made it and the answer was lost
	Duplicate   bool           // the server had the append before, by its [Identity]
	Producer    *ProducerState // after an append with an [Identity]; nil when the server says nothing
	TTL         time.Duration  // 0 when the stream has no TTL
	Expires     time.Time      // zero when the stream does not expire at a time
}

// A ProducerState is what the server knows of a producer: its epoch, and the highest sequence accepted in this epoch.
type ProducerState struct{ Epoch, Seq int64 }

// Head asks for the Info of the stream, without renewing the TTL.
func (s *Stream) Head(ctx context.Context) (Info, error) {
	return s.call(ctx, "head", http.MethodHead, nil, nil, true)
}

// Delete deletes the stream. Forks of the stream go on. If the answer to a try was lost, the next try may find nothing to delete,
// which is [backend.ErrNotFound].
func (s *Stream) Delete(ctx context.Context) error {
	_, err := s.call(ctx, "delete", http.MethodDelete, nil, nil, true)
	return err
}

func infoOf(h http.Header) Info {
	i := Info{ContentType: h.Get("Content-Type"), Closed: isTrue(h.Get("Stream-Closed"))}
	if o := h.Get("Stream-Next-Offset"); validOffset(o) {
		i.Next, i.Offset = place(streamID(h), o, 0), o
	}
	epoch, ok := number(h.Get("Producer-Epoch"))
	if seq, ok2 := number(h.Get("Producer-Seq")); ok && ok2 {
		i.Producer = &ProducerState{Epoch: epoch, Seq: seq}
	}
	if n, ok := number(h.Get("Stream-TTL")); ok && n <= math.MaxInt64/int64(time.Second) {
		i.TTL = time.Duration(n) * time.Second
	}
	if t, err := time.Parse(time.RFC3339, h.Get("Stream-Expires-At")); err == nil {
		i.Expires = t
	}
	return i
}
