package server_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkLimit is what the machine allows: the bytes of one batch of BenchmarkAppend written to a file and synced, and
// sent through a loopback connection, with nothing else done to them.
func BenchmarkLimit(b *testing.B) {
	batch := make([]byte, perPost*101)
	report := func(b *testing.B) {
		b.ReportMetric(float64(b.N)*perPost/b.Elapsed().Seconds(), "records/s")
	}
	b.Run("fsync", func(b *testing.B) {
		f, err := os.Create(filepath.Join(b.TempDir(), "file"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		for b.Loop() {
			if _, err := f.Write(batch); err != nil {
				b.Fatal(err)
			}
			if err := f.Sync(); err != nil {
				b.Fatal(err)
			}
		}
		report(b)
	})
	b.Run("loopback", func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		received := make(chan error)
		go func() {
			c, err := l.Accept()
			if err == nil {
				_, err = io.Copy(struct{ io.Writer }{io.Discard}, c)
				_ = c.Close()
			}
			received <- err
		}()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := c.Write(batch); err != nil {
				b.Fatal(err)
			}
		}
		report(b)
		_ = c.Close()
		if err := <-received; err != nil {
			b.Error(err)
		}
	})
}
