package server_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/headrace/headrace/backend/s2/s2test"
)

// BenchmarkRawAppend writes frames that were encoded before, over one stream. So it measures only the server and the transport.
func BenchmarkRawAppend(b *testing.B) {
	p := start(b, s2test.Retain(64<<20))
	d := p.appendSession("s")
	body := bytes.Repeat([]byte("x"), 100)
	var in pb
	for range 1000 {
		in = in.bytes(1, pb(nil).bytes(3, body))
	}
	f := frame(0, in)
	done := make(chan error, 1)
	n := 0
	b.ReportAllocs()
	b.SetBytes(int64(1000 * len(body)))
	go func() {
		for {
			if _, _, err := d.frame(); err != nil {
				if err == io.EOF {
					err = nil
				}
				done <- err
				return
			}
		}
	}()
	for b.Loop() {
		d.send(f)
		n += 1000
	}
	d.in.Close()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}
