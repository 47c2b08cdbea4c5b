package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestPage looks at the page in a real browser: records are there in order, once each, as text and not as markup, and go on
// coming while the server ends its responses every 200 ms.
func TestPage(t *testing.T) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium to look at the page with: apt-get install chromium")
	}
	ctx, stop := context.WithCancel(t.Context())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	root := "http://" + l.Addr().String()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, l, "", 0, 200*time.Millisecond) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	}()
	var want []string
	add := func(text string) {
		body, err := json.Marshal(map[string]string{"text": text})
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.Post(root+"/v1/stream/tail", "application/json", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.StatusCode != http.StatusNoContent {
			t.Fatal(r.Status)
		}
		want = append(want, text)
	}
	add("before the page <script>document.title = 'taken'</script>")

	b := browse(t, path, root+"/")
	defer b.end()
	b.until(t, want)
	// Some records at once, and each of them only when the one before is shown: over many responses.
	for i := range 30 {
		add(fmt.Sprint("live ", i))
		if i%3 == 0 {
			b.until(t, want)
		}
	}
	b.until(t, want)
	if title := b.eval(t, "document.title"); title != "webtail" {
		t.Errorf("a record changed the title to %v", title)
	}
}

// A browser is driven through its debugging pipe: JSON messages with a NUL behind each.
type browser struct {
	to      io.WriteCloser
	from    *bufio.Reader
	id      int
	session string
	end     func()
}

func browse(t *testing.T, path, url string) *browser {
	t.Helper()
	theirsIn, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, theirsOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	// The browser's helpers may still write for a moment when the browser has ended. t.TempDir would call that a failure.
	profile, err := os.MkdirTemp("", "webtail")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(profile) })
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--user-data-dir="+profile, "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{theirsIn, theirsOut} // 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = theirsIn.Close(), theirsOut.Close()
	b := &browser{to: to, from: bufio.NewReader(from)}
	deadline := time.AfterFunc(5*time.Minute, func() { _ = cmd.Process.Kill() })
	b.end = func() {
		deadline.Stop()
		b.session = ""
		b.call(t, "Browser.close", nil, nil)
		_ = to.Close()
		_ = cmd.Wait() // it may call itself killed
		_ = from.Close()
	}
	var target struct{ TargetID string }
	b.call(t, "Target.createTarget", map[string]any{"url": url}, &target)
	var session struct{ SessionID string }
	b.call(t, "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	b.session = session.SessionID
	return b
}

// call sends a command and reads up to its answer.
func (b *browser) call(t *testing.T, method string, params any, result any) {
	t.Helper()
	b.id++
	command := map[string]any{"id": b.id, "method": method}
	if params != nil {
		command["params"] = params
	}
	if b.session != "" {
		command["sessionId"] = b.session
	}
	message, err := json.Marshal(command)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.to.Write(append(message, 0)); err != nil {
		t.Fatal(err)
	}
	for {
		message, err := b.from.ReadBytes(0)
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		var answer struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		if err := json.Unmarshal(message[:len(message)-1], &answer); err != nil {
			t.Fatal(err)
		}
		switch {
		case answer.ID != b.id: // an event
		case answer.Error != nil:
			t.Fatalf("%s: %s", method, answer.Error.Message)
		default:
			if result != nil {
				if err := json.Unmarshal(answer.Result, result); err != nil {
					t.Fatal(err)
				}
			}
			return
		}
	}
}

func (b *browser) eval(t *testing.T, expression string) any {
	t.Helper()
	var answer struct{ Result struct{ Value any } }
	b.call(t, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &answer)
	return answer.Result.Value
}

// until waits for the page to show the records, the newest first, and nothing else.
func (b *browser) until(t *testing.T, want []string) {
	t.Helper()
	var got []string
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 5000 { // 100 s at least, for a machine that is slow
		got = got[:0]
		if list, ok := b.eval(t, `[...document.querySelectorAll("#records li")].map(e => e.textContent)`).([]any); ok {
			for _, text := range list {
				got = append(got, fmt.Sprint(text))
			}
		}
		slices.Reverse(got)
		if slices.Equal(got, want) {
			return
		}
		<-tick.C
	}
	t.Fatalf("the page shows %q, want %q", got, want)
}
