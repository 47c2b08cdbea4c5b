// Package durablestreams holds the official TypeScript client of Durable Streams against our Go client: each writes what the
// other reads, through our server.
package durablestreams

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/headrace/headrace/backend/durablestreams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var streams atomic.Int64 // made so far: each test has names of its own

// fresh makes a stream on the server at DURABLE_STREAMS_URL.
func fresh(t *testing.T, contentType string, opts ...durablestreams.StreamOption) *durablestreams.Stream {
	t.Helper()
	at := os.Getenv("DURABLE_STREAMS_URL")
	if at == "" || os.Getenv("DURABLE_STREAMS_CLIENT") == "" {
		t.Skip("DURABLE_STREAMS_URL and DURABLE_STREAMS_CLIENT do not name a server and the folder where .ci/durablestreams installs the official client")
	}
	c, err := durablestreams.New(at + "/v1/stream")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s := c.Stream(fmt.Sprintf("exchange/%d/%d", os.Getpid(), streams.Add(1)), opts...)
	if _, err := s.Create(t.Context(), contentType); err != nil {
		t.Fatal(err)
	}
	return s
}

// official starts the other half of an exchange; wait returns what it printed.
func official(t *testing.T, given any, args ...string) (out *bufio.Reader, wait func() []byte) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", append([]string{"exchange.mjs"}, args...)...)
	cmd.Dir, cmd.Stderr = os.Getenv("DURABLE_STREAMS_CLIENT"), os.Stderr
	in, err := json.Marshal(given)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = bytes.NewReader(in)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out = bufio.NewReader(pipe)
	return out, func() []byte {
		t.Helper()
		rest, err := io.ReadAll(out)
		if err := errors.Join(err, cmd.Wait()); err != nil {
			t.Fatalf("the official client: %v", err)
		}
		return rest
	}
}

// said waits until the official client says so. What it says before that of places on the way does not matter.
func said(t *testing.T, out *bufio.Reader, want string) {
	t.Helper()
	for {
		line, err := out.ReadString('\n')
		if line == want+"\n" {
			return
		}
		if err != nil || !strings.HasPrefix(line, "at ") {
			t.Fatalf("the official client said %q before %q: %v", line, want, err)
		}
	}
}

// oddJSON are values that are easily rewritten on the way, and enough plain ones for many appends.
func oddJSON() []string {
	values := []string{
		`12345678901234567890`, `-0`, `0`, `1.0`, `1.10`, `1E+2`, `1e-7`, `123e400`, `0.30000000000000004`, `9007199254740993`,
		`null`, `true`, `false`, `""`, `[]`, `{}`, `[[]]`, `[1,[2,[3,{"a":[]}]]]`, `[null]`,
		`{"":1," ":2,"a b":3}`, `{"z":1,"a":2,"a":3}`, `{"10":1,"9":2}`, `{"constructor":1,"ключ":"значение"}`,
		`{"\u0061":"\u003c\/\u003e","<&>":"<&>"}`, `"é\u00e9e\u0301"`, `"日本語 🎏 \ud83c\udf8f"`, `"\ud800 alone"`, `"\u0000\b\f\n\r\t\"\\"`,
		"\"\u2028\u2029\u0085\ufeff\u007f\"", `"data: x\n\nevent: control"`, `"[,]{:}"`, `"\\"`, `"\\\""`,
		`{"headers":{"operation":"insert","control":"reset"},"offset":"-1"}`,
		`"` + strings.Repeat("long ", 40_000) + `"`,
	}
	for i := range 500 {
		values = append(values, fmt.Sprintf(`{"i":%d,"s":"%s"}`, i, strings.Repeat("ü", i%90)))
	}
	return values
}

// oddBytes are values of all lengths up to a few kilobytes, and one that no buffer holds.
func oddBytes() [][]byte {
	dice := rand.New(rand.NewPCG(1, 2))
	var values [][]byte
	for i := range 300 {
		n := i % 140 // lengths around the second byte of a frame's length
		switch i {
		case 200:
			n = 3000
		case 201:
			n = 300_000
		}
		v := make([]byte, n)
		for k := range v {
			v[k] = byte(dice.UintN(256))
		}
		values = append(values, v)
	}
	return values
}
