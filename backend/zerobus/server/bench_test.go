package server_test

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/headrace/headrace/backend/zerobus/server"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

// BenchmarkServer is what the server takes from a client that sends the same bytes again and again; a client under
// measure cannot be faster. The client is in the same process and shares its cores.
func BenchmarkServer(b *testing.B) {
	for _, per := range []int{1, 100, 1000} {
		b.Run(map[int]string{1: "singles", 100: "batches of 100", 1000: "batches of 1000"}[per], func(b *testing.B) {
			srv := zerobustest.New(b, zerobustest.Table(tbl), zerobustest.DiscardRows())
			s := authorized(b, srv, dial(b, srv), tbl)
			s.send(createJSON(tbl))
			s.opened()
			recs := make([]string, per)
			for i := range recs {
				recs[i] = `{"text":"` + strings.Repeat("x", 89) + `"}` // 100 bytes
			}
			// The records are the same in each, so that building a request is no more than a copy.
			whole := ingest(jsonRecord, 1<<40, recs...)
			at := bytes.Index(whole, protowire.AppendVarint(nil, 1<<40))
			last := server.AckOf(int64(b.N) - 1)
			done := make(chan error, 1)
			go func() {
				for {
					m, err := s.recv()
					if err != nil || string(m) == string(last) {
						done <- err
						return
					}
				}
			}()
			b.ReportAllocs()
			b.SetBytes(int64(100 * per))
			b.ResetTimer()
			for i := range int64(b.N) {
				msg := bytes.Clone(whole)
				copy(msg[at:], protowire.AppendVarint(nil, 1<<40|uint64(i))[:5]) // a varint of 6 bytes …
				msg[at+5] = 0                                                    // … may end in zeros
				s.send(msg)
			}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)*float64(per)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkParse is the server's own part of a batch.
func BenchmarkParse(b *testing.B) {
	recs := make([]string, 100)
	for i := range recs {
		recs[i] = `{"text":"` + strings.Repeat("x", 89) + `"}`
	}
	msg := ingest(jsonRecord, 0, recs...)
	parse := server.Parser()
	b.ReportAllocs()
	for b.Loop() {
		if err := parse(msg); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "records/s")
}
