package zerobus_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/internal/benchpb"
	pb "github.com/headrace/headrace/backend/zerobus/internal/zerobuspb"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/protobuf"
	"github.com/headrace/headrace/producer"
)

// A sample is benchpb.Reading as JSON.
type sample struct {
	Station string  `json:"station"`
	TakenUS int64   `json:"taken_us,omitzero"`
	PM25    float64 `json:"pm25,omitzero"`
	Note    string  `json:"note,omitzero"`
}

const takenUS = 1_760_000_000_000_000

// jsonSample is a sample that is size bytes long, 20 or from 100 on.
func jsonSample(size int) sample {
	if size == 20 {
		return sample{Station: "air-07"}
	}
	r := sample{Station: "station-07", TakenUS: takenUS, PM25: 12.5}
	r.Note = strings.Repeat("n", size-len(`{"station":"station-07","taken_us":1760000000000000,"pm25":12.5,"note":""}`))
	return r
}

// protoSample is the same as a message, with a station's name that fills 20 bytes and a note that fills the rest.
func protoSample(size int) *benchpb.Reading {
	r := &benchpb.Reading{Station: proto.String("station07"), TakenUs: proto.Int64(takenUS)}
	if size > 20 {
		r.Pm25, r.Note = proto.Float64(12.5), proto.String("")
		for proto.Size(r) < size {
			r.Note = proto.String(*r.Note + "n")
		}
	}
	return r
}

// each runs f against a server in this process and against one in another, for both types of records.
func each(b *testing.B, f func(b *testing.B, srv served, of pb.RecordType)) {
	for _, where := range []struct {
		name  string
		serve func(*testing.B) served
	}{{"same", sameProcess}, {"other", otherProcess}} {
		b.Run(where.name, func(b *testing.B) {
			srv := where.serve(b)
			b.Run("json", func(b *testing.B) { f(b, srv, pb.RecordType_JSON) })
			b.Run("proto", func(b *testing.B) { f(b, srv, pb.RecordType_PROTO) })
		})
	}
}

const perBatch = 100

// BenchmarkThroughput stands beside a loop that sends batches of 100 records made before. An iteration is 100 records: of a
// session that is given a batch of them; of a producer that is given them encoded one by one, and makes batches of
// 100 (producer100) or what it makes by default (producer); and of one that encodes them (typed).
func BenchmarkThroughput(b *testing.B) {
	each(b, func(b *testing.B, srv served, of pb.RecordType) {
		for _, size := range []int{20, 100, 1024} {
			b.Run(fmt.Sprint(size), func(b *testing.B) {
				if of == pb.RecordType_JSON {
					throughput(b, srv, of, codec.JSON[sample](), jsonSample(size), size)
				} else {
					throughput(b, srv, of, protobuf.Codec[*benchpb.Reading](), protoSample(size), size)
				}
			})
		}
	})
}

func throughput[T any](b *testing.B, srv served, of pb.RecordType, c codec.Codec[T], v T, size int) {
	value, err := c.AppendEncode(nil, v)
	if err != nil || len(value) != size {
		b.Fatalf("%d bytes, want %d: %v", len(value), size, err)
	}
	recs, values := make([]backend.Record, perBatch), make([][]byte, perBatch)
	for i := range recs {
		recs[i].Value, values[i] = value, value
	}
	format := backend.Format(c.Format())
	run := func(name string, own func(b *testing.B, sink *zerobus.Sink) func(n int) error) {
		b.Run(name, func(b *testing.B) {
			loop := newLoop(b, srv, of, format.Schema, values...)
			f := own(b, zerobus.Table(table, srv.config()))
			b.SetBytes(int64(perBatch * size))
			took, loopTook := beside(b, loop.pipelined, f)
			b.ReportMetric(float64(b.N*perBatch)/took.Seconds(), "records/s")
			b.ReportMetric(float64(b.N*perBatch)/loopTook.Seconds(), "loop-records/s")
			b.ReportMetric(loopTook.Seconds()/took.Seconds(), "of-loop")
		})
	}
	producing := func(put func(*producer.Producer[T]) error, opts ...producer.Option) func(*testing.B, *zerobus.Sink) func(int) error {
		return func(b *testing.B, sink *zerobus.Sink) func(int) error {
			p, err := producer.New(b.Context(), sink, c, opts...)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = p.Close() })
			return func(n int) error {
				for range n * perBatch {
					if err := put(p); err != nil {
						return err
					}
				}
				return p.Flush(context.Background())
			}
		}
	}
	ctx := context.Background()
	encoded := func(p *producer.Producer[T]) error {
		_, err := p.EnqueueEncoded(ctx, backend.Record{Value: value})
		return err
	}
	run("session", func(b *testing.B, sink *zerobus.Sink) func(int) error {
		s, err := sink.NewAppender(format).Open(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = s.Close() })
		return sending(s, recs)
	})
	run("producer100", producing(encoded, producer.BatchRecords(perBatch)))
	run("producer", producing(encoded))
	run("typed", producing(func(p *producer.Producer[T]) error {
		_, err := p.Enqueue(ctx, v)
		return err
	}))
}

// sending gives s the same batch n times and waits for the last ack.
func sending(s backend.Session, recs []backend.Record) func(n int) error {
	var next uint64
	return func(n int) error {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		done, last := make(chan error, 1), next+uint64(n)-1
		go func() {
			for {
				if a, err := s.Recv(ctx); err != nil || a.Seq == last {
					done <- err
					return
				}
			}
		}()
		for range n {
			if err := s.Send(ctx, next, recs); err != nil {
				return err
			}
			next++
		}
		return <-done
	}
}

// BenchmarkCodec is what of typed is the codec's.
func BenchmarkCodec(b *testing.B) {
	for _, size := range []int{20, 100, 1024} {
		b.Run(fmt.Sprintf("json/%d", size), func(b *testing.B) { encode(b, codec.JSON[sample](), jsonSample(size), size) })
		b.Run(fmt.Sprintf("proto/%d", size), func(b *testing.B) {
			encode(b, protobuf.Codec[*benchpb.Reading](), protoSample(size), size)
		})
	}
}

func encode[T any](b *testing.B, c codec.Codec[T], v T, size int) {
	buf := make([]byte, 0, 2*size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.AppendEncode(buf, v); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkLoneSend is a Send that nothing else goes with, beside a round trip of the same record over gRPC alone.
func BenchmarkLoneSend(b *testing.B) {
	each(b, func(b *testing.B, srv served, of pb.RecordType) {
		if of == pb.RecordType_JSON {
			loneSend(b, srv, of, codec.JSON[sample](), jsonSample(100))
		} else {
			loneSend(b, srv, of, protobuf.Codec[*benchpb.Reading](), protoSample(100))
		}
	})
}

func loneSend[T any](b *testing.B, srv served, of pb.RecordType, c codec.Codec[T], v T) {
	value, err := c.AppendEncode(nil, v)
	if err != nil {
		b.Fatal(err)
	}
	loop := newLoop(b, srv, of, c.Format().Schema, value)
	p, err := producer.New(b.Context(), zerobus.Table(table, srv.config()), c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = p.Close() })
	took, loopTook := beside(b, loop.roundTrips, func(n int) error {
		for range n {
			if err := p.Send(context.Background(), v); err != nil {
				return err
			}
		}
		return nil
	})
	b.ReportMetric(float64(loopTook.Nanoseconds())/float64(b.N), "loop-ns/op")
	b.ReportMetric(took.Seconds()/loopTook.Seconds(), "x-loop")
}

// beside runs own and the loop in turns, so that what else the machine does meets both, and returns what each took for b.N.
// The timer and the allocations are those of own.
func beside(b *testing.B, loop, own func(n int) error) (took, loopTook time.Duration) {
	b.Helper()
	const turns = 10
	b.ReportAllocs()
	b.ResetTimer()
	b.StopTimer()
	for i := range turns {
		n := b.N*(i+1)/turns - b.N*i/turns
		if n == 0 {
			continue
		}
		began := time.Now()
		if err := loop(n); err != nil {
			b.Fatal(err)
		}
		loopTook += time.Since(began)
		b.StartTimer()
		if err := own(n); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
	}
	return b.Elapsed(), loopTook
}
