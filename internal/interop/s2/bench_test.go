package s2

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	sdk "github.com/s2-streamstore/s2-sdk-go/s2"

	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/admin"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// A process is the standalone server in a process of its own, so that what is measured is the clients.
type process struct {
	url string
	cmd *exec.Cmd
}

// serve runs the command that HEADRACE_BIN names.
func serve(b *testing.B, flags ...string) *process {
	b.Helper()
	bin := os.Getenv("HEADRACE_BIN")
	if bin == "" {
		b.Skip("HEADRACE_BIN does not name the headrace command: go build -o bin/ ./cmd/headrace")
	}
	p := &process{cmd: exec.Command(bin, append([]string{"serve", "--s2", "127.0.0.1:0"}, flags...)...)}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(p.stop)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	_, url, _ := strings.Cut(line, "http://")
	p.url = "http://" + strings.TrimSpace(url)
	return p
}

// stop ends the server, which then knows what it has spent.
func (p *process) stop() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		_ = p.cmd.Wait()
	}
}

var streamNo atomic.Int64

func fresh(b *testing.B, url string) (*s2.Stream, *sdk.StreamClient) {
	b.Helper()
	client, err := s2.New(s2.Config{Token: "any", AccountEndpoint: url, BasinEndpoint: url})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close() })
	name := fmt.Sprint("bench-", streamNo.Add(1))
	ctx := context.Background()
	if _, err := admin.New(client).CreateBasin(ctx, basin, admin.NewBasin{}); err != nil {
		b.Fatal(err)
	}
	if _, err := admin.New(client).Basin(basin).CreateStream(ctx, name, s2.StreamConfig{}); err != nil {
		b.Fatal(err)
	}
	theirs := sdk.New("any", &sdk.ClientOptions{BaseURL: url, MakeBasinBaseURL: func(string) string { return url + "/v1" }})
	return client.Basin(basin).Stream(name), theirs.Basin(basin).Stream(sdk.StreamName(name))
}

// A meter reports records/s, and what a million records cost the client's process and the server's: seconds of processor
// time, and the client's allocations, which the testing package rounds down to 0.
type meter struct {
	b       *testing.B
	server  *process
	cpu     time.Duration
	mallocs uint64
}

func measure(b *testing.B, server *process) *meter {
	b.ReportAllocs()
	b.ResetTimer()
	return &meter{b: b, server: server, cpu: cpu(), mallocs: mallocs()}
}

func (m *meter) report() {
	m.b.StopTimer()
	n := float64(m.b.N)
	m.b.ReportMetric(n/m.b.Elapsed().Seconds(), "records/s")
	m.b.ReportMetric((cpu()-m.cpu).Seconds()/n*1e6, "cpu-s/Mrecord")
	m.b.ReportMetric(float64(mallocs()-m.mallocs)/n, "allocs/record")
	m.server.stop()
	state := m.server.cmd.ProcessState
	m.b.ReportMetric((state.UserTime()+state.SystemTime()).Seconds()/n*1e6, "server-cpu-s/Mrecord")
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// retain keeps the server small while much is written: fresh memory from the system would cost more than all else.
const retain = "--s2-retain=67108864"

func BenchmarkProducer(b *testing.B) {
	for _, size := range []int{100, 1024} {
		value := make([]byte, size)
		b.Run(fmt.Sprintf("ours/%dB", size), func(b *testing.B) {
			server := serve(b, retain)
			ours, _ := fresh(b, server.url)
			p, err := producer.New(b.Context(), ours, codec.Bytes())
			if err != nil {
				b.Fatal(err)
			}
			m := measure(b, server)
			for range b.N {
				if _, err := p.Enqueue(context.Background(), value); err != nil {
					b.Fatal(err)
				}
			}
			if err := p.Close(); err != nil {
				b.Fatal(err)
			}
			m.report()
		})
		b.Run(fmt.Sprintf("sdk/%dB", size), func(b *testing.B) {
			server := serve(b, retain)
			_, theirs := fresh(b, server.url)
			ctx := context.Background()
			session, err := theirs.AppendSession(ctx, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer session.Close()
			p := sdk.NewProducer(ctx, sdk.NewBatcher(ctx, nil), session)
			m := measure(b, server)
			for range b.N {
				if _, err := p.Submit(sdk.AppendRecord{Body: value}); err != nil {
					b.Fatal(err)
				}
			}
			if err := p.Close(); err != nil {
				b.Fatal(err)
			}
			m.report()
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, size := range []int{100, 1024} {
		value := make([]byte, size)
		fill := func(b *testing.B) (*process, *s2.Stream, *sdk.StreamClient) {
			server := serve(b)
			ours, theirs := fresh(b, server.url)
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
			return server, ours, theirs
		}
		b.Run(fmt.Sprintf("ours/%dB", size), func(b *testing.B) {
			server, ours, _ := fill(b)
			c, err := consumer.New(ours, codec.Bytes(), consumer.StopAtTail())
			if err != nil {
				b.Fatal(err)
			}
			m, n := measure(b, server), 0
			for _, err := range c.Messages(b.Context()) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
			m.report()
			if n != b.N {
				b.Fatalf("read %d of %d", n, b.N)
			}
		})
		b.Run(fmt.Sprintf("sdk/%dB", size), func(b *testing.B) {
			server, _, theirs := fill(b)
			m, n := measure(b, server), 0
			session, err := theirs.ReadSession(context.Background(), &sdk.ReadOptions{SeqNum: sdk.Uint64(0), Count: sdk.Uint64(uint64(b.N))})
			if err != nil {
				b.Fatal(err)
			}
			defer session.Close()
			for session.Next() {
				n++
			}
			m.report()
			if err := session.Err(); err != nil || n != b.N {
				b.Fatalf("read %d of %d: %v", n, b.N, err)
			}
		})
	}
}
