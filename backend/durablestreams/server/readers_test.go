package server_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestManyReaders lets readers wait on one stream, appends to the stream, and lets the readers leave: all receive the append,
// and no goroutine is left. HEADRACE_READERS sets the number of readers of each kind; default 100. The log says what a reader
// costs.
func TestManyReaders(t *testing.T) {
	readers := 100
	if n, err := strconv.Atoi(os.Getenv("HEADRACE_READERS")); err == nil {
		readers = n
	}
	for _, kinds := range [][]string{{"sse"}, {"long-poll"}, {"sse", "long-poll"}} {
		readers := readers * len(kinds)
		t.Run(strings.Join(kinds, " and "), func(t *testing.T) {
			p := start(t, "memory")
			var connected, received sync.WaitGroup
			defer func() {
				p.end()
				received.Wait()
			}()
			goroutines, bytes := p.ask()
			made := request(t, "PUT", p.url+"/s", nil, "Content-Type", "application/json")
			drain(t, made, 201)
			tail := made.Header.Get("Stream-Next-Offset")
			http.DefaultClient.CloseIdleConnections()
			until(t, "the connection gone that made the stream", func() bool {
				n, _ := p.ask()
				return n <= goroutines
			})
			conns := make([]net.Conn, readers)
			connected.Add(readers)
			for i := range conns {
				received.Go(func() {
					conns[i] = follow(t, p.url, tail, kinds[i%len(kinds)], connected.Done)
				})
			}
			connected.Wait()
			// Each reader is a goroutine of its connection and one that notices when the client leaves.
			var waiting int
			var each int64
			until(t, "all waiting", func() bool {
				var now int64
				waiting, now = p.ask()
				each = (now - bytes) / int64(readers)
				return waiting >= goroutines+2*readers
			})
			begin := time.Now()
			post(t, p.url+"/s", "application/json", `{"n":1}`, 204)
			received.Wait()
			last := time.Since(begin)
			http.DefaultClient.CloseIdleConnections()
			for _, c := range conns {
				if c != nil {
					_ = c.Close()
				}
			}
			var left int
			until(t, "all gone", func() bool {
				left, _ = p.ask()
				return left <= goroutines
			})
			t.Logf("%d readers: the last one has the record %v after the append began; a reader takes %d bytes and %.1f goroutines; goroutines before %d, after %d",
				readers, last.Round(time.Microsecond), each, float64(waiting-goroutines)/float64(readers), goroutines, left)
		})
	}
}

// follow reads as a client without any buffer of its own would, up to the record. It asks by the offset of the tail: it gets
// what comes also when it is late.
func follow(t *testing.T, url, tail, live string, connected func()) net.Conn {
	var once sync.Once
	defer once.Do(connected)
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Error(err)
		return nil
	}
	if _, err := fmt.Fprintf(c, "GET /s?offset=%s&live=%s HTTP/1.1\r\nHost: x\r\n\r\n", tail, live); err != nil {
		t.Error(err)
	}
	if live == "long-poll" {
		once.Do(connected) // nothing is heard of it before there is data
	}
	r := bufio.NewReaderSize(c, 512)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Error(err)
			return c
		}
		if strings.HasPrefix(line, "event: control") {
			once.Do(connected)
		}
		if strings.Contains(line, "Content-Length: 9") || strings.Contains(line, `{"n":1}`) {
			return c
		}
	}
}
