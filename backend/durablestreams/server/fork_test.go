package server_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/backend/durablestreams/server"
)

// A wrong fork is refused with the same error with and without a sub-offset.
func TestForkRefusals(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		put(t, url+"/s", "application/json", `[10,[2],3]`)
		_, h := get(t, url+"/s", 200)
		tail := h.Get("Stream-Next-Offset")
		fork := func(name string, want int, header ...string) {
			t.Helper()
			drain(t, request(t, "PUT", url+name, nil, append(header, "Stream-Forked-From", "/s")...), want)
		}
		const start, beyond = "0000000000000000_0000000000000000", "0000000000000000_0000000000000999"
		// No append begins there: it is within one, and even within a message.
		within := fmt.Sprintf("%016d_%016d", 0, 1)
		for _, sub := range []string{"0", "1"} {
			fork("/f"+sub, 400, "Stream-Fork-Offset", beyond, "Stream-Fork-Sub-Offset", sub)
			fork("/f"+sub, 400, "Stream-Fork-Offset", within, "Stream-Fork-Sub-Offset", sub)
			fork("/f"+sub, 201, "Stream-Fork-Offset", start, "Stream-Fork-Sub-Offset", sub)
		}
		fork("/f1", 400, "Stream-Fork-Offset", start, "Stream-Fork-Sub-Offset", "01")
		fork("/tail", 201, "Stream-Fork-Offset", tail)
		fork("/tail", 200)

		// The source is hidden: what was made of it is still the same, and nothing more is.
		drain(t, request(t, "DELETE", url+"/s", nil), 204)
		for _, sub := range []string{"0", "1"} {
			fork("/f"+sub, 200, "Stream-Fork-Offset", start, "Stream-Fork-Sub-Offset", sub)
			fork("/new", 409, "Stream-Fork-Offset", start, "Stream-Fork-Sub-Offset", sub)
		}
		if got, _ := get(t, url+"/f1", 200); got != "[10]" {
			t.Errorf("the fork is %s", got)
		}
	})
}

// An append and a fork in one commit give the same fork as an append and a fork in two commits.
func TestForkOfWhatIsBeingAppended(t *testing.T) {
	for contentType, within := range map[string]int{"application/json": 400, "text/plain": 201} {
		synctest.Test(t, func(t *testing.T) {
			b, err := server.OpenBolt(filepath.Join(t.TempDir(), "streams.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			h := durablestreamstest.Handler(b)
			serve(t, h, "PUT", "/s", "1", 201, "Content-Type", contentType)
			info, err := b.Head(t.Context(), "/s")
			if err != nil {
				t.Fatal(err)
			}
			release := server.Hold(b)
			var calls sync.WaitGroup
			call := func(method, url, body string, want int, header ...string) {
				calls.Go(func() { serve(t, h, method, url, body, want, header...) })
				synctest.Wait()
			}
			call("POST", "/s", "23", 204, "Content-Type", contentType)
			call("POST", "/s", "45", 204, "Content-Type", contentType)
			for i, want := range []int{201, within} {
				at := (info.Tail + server.Position(i)).String()
				call("PUT", fmt.Sprint("/f", i), "", want, "Stream-Forked-From", "/s", "Stream-Fork-Offset", at)
			}
			release()
			calls.Wait()
			if got := serve(t, h, "GET", "/f0", "", 200).Body.String(); strings.Trim(got, "[]") != "1" {
				t.Errorf("%s: the fork is %s", contentType, got)
			}
		})
	}
}

// The text of a refusal names the same numbers as its headers.
func TestProducerRefusals(t *testing.T) {
	m := server.NewMemory()
	defer m.Close()
	h := durablestreamstest.Handler(m)
	serve(t, h, "PUT", "/s", "", 201, "Content-Type", "text/plain")
	send := func(epoch, seq string, want int) string {
		return serve(t, h, "POST", "/s", "x", want, "Content-Type", "text/plain", "Producer-Id", "p",
			"Producer-Epoch", epoch, "Producer-Seq", seq).Body.String()
	}
	send("2", "0", 200)
	for _, test := range []struct {
		epoch, seq string
		status     int
		text       string
	}{
		{"1", "0", 403, "the producer's epoch is stale, the current epoch is 2: another producer with this id has taken over\n"},
		{"2", "99", 409, "producer sequence 99 where 1 is expected: send the missing batches first\n"},
		{"3", "1", 400, "bad request: a new producer epoch begins at sequence 0\n"},
		{"", "1", 400, "bad request: Producer-Epoch and Producer-Seq are whole numbers up to 2^53-1\n"},
	} {
		if got := send(test.epoch, test.seq, test.status); got != `stream "/s": `+test.text {
			t.Errorf("epoch %s, sequence %s: %q", test.epoch, test.seq, got)
		}
	}
}
