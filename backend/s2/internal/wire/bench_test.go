package wire

import (
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/records"
)

// BenchmarkDecode reads a batch of 1000 records of 100 bytes.
func BenchmarkDecode(b *testing.B) {
	recs := make([]backend.Record, 1000)
	for i := range recs {
		recs[i] = backend.Record{Value: make([]byte, 100), Time: time.UnixMilli(1_795_000_000_000)}
	}
	in := readBatch(b, recs)
	var d Decoder
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		batch, err := d.Decode(in)
		if err != nil {
			b.Fatal(err)
		}
		records.Free(batch.Records)()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(recs)), "ns/record")
}
