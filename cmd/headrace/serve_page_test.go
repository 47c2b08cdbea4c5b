package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/headrace/headrace/observe"
)

var (
	readyLine = regexp.MustCompile(`^headrace: (\S+) ready on (\S+?),?(?: (?:OAuth|metrics) on (\S+))?\n$`)
	anyPort   = []string{"--s2", "127.0.0.1:0", "--zerobus", "127.0.0.1:0", "--durable-streams", "127.0.0.1:0", "--metrics", "127.0.0.1:0"}
)

// served runs serve with all servers until the test ends. It returns the addresses by the names in the lines that say what is
// ready; "zerobus/2" is the second address in the line of zerobus.
func served(t *testing.T) map[string]string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- exitError(run(ctx, append([]string{"serve"}, anyPort...), streams{nil, w, io.Discard}))
		_ = w.Close()
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	at := map[string]string{}
	lines := bufio.NewReader(r)
	for range 4 {
		line, err := lines.ReadString('\n')
		m := readyLine.FindStringSubmatch(line)
		if err != nil || m == nil {
			t.Fatalf("serve said %q, %v", line, err)
		}
		at[m[1]], at[m[1]+"/2"] = m[2], m[3]
	}
	return at
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, resp.Status, err)
	}
	return string(b)
}

func TestThePageAndMetricsTellWhatTheServersDid(t *testing.T) {
	at := served(t)
	for name, value := range map[string]string{
		"S2_ACCESS_TOKEN": "any", "S2_ACCOUNT_ENDPOINT": at["s2"], "S2_BASIN_ENDPOINT": at["s2"],
		"ZEROBUS_ENDPOINT": at["zerobus"], "ZEROBUS_WORKSPACE_URL": at["zerobus/2"], "ZEROBUS_CLIENT_ID": "any", "ZEROBUS_CLIENT_SECRET": "any",
	} {
		t.Setenv(name, value)
	}
	s := newShell(t)
	ds := "ds+" + at["durable-streams"] + "n"
	s.run(exitOK, "create", ds)
	s.run(exitOK, "create", "--basin", "s2://development/orders")
	for _, u := range []string{ds, "s2://development/orders", "zerobus://main.air.readings"} {
		s.in = "{}\n{}\n"
		s.run(exitOK, "produce", u)
	}
	s.run(exitOK, "tail", ds, "--from", "start", "--until", "now")
	s.run(exitOK, "tail", "s2://development/orders", "--from", "start", "--until", "now")

	want := []string{
		`headrace_server_calls_total{call="create",server="durable-streams",status="201"} 1`,
		`headrace_server_calls_total{call="account",server="s2",status="201"} 1`, `headrace_server_open_calls{server="s2"} 0`,
		`headrace_server_calls_total{call="stream",server="zerobus",status="OK"} 1`,
		`headrace_server_calls_total{call="token",server="zerobus",status="200"} 1`,
		`headrace_server_records_stored_total{server="s2"} 2`, `headrace_server_records_stored_total{server="zerobus"} 2`,
		`headrace_server_stored_bytes_total{server="zerobus"} 4`, `headrace_server_streams{server="durable-streams"} 1`,
		`headrace_server_streams{server="s2"} 1`, `headrace_server_streams{server="zerobus"} 1`,
	}
	// A client has its answer a moment before the server counts the call.
	var text string
	missing := func(line string) bool { return !strings.Contains(text, line+"\n") }
	for tries := 0; ; tries++ {
		if text = fetch(t, at["page/2"]); !slices.ContainsFunc(want, missing) {
			break
		}
		if tries == 20_000 {
			t.Fatalf("not among the metrics: %q\n%s", want[slices.IndexFunc(want, missing)], text)
		}
		runtime.Gosched()
	}
	var sample struct {
		Servers []struct {
			Name             string
			Bytes, ReadBytes int64
		}
	}
	if err := json.Unmarshal([]byte(fetch(t, at["page"]+"/snapshot")), &sample); err != nil {
		t.Fatal(err)
	}
	for _, v := range sample.Servers {
		if v.Bytes == 0 || (v.ReadBytes == 0) != (v.Name == "zerobus") { // nobody reads from Zerobus
			t.Errorf("%s has stored %d bytes, and %d were read", v.Name, v.Bytes, v.ReadBytes)
		}
	}
	if len(sample.Servers) != 3 {
		t.Errorf("%d servers", len(sample.Servers))
	}
	if page := fetch(t, at["page"]+"/"); !strings.Contains(page, "<title>Headrace</title>") {
		t.Errorf("the page is %q", page)
	}
}

// A browser that shows the page never ends its request for events.
func TestABrowserOnThePageDoesNotHoldUpTheEnd(t *testing.T) {
	p, err := startPage("127.0.0.1:0", observe.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(p.url + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := p.Shutdown(t.Context()); err != nil { // without the end of the request, this never returns
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}
