package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// A benchCmd measures a stream. The run is also a check: a run that loses, repeats or reorders a record
// fails, so figures of a broken store are never printed.
type benchCmd struct {
	URL      string        `arg:"" help:"The stream. It should be a new one: bench reads what it wrote, and leaves it there."`
	Records  int           `help:"How many records to write." default:"1000000"`
	Size     int           `help:"Size of a record in bytes, at least 24." default:"100"`
	Rate     int           `help:"Records a second. 0: as fast as the stream takes them." default:"0"`
	Duration time.Duration `help:"End after this time, when it comes before all records are written. 0: no limit." default:"0"`
	JSON     bool          `help:"Print JSON."`
	Chart    string        `help:"Write a chart of throughput and latency over time to this file (SVG)." placeholder:"FILE"`
}

// leastRecord is the size of the fields of every record: its number, the time when the producer got the record, and a
// hash of all numbers and times up to here. A store that loses, repeats, changes or reorders a record cannot keep the
// hash right.
const leastRecord = 24

// A report is the result of bench. Latencies begin when the producer gets a record. With --json the names are the
// interface for scripts, and must not change.
type report struct {
	Stream   string    `json:"stream"`
	Records  int       `json:"records"`
	Bytes    int64     `json:"bytes"`
	Seconds  float64   `json:"seconds"`
	PerSec   float64   `json:"records_per_second"`
	BytesSec float64   `json:"bytes_per_second"`
	Ack      quantiles `json:"ack"`        // until the record was durable
	Delivery quantiles `json:"end_to_end"` // until the record was read
	Hash     string    `json:"hash"`       // of all records in order, the same for the writer and the reader
}

// quantiles are in nanoseconds in JSON. Max is the longest wait of a timed record: the wait of a record without a
// timer may be longer.
type quantiles struct {
	P50  time.Duration `json:"p50"`
	P90  time.Duration `json:"p90"`
	P99  time.Duration `json:"p99"`
	P999 time.Duration `json:"p99_9"`
	Max  time.Duration `json:"max"`
}

// A bench is one run. Three goroutines share a bench: the writer, the reader, and a third for the acks. Each
// field is written by one of them, and run returns only when all three have ended.
type bench struct {
	*benchCmd
	begun time.Time

	ack, delivery *hdrhistogram.Histogram // of one goroutine each
	chart         *chart

	written  int // only the writer uses written while it works
	writeSum uint64
	readSum  uint64

	// The last record may be read before the writer says how many records there are, or after. So the writer stores
	// total and then looks at seen, and the reader stores seen and then looks at total: at least one of the two sees
	// the end.
	total atomic.Int64 // records, when the writer has finished; -1 before
	seen  atomic.Int64 // records that were read
}

// Run writes and reads at the same time, and compares every record read with the record written.
func (c *benchCmd) Run(ctx context.Context, std streams) error {
	if c.Size < leastRecord || c.Records < 1 {
		return fmt.Errorf("%w: --size must be at least %d, --records at least 1", errUsage, leastRecord)
	}
	return with(ctx, c.URL, func(t *target) error {
		if err := errors.Join(t.writable(ctx), t.readable(ctx)); err != nil {
			return err
		}
		// Looked at before anything is written: a bench that fails in its second half would leave records behind for
		// nothing.
		b := newBench(c)
		if err := b.run(ctx, t); err != nil {
			return err
		}
		if c.Chart != "" {
			if err := os.WriteFile(c.Chart, b.chart.svg(t.name), 0o644); err != nil {
				return err
			}
		}
		return b.print(std.out, t.name)
	})
}

// newBench makes histograms up to 10 minutes with three digits: each needs about 250 kB, however long the run is.
func newBench(c *benchCmd) *bench {
	b := &bench{
		benchCmd: c, chart: newChart(),
		ack: hdrhistogram.New(1, int64(10*time.Minute), 3), delivery: hdrhistogram.New(1, int64(10*time.Minute), 3),
	}
	b.total.Store(-1)
	return b
}

func (b *bench) run(ctx context.Context, t *target) error {
	// The producer and the consumer have their defaults, so the figures are those of a program that uses the library as
	// it is.
	p, err := producer.New(ctx, t.sink, codec.Bytes())
	if err != nil {
		return err
	}
	defer p.Close()
	// The tail is read before the first record is written. Read later, the first records of the bench could be missed.
	from, err := tailOf(ctx, t.source)
	if err != nil {
		return err
	}
	reader, err := consumer.New(t.source, codec.Bytes(), consumer.StartAt(from))
	if err != nil {
		return err
	}
	// The clock starts behind both openings: a bench measures records and not handshakes.
	b.begun = time.Now()
	// The channel is long, so that slow acks do not slow down the writer: the bench would then measure its own waiting.
	receipts := make(chan sent, 1<<16)
	// The first error ends the other goroutines: without it, the reader would wait for records that the writer cannot
	// write.
	g, ctx := errgroup.WithContext(ctx)
	// The reader has a context of its own. The writer may end early, at --duration, and the reader then waits for a
	// record that never comes.
	reading, allRead := context.WithCancel(ctx)
	defer allRead()
	g.Go(func() error { return b.write(ctx, p, receipts, allRead) })
	g.Go(func() error { return b.awaitAcks(ctx, receipts) })
	g.Go(func() error { return b.read(reading, reader) })
	return g.Wait()
}

// tailOf returns the absolute place of the tail. From there bench reads only its own records, also on a stream with
// older records.
func tailOf(ctx context.Context, src backend.Source) (next backend.Offset, err error) {
	r, err := src.OpenReader(ctx, backend.Latest)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	b, err := r.Read(ctx)
	return b.Next, err
}

// sent is a record on its way. bench times only some of the records: one goroutine cannot wait for millions of acks in
// a second, and would be measured instead of the stream.
type sent struct {
	receipt producer.Receipt
	at      time.Time
}

// followed says that every 64th record is timed.
const followed = 64

// write sends the records as fast as the rate allows. It ends at the number of records or at the duration, and then
// tells the reader how many there are.
func (b *bench) write(ctx context.Context, p *producer.Producer[[]byte], receipts chan<- sent, allRead func()) error {
	defer close(receipts)
	value := make([]byte, b.Size)
	sum := fnv.New64a()
	for ; b.written < b.Records; b.written++ {
		now := time.Now()
		if b.Duration > 0 && now.Sub(b.begun) > b.Duration {
			break
		}
		if b.Rate > 0 && !sleepUntil(ctx, b.begun.Add(time.Duration(float64(b.written)/float64(b.Rate)*1e9))) {
			return ctx.Err()
		}
		// The producer copies the value in Enqueue, so one buffer serves all records, and the bench costs no allocation
		// of its own.
		binary.BigEndian.PutUint64(value, uint64(b.written))
		binary.BigEndian.PutUint64(value[8:], uint64(now.UnixNano()))
		sum.Write(value[:16])
		b.writeSum = sum.Sum64()
		binary.BigEndian.PutUint64(value[16:], b.writeSum)
		r, err := p.Enqueue(ctx, value)
		if err != nil {
			return err
		}
		if b.written%followed == 0 {
			select {
			case receipts <- sent{r, now}:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	b.total.Store(int64(b.written))
	if b.seen.Load() == int64(b.written) {
		allRead() // otherwise the reader would wait for one more record
	}
	return p.Flush(ctx)
}

// awaitAcks waits for the timed records in order. A later ack cannot come before an earlier one, so no ack waits for
// its turn and looks later than it was.
func (b *bench) awaitAcks(ctx context.Context, receipts <-chan sent) error {
	for s := range receipts {
		if _, err := s.receipt.Wait(ctx); err != nil {
			return err
		}
		d := time.Since(s.at)
		_ = b.ack.RecordValue(int64(d)) // fails only above 10 minutes, and a record fails earlier
		b.chart.acked(time.Since(b.begun), d)
	}
	return nil
}

// read checks every record, and times one in 64. The delivery of a record ends when the loop gets it, after decoding.
func (b *bench) read(ctx context.Context, c *consumer.Consumer[[]byte]) error {
	sum := fnv.New64a()
	n := 0
	for m, err := range c.Messages(ctx) {
		if err != nil {
			if b.total.Load() == int64(n) {
				return nil // the writer has ended the loop
			}
			return err
		}
		v := m.Value
		// The number alone finds a lost or repeated record at once. The hash below also finds bytes that have changed.
		if len(v) != b.Size || binary.BigEndian.Uint64(v) != uint64(n) {
			return fmt.Errorf("record %d at %s is another record than was written there: lost, repeated or out of order", n, m.Offset)
		}
		sum.Write(v[:16])
		if b.readSum = sum.Sum64(); binary.BigEndian.Uint64(v[16:]) != b.readSum {
			return fmt.Errorf("record %d at %s: the running hash differs from the writer's", n, m.Offset)
		}
		n++
		if n%followed == 1 {
			b.chart.read(time.Since(b.begun), followed) // at most 63 too many
			_ = b.delivery.RecordValue(time.Now().UnixNano() - int64(binary.BigEndian.Uint64(v[8:])))
		}
		b.seen.Store(int64(n))
		if b.total.Load() == int64(n) {
			return nil
		}
	}
	return nil
}

// print writes the report. The seconds run to here, so they contain the reading of the last record.
func (b *bench) print(out io.Writer, stream string) error {
	// Both sums run over all records. They differ if the reader has ended early without an error.
	if b.writeSum != b.readSum {
		return fmt.Errorf("the hash of what was read is %016x, of what was written %016x", b.readSum, b.writeSum)
	}
	seconds := time.Since(b.begun).Seconds()
	total := int64(b.written) * int64(b.Size)
	r := report{
		Stream: stream, Records: b.written, Bytes: total, Seconds: seconds, PerSec: float64(b.written) / seconds,
		BytesSec: float64(total) / seconds, Ack: quantilesOf(b.ack), Delivery: quantilesOf(b.delivery), Hash: fmt.Sprintf("%016x", b.readSum),
	}
	if b.JSON {
		return json.NewEncoder(out).Encode(r)
	}
	_, err := fmt.Fprintf(out, "%d records of %d bytes in %.2f s: %.0f records/s, %s/s; every record read once, in order, hash %s\n%s\n%s\n",
		r.Records, b.Size, r.Seconds, r.PerSec, size(int64(r.BytesSec)), r.Hash, r.Ack.line("durable"), r.Delivery.line("read"))
	return err
}

// quantilesOf reads a histogram with three digits. Quantiles and not an average: a store that stops for a second once a
// minute has a good average.
func quantilesOf(h *hdrhistogram.Histogram) quantiles {
	at := func(q float64) time.Duration { return time.Duration(h.ValueAtQuantile(q)) }
	return quantiles{at(50), at(90), at(99), at(99.9), time.Duration(h.Max())}
}

func (q quantiles) line(name string) string {
	ms := func(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }
	return fmt.Sprintf("  %-8s after  p50 %s  p90 %s  p99 %s  p99.9 %s  max %s", name, ms(q.P50), ms(q.P90), ms(q.P99), ms(q.P999), ms(q.Max))
}
