package debug_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/observe"
	"github.com/headrace/headrace/observe/debug"
	"github.com/headrace/headrace/producer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve returns the address of a page about a producer that wrote two records, and a consumer whose handler failed once.
func serve(t *testing.T) string {
	t.Helper()
	reg := observe.NewRegistry()
	mux := http.NewServeMux()
	mux.Handle("/debug/headrace/", debug.Handler(reg))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)

	stream := memory.New()
	p, err := producer.New(t.Context(), stream, codec.String(), reg.Producer("orders"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	if err := p.Send(t.Context(), "a", "b"); err != nil {
		t.Fatal(err)
	}
	for reg.Snapshot().Producers[0].Acked < 2 { // the hook that counts runs behind Send
		runtime.Gosched()
	}
	c, err := consumer.New(stream, codec.String(), reg.Consumer("billing"), consumer.StopAtTail())
	if err != nil {
		t.Fatal(err)
	}
	failed := false
	err = c.Process(t.Context(), func(context.Context, consumer.Message[string]) error {
		if !failed {
			failed = true
			return errors.New("first attempt")
		}
		return nil
	}, consumer.Use(observe.Handler[string](reg, "billing")), consumer.RetryBackoff(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return server.URL + "/debug/headrace/"
}

func get(t *testing.T, method, url string, status int) *http.Response {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		resp.Body.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	if resp.StatusCode != status {
		t.Fatalf("%s %s: %s", method, url, resp.Status)
	}
	return resp
}

type item struct {
	Name   string `json:"name"`
	Acked  uint64 `json:"acked"`
	Done   uint64 `json:"done"`
	Failed uint64 `json:"failed"`
	Error  string `json:"error"`
}

type sample struct {
	Producers []item `json:"producers"`
	Consumers []item `json:"consumers"`
	Handlers  []item `json:"handlers"`
}

func check(t *testing.T, text []byte) {
	t.Helper()
	var s sample
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if len(s.Producers) != 1 || s.Producers[0] != (item{Name: "orders", Acked: 2}) {
		t.Errorf("producers %+v", s.Producers)
	}
	if len(s.Consumers) != 1 || s.Consumers[0] != (item{Name: "billing", Done: 2}) {
		t.Errorf("consumers %+v", s.Consumers)
	}
	if len(s.Handlers) != 1 || s.Handlers[0] != (item{Name: "billing", Failed: 1, Error: "first attempt"}) {
		t.Errorf("handlers %+v", s.Handlers)
	}
}

func TestSnapshotHoldsTheNumbers(t *testing.T) {
	text, err := io.ReadAll(get(t, http.MethodGet, serve(t)+"snapshot", http.StatusOK).Body)
	if err != nil {
		t.Fatal(err)
	}
	check(t, text)
}

func TestEventsComeUntilTheClientLeaves(t *testing.T) {
	events := bufio.NewScanner(get(t, http.MethodGet, serve(t)+"events", http.StatusOK).Body)
	for n := 0; n < 2; { // the second sample shows that the events go on
		if !events.Scan() {
			t.Fatalf("the events ended: %v", events.Err())
		}
		if text, ok := strings.CutPrefix(events.Text(), "data: "); ok {
			check(t, []byte(text))
			n++
		}
	}
}

func TestPageAllowsNoOtherScripts(t *testing.T) {
	resp := get(t, http.MethodGet, serve(t), http.StatusOK)
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("policy %q", csp)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil || strings.Contains(string(text), "innerHTML") {
		t.Errorf("the page writes texts as HTML, or %v", err)
	}
}

func TestOtherRequestsAreRefused(t *testing.T) {
	base := serve(t)
	get(t, http.MethodGet, base+"other", http.StatusNotFound)
	if allow := get(t, http.MethodPost, base, http.StatusMethodNotAllowed).Header.Get("Allow"); allow != "GET, HEAD" {
		t.Errorf("Allow: %s", allow)
	}
}
