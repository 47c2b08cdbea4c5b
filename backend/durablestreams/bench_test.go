package durablestreams_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/internal/turns"
	"github.com/headrace/headrace/producer"
)

// The figures of the package: 100-byte JSON records over loopback, the server another process on the same cores. Beside each
// is the limit: requests whose bodies are there already, by a client that does nothing else, the codec alone, the disk alone.

// An item is 100 bytes of JSON.
type item struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
	Text string `json:"text"`
}

func itemOf(i int) item {
	return item{ID: 1_000_000_000 + int64(i), Name: "some name", Text: itemText}
}

var itemText = strings.Repeat("x", 54)

const (
	perOp    = 200_000 // records
	perBatch = 10_000  // records, which is 1 MB
)

// asIs takes values for JSON as they are, so that it is not the encoder that is measured.
var asIs = codec.Func("application/json",
	func(dst, v []byte) ([]byte, error) { return append(dst, v...), nil }, func(src []byte) ([]byte, error) { return src, nil })

func encodedItem(tb testing.TB, i int) []byte {
	tb.Helper()
	v, err := codec.JSON[item]().AppendEncode(nil, itemOf(i))
	if err != nil || len(v) != 100 {
		tb.Fatalf("an item has %d bytes: %v", len(v), err)
	}
	return v
}

// arrayOf is a body of n items from i on, as they go over the wire.
func arrayOf(tb testing.TB, i, n int) []byte {
	tb.Helper()
	body := []byte{'['}
	for k := range n {
		body = append(append(body, encodedItem(tb, i+k)...), ',')
	}
	body[len(body)-1] = ']'
	return body
}

// BenchmarkAppend is a producer of typed values, in large batches and in those that it makes by default, one of values that
// are encoded already, and the bare requests.
func BenchmarkAppend(b *testing.B) {
	eachServer(b, func(b *testing.B, p *process) {
		s := p.stream(b)
		b.Run("typed", func(b *testing.B) { produce(b, p, s, codec.JSON[item](), itemOf, producer.BatchRecords(perBatch)) })
		b.Run("typed by default", func(b *testing.B) { produce(b, p, s, codec.JSON[item](), itemOf) })
		one := encodedItem(b, 1)
		b.Run("encoded", func(b *testing.B) {
			produce(b, p, s, asIs, func(int) []byte { return one }, producer.BatchRecords(perBatch))
		})
		b.Run("bare", func(b *testing.B) { bareAppend(b, p, s.URL()) })
	})
}

func produce[T any](b *testing.B, on *process, s *durablestreams.Stream, c codec.Codec[T], value func(i int) T, opts ...producer.Option) {
	b.Helper()
	ctx := context.Background()
	p, err := producer.New(ctx, s, c, opts...)
	if err != nil {
		b.Fatal(err)
	}
	on.measure(b, perOp, func() {
		for i := range perOp {
			if _, err := p.Enqueue(ctx, value(i)); err != nil {
				b.Fatal(err)
			}
		}
		if err := p.Flush(ctx); err != nil {
			b.Fatal(err)
		}
	})
	if err := p.Close(); err != nil {
		b.Fatal(err)
	}
}

func bareAppend(b *testing.B, p *process, url string) {
	b.Helper()
	body := arrayOf(b, 0, perBatch)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 5, WriteBufferSize: 64 << 10}}
	defer client.CloseIdleConnections()
	p.measure(b, perOp, func() {
		var writers sync.WaitGroup
		for w := range 5 {
			writers.Go(func() {
				for i := w; i < perOp/perBatch; i += 5 {
					barePost(b, client, url, body)
				}
			})
		}
		writers.Wait()
	})
}

func barePost(b *testing.B, client *http.Client, url string, body []byte) {
	resp, err := client.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		b.Error(err)
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		b.Error(resp.Status)
	}
}

// BenchmarkLoneAppend is one append at a time with its answer: a producer's, a session's, and the bare request. Each of the two
// stands beside the bare request in turns too.
func BenchmarkLoneAppend(b *testing.B) {
	eachServer(b, func(b *testing.B, p *process) {
		s := p.stream(b)
		for name, appends := range map[string]func(*testing.B, *durablestreams.Stream) func(n int){
			"producer": loneSends, "session": loneAppends, "bare": barePosts,
		} {
			b.Run(name, func(b *testing.B) {
				one := appends(b, s)
				p.measure(b, 1, func() { one(1) })
			})
			if name != "bare" {
				b.Run(name+" in turn", func(b *testing.B) { turns.Compare(b, 100, barePosts(b, s), appends(b, s)) })
			}
		}
	})
}

// loneSends returns a function that sends records through a producer, and waits for each.
func loneSends(b *testing.B, s *durablestreams.Stream) func(n int) {
	p, err := producer.New(context.Background(), s, asIs)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = p.Close() })
	one := encodedItem(b, 1)
	return func(n int) {
		for range n {
			if err := p.Send(context.Background(), one); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// loneAppends returns a function that appends records through a session, and waits for each ack.
func loneAppends(b *testing.B, s *durablestreams.Stream) func(n int) {
	ctx := context.Background()
	session, err := s.NewAppender(jsonFormat).Open(ctx)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = session.Close() })
	recs, seq := []backend.Record{{Value: encodedItem(b, 1)}}, uint64(0)
	return func(n int) {
		for range n {
			if err := session.Send(ctx, seq, recs); err != nil {
				b.Fatal(err)
			}
			if _, err := session.Recv(ctx); err != nil {
				b.Fatal(err)
			}
			seq++
		}
	}
}

// barePosts returns a function that sends the same request n times, and waits for each answer.
func barePosts(b *testing.B, s *durablestreams.Stream) func(n int) {
	client := &http.Client{Transport: &http.Transport{}}
	b.Cleanup(client.CloseIdleConnections)
	one := encodedItem(b, 1)
	return func(n int) {
		for range n {
			barePost(b, client, s.URL(), one)
		}
	}
}

// BenchmarkRead is a consumer of typed values, decoded by one goroutine and by two, and one of single messages as they are, a reader's batches, and the bare
// responses, from the first record to the tail.
func BenchmarkRead(b *testing.B) {
	eachServer(b, func(b *testing.B, p *process) {
		s := p.stream(b)
		for i := 0; i < perOp; i += perBatch {
			if _, err := s.Append(context.Background(), "application/json", arrayOf(b, i, perBatch)); err != nil {
				b.Fatal(err)
			}
		}
		b.Run("typed", func(b *testing.B) { consume(b, p, s, codec.JSON[item]()) })
		b.Run("typed on two", func(b *testing.B) { consume(b, p, s, codec.JSON[item](), consumer.Decoders(2)) })
		b.Run("typed beside the decoder", func(b *testing.B) { besideDecoder(b, s) })
		b.Run("typed on two beside the decoder", func(b *testing.B) { besideDecoder(b, s, consumer.Decoders(2)) })
		b.Run("messages", func(b *testing.B) { consume(b, p, s, codec.Bytes()) })
		b.Run("batches", func(b *testing.B) { readBatches(b, p, s) })
		b.Run("bare", func(b *testing.B) { bareRead(b, p, s.URL()) })
	})
}

func consume[T any](b *testing.B, p *process, s *durablestreams.Stream, c codec.Codec[T], opts ...consumer.Option) {
	b.Helper()
	p.measure(b, perOp, func() { readAll(b, s, c, opts...) })
}

// readAll reads a stream of perOp records to its tail.
func readAll[T any](b *testing.B, s *durablestreams.Stream, c codec.Codec[T], opts ...consumer.Option) {
	b.Helper()
	r, err := consumer.New(s, c, append(opts, consumer.StopAtTail())...)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for _, err := range r.Messages(context.Background()) {
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	if n != perOp {
		b.Fatalf("%d records, want %d", n, perOp)
	}
}

// besideDecoder reads typed values and decodes the same ones without a stream, in turns, and reports how fast the one is in
// terms of the other. Both have the same machine then, whatever else it does.
func besideDecoder(b *testing.B, s *durablestreams.Stream, opts ...consumer.Option) {
	b.Helper()
	var records [][]byte
	for i := range perOp {
		records = append(records, encodedItem(b, i))
	}
	var typed, bare time.Duration
	for b.Loop() {
		begin := time.Now()
		readAll(b, s, codec.JSON[item](), opts...)
		typed += time.Since(begin)
		begin = time.Now()
		for _, r := range records {
			var v item
			if err := json.Unmarshal(r, &v); err != nil {
				b.Fatal(err)
			}
		}
		bare += time.Since(begin)
	}
	b.ReportMetric(bare.Seconds()/typed.Seconds(), "of-bare-decoder")
}

func readBatches(b *testing.B, p *process, s *durablestreams.Stream) {
	b.Helper()
	ctx := context.Background()
	p.measure(b, perOp, func() {
		r, err := s.OpenReader(ctx, backend.Earliest)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for {
			batch, err := r.Read(ctx)
			if err != nil {
				b.Fatal(err)
			}
			n += len(batch.Records)
			if batch.Free != nil {
				batch.Free()
			}
			if batch.CaughtUp {
				break
			}
		}
		if err := r.Close(); err != nil || n != perOp {
			b.Fatalf("%d records, want %d: %v", n, perOp, err)
		}
	})
}

func bareRead(b *testing.B, p *process, url string) {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{DisableCompression: true, ReadBufferSize: 64 << 10}}
	defer client.CloseIdleConnections()
	buf := make([]byte, 256<<10)
	p.measure(b, perOp, func() {
		for offset, tail := "-1", false; !tail; {
			resp, err := client.Get(url + "?offset=" + offset)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, buf); err != nil {
				b.Fatal(err)
			}
			_ = resp.Body.Close()
			offset, tail = resp.Header.Get("Stream-Next-Offset"), resp.Header.Get("Stream-Up-To-Date") != ""
		}
	})
}

// BenchmarkCodec is what the JSON engine alone takes for the same values.
func BenchmarkCodec(b *testing.B) {
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		c, buf, i := codec.JSON[item](), []byte(nil), 0
		for b.Loop() {
			var err error
			if buf, err = c.AppendEncode(buf[:0], itemOf(i)); err != nil {
				b.Fatal(err)
			}
			i++
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
	b.Run("decode", func(b *testing.B) {
		var all [][]byte // as in a stream: no record's bytes are in a cache already
		for i := range perOp {
			all = append(all, encodedItem(b, i))
		}
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			var v item
			if err := json.Unmarshal(all[i%perOp], &v); err != nil {
				b.Fatal(err)
			}
			i++
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
}

// BenchmarkDisk is the limit of a server that has everything on the disk: the same bytes, synced as often as one commit of
// that server may hold, and for a single record.
func BenchmarkDisk(b *testing.B) {
	for name, n := range map[string]int{"batch": perBatch, "lone": 1} {
		body := arrayOf(b, 0, n)
		b.Run(name, func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "disk"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			for b.Loop() {
				if _, err := f.Write(body); err != nil {
					b.Fatal(err)
				}
				if err := f.Sync(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "records/s")
		})
	}
}
