package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// What one run of the program keeps, the next one serves; without a directory it is gone. A reader that waits holds up
// neither.
func TestServeDurableStreams(t *testing.T) {
	data := t.TempDir()
	session := func(args []string, f func(url string)) {
		t.Helper()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		out, stdout := io.Pipe()
		ended := make(chan error, 1)
		go func() {
			ended <- exitError(run(ctx, append([]string{"serve", "--durable-streams", "127.0.0.1:0"}, args...), streams{nil, stdout, io.Discard}))
			_ = stdout.Close()
		}()
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err, <-ended)
		}
		url, ok := strings.CutPrefix(line, "headrace: durable-streams ready on ")
		if !ok {
			t.Fatalf("said %q", line)
		}
		f(strings.TrimSpace(url))
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	}
	call := func(method, url string, want int) *http.Response {
		t.Helper()
		r, err := http.NewRequest(method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != want {
			t.Errorf("%s %s: %s, want %d", method, url, resp.Status, want)
		}
		return resp
	}
	session([]string{"--data", data}, func(url string) {
		_ = call("PUT", url+"s", http.StatusCreated).Body.Close()
		defer call("GET", url+"s?offset=now&live=sse", http.StatusOK).Body.Close()
	})
	session([]string{"--data", data, "--long-poll", "1ms"}, func(url string) {
		_ = call("GET", url+"s?offset=now&live=long-poll", http.StatusNoContent).Body.Close()
	})
	session(nil, func(url string) {
		_ = call("GET", url+"s", http.StatusNotFound).Body.Close()
	})
}

// exitError turns an exit code into an error.
func exitError(code int) error {
	if code != exitOK {
		return fmt.Errorf("exit code %d", code)
	}
	return nil
}
