//go:build unix

package zerobus_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/headrace/headrace/backend/zerobus/internal/benchpb"
	pb "github.com/headrace/headrace/backend/zerobus/internal/zerobuspb"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/protobuf"
	"github.com/headrace/headrace/producer"
)

// each runs f for both types of records, against a server in this process and against a server in another process.
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

// BenchmarkThroughput compares with a loop that sends prepared batches of 100 records. An iteration is 100 records:
//
//   - session: a session gets a batch of 100.
//   - producer100: a producer gets encoded records one by one, and makes batches of 100.
//   - producer: the same, with batches as large as the producer makes them by default.
//   - typed: the producer encodes the records too.
func BenchmarkThroughput(b *testing.B) {
	each(b, func(b *testing.B, srv served, of pb.RecordType) {
		for _, size := range []int{20, 100, 1024} {
			b.Run(fmt.Sprint(size), func(b *testing.B) {
				if of == pb.RecordType_JSON {
					throughput(b, newLoad(b, srv, of, codec.JSON[sample](), jsonSample(size), size))
				} else {
					throughput(b, newLoad(b, srv, of, protobuf.Codec[*benchpb.Reading](), protoSample(size), size))
				}
			})
		}
	})
}

func throughput[T any](b *testing.B, l *load[T]) {
	b.Run("session", func(b *testing.B) { l.run(b, l.session(b)) })
	b.Run("producer100", func(b *testing.B) { l.run(b, l.producer(b, l.encoded, producer.BatchRecords(perBatch))) })
	b.Run("producer", func(b *testing.B) { l.run(b, l.producer(b, l.encoded)) })
	b.Run("typed", func(b *testing.B) { l.run(b, l.producer(b, l.typed)) })
}

// BenchmarkPublishedSizes is typed of BenchmarkThroughput with the record sizes for which the vendor publishes figures.
func BenchmarkPublishedSizes(b *testing.B) {
	srv := otherProcess(b)
	for _, size := range []int{20, 220, 750, 10_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			l := newLoad(b, srv, pb.RecordType_PROTO, protobuf.Codec[*benchpb.Reading](), protoSample(size), size)
			l.run(b, l.producer(b, l.typed))
		})
	}
}

// BenchmarkCodec measures the codec's part of typed.
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

// BenchmarkLoneSend compares a Send of a lone record with a bare round trip of the same record over gRPC.
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
	p, err := producer.New(b.Context(), clientOf(srv.config()).Table(table), c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = p.Close() })
	took, loopTook := beside(b, srv, loop.roundTrips, func(n int) error {
		for range n {
			if err := p.Send(context.Background(), v); err != nil {
				return err
			}
		}
		return nil
	})
	b.ReportMetric(float64(loopTook.wall.Nanoseconds())/float64(b.N), "loop-ns/op")
	b.ReportMetric(took.wall.Seconds()/loopTook.wall.Seconds(), "x-loop")
	b.ReportMetric(float64(took.processor.Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(loopTook.processor.Nanoseconds())/float64(b.N), "loop-cpu-ns/op")
	reportServer(b, took, loopTook, 1)
}

// A cost is what b.N operations took: time, and processor time of this process and of the server in another process.
type cost struct{ wall, processor, server time.Duration }

// count runs f and adds its cost.
func (c *cost) count(srv served, f func() error) error {
	began, used, serving := time.Now(), processorTime(), srv.processorTime()
	err := f()
	c.wall += time.Since(began)
	c.processor += processorTime() - used
	c.server += srv.processorTime() - serving
	return err
}

// processorTime is the time that this process has used on all processors. A server in another process is not counted.
func processorTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// beside runs own and the loop in turns, so that other work of the machine slows down both, and returns what each took
// for b.N. The timer and the allocations count only own. The quotient of the processor times is the steadier one on a machine
// with other work; a server in another process does not count in it.
func beside(b *testing.B, srv served, loop, own func(n int) error) (took, loopTook cost) {
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
		if err := loopTook.count(srv, func() error { return loop(n) }); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		err := took.count(srv, func() error { return own(n) })
		b.StopTimer()
		if err != nil {
			b.Fatal(err)
		}
	}
	return took, loopTook
}

// reportServer reports the processor time of a server in another process, for each of the records of b.N operations.
func reportServer(b *testing.B, took, loopTook cost, records int) {
	if loopTook.server > 0 {
		b.ReportMetric(float64(took.server.Nanoseconds())/float64(b.N*records), "server-ns/record")
		b.ReportMetric(float64(loopTook.server.Nanoseconds())/float64(b.N*records), "loop-server-ns/record")
	}
}
