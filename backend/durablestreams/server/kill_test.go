package server_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// A message of the kill test says who wrote it and when.
type message struct{ Writer, Seq, Part int }

// TestKilledServer kills the server several times while producers write. Every acknowledged batch is stored, every batch that
// was sent again is stored once, and each producer goes on at its old seq. HEADRACE_KILLS sets the number of kills; default 3.
func TestKilledServer(t *testing.T) {
	kills := 3
	if n, err := strconv.Atoi(os.Getenv("HEADRACE_KILLS")); err == nil {
		kills = n
	}
	const writers, parts = 8, 3
	file := filepath.Join(t.TempDir(), "streams.db")
	acked := make([]int, writers) // the next seq of each producer
	duplicates, total := atomic.Int64{}, 0
	for round := range kills + 1 {
		p := start(t, file)
		if round == 0 {
			drain(t, request(t, "PUT", p.url+"/s", nil, "Content-Type", "application/json"), 201)
		}
		// The last round is not killed, so that every producer has its last seq acknowledged.
		var acks atomic.Int64
		enough := int64(50 + rand.IntN(400))
		var kill sync.Once
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				client := &http.Client{Transport: &http.Transport{}}
				defer client.CloseIdleConnections()
				for {
					status := send(client, p.url+"/s", w, acked[w], parts)
					switch status {
					case http.StatusOK:
					case http.StatusNoContent:
						duplicates.Add(1)
					case 0:
						return // killed
					default:
						t.Errorf("writer %d, seq %d: status %d", w, acked[w], status)
						return
					}
					acked[w]++
					if n := acks.Add(1); n >= enough {
						if round == kills {
							return
						}
						kill.Do(func() { _ = p.cmd.Process.Kill() })
					}
				}
			})
		}
		all.Wait()
		total += int(acks.Load())
		if round == kills {
			check(t, p.url+"/s", acked, parts)
		}
		p.end()
	}
	t.Logf("%d kills, %d acknowledged batches, %d of them sent again after they were stored", kills, total, duplicates.Load())
	http.DefaultClient.CloseIdleConnections()
}

// send posts one batch and returns the status, 0 when there was no answer.
func send(client *http.Client, url string, w, seq, parts int) int {
	var body strings.Builder
	for part := range parts {
		fmt.Fprintf(&body, `,{"Writer":%d,"Seq":%d,"Part":%d}`, w, seq, part)
	}
	r, err := http.NewRequest("POST", url, strings.NewReader("["+body.String()[1:]+"]"))
	if err != nil {
		return -1
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Producer-Id", strconv.Itoa(w))
	r.Header.Set("Producer-Epoch", "0")
	r.Header.Set("Producer-Seq", strconv.Itoa(seq))
	resp, err := client.Do(r)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// check reads everything back: the messages of each writer are in order, whole, stored once, and none is missing.
func check(t *testing.T, url string, acked []int, parts int) {
	t.Helper()
	next := make([]int, len(acked))
	for offset, tail := "-1", false; !tail; {
		r := request(t, "GET", url+"?offset="+offset, nil)
		offset, tail = r.Header.Get("Stream-Next-Offset"), r.Header.Get("Stream-Up-To-Date") != ""
		var list []message
		if err := json.Unmarshal(drain(t, r, 200), &list); err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			if m.Seq*parts+m.Part != next[m.Writer] {
				t.Fatalf("%+v, but %d.%d was next", m, next[m.Writer]/parts, next[m.Writer]%parts)
			}
			next[m.Writer]++
		}
	}
	for w := range acked {
		if next[w] != acked[w]*parts {
			t.Errorf("writer %d: %d messages, acknowledged %d", w, next[w], acked[w]*parts)
		}
	}
}
