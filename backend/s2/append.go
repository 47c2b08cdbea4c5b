package s2

import (
	"context"
	"fmt"
	"net/http"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/wire"
)

// A Condition is what the stream must be like for an append. The zero Condition is true for every stream.
type Condition struct {
	SeqNum       *uint64 // the first record must get this sequence number; nil is any
	FencingToken *string // the fencing token of the stream must be this; nil is what [Fence] or [FencingToken] says, or else any
}

// An Appended says where an append stored its records.
type Appended struct {
	Start Position // of the first record
	End   Position // after the last record; its time is that of the last record
	Tail  Position // of the stream when the server answered, at least End
}

const protobuf = "application/protobuf"

// Append appends records in one request, all or none. The records may be commands. The client makes one attempt: an error
// with [backend.ErrTransient] says that nothing was stored, and one with [backend.ErrIndeterminate] that the records may be
// stored. For many records use a producer.
func (s *Stream) Append(ctx context.Context, recs []backend.Record, c Condition) (Appended, error) {
	if c.FencingToken == nil {
		c.FencingToken = s.cfg.token
	}
	return s.append(ctx, s.op("append to"), recs, c)
}

// append is Append under the name op, with the token of c and no other.
func (s *Stream) append(ctx context.Context, op string, recs []backend.Record, c Condition) (Appended, error) {
	err := s.fault
	if err == nil {
		err = checkBatch(recs)
	}
	if err == nil && c.FencingToken != nil {
		err = checkToken(*c.FencingToken)
	}
	if err != nil {
		return Appended{}, fmt.Errorf("s2: %s: %w", op, err)
	}
	a, err := s.attemptOnce(ctx, &call{op: op, method: http.MethodPost, url: s.recordsURL(), basin: s.basin.name, kind: protobuf,
		body: wire.AppendInput(nil, recs, wire.Condition{MatchSeqNum: c.SeqNum, FencingToken: c.FencingToken})})
	if err != nil {
		// The situation is whenSent from the first byte on: a single request has no acks that would tell more.
		return Appended{}, fmt.Errorf("s2: %s: %w", op, meaning(err, whenSent))
	}
	out, err := parseAck(a)
	// Both numbers come from the server. With another count, the caller would take positions of other records for its own.
	if err == nil && (out.End.SeqNum < out.Start.SeqNum || out.End.SeqNum-out.Start.SeqNum != uint64(len(recs))) {
		err = protocolErrorf("ack of %d to %d for %d records", out.Start.SeqNum, out.End.SeqNum, len(recs))
	}
	if err != nil {
		// The server has answered 200, so the records may be stored, whatever the ack says.
		return Appended{}, fmt.Errorf("s2: %s: %w: %w", op, backend.ErrIndeterminate, err)
	}
	return out, nil
}

func parseAck(a answer) (Appended, error) {
	ack, err := wire.DecodeAck(a.body)
	if err != nil {
		return Appended{}, protocolErrorf("ack: %w", err)
	}
	return Appended{Position(ack.Start), Position(ack.End), Position(ack.Tail)}, nil
}

// SetFence sets the fencing token of the stream; "" clears it. If c names a token and the stream has another, SetFence fails
// with [backend.ErrFenced] and changes nothing.
func (s *Stream) SetFence(ctx context.Context, token string, c Condition) (Appended, error) {
	if err := checkToken(token); err != nil {
		return Appended{}, fmt.Errorf("s2: %s: %w", s.op("fence"), err)
	}
	if c.FencingToken == nil {
		c.FencingToken = s.cfg.token
	}
	return s.append(ctx, s.op("fence"), []backend.Record{FenceRecord(token)}, c)
}
