package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func get(t *testing.T, url string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", url, resp.Status)
	}
	return resp
}

func TestTheServiceShowsItsNumbers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, l, 1000) }()
	defer func() {
		stop()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}()
	base := "http://" + l.Addr().String()

	page, err := io.ReadAll(get(t, base+"/debug/headrace/").Body)
	if err != nil || !strings.Contains(string(page), "EventSource") {
		t.Errorf("page of %d bytes, %v", len(page), err)
	}
	// The events come until orders were billed.
	events := bufio.NewScanner(get(t, base+"/debug/headrace/events").Body)
	for billed := false; !billed; {
		if !events.Scan() {
			t.Fatalf("the events ended: %v", events.Err())
		}
		text, ok := strings.CutPrefix(events.Text(), "data: ")
		if !ok {
			continue
		}
		var s struct {
			Producers, Consumers, Handlers []struct {
				Name  string
				Done  uint64
				Acked uint64
			}
		}
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		billed = len(s.Consumers) == 1 && s.Consumers[0].Done > 0
	}
	metrics, err := io.ReadAll(get(t, base+"/metrics").Body)
	if err != nil || !strings.Contains(string(metrics), `headrace_consumer_records_done_total{consumer="billing"}`) {
		t.Errorf("metrics: %v\n%s", err, metrics)
	}
}
