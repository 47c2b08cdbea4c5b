package zerobus

import (
	"encoding/hex"
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/headrace/headrace/backend"
	pb "github.com/headrace/headrace/backend/zerobus/internal/zerobuspb"
)

func encoded(r ingestion) []byte {
	whole, body, list := r.sizes()
	b := r.appendTo(nil, body, list)
	if len(b) != whole {
		panic("the size is wrong")
	}
	return b
}

func of(values ...string) (recs []backend.Record) {
	for _, v := range values {
		recs = append(recs, backend.Record{Value: []byte(v)})
	}
	return recs
}

// The requests have the bytes of the protocol: a lone record is no batch, an offset of 0 is written, and JSON streams have no
// descriptor.
func TestRequestsHaveTheGoldenBytes(t *testing.T) {
	for _, test := range []struct {
		name, want string
		got        []byte
	}{
		{"create JSON", "0a0f0a0b6361742e7363682e74626c2002", appendCreate(nil, "cat.sch.tbl", jsonRecords, []byte("ignored"))},
		{"create PROTO", "0a110a05612e622e631a060a04546573742001", appendCreate(nil, "a.b.c", protoRecords, []byte("\x0a\x04Test"))},
		{"JSON record", "120b08001a077b2261223a317d", encoded(ingestion{jsonRecords, 0, of(`{"a":1}`)})},
		{"proto record", "120708ac0212020801", encoded(ingestion{protoRecords, 300, of("\x08\x01")})},
		{"JSON batch", "1a1608011a120a077b2261223a327d0a077b2261223a337d", encoded(ingestion{jsonRecords, 1, of(`{"a":2}`, `{"a":3}`)})},
		{"proto batch", "1a0a080212060a0208020a00", encoded(ingestion{protoRecords, 2, of("\x08\x02", "")})},
	} {
		if got := hex.EncodeToString(test.got); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestResponses(t *testing.T) {
	for _, test := range []struct {
		name, hex string
		kind      responseKind
		acked     int64
		missing   bool // of the one field
		pause     time.Duration
	}{
		{"created", "0a0a0a0873747265616d2d31", created, 0, false, 0},
		{"created without an id", "0a00", created, 0, true, 0},
		{"ack of 0", "12020800", ack, 0, false, 0},
		{"ack of -1", "120b08ffffffffffffffffff01", ack, -1, false, 0},
		{"ack without an offset", "1200", ack, 0, true, 0},
		{"close signal of 1.5 s", "1a0a0a0808011080cab5ee01", closing, 0, true, 1500 * time.Millisecond},
		{"close signal without a duration", "1a00", closing, 0, true, 0},
		{"nothing", "", unknown, 0, true, 0},
		{"a field of tomorrow", "2200", unknown, 0, true, 0},
		{"the last of several", "0a00" + "12020807", ack, 7, false, 0},
	} {
		b, err := hex.DecodeString(test.hex)
		if err != nil {
			t.Fatal(err)
		}
		var r response
		if err := r.parse(b); err != nil || r.kind != test.kind || r.pause != test.pause {
			t.Errorf("%s: %+v, %v", test.name, r, err)
		}
		if got := r.acked == nil && r.stream == nil; got != test.missing || r.acked != nil && *r.acked != test.acked {
			t.Errorf("%s: %+v", test.name, r)
		}
	}
}

// A duration of protobuf can be ten thousand years, and a server may send a negative duration.
func TestPausesOfAnyLength(t *testing.T) {
	for _, test := range []struct {
		d        *durationpb.Duration
		min, max time.Duration
	}{
		{&durationpb.Duration{Seconds: math.MaxInt64}, 200 * 365 * 24 * time.Hour, math.MaxInt64},
		{&durationpb.Duration{Seconds: math.MaxInt64, Nanos: math.MaxInt32}, 200 * 365 * 24 * time.Hour, math.MaxInt64},
		{&durationpb.Duration{Seconds: math.MinInt64, Nanos: 5}, 0, 0},
		{&durationpb.Duration{Seconds: -1, Nanos: -5}, 0, 0},
		{&durationpb.Duration{Nanos: -5}, 0, 0},
	} {
		b, err := proto.Marshal(&pb.EphemeralStreamResponse{Payload: &pb.EphemeralStreamResponse_CloseStreamSignal{
			CloseStreamSignal: &pb.CloseStreamSignal{Duration: test.d},
		}})
		if err != nil {
			t.Fatal(err)
		}
		var r response
		if err := r.parse(b); err != nil || r.kind != closing || r.pause < test.min || r.pause > test.max {
			t.Errorf("%v: %v, %v", test.d, r.pause, err)
		}
	}
}

// The parser must read a message as the generated code does.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{"0a0a0a0873747265616d2d31", "12020800", "1200", "1a0a0a0808011080cab5ee01", "1a00", "120c08ffffffffffffffffff0110", "0a00120208071a00"} {
		b, _ := hex.DecodeString(s)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r response
		err := r.parse(b)
		var want pb.EphemeralStreamResponse
		if proto.Unmarshal(b, &want) != nil || err != nil {
			return // the generated code also checks what is not read here
		}
		if r.pause < 0 {
			t.Fatalf("a pause of %v", r.pause)
		}
		kind := unknown
		switch want.GetPayload().(type) {
		case *pb.EphemeralStreamResponse_CreateStreamResponse:
			kind = created
		case *pb.EphemeralStreamResponse_IngestRecordResponse:
			kind = ack
		case *pb.EphemeralStreamResponse_CloseStreamSignal:
			kind = closing
		}
		if r.kind != kind {
			t.Fatalf("%x is %v, want %v", b, r.kind, kind)
		}
	})
}

// The head of gRPC says the length of the message, and stands behind free room for the head of HTTP/2.
func TestAMessageHasTheHeadOfGRPC(t *testing.T) {
	b := (&ingestion{jsonRecords, 0, of(`{"a":1}`)}).encode(make([]byte, 3))
	if got := hex.EncodeToString(b[messageRoom-messageHead:]); got != "000000000d"+"120b08001a077b2261223a317d" {
		t.Errorf("%s", got)
	}
}

// A batch at its limits, with the bytes around the records, stays below the service's 10 MiB.
func TestABatchAtItsLimitsFitsAMessage(t *testing.T) {
	for _, n := range []int{1, 2, 636, 5000, batchRecords} {
		value := make([]byte, payloadBytes/n)
		recs := make([]backend.Record, n)
		for i := range recs {
			recs[i].Value = value
		}
		r := ingestion{kind: jsonRecords, offset: math.MaxInt64, recs: recs}
		limits := (&streamDialer{sink: &Sink{}}).Limits()
		if _, err := limits.Check(recs); err != nil {
			t.Errorf("%d records: %v", n, err)
		}
		if whole, _, _ := r.sizes(); whole > 10<<20 {
			t.Errorf("%d records: %d bytes", n, whole)
		}
	}
}

func TestEncodingAllocatesNothingPerRecord(t *testing.T) {
	recs := make([]backend.Record, 1000)
	for i := range recs {
		recs[i].Value = make([]byte, 100)
	}
	buf := make([]byte, 0, 1<<20)
	got := testing.AllocsPerRun(100, func() {
		buf = (&ingestion{kind: jsonRecords, recs: recs}).encode(buf)
	})
	if got > 0 {
		t.Errorf("%v allocations for a batch of 1,000", got)
	}
}
