package s2

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	sdk "github.com/s2-streamstore/s2-sdk-go/s2"

	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// serve runs the standalone server, which HEADRACE_BIN names, in a process of its own, so that what is measured is the
// clients.
func serve(b *testing.B) (url string) {
	b.Helper()
	bin := os.Getenv("HEADRACE_BIN")
	if bin == "" {
		b.Skip("HEADRACE_BIN does not name the headrace command: go build -o headrace ./cmd/headrace")
	}
	cmd := exec.Command(bin, "serve", "--s2", "127.0.0.1:0")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if i := strings.Index(lines.Text(), "http://"); i >= 0 {
			go func() {
				for lines.Scan() {
				}
			}()
			return strings.TrimSpace(lines.Text()[i:])
		}
	}
	b.Fatal("the server did not say where it listens")
	return ""
}

var streamNo atomic.Int64

func fresh(b *testing.B, url string) (*s2.Stream, *sdk.StreamClient) {
	b.Helper()
	client, err := s2.New("any", s2.AccountEndpoint(url), s2.BasinEndpoint(url))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close() })
	name := fmt.Sprint("bench-", streamNo.Add(1))
	ctx := context.Background()
	if _, err := client.CreateBasin(ctx, basin, s2.NewBasin{}); err != nil {
		b.Fatal(err)
	}
	if _, err := client.Basin(basin).CreateStream(ctx, name, s2.StreamConfig{}); err != nil {
		b.Fatal(err)
	}
	theirs := sdk.New("any", &sdk.ClientOptions{BaseURL: url, MakeBasinBaseURL: func(string) string { return url + "/v1" }})
	return client.Basin(basin).Stream(name), theirs.Basin(basin).Stream(sdk.StreamName(name))
}

// report adds records/s and what the client's process spent on a million records.
func report(b *testing.B, before time.Duration) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric((cpu()-before).Seconds()/float64(b.N)*1e6, "cpu-s/Mrecord")
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkProducer(b *testing.B) {
	for _, size := range []int{100, 1024} {
		value := make([]byte, size)
		b.Run(fmt.Sprintf("ours/%dB", size), func(b *testing.B) {
			ours, _ := fresh(b, serve(b))
			p, err := producer.New(b.Context(), ours, codec.Bytes())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			before := cpu()
			for range b.N {
				if _, err := p.Enqueue(context.Background(), value); err != nil {
					b.Fatal(err)
				}
			}
			if err := p.Close(); err != nil {
				b.Fatal(err)
			}
			report(b, before)
		})
		b.Run(fmt.Sprintf("sdk/%dB", size), func(b *testing.B) {
			_, theirs := fresh(b, serve(b))
			ctx := context.Background()
			session, err := theirs.AppendSession(ctx, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer session.Close()
			p := sdk.NewProducer(ctx, sdk.NewBatcher(ctx, nil), session)
			b.ReportAllocs()
			b.ResetTimer()
			before := cpu()
			for range b.N {
				if _, err := p.Submit(sdk.AppendRecord{Body: value}); err != nil {
					b.Fatal(err)
				}
			}
			if err := p.Close(); err != nil {
				b.Fatal(err)
			}
			report(b, before)
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, size := range []int{100, 1024} {
		value := make([]byte, size)
		fill := func(b *testing.B) (*s2.Stream, *sdk.StreamClient) {
			ours, theirs := fresh(b, serve(b))
			p, err := producer.New(b.Context(), ours, codec.Bytes())
			if err != nil {
				b.Fatal(err)
			}
			for range b.N {
				if _, err := p.Enqueue(context.Background(), value); err != nil {
					b.Fatal(err)
				}
			}
			if err := p.Close(); err != nil {
				b.Fatal(err)
			}
			return ours, theirs
		}
		b.Run(fmt.Sprintf("ours/%dB", size), func(b *testing.B) {
			ours, _ := fill(b)
			c, err := consumer.New(ours, codec.Bytes(), consumer.StopAtTail())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			before, n := cpu(), 0
			for _, err := range c.Messages(b.Context()) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			report(b, before)
			if n != b.N {
				b.Fatalf("read %d of %d", n, b.N)
			}
		})
		b.Run(fmt.Sprintf("sdk/%dB", size), func(b *testing.B) {
			_, theirs := fill(b)
			b.ReportAllocs()
			b.ResetTimer()
			before, n := cpu(), 0
			session, err := theirs.ReadSession(context.Background(), &sdk.ReadOptions{SeqNum: sdk.Uint64(0), Count: sdk.Uint64(uint64(b.N))})
			if err != nil {
				b.Fatal(err)
			}
			defer session.Close()
			for session.Next() {
				n++
			}
			report(b, before)
			if err := session.Err(); err != nil || n != b.N {
				b.Fatalf("read %d of %d: %v", n, b.N, err)
			}
		})
	}
}
