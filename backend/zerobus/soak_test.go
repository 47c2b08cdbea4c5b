package zerobus_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/producer"
)

// rowCheck is the row log of a soak. It keeps the highest row, and counts duplicates.
type rowCheck struct {
	mu         sync.Mutex
	next       int64
	duplicates int64
	gap        string
}

func (c *rowCheck) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for at := 0; at < len(b); {
		end := at
		for end < len(b) && b[end] != '\n' {
			end++
		}
		var line struct {
			JSON  row    `json:"json"`
			Proto []byte `json:"proto"`
		}
		if err := json.Unmarshal(b[at:end], &line); err != nil {
			return 0, err
		}
		n := int64(line.JSON.N)
		if len(line.Proto) > 0 {
			v, size := protowire.ConsumeVarint(line.Proto[1:])
			if size != len(line.Proto)-1 {
				return 0, fmt.Errorf("row %x", line.Proto)
			}
			n = int64(v)
		}
		switch {
		case n == c.next:
			c.next++
		case n < c.next:
			c.duplicates++
		case c.gap == "":
			c.gap = fmt.Sprintf("row %d came where %d was next", n, c.next)
		}
		at = end + 1
	}
	return len(b), nil
}

// During rotations and random faults, acknowledged rows are in the table, and first copies are in order. HEADRACE_SOAK is the
// number of rows to write.
func TestSoak(t *testing.T) {
	t.Parallel()
	t.Run("JSON", func(t *testing.T) {
		soak(t, jsonCodec(), nil, func(n int) []byte { return fmt.Appendf(nil, `{"n":%d}`, n) })
	})
	t.Run("PROTO", func(t *testing.T) {
		soak(t, protoCodec(t), []zerobustest.Column{{Name: "n", Type: "INT"}}, func(n int) []byte { return protowire.AppendVarint([]byte{1 << 3}, uint64(n)) })
	})
}

func soak(t *testing.T, c raw, columns []zerobustest.Column, value func(n int) []byte) {
	t.Helper()
	rows := 20_000
	if s := os.Getenv("HEADRACE_SOAK"); s != "" {
		var err error
		if rows, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	check := &rowCheck{}
	life := 100 * time.Millisecond
	if rows > 1_000_000 {
		life = 2 * time.Second
	}
	srv := zerobustest.New(t, zerobustest.Table(table, columns...), zerobustest.DiscardRows(), zerobustest.RowLog(check), zerobustest.Lifetime(life, time.Second, zerobustest.EOF()))
	p, err := producer.New(limited(t), clientOf(config(srv)).Table(table), c, producer.DrainTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	dice := rand.New(rand.NewPCG(seed, 0))
	faults := 0
	for i := range rows {
		if i%(rows/20) == rows/40 {
			// Progress between the faults resets the producer's count of attempts.
			if err := p.Flush(t.Context()); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			faults++
			srv.Inject(zerobustest.Fault{
				Stage: []zerobustest.Stage{zerobustest.Creating, zerobustest.Receiving, zerobustest.Stored}[dice.IntN(3)],
				Do: []zerobustest.Effect{
					zerobustest.Status(codes.Unavailable, "away"), zerobustest.Status(codes.Internal, "bug"), zerobustest.EOF(),
					zerobustest.Drop(), zerobustest.AckWithoutOffset(),
				}[dice.IntN(5)],
			})
		}
		if _, err := p.EnqueueEncoded(t.Context(), backend.Record{Value: value(i)}); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	check.mu.Lock()
	defer check.mu.Unlock()
	if check.gap != "" || check.next != int64(rows) {
		t.Errorf("seed %d: %d of %d rows in order; %s", seed, check.next, rows, check.gap)
	}
	s := srv.Stats()
	if s.Streams < 2 {
		t.Error("nothing went wrong")
	}
	t.Logf("%d rows, %d faults, %d streams: none missing, %d twice", rows, faults, s.Streams, check.duplicates)
}
