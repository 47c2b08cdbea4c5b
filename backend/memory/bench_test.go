package memory_test

import (
	"bytes"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
)

const batchRecords = 1000

func batch(n int) []backend.Record {
	recs := make([]backend.Record, n)
	for i := range recs {
		recs[i].Value = bytes.Repeat([]byte{byte(i)}, 100)
	}
	return recs
}

// copied is the limit of both benchmarks: to copy the bytes of a batch, and the records beside them, into new memory.
func copied(recs []backend.Record) []backend.Record {
	out := make([]backend.Record, len(recs))
	data := make([]byte, 0, 100*len(recs))
	for i := range recs {
		at := len(data)
		data = append(data, recs[i].Value...)
		out[i].Value = data[at:]
	}
	return out
}

var sink []backend.Record

func BenchmarkCopy(b *testing.B) {
	recs := batch(batchRecords)
	b.ReportAllocs()
	for b.Loop() {
		sink = copied(recs)
	}
	b.ReportMetric(float64(b.N)*batchRecords/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkAppend(b *testing.B) {
	s := memory.New()
	one, err := s.NewAppender(backend.Format{}).Open(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer one.Close()
	recs := batch(batchRecords)
	seq := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		if err := one.Send(b.Context(), seq, recs); err != nil {
			b.Fatal(err)
		}
		ack, err := one.Recv(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if seq++; seq%100 == 0 { // keep the memory of the benchmark small
			if err := s.Trim(b.Context(), ack.Next); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N)*batchRecords/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkRead(b *testing.B) {
	s := filled(b, 100, batchRecords)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n += readAll(b, s)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
}

// filled makes a stream of so many batches of n records.
func filled(tb testing.TB, batches, n int) *memory.Stream {
	tb.Helper()
	s := memory.New()
	one, err := s.NewAppender(backend.Format{}).Open(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	defer one.Close()
	recs := batch(n)
	for seq := range uint64(batches) {
		if err := one.Send(tb.Context(), seq, recs); err != nil {
			tb.Fatal(err)
		}
		if _, err := one.Recv(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
	return s
}

// readAll reads from the first record to the tail and returns how many there were.
func readAll(tb testing.TB, s backend.Source) (n int) {
	tb.Helper()
	r, err := s.OpenReader(tb.Context(), backend.Earliest)
	if err != nil {
		tb.Fatal(err)
	}
	defer r.Close()
	for {
		got, err := r.Read(tb.Context())
		if err != nil {
			tb.Fatal(err)
		}
		n += len(got.Records)
		if got.CaughtUp {
			return n
		}
	}
}
