//go:build unix

package zerobus_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus/internal/benchpb"
	pb "github.com/headrace/headrace/backend/zerobus/internal/zerobuspb"
	"github.com/headrace/headrace/codec"
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

// jsonSample is a sample of size bytes. size must be 20, or at least 100.
func jsonSample(size int) sample {
	if size == 20 {
		return sample{Station: "air-07"}
	}
	r := sample{Station: "station-07", TakenUS: takenUS, PM25: 12.5}
	r.Note = strings.Repeat("n", size-len(`{"station":"station-07","taken_us":1760000000000000,"pm25":12.5,"note":""}`))
	return r
}

// protoSample is the same sample as a message: the station's name fills 20 bytes, and the note fills the rest.
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

const perBatch = 100

// A load sends the same record to a server again and again.
type load[T any] struct {
	srv   served
	of    pb.RecordType
	codec codec.Codec[T]
	v     T
	value []byte // v, encoded
}

func newLoad[T any](b *testing.B, srv served, of pb.RecordType, c codec.Codec[T], v T, size int) *load[T] {
	b.Helper()
	value, err := c.AppendEncode(nil, v)
	if err != nil || len(value) != size {
		b.Fatalf("%d bytes, want %d: %v", len(value), size, err)
	}
	return &load[T]{srv, of, c, v, value}
}

// run compares f, which makes n batches durable, with a loop that sends batches.
func (l *load[T]) run(b *testing.B, f func(n int) error) {
	b.Helper()
	values := make([][]byte, perBatch)
	for i := range values {
		values[i] = l.value
	}
	loop := newLoop(b, l.srv, l.of, l.codec.Format().Schema, values...)
	b.SetBytes(int64(perBatch * len(l.value)))
	took, loopTook := beside(b, l.srv, loop.pipelined, f)
	n := float64(b.N * perBatch)
	b.ReportMetric(n/took.wall.Seconds(), "records/s")
	b.ReportMetric(n/loopTook.wall.Seconds(), "loop-records/s")
	b.ReportMetric(loopTook.wall.Seconds()/took.wall.Seconds(), "of-loop")
	b.ReportMetric(float64(took.processor.Nanoseconds())/n, "cpu-ns/record")
	b.ReportMetric(float64(loopTook.processor.Nanoseconds())/n, "loop-cpu-ns/record")
	reportServer(b, took, loopTook, perBatch)
}

// session sends batches over a session.
func (l *load[T]) session(b *testing.B) func(n int) error {
	b.Helper()
	s, err := clientOf(l.srv.config()).Table(table).NewAppender(l.codec.Format()).Open(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	recs := make([]backend.Record, perBatch)
	for i := range recs {
		recs[i].Value = l.value
	}
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

// producer puts the records of n batches into a producer.
func (l *load[T]) producer(b *testing.B, put func(*producer.Producer[T]) error, opts ...producer.Option) func(n int) error {
	b.Helper()
	p, err := producer.New(b.Context(), clientOf(l.srv.config()).Table(table), l.codec, opts...)
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

func (l *load[T]) encoded(p *producer.Producer[T]) error {
	_, err := p.EnqueueEncoded(context.Background(), backend.Record{Value: l.value})
	return err
}

func (l *load[T]) typed(p *producer.Producer[T]) error {
	_, err := p.Enqueue(context.Background(), l.v)
	return err
}
