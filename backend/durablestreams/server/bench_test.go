package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/headrace/headrace/backend/durablestreams/server"
)

// record is 100 bytes of JSON.
type record struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
	Text string `json:"text"`
}

func recordOf(i int64) record {
	return record{ID: 1_000_000_000 + i, Name: "some name", Text: text}
}

var text = strings.Repeat("x", 54)

const perPost = 10_000 // records: 1 MB

// appendRecord encodes by hand, because a benchmark shall measure the server and not encoding/json.
func appendRecord(b []byte, i int64) []byte {
	r := recordOf(i)
	b = append(b, `{"id":`...)
	b = strconv.AppendInt(b, r.ID, 10)
	b = append(b, `,"name":"`...)
	b = append(b, r.Name...)
	b = append(b, `","text":"`...)
	b = append(b, r.Text...)
	return append(b, `"}`...)
}

func request(tb testing.TB, method, url string, body []byte, header ...string) *http.Response {
	tb.Helper()
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		tb.Fatal(err)
	}
	return resp
}

func drain(tb testing.TB, r *http.Response, want int) []byte {
	tb.Helper()
	b, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		tb.Fatal(err)
	}
	if r.StatusCode != want {
		tb.Fatalf("%s %s: %s, want %d: %s", r.Request.Method, r.Request.URL, r.Status, want, b)
	}
	return b
}

// BenchmarkAppend posts batches of 100-byte JSON records by an idempotent producer, four in flight, to another process.
func BenchmarkAppend(b *testing.B) {
	if n := len(appendRecord(nil, 1)); n != 100 {
		b.Fatalf("a record has %d bytes", n)
	}
	for _, kind := range []string{"memory", "bolt"} {
		for _, encoder := range []string{"hand", "encoding/json"} {
			b.Run(kind+"/"+encoder, func(b *testing.B) {
				p := start(b, where(b, kind))
				defer p.end()
				drain(b, request(b, "PUT", p.url+"/s", nil, "Content-Type", "application/json"), 201)
				var next atomic.Int64
				var seqs sync.WaitGroup
				b.ReportAllocs()
				b.ResetTimer()
				rounds := int64(b.N)
				for w := range 4 {
					seqs.Go(func() {
						body := make([]byte, 0, perPost*101+1)
						producer := "w" + strconv.Itoa(w)
						for seq := 0; ; seq++ {
							n := next.Add(1)
							if n > rounds {
								return
							}
							body = append(body[:0], '[')
							for i := range int64(perPost) {
								if i > 0 {
									body = append(body, ',')
								}
								if encoder == "hand" {
									body = appendRecord(body, n*perPost+i)
								} else {
									r := recordOf(n*perPost + i)
									e, err := json.Marshal(&r)
									if err != nil {
										b.Error(err)
										return
									}
									body = append(body, e...)
								}
							}
							body = append(body, ']')
							r := request(b, "POST", p.url+"/s", body, "Content-Type", "application/json",
								"Producer-Id", producer, "Producer-Epoch", "0", "Producer-Seq", strconv.Itoa(seq))
							drain(b, r, 200)
						}
					})
				}
				seqs.Wait()
				b.ReportMetric(float64(rounds)*perPost/b.Elapsed().Seconds(), "records/s")
			})
		}
	}
}

func where(b *testing.B, kind string) string {
	if kind == "memory" {
		return kind
	}
	return filepath.Join(b.TempDir(), "streams.db")
}

// BenchmarkRead reads raw chunks of the data that BenchmarkAppend writes.
func BenchmarkRead(b *testing.B) {
	for _, kind := range []string{"memory", "bolt"} {
		b.Run(kind, func(b *testing.B) {
			p := start(b, where(b, kind))
			defer p.end()
			drain(b, request(b, "PUT", p.url+"/s", nil, "Content-Type", "application/json"), 201)
			for n := range int64(20) {
				body := []byte{'['}
				for i := range int64(perPost) {
					body = append(appendRecord(body, n*perPost+i), ',')
				}
				body[len(body)-1] = ']'
				drain(b, request(b, "POST", p.url+"/s", body, "Content-Type", "application/json"), 204)
			}
			b.ReportAllocs()
			total := int64(0)
			for b.Loop() {
				for offset := "-1"; ; {
					r := request(b, "GET", p.url+"/s?offset="+offset, nil)
					n, err := io.Copy(io.Discard, r.Body)
					_ = r.Body.Close()
					if err != nil {
						b.Fatal(err)
					}
					total += n - 1
					offset = r.Header.Get("Stream-Next-Offset")
					if r.Header.Get("Stream-Up-To-Date") != "" {
						break
					}
				}
			}
			b.ReportMetric(float64(total)/101/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkLoneAppend is one append at a time.
func BenchmarkLoneAppend(b *testing.B) {
	for _, kind := range []string{"memory", "bolt"} {
		for _, writers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/%d", kind, writers), func(b *testing.B) {
				p := start(b, where(b, kind))
				defer p.end()
				http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 100
				drain(b, request(b, "PUT", p.url+"/s", nil, "Content-Type", "application/json"), 201)
				body := appendRecord(nil, 1)
				var next atomic.Int64
				var all sync.WaitGroup
				rounds := int64(b.N)
				b.ResetTimer()
				for range writers {
					all.Go(func() {
						for next.Add(1) <= rounds {
							drain(b, request(b, "POST", p.url+"/s", body, "Content-Type", "application/json"), 204)
						}
					})
				}
				all.Wait()
				b.ReportMetric(float64(rounds)/b.Elapsed().Seconds(), "appends/s")
			})
		}
	}
}

// BenchmarkSplit is the work that the server does on each byte of JSON. The plain copy beside it is the limit.
func BenchmarkSplit(b *testing.B) {
	body := []byte{'['}
	for i := range int64(perPost) {
		body = append(appendRecord(body, i), ',')
	}
	body[len(body)-1] = ']'
	buf := make([]byte, len(body), len(body)+1)
	b.Run("split", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			copy(buf, body)
			if _, err := server.SplitJSON(buf); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)*perPost/b.Elapsed().Seconds(), "records/s")
	})
	b.Run("copy", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			copy(buf, body)
		}
	})
}
