package server_test

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend/s2/s2test"
)

// A read that starts inside a stored batch returns as many records as a read that starts at the beginning of the batch.
func TestReadFromInsideABatchIsFull(t *testing.T) {
	p := start(t)
	for range 3 {
		p.append("s", strings.TrimSuffix(strings.Repeat(`{"body":"x"},`, 1000), ","))
	}
	for _, from := range []int{0, 1, 200, 999, 1000, 1801} {
		b := p.want(200, "", "GET", fmt.Sprintf("/streams/s/records?seq_num=%d&count=1000", from), "")
		if got := strings.Count(b, `"seq_num"`); got != 1000 {
			t.Errorf("from %d: %d records, want 1000", from, got)
		}
	}
}

// Only records begin the wait anew.
func TestHeartbeatsDoNotExtendTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := quiet(t, s2test.Heartbeat(100*time.Millisecond, 100*time.Millisecond))
		p.append("s", `{"body":"a"}`)
		r := p.readSession("s", "seq_num=1&wait=1")
		beats := 0
		for ; beats < 100; beats++ {
			if _, _, err := r.frame(); err != nil {
				break
			}
		}
		if beats < 10 || beats > 11 { // with the frame that tells the tail at once
			t.Errorf("%d heartbeats of 100 ms within a wait of 1 s", beats)
		}
	})
}

func TestTrimRemovesExactlyWhatLiesBelowItsPoint(t *testing.T) {
	for point, first := range map[string]uint64{
		"AAAAAAAAAAA=": 0, // 0
		"AAAAAAAAAAI=": 2, // 2
		"AAAAAAAAAAQ=": 4, // 4, the command itself
		"AAAAAAAAAMg=": 5, // 200: no further than behind the command
	} {
		c := newClock()
		p := start(t, s2test.TrimDelay(0), s2test.Clock(c.now))
		p.append("s", `{"body":"a"},{"body":"b"},{"body":"c"},{"body":"d"}`)
		p.want(200, "", "POST", "/streams/s/records", `{"records":[{"headers":[["","dHJpbQ=="]],"body":"`+point+`"}]}`, "s2-format", "base64")
		p.append("s", `{"body":"e"}`)
		c.move(time.Minute)
		b := p.want(200, "", "GET", "/streams/s/records?seq_num=0", "")
		if want := fmt.Sprintf(`"seq_num":%d,`, first); !strings.HasPrefix(b[strings.Index(b, `"seq_num"`):], want) {
			t.Errorf("behind a trim to %s: %s, want first %s", point, b, want)
		}
	}
}

func TestStreamMadeByAnAppendHasTheConfigOfTheRequest(t *testing.T) {
	p := start(t)
	config := `{"timestamping":{"mode":"arrival"},"retention_policy":{"age":77}}`
	p.want(200, `"end"`, "POST", "/streams/s/records", `{"records":[{"body":"x"}]}`, "s2-stream-config", config)
	p.want(200, `"arrival"`, "GET", "/streams/s", "")
	p.want(200, `"age":77`, "GET", "/streams/s", "")
	p.want(400, `"bad_header"`, "POST", "/streams/t/records", `{"records":[{"body":"x"}]}`, "s2-stream-config", "no json")
}

func TestOnlyUncappedStreamsKeepTimesOfTheFuture(t *testing.T) {
	c := newClock()
	p := start(t, s2test.Clock(c.now))
	now := c.now().UnixMilli()
	for name, want := range map[string]int64{"false": now, "true": now + 3_600_000} {
		p.want(201, "", "POST", "/streams", `{"stream":"`+name+`","config":{"timestamping":{"uncapped":`+name+`}}}`)
		p.append(name, fmt.Sprintf(`{"timestamp":%d,"body":"x"}`, now+3_600_000))
		p.want(200, fmt.Sprintf(`"timestamp":%d`, want), "GET", "/streams/"+name+"/records?seq_num=0", "")
	}
}

func TestExpiredTokenIsNotAccepted(t *testing.T) {
	c := newClock()
	p := start(t, s2test.Clock(c.now))
	secret := decode[struct {
		AccessToken string `json:"access_token"`
	}](t, p.want(201, "", "POST", "/access-tokens", fmt.Sprintf(
		`{"id":"t","expires_at":%q,"scope":{"basins":{"prefix":""},"streams":{"prefix":""},"ops":["list-streams"]}}`,
		c.now().Add(time.Minute).UTC().Format(time.RFC3339)))).AccessToken
	p.auth = "Bearer " + secret
	p.want(200, "", "GET", "/streams", "")
	c.move(time.Minute - time.Millisecond)
	p.want(200, "", "GET", "/streams", "")
	c.move(time.Millisecond)
	p.want(401, `"authn"`, "GET", "/streams", "")
}

func TestStreamNameHoldsNoNUL(t *testing.T) {
	p := start(t)
	p.want(422, "NUL", "POST", "/streams", `{"stream":"a\u0000b"}`)
	p.want(422, "NUL", "POST", "/streams/a%00b/records", `{"records":[{"body":"x"}]}`)
}

func TestEventsResumeBehindTheLastPossibleRecord(t *testing.T) {
	p := start(t)
	p.append("s", `{"body":"a"}`)
	p.want(416, `"tail"`, "GET", "/streams/s/records", "", "accept", "text/event-stream", "last-event-id", "18446744073709551615,1,1")
}

func TestPagesOfOtherOriginsMayAsk(t *testing.T) {
	p := start(t)
	r := p.request("OPTIONS", "/streams", nil, "origin", "https://example.com", "access-control-request-method", "PUT",
		"access-control-request-headers", "authorization,s2-basin")
	r.Header.Del("authorization") // browsers ask without
	for _, r := range []*http.Request{r, p.request("GET", "/streams", nil, "origin", "https://example.com")} {
		resp, err := p.h1.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if h := resp.Header; resp.StatusCode != 200 || h.Get("access-control-allow-origin") != "*" ||
			!strings.Contains(h.Get("access-control-allow-headers"), "authorization") {
			t.Errorf("%s: %d %v", r.Method, resp.StatusCode, h)
		}
	}
}

func TestStatsCountSessions(t *testing.T) {
	p := start(t)
	p.append("s", `{"body":"a"}`)
	p.appendSession("s")
	p.readSession("s", "seq_num=0")
	p.want(200, "", "GET", "/streams/s/records?seq_num=0&count=1", "", "accept", "text/event-stream")
	if got := p.srv.Stats().Sessions; got != 3 {
		t.Errorf("%d sessions, want 3", got)
	}
}

// A request that announces a body and never sends it is answered.
func TestRequestWithoutItsBodyIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := quiet(t)
		for line, status := range map[string]int{"GET /v1/streams": 408, "DELETE /v1/streams/s": 408, "PATCH /v1/nothing": 404} {
			c, err := p.dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			began := time.Now()
			fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n", line)
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || resp.StatusCode != status {
				t.Errorf("%s: %v, %v; want %d", line, resp, err, status)
			}
			if d := time.Since(began); d != 2*time.Second {
				t.Errorf("%s: answered after %v, want 2 s", line, d)
			}
		}
	})
}
