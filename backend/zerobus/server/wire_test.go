package server

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/headrace/headrace/backend/zerobus/internal/zerobuspb"
)

// The generated types, which the server does not use, must read what it writes.
func TestResponsesAsTheGeneratedTypesReadThem(t *testing.T) {
	read := func(b []byte) *pb.EphemeralStreamResponse {
		t.Helper()
		var m pb.EphemeralStreamResponse
		if err := proto.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		return &m
	}
	if got := read(created("x")).GetCreateStreamResponse().GetStreamId(); got != "x" {
		t.Errorf("stream id %q", got)
	}
	if m := read(created("")).GetCreateStreamResponse(); m == nil || m.StreamId != nil {
		t.Errorf("create response %v", m)
	}
	for _, offset := range []int64{0, 1, 300, 1 << 40, -1} {
		if got := read(acked(offset)).GetIngestRecordResponse(); got == nil || got.DurabilityAckUpToOffset == nil || *got.DurabilityAckUpToOffset != offset {
			t.Errorf("ack of %d: %v", offset, got)
		}
	}
	for _, d := range []time.Duration{0, 1, time.Second, 15 * time.Minute, 1500 * time.Millisecond} {
		if got := read(signal(d)).GetCloseStreamSignal().GetDuration().AsDuration(); got != d {
			t.Errorf("signal of %v: %v", d, got)
		}
	}
	if got := read(signal(-1)).GetCloseStreamSignal(); got == nil || got.Duration != nil {
		t.Errorf("signal without a duration: %v", got)
	}
}

// FuzzRequest holds the reader made by hand to the generated one.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		"0a0f0a0b6361742e7363682e74626c2002", "120b08001a077b2261223a317d", "1a1608011a120a077b2261223a327d0a077b2261223a337d", "1200",
		"0a110a05612e622e631a060a04546573742001", "1a0a080212060a0208020a00", "120708ac0212020801",
	} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var req request
		err := req.parse(b)
		var m pb.EphemeralStreamRequest
		if proto.Unmarshal(b, &m) != nil {
			return // what is no message may be found so later, or in a part that is not looked at
		}
		if repeats(b) {
			return // the generated reader merges messages that come twice
		}
		var recs [][]byte
		want := unspecified
		var offset *int64
		switch p := m.Payload.(type) {
		case nil:
			if err != nil || req.kind != noRequest {
				t.Fatalf("%x: kind %d, %v", b, req.kind, err)
			}
			return
		case *pb.EphemeralStreamRequest_CreateStream:
			c := p.CreateStream
			if err != nil || req.kind != createRequest || req.table != c.GetTableName() || !bytes.Equal(req.descriptor, c.GetDescriptorProto()) {
				t.Fatalf("%x: %+v, %v, want %v", b, req, err, c)
			}
			return
		case *pb.EphemeralStreamRequest_IngestRecord:
			offset = p.IngestRecord.OffsetId
			switch r := p.IngestRecord.Record.(type) {
			case *pb.IngestRecordRequest_ProtoEncodedRecord:
				want, recs = protoRecord, [][]byte{r.ProtoEncodedRecord}
			case *pb.IngestRecordRequest_JsonRecord:
				want, recs = jsonRecord, [][]byte{[]byte(r.JsonRecord)}
			}
		case *pb.EphemeralStreamRequest_IngestRecordBatch:
			offset = p.IngestRecordBatch.OffsetId
			switch r := p.IngestRecordBatch.Batch.(type) {
			case *pb.IngestRecordBatchRequest_ProtoEncodedBatch:
				want, recs = protoRecord, r.ProtoEncodedBatch.GetRecords()
			case *pb.IngestRecordBatchRequest_JsonBatch:
				want = jsonRecord
				for _, s := range r.JsonBatch.GetRecords() {
					recs = append(recs, []byte(s))
				}
			}
		}
		if want == unspecified {
			if err == nil {
				t.Fatalf("%x: %+v without a record", b, req)
			}
			return
		}
		if err != nil || req.recordType != want || req.hasOffset != (offset != nil) || offset != nil && req.offset != *offset || len(req.records) != len(recs) {
			t.Fatalf("%x: %+v, %v, want %v", b, req, err, &m)
		}
		for i := range recs {
			if !bytes.Equal(recs[i], req.records[i]) {
				t.Fatalf("%x: record %d is %x, want %x", b, i, req.records[i], recs[i])
			}
		}
	})
}

// repeats says whether a message has a field more than once, at the top or one below.
func repeats(b []byte) bool {
	count := 0
	deep := false
	_ = fields(b, func(_ protowire.Number, _ uint64, v []byte, isBytes bool) error {
		count++
		if isBytes {
			n := 0
			_ = fields(v, func(num protowire.Number, _ uint64, _ []byte, isBytes bool) error {
				if isBytes {
					n++
				}
				return nil
			})
			deep = deep || n > 2
		}
		return nil
	})
	return count > 1 || deep
}
