package zerobus

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	hcodec "github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

const benchTable = "main.bench.rows"

// raw opens a stream without any of this package, but for the codec that passes prepared bytes on.
func raw(b *testing.B, srv *zerobustest.Server) grpc.ClientStream {
	b.Helper()
	ep, err := parseEndpoint(srv.Endpoint)
	if err != nil {
		b.Fatal(err)
	}
	s := Table(benchTable, Config{})
	conn, err := grpc.NewClient(ep.target, s.dialOptions(ep)...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	b.Cleanup(cancel)
	stream, err := conn.NewStream(metadata.NewOutgoingContext(ctx, metadata.Pairs(headerAuthorization, "Bearer b", headerTable, benchTable)), &streamDesc, method)
	if err != nil {
		b.Fatal(err)
	}
	var m outgoing
	m.encodeRaw(appendCreate(nil, benchTable, jsonRecords, nil))
	var r response
	if err := stream.SendMsg(&m); err != nil {
		b.Fatal(err)
	}
	if err := stream.RecvMsg(&r); err != nil {
		b.Fatal(err)
	}
	return stream
}

func (m *outgoing) encodeRaw(b []byte) { m.buf = mem.SliceBuffer(b) }

func benchServer(b *testing.B) *zerobustest.Server {
	return zerobustest.New(b, zerobustest.Table(benchTable), zerobustest.DiscardRows(), zerobustest.AnyToken())
}

// stamp makes a copy of a request with another offset, written as a varint of six bytes.
func stamp(whole []byte, at int, offset int64) []byte {
	msg := bytes.Clone(whole)
	for i := range 5 {
		msg[at+i] = byte(offset>>(7*i)) | 0x80
	}
	msg[at+5] = 0
	return msg
}

// BenchmarkThroughput compares: a loop over gRPC that sends prepared batches of 100 records (grpc), a session that is
// given batches of 100 (session), and a producer that is given records (producer).
func BenchmarkThroughput(b *testing.B) {
	const per = 100
	for _, size := range []int{20, 100, 1024} {
		value := []byte(`"` + string(bytes.Repeat([]byte{'x'}, size-2)) + `"`)
		recs := make([]backend.Record, per)
		for i := range recs {
			recs[i].Value = value
		}
		report := func(b *testing.B, n int) {
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
			b.SetBytes(int64(size * n / b.N))
		}
		b.Run(fmt.Sprintf("grpc/%d", size), func(b *testing.B) {
			stream := raw(b, benchServer(b))
			r := ingestion{kind: jsonRecords, offset: 1 << 40, recs: recs}
			whole := encodedForBench(&r)
			at := bytes.Index(whole, protowire.AppendVarint(nil, 1<<40))
			done := make(chan error, 1)
			total := int64(b.N)
			go func() {
				var r response
				for {
					if err := stream.RecvMsg(&r); err != nil || *r.acked == total-1 {
						done <- err
						return
					}
				}
			}()
			b.ReportAllocs()
			b.ResetTimer()
			for i := range total {
				var m outgoing
				m.encodeRaw(stamp(whole, at, i))
				if err := stream.SendMsg(&m); err != nil {
					b.Fatal(err)
				}
			}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
			report(b, b.N*per)
		})
		b.Run(fmt.Sprintf("session/%d", size), func(b *testing.B) {
			srv := benchServer(b)
			s, err := Table(benchTable, Config{Endpoint: srv.Endpoint, UnityCatalog: srv.UnityCatalogURL, ClientID: "i", ClientSecret: "s"}).
				NewAppender(backend.Format{ContentType: "application/json"}).Open(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			done := make(chan error, 1)
			total := uint64(b.N)
			go func() {
				for {
					if a, err := s.Recv(context.Background()); err != nil || a.Seq == total-1 {
						done <- err
						return
					}
				}
			}()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			b.ReportAllocs()
			b.ResetTimer()
			for i := range total {
				if err := s.Send(ctx, i, recs); err != nil {
					b.Fatal(err)
				}
			}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
			report(b, b.N*per)
		})
		b.Run(fmt.Sprintf("producer/%d", size), func(b *testing.B) {
			srv := benchServer(b)
			sink := Table(benchTable, Config{Endpoint: srv.Endpoint, UnityCatalog: srv.UnityCatalogURL, ClientID: "i", ClientSecret: "s"})
			pass := hcodec.Func("application/json", func(dst []byte, v []byte) ([]byte, error) { return append(dst, v...), nil },
				func(src []byte) ([]byte, error) { return src, nil })
			p, err := producer.New(b.Context(), sink, pass)
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if _, err := p.Enqueue(b.Context(), value); err != nil {
					b.Fatal(err)
				}
			}
			if err := p.Flush(b.Context()); err != nil {
				b.Fatal(err)
			}
			report(b, b.N)
		})
	}
}

// BenchmarkLoneSend compares the round trip of one record over gRPC with that of a producer's Send.
func BenchmarkLoneSend(b *testing.B) {
	value := []byte(`{"n":1}`)
	b.Run("grpc", func(b *testing.B) {
		stream := raw(b, benchServer(b))
		r := ingestion{kind: jsonRecords, offset: 1 << 40, recs: []backend.Record{{Value: value}}}
		whole := encodedForBench(&r)
		at := bytes.Index(whole, protowire.AppendVarint(nil, 1<<40))
		b.ReportAllocs()
		var res response
		for i := int64(0); b.Loop(); i++ {
			var m outgoing
			m.encodeRaw(stamp(whole, at, i))
			if err := stream.SendMsg(&m); err != nil {
				b.Fatal(err)
			}
			if err := stream.RecvMsg(&res); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("producer", func(b *testing.B) {
		srv := benchServer(b)
		sink := Table(benchTable, Config{Endpoint: srv.Endpoint, UnityCatalog: srv.UnityCatalogURL, ClientID: "i", ClientSecret: "s"})
		pass := hcodec.Func("application/json", func(dst []byte, v []byte) ([]byte, error) { return append(dst, v...), nil },
			func(src []byte) ([]byte, error) { return src, nil })
		p, err := producer.New(b.Context(), sink, pass)
		if err != nil {
			b.Fatal(err)
		}
		defer p.Close()
		b.ReportAllocs()
		for b.Loop() {
			if err := p.Send(b.Context(), value); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func encodedForBench(r *ingestion) []byte {
	_, body, list := r.sizes()
	return r.appendTo(nil, body, list)
}
