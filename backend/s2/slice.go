package s2

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/backend/s2/internal/wire"
)

// A Slice is what one request read.
type Slice struct {
	Records []backend.Record
	Next    backend.Offset // where to read on: after the last record, shown or not; without any record, Range.From
	Tail    Position
	HasTail bool // the server said where the tail is
}

// Read makes one request for the records from r.From on, within the limits of r and those of S2: 1000 records and 1 MiB. The
// Slice has command records too, unless r.NoCommands is set. The client makes one attempt. At the tail, Read fails with
// [backend.ErrOutOfRange] if r.Wait is zero; otherwise a wait without a record ends with an empty Slice.
//
// Read uses the sequence number of r.From alone: to ask which stream has the name now would be a second request. A consumer and a
// [ReadSession] ask, and refuse a place in a deleted stream.
func (s *Stream) Read(ctx context.Context, r Range) (Slice, error) {
	op := s.op("read")
	q, err := r.query()
	if err == nil {
		err = s.fault
	}
	if err != nil {
		return Slice{}, fmt.Errorf("s2: %s: %w", op, err)
	}
	// The server answers after the wait, so the wait comes on top of the timeout.
	c := &call{op: op, method: http.MethodGet, url: s.recordsURL(), query: q, basin: s.basin.name, kind: protobuf, wait: time.Duration(min(r.seconds(), 60)) * time.Second}
	a, err := s.attemptOnce(ctx, c)
	if err != nil {
		return Slice{}, failedCall(op, err)
	}
	b, err := parseBatch(a.body)
	if err != nil {
		return Slice{}, fmt.Errorf("s2: %s: %w", op, &ProtocolError{err})
	}
	setOffsets(&b, "")
	next := r.From
	if n := len(b.Records); n > 0 {
		// next is taken before commands are left out. Otherwise a Slice of commands alone would not move on, and a loop would
		// read the same commands for ever.
		next = b.Records[n-1].Next
	}
	if r.NoCommands {
		b.Records = withoutCommands(b.Records)
	}
	return Slice{Next: next, Records: b.Records, Tail: Position(b.Tail), HasTail: b.HasTail}, nil
}

func parseBatch(body []byte) (wire.Batch, error) {
	if len(body) > s2s.MaxPayload {
		return wire.Batch{}, fmt.Errorf("a batch of %d bytes", len(body))
	}
	return new(wire.Decoder).Decode(body)
}
