package server_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend/s2/s2test"
)

// events reads an answer of server-sent events to its end.
func (p *peer) events(query string) (string, error) {
	p.t.Helper()
	resp, err := p.h1.Do(p.request("GET", "/streams/s/records?"+query, nil, "accept", "text/event-stream"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func TestAStalledRequestIsHeldUntilItsClientLeavesAndHoldsUpNobody(t *testing.T) {
	p := start(t)
	p.append("s", `{"body":"a"}`)
	in := p.srv.Inject(s2test.Fault{Op: s2test.CheckTail, Do: s2test.Stall()})
	ctx, leave := context.WithCancel(t.Context())
	over := make(chan error)
	go func() {
		resp, err := p.h1.Do(p.request("GET", "/streams/s/records/tail", nil).WithContext(ctx))
		if err == nil {
			resp.Body.Close()
		}
		over <- err
	}()
	until(t, func() bool { return in.Hits() == 1 })
	p.wantTail("s", 1)
	p.append("s", `{"body":"b"}`)
	select {
	case err := <-over:
		t.Errorf("it was answered: %v", err)
	default:
	}
	leave()
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want what the client did", err)
	}
}

// Close does not wait for clients that wait for the server.
func TestAServerClosesOverStalledRequests(t *testing.T) {
	srv, err := s2test.Start(s2test.Basin(testBasin, true))
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, srv)
	in := srv.Inject(s2test.Fault{Op: s2test.AppendSession, Stage: s2test.Received, Do: s2test.Stall()})
	d := p.appendSession("s")
	d.send(frame(0, input("a")))
	until(t, func() bool { return in.Hits() == 1 })
	if err := srv.Close(); err != nil {
		t.Error(err)
	}
	d.wantBroken()
}

func TestADelayedAckComesLateAndTheBatchDoesNot(t *testing.T) {
	const delay = 300 * time.Millisecond
	p := start(t)
	p.srv.Inject(s2test.Fault{Op: s2test.AppendSession, Stage: s2test.Replying, Do: s2test.Delay(delay)})
	d := p.appendSession("s")
	began := time.Now()
	d.send(frame(0, input("a")))
	until(t, func() bool { return p.srv.Stats().Batches == 1 })
	p.wantTail("s", 1)
	if acks := p.srv.Stats().Acks; acks != 0 && time.Since(began) < delay {
		t.Errorf("%d acks were written before the delay", acks)
	}
	if _, _, err := d.frame(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < delay {
		t.Errorf("the ack came after %v", took)
	}
}

func TestARewrittenAnswerIsWhatTheClientGets(t *testing.T) {
	p := start(t)
	p.append("s", `{"body":"abc"}`)
	upper := s2test.Rewrite(func(b []byte) []byte {
		return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("abc"), []byte("ABC")), []byte("start"), []byte("START"))
	})
	p.srv.Inject(s2test.Fault{Op: s2test.ReadSession, Stage: s2test.Replying, Do: upper})
	if _, b, err := p.readSession("s", "seq_num=0&count=1").frame(); err != nil || !bytes.HasSuffix(b, []byte("\x22\x03ABC")) {
		t.Errorf("frame: %x, %v", b, err)
	}
	p.srv.Inject(s2test.Fault{Op: s2test.EventRead, Stage: s2test.Replying, Do: upper})
	if all, err := p.events("seq_num=0&count=1"); err != nil || !strings.Contains(all, `"body":"ABC"`) || !strings.Contains(all, "data: [DONE]") {
		t.Errorf("event: %s, %v", all, err)
	}
	p.srv.Inject(s2test.Fault{Op: s2test.UnaryRead, Stage: s2test.Replying, Do: upper})
	p.want(200, `"body":"ABC"`, "GET", "/streams/s/records?seq_num=0", "")
	p.srv.Inject(s2test.Fault{Op: s2test.UnaryAppend, Stage: s2test.Replying, Do: upper})
	p.want(200, `"START":{"seq_num":1,`, "POST", "/streams/s/records", `{"records":[{"body":"d"}]}`)
	p.wantTail("s", 2)
}

func TestARefusalCanAskForAPause(t *testing.T) {
	p := start(t)
	p.srv.Inject(s2test.Fault{Op: s2test.StreamCall, Do: s2test.RetryAfter(503, "unavailable", 1500*time.Millisecond)})
	resp, err := p.h1.Do(p.request("GET", "/streams", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After-Ms") != "1500" {
		t.Errorf("status %d, retry-after-ms %q", resp.StatusCode, resp.Header.Get("Retry-After-Ms"))
	}
	p.want(200, `"streams"`, "GET", "/streams", "")
}

// Each fault strikes the second of two batches of a read over events.
func TestFaultsOfAnEventRead(t *testing.T) {
	for name, c := range map[string]struct {
		do     s2test.Effect
		broken bool
		ends   string
	}{
		"dropped":   {s2test.Drop(), true, ""},
		"clean end": {s2test.End(), false, ""},
		"refused":   {s2test.Status(500, "storage"), false, "event: error\ndata: {\"code\":\"storage\",\"message\":\"injected by a test\"}\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t)
			record := `{"body":"` + strings.Repeat("x", 600_000) + `"}` // two do not fit into one batch
			p.append("s", record)
			p.append("s", record)
			p.srv.Inject(s2test.Fault{Op: s2test.EventRead, Stage: s2test.Replying, Skip: 1, Do: c.do})
			all, err := p.events("seq_num=0&count=2")
			if strings.Count(all, "event: batch") != 1 || strings.Contains(all, "[DONE]") || c.broken != (err != nil) || !strings.HasSuffix(all, c.ends) {
				t.Errorf("%d bytes that end in %q, %v", len(all), all[max(0, len(all)-80):], err)
			}
			if all, err = p.events("seq_num=1&count=1"); err != nil || !strings.HasSuffix(all, "data: [DONE]\n\n") {
				t.Errorf("resumed: %d bytes, %v", len(all), err)
			}
		})
	}
}
