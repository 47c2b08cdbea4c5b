package zerobus_test

import (
	"context"
	"fmt"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/headrace/headrace/backend/zerobus/internal/zerobuspb"
)

// A plainLoop is the limit for the benchmarks: it sends prepared requests over a stream of grpc-go, changes only the offset,
// and reads the acks. It shares no code with the package under measure.
type plainLoop struct {
	stream grpc.ClientStream
	num    protowire.Number // of the request's field
	rest   []byte           // of the request, behind the offset
	next   int64
}

// newLoop opens a stream and prepares a request with the records.
func newLoop(b *testing.B, srv served, of pb.RecordType, descriptor []byte, records ...[]byte) *plainLoop {
	b.Helper()
	conn, err := grpc.NewClient(srv.target(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithWriteBufferSize(128<<10), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(asIs{})))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	b.Cleanup(cancel)
	header := metadata.Pairs("authorization", "Bearer b", "x-databricks-zerobus-table-name", table)
	stream, err := conn.NewStream(metadata.NewOutgoingContext(ctx, header), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
		pb.Zerobus_EphemeralStream_FullMethodName)
	if err != nil {
		b.Fatal(err)
	}
	create := &pb.CreateIngestStreamRequest{TableName: proto.String(table), RecordType: of.Enum(), DescriptorProto: descriptor}
	first, err := proto.Marshal(&pb.EphemeralStreamRequest{Payload: &pb.EphemeralStreamRequest_CreateStream{CreateStream: create}})
	if err != nil {
		b.Fatal(err)
	}
	var opened []byte
	if err := stream.SendMsg(mem.BufferSlice{mem.SliceBuffer(first)}); err != nil {
		b.Fatal(err)
	}
	if err := stream.RecvMsg(&opened); err != nil {
		b.Fatal(err)
	}
	l := &plainLoop{stream: stream, num: 3}
	if len(records) == 1 {
		l.num = 2
		l.rest = protowire.AppendBytes(protowire.AppendTag(nil, protowire.Number(of+1), protowire.BytesType), records[0])
		return l
	}
	batch := new(pb.IngestRecordBatchRequest)
	if of == pb.RecordType_PROTO {
		batch.Batch = &pb.IngestRecordBatchRequest_ProtoEncodedBatch{ProtoEncodedBatch: &pb.ProtoEncodedRecordBatch{Records: records}}
	} else {
		texts := new(pb.JsonRecordBatch)
		for _, r := range records {
			texts.Records = append(texts.Records, string(r))
		}
		batch.Batch = &pb.IngestRecordBatchRequest_JsonBatch{JsonBatch: texts}
	}
	if l.rest, err = proto.Marshal(batch); err != nil {
		b.Fatal(err)
	}
	return l
}

func (l *plainLoop) send() error {
	n := 1 + protowire.SizeVarint(uint64(l.next)) + len(l.rest)
	head := protowire.AppendVarint(protowire.AppendTag(make([]byte, 0, 24), l.num, protowire.BytesType), uint64(n))
	head = protowire.AppendVarint(protowire.AppendTag(head, 1, protowire.VarintType), uint64(l.next))
	l.next++
	return l.stream.SendMsg(mem.BufferSlice{mem.SliceBuffer(head), mem.SliceBuffer(l.rest)})
}

// acked reads acks up to the ack of the last request.
func (l *plainLoop) acked(last int64) error {
	var r []byte
	for {
		if err := l.stream.RecvMsg(&r); err != nil {
			return err
		}
		// An ack has the bytes 12 len 08 offset.
		if len(r) < 4 || r[0] != 0x12 {
			return fmt.Errorf("no ack: %x", r)
		}
		if upTo, _ := protowire.ConsumeVarint(r[3:]); int64(upTo) == last {
			return nil
		}
	}
}

// pipelined sends n requests without waiting, and then waits for the last ack.
func (l *plainLoop) pipelined(n int) error {
	done, last := make(chan error, 1), l.next+int64(n)-1
	go func() { done <- l.acked(last) }()
	for range n {
		if err := l.send(); err != nil {
			return err
		}
	}
	return <-done
}

// roundTrips sends n requests and waits for the ack of each.
func (l *plainLoop) roundTrips(n int) error {
	for range n {
		if err := l.send(); err != nil {
			return err
		}
		if err := l.acked(l.next - 1); err != nil {
			return err
		}
	}
	return nil
}

// asIs is a codec that changes nothing.
type asIs struct{}

func (asIs) Name() string { return "proto" }

func (asIs) Marshal(v any) (mem.BufferSlice, error) { return v.(mem.BufferSlice), nil }

func (asIs) Unmarshal(data mem.BufferSlice, v any) error {
	into := v.(*[]byte)
	*into = append((*into)[:0], data.Materialize()...)
	return nil
}
