package s2

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/backend/s2/internal/wire"
)

// A Condition is what an append demands of the stream. The zero Condition demands nothing.
type Condition struct {
	SeqNum       *uint64 // the first record must get this sequence number
	FencingToken *string // the stream's token must be this one; nil where [Fence] and [FencingToken] say nothing either
}

// An Appended says where records went.
type Appended struct {
	Start Position // of the first record
	End   Position // behind the last; its time is the last's
	Tail  Position // of the stream at that time, at least End
}

const protobuf = "application/protobuf"

// Append appends records in one request, all or none; command records too. It is not tried again: an error says by
// [backend.ErrTransient] that nothing was stored and by [backend.ErrIndeterminate] that it may have been. For streams of
// records use a producer.
func (s *Stream) Append(ctx context.Context, recs []backend.Record, c Condition) (Appended, error) {
	if c.FencingToken == nil {
		c.FencingToken = s.cfg.token
	}
	return s.append(ctx, recs, c)
}

func (s *Stream) append(ctx context.Context, recs []backend.Record, c Condition) (Appended, error) {
	op := s.op("append to")
	err := s.basin.check(s.name)
	if err == nil {
		err = checkBatch(recs)
	}
	if err == nil && c.FencingToken != nil {
		err = checkToken(*c.FencingToken)
	}
	if err != nil {
		return Appended{}, fmt.Errorf("s2: %s: %w", op, err)
	}
	a, err := s.once(ctx, &call{op: op, method: http.MethodPost, url: s.recordsURL(), basin: s.basin.name, kind: protobuf,
		body: wire.AppendInput(nil, recs, wire.Condition{MatchSeqNum: c.SeqNum, FencingToken: c.FencingToken})})
	if err != nil {
		return Appended{}, fmt.Errorf("s2: %s: %w", op, meaning(err, sent))
	}
	out, err := parseAck(a)
	if err == nil && (out.End.SeqNum < out.Start.SeqNum || out.End.SeqNum-out.Start.SeqNum != uint64(len(recs))) {
		err = protocolErrorf("ack of %d to %d for %d records", out.Start.SeqNum, out.End.SeqNum, len(recs))
	}
	if err != nil {
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

// SetFence sets the stream's fencing token; "" clears it. It fails with [backend.ErrFenced] unless the token is the one
// that c demands, if it does.
func (s *Stream) SetFence(ctx context.Context, token string, c Condition) (Appended, error) {
	if err := checkToken(token); err != nil {
		return Appended{}, fmt.Errorf("s2: %s: %w", s.op("fence"), err)
	}
	return s.Append(ctx, []backend.Record{FenceRecord(token)}, c)
}

// Trim lets S2 delete the records below seqNum. It returns when the command is durable; the records go later.
func (s *Stream) Trim(ctx context.Context, seqNum uint64) (Appended, error) {
	return s.Append(ctx, []backend.Record{TrimRecord(seqNum)}, Condition{})
}

// A Range says what to read. Zero fields are no limit.
type Range struct {
	From       backend.Offset // required: a place or a start
	Clamp      bool           // a place beyond the tail is the tail instead of an error
	Count      int            // records at most; one request never returns more than 1000
	Bytes      int            // metered bytes at most; one request never returns more than 1 MiB
	Until      time.Time      // only records before it
	NoCommands bool           // for Read: leave out command records, which count against the limits all the same
	Wait       time.Duration  // at the tail, for a first record; whole seconds, rounded up, 60 s at most count for Read
}

// A Slice is what one request read.
type Slice struct {
	Records []backend.Record
	Next    backend.Offset // where to read on: behind the last record, also one that is left out; else what Range.From was
	Tail    Position
	HasTail bool // the server said where the tail is
}

// Read reads once: what there is from r.From on, within its limits and S2's of 1000 records and 1 MiB, command records
// included unless r.NoCommands is set. It is not tried again. At the tail it fails with [backend.ErrOutOfRange] unless r.Wait is given; a wait that
// is over without a record is an empty Slice.
func (s *Stream) Read(ctx context.Context, r Range) (Slice, error) {
	op := s.op("read")
	q, err := r.query()
	if err == nil {
		err = s.basin.check(s.name)
	}
	if err != nil {
		return Slice{}, fmt.Errorf("s2: %s: %w", op, err)
	}
	// The server answers when the wait is over, so that comes on top of what an answer may take.
	c := &call{op: op, method: http.MethodGet, url: s.recordsURL(), query: q, basin: s.basin.name, kind: protobuf, wait: time.Duration(min(r.seconds(), 60)) * time.Second}
	a, err := s.once(ctx, c)
	if err != nil {
		return Slice{}, classed(op, err)
	}
	b, err := parseBatch(a.body)
	if err != nil {
		return Slice{}, fmt.Errorf("s2: %s: %w", op, &ProtocolError{err})
	}
	setOffsets(&b, "")
	next := r.From
	if n := len(b.Records); n > 0 {
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

func (r *Range) query() (url.Values, error) {
	q, err := startQuery(r.From)
	if err != nil {
		return nil, err
	}
	if r.Clamp {
		q.Set("clamp", "true")
	}
	if r.Count > 0 {
		q.Set("count", strconv.Itoa(r.Count))
	}
	if r.Bytes > 0 {
		q.Set("bytes", strconv.Itoa(r.Bytes))
	}
	if !r.Until.IsZero() {
		q.Set("until", strconv.FormatInt(max(ceilMilli(r.Until), 0), 10))
	}
	switch {
	case r.Wait < 0:
		q.Set("wait", "0")
	case r.Wait > 0:
		q.Set("wait", strconv.FormatInt(min(r.seconds(), math.MaxUint32), 10))
	}
	return q, nil
}

// seconds is the wait as the server knows it.
func (r *Range) seconds() int64 {
	if r.Wait <= 0 {
		return 0
	}
	return int64((r.Wait-1)/time.Second) + 1
}

// startQuery says in S2's terms where to begin.
func startQuery(from backend.Offset) (url.Values, error) {
	n, isLast := from.LastN()
	t, isTime := from.Since()
	switch {
	case from == backend.Earliest:
		return url.Values{"seq_num": {"0"}}, nil
	case from == backend.Latest:
		return url.Values{"tail_offset": {"0"}}, nil
	case isLast:
		return url.Values{"tail_offset": {strconv.Itoa(n)}}, nil
	case isTime: // beyond the last record it is Latest
		return url.Values{"timestamp": {strconv.FormatInt(max(floorMilli(t), 0), 10)}, "clamp": {"true"}}, nil
	}
	seq, err := SeqNum(from)
	if err != nil {
		return nil, err
	}
	return url.Values{"seq_num": {strconv.FormatUint(seq, 10)}}, nil
}

// floorMilli rounds down, as appends do with the times of records: the record that was stored with time t is to be found
// at t.
func floorMilli(t time.Time) int64 {
	if t.Unix() >= math.MaxInt64/1000 {
		return math.MaxInt64 // as good as never
	}
	return t.UnixMilli()
}

// ceilMilli rounds up: of records with whole milliseconds, those before t are those before the next full one.
func ceilMilli(t time.Time) int64 {
	ms := floorMilli(t)
	if ms < math.MaxInt64 && time.UnixMilli(ms).Before(t) {
		ms++
	}
	return ms
}
