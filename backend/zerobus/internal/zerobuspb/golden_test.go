package zerobuspb_test

import (
	"encoding/hex"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/headrace/headrace/backend/zerobus/internal/zerobuspb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The bytes are the protocol's: those of the first were seen from the vendor's own client.
func TestGoldenBytes(t *testing.T) {
	for _, test := range []struct {
		name, hex string
		message   proto.Message
	}{
		{"create JSON", "0a0f0a0b6361742e7363682e74626c2002", create("cat.sch.tbl", nil, pb.RecordType_JSON)},
		{"create PROTO", "0a110a05612e622e631a060a04546573742001", create("a.b.c", []byte("\x0a\x04Test"), pb.RecordType_PROTO)},
		{"JSON record at offset 0", "120b08001a077b2261223a317d", record(&pb.IngestRecordRequest{
			OffsetId: proto.Int64(0), Record: &pb.IngestRecordRequest_JsonRecord{JsonRecord: `{"a":1}`},
		})},
		{"proto record at offset 300", "120708ac0212020801", record(&pb.IngestRecordRequest{
			OffsetId: proto.Int64(300), Record: &pb.IngestRecordRequest_ProtoEncodedRecord{ProtoEncodedRecord: []byte{8, 1}},
		})},
		{"JSON batch at offset 1", "1a1608011a120a077b2261223a327d0a077b2261223a337d", batch(&pb.IngestRecordBatchRequest{
			OffsetId: proto.Int64(1),
			Batch:    &pb.IngestRecordBatchRequest_JsonBatch{JsonBatch: &pb.JsonRecordBatch{Records: []string{`{"a":2}`, `{"a":3}`}}},
		})},
		{"proto batch at offset 2", "1a0a080212060a0208020a00", batch(&pb.IngestRecordBatchRequest{
			OffsetId: proto.Int64(2),
			Batch: &pb.IngestRecordBatchRequest_ProtoEncodedBatch{
				ProtoEncodedBatch: &pb.ProtoEncodedRecordBatch{Records: [][]byte{{8, 2}, {}}},
			},
		})},
		{"create response", "0a0a0a0873747265616d2d31", &pb.EphemeralStreamResponse{Payload: &pb.EphemeralStreamResponse_CreateStreamResponse{
			CreateStreamResponse: &pb.CreateIngestStreamResponse{StreamId: proto.String("stream-1")},
		}}},
		{"ack up to 0", "12020800", ack(&pb.IngestRecordResponse{DurabilityAckUpToOffset: proto.Int64(0)})},
		{"ack without its field", "1200", ack(&pb.IngestRecordResponse{})},
		{"close signal of 1.5 s", "1a0a0a0808011080cab5ee01", signal(&durationpb.Duration{Seconds: 1, Nanos: 5e8})},
		{"close signal without a duration", "1a00", signal(nil)},
	} {
		t.Run(test.name, func(t *testing.T) {
			want, err := hex.DecodeString(test.hex)
			if err != nil {
				t.Fatal(err)
			}
			got, err := proto.MarshalOptions{Deterministic: true}.Marshal(test.message)
			if err != nil || string(got) != string(want) {
				t.Errorf("%x, %v, want %x", got, err, want)
			}
			back := test.message.ProtoReflect().New().Interface()
			if err := proto.Unmarshal(want, back); err != nil || !proto.Equal(back, test.message) {
				t.Errorf("%x is %v, %v", want, back, err)
			}
		})
	}
}

// An offset of 0 and none are not the same.
func TestPresence(t *testing.T) {
	var r pb.EphemeralStreamResponse
	if err := proto.Unmarshal([]byte{0x12, 0x00}, &r); err != nil || r.GetIngestRecordResponse().DurabilityAckUpToOffset != nil {
		t.Errorf("%v, %v", &r, err)
	}
	if err := proto.Unmarshal([]byte{0x12, 0x02, 0x08, 0x00}, &r); err != nil || r.GetIngestRecordResponse().DurabilityAckUpToOffset == nil {
		t.Errorf("%v, %v", &r, err)
	}
}

func create(table string, descriptor []byte, kind pb.RecordType) proto.Message {
	return &pb.EphemeralStreamRequest{Payload: &pb.EphemeralStreamRequest_CreateStream{CreateStream: &pb.CreateIngestStreamRequest{
		TableName: &table, DescriptorProto: descriptor, RecordType: kind.Enum(),
	}}}
}

func record(r *pb.IngestRecordRequest) proto.Message {
	return &pb.EphemeralStreamRequest{Payload: &pb.EphemeralStreamRequest_IngestRecord{IngestRecord: r}}
}

func batch(b *pb.IngestRecordBatchRequest) proto.Message {
	return &pb.EphemeralStreamRequest{Payload: &pb.EphemeralStreamRequest_IngestRecordBatch{IngestRecordBatch: b}}
}

func ack(a *pb.IngestRecordResponse) proto.Message {
	return &pb.EphemeralStreamResponse{Payload: &pb.EphemeralStreamResponse_IngestRecordResponse{IngestRecordResponse: a}}
}

func signal(d *durationpb.Duration) proto.Message {
	return &pb.EphemeralStreamResponse{Payload: &pb.EphemeralStreamResponse_CloseStreamSignal{CloseStreamSignal: &pb.CloseStreamSignal{Duration: d}}}
}
