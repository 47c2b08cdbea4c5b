package durablestreams_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// A value of 100 bytes. The server runs in the same process, on the same two or so cores.
var hundred = append(append([]byte(`{"id":12345,"text":"`), bytes.Repeat([]byte{'x'}, 78)...), `"}`...)

func benchStream(b *testing.B) *durablestreams.Stream {
	b.Helper()
	c, _ := serve(b)
	s := c.Stream("bench")
	if _, err := s.Create(b.Context(), "application/json"); err != nil {
		b.Fatal(err)
	}
	return s
}

// plain takes values for JSON as they are, so that it is not the encoder that is measured.
var plain = codec.Func("application/json",
	func(dst, v []byte) ([]byte, error) { return append(dst, v...), nil }, func(src []byte) ([]byte, error) { return src, nil })

func BenchmarkProducer(b *testing.B) {
	s := benchStream(b)
	p, err := producer.New(b.Context(), s, plain, producer.BatchRecords(10_000))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(hundred)))
	for b.Loop() {
		if _, err := p.Enqueue(b.Context(), hundred); err != nil {
			b.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkSession is the Sink alone: batches of 5,000 records, five on their way.
func BenchmarkSession(b *testing.B) {
	const batch = 5000
	session, err := benchStream(b).NewAppender(jsonFormat).Open(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer session.Close()
	recs := make([]backend.Record, batch)
	for i := range recs {
		recs[i].Value = hundred
	}
	b.ReportAllocs()
	b.SetBytes(int64(batch * len(hundred)))
	sent, acked := uint64(0), uint64(0)
	recv := func() {
		if _, err := session.Recv(b.Context()); err != nil {
			b.Fatal(err)
		}
		acked++
	}
	for b.Loop() {
		if sent-acked == 5 {
			recv()
		}
		if err := session.Send(b.Context(), sent, recs); err != nil {
			b.Fatal(err)
		}
		sent++
	}
	for acked < sent {
		recv()
	}
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "records/s")
}

func fillBench(b *testing.B, s *durablestreams.Stream) int {
	b.Helper()
	const batches, batch = 20, 5000
	body := []byte{'['}
	for range batch {
		body = append(append(body, hundred...), ',')
	}
	body[len(body)-1] = ']'
	for range batches {
		if _, err := s.Append(context.Background(), "application/json", body); err != nil {
			b.Fatal(err)
		}
	}
	return batches * batch
}

func BenchmarkRead(b *testing.B) {
	s := benchStream(b)
	n := fillBench(b, s)
	b.ReportAllocs()
	b.SetBytes(int64(n * len(hundred)))
	for b.Loop() {
		r, err := s.OpenReader(b.Context(), backend.Earliest)
		if err != nil {
			b.Fatal(err)
		}
		got := 0
		for {
			batch, err := r.Read(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			if got += len(batch.Records); batch.CaughtUp {
				break
			}
		}
		r.Close()
		if got != n {
			b.Fatalf("%d records, want %d", got, n)
		}
	}
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkBareHTTP is the limit for BenchmarkRead: the same responses, thrown away.
func BenchmarkBareHTTP(b *testing.B) {
	s := benchStream(b)
	n := fillBench(b, s)
	var client http.Client
	defer client.CloseIdleConnections()
	buf := make([]byte, 256<<10)
	b.SetBytes(int64(n * len(hundred)))
	for b.Loop() {
		for offset, tail := "-1", false; !tail; {
			resp, err := client.Get(s.URL() + "?offset=" + offset)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, buf); err != nil {
				b.Fatal(err)
			}
			resp.Body.Close()
			offset, tail = resp.Header.Get("Stream-Next-Offset"), resp.Header.Get("Stream-Up-To-Date") != ""
		}
	}
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkSend is a lone append with its answer.
func BenchmarkSend(b *testing.B) {
	session, err := benchStream(b).NewAppender(jsonFormat).Open(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer session.Close()
	recs := []backend.Record{{Value: hundred}}
	b.ReportAllocs()
	seq := uint64(0)
	for b.Loop() {
		if err := session.Send(b.Context(), seq, recs); err != nil {
			b.Fatal(err)
		}
		if _, err := session.Recv(b.Context()); err != nil {
			b.Fatal(err)
		}
		seq++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
