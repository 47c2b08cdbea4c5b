package server_test

import (
	"bufio"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend/s2/s2test"
)

// The official test suites do not check these facts. Each call checks one fact.

func (p *peer) append(stream, records string) string {
	p.t.Helper()
	return p.want(200, `"tail"`, "POST", "/streams/"+stream+"/records", `{"records":[`+records+`]}`)
}

func TestMeteredSizeCountsHeaders(t *testing.T) {
	p := start(t)
	body := func(n int) string {
		return `{"records":[{"headers":[["k","v"]],"body":"` + strings.Repeat("x", n) + `"}]}`
	}
	// 8 for the record, 2 for the header, 2 for its name and value: 12 besides the body.
	p.want(200, `"end"`, "POST", "/streams/s/records", body(1<<20-12))
	p.want(422, `"invalid"`, "POST", "/streams/s/records", body(1<<20-11))
}

func TestLimitsOfAReadAreExact(t *testing.T) {
	p := start(t)
	p.append("s", `{"body":"0123456789"},{"body":"0123456789"},{"body":"0123456789"}`) // 18 metered each
	read := func(query string) string {
		return p.want(200, `"records"`, "GET", "/streams/s/records?seq_num=0&"+query, "")
	}
	for query, want := range map[string]int{
		"count=2": 2, "count=0": 0, "bytes=36": 2, "bytes=35": 1, "bytes=17": 0, "bytes=0": 0, "count=3&bytes=18": 1,
	} {
		if got := strings.Count(read(query), `"seq_num"`); got != want {
			t.Errorf("%s: %d records, want %d", query, got, want)
		}
	}
}

func TestUntilIsExclusive(t *testing.T) {
	p := start(t)
	p.append("s", `{"timestamp":100,"body":"a"},{"timestamp":200,"body":"b"},{"timestamp":300,"body":"c"}`)
	for until, want := range map[int]int{100: 0, 101: 1, 200: 1, 201: 2, 301: 3} {
		b := p.want(200, `"records"`, "GET", fmt.Sprintf("/streams/s/records?seq_num=0&until=%d", until), "")
		if got := strings.Count(b, `"seq_num"`); got != want {
			t.Errorf("until=%d: %d records, want %d", until, got, want)
		}
	}
	p.want(422, `"invalid"`, "GET", "/streams/s/records?timestamp=200&until=200", "")
}

func TestReadingAtTheTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := quiet(t)
		p.append("s", `{"body":"a"}`)
		p.want(416, `"tail":{"seq_num":1`, "GET", "/streams/s/records?seq_num=1", "")
		p.want(416, `"tail"`, "GET", "/streams/s/records?seq_num=1&count=0", "")
		p.want(416, `"tail"`, "GET", "/streams/s/records?tail_offset=0", "")
		p.want(416, `"tail"`, "GET", "/streams/s/records", "")
		p.want(416, `"tail"`, "GET", "/streams/s/records?seq_num=9&clamp=true", "")
		p.want(200, `"seq_num":0`, "GET", "/streams/s/records?tail_offset=9", "")
		p.want(422, `"invalid"`, "GET", "/streams/s/records?seq_num=0&tail_offset=1", "")
		began := time.Now()
		p.want(200, `"records":[]`, "GET", "/streams/s/records?seq_num=1&wait=1", "")
		if d := time.Since(began); d != time.Second {
			t.Errorf("a wait of 1 s took %v", d)
		}
	})
}

func TestConditionsSayWhatTheyFound(t *testing.T) {
	p := start(t)
	p.append("s", `{"body":"a"}`)
	p.want(412, `{"seq_num_mismatch":1}`, "POST", "/streams/s/records", `{"records":[{"body":"x"}],"match_seq_num":5}`)
	p.append("s", `{"headers":[["","fence"]],"body":"me"}`)
	p.want(412, `{"fencing_token_mismatch":"me"}`, "POST", "/streams/s/records", `{"records":[{"body":"x"}],"fencing_token":"you","match_seq_num":9}`)
	p.want(200, `"end"`, "POST", "/streams/s/records", `{"records":[{"body":"x"}],"fencing_token":"me","match_seq_num":2}`)
	p.want(422, `unknown command`, "POST", "/streams/s/records", `{"records":[{"headers":[["","dance"]]}]}`)
}

func TestACreationTokenMakesARepetitionHarmless(t *testing.T) {
	p := start(t)
	body := `{"stream":"made-once"}`
	p.want(201, `"made-once"`, "POST", "/streams", body, "s2-request-token", "token-1")
	p.want(201, `"made-once"`, "POST", "/streams", body, "s2-request-token", "token-1")
	p.want(409, `"resource_already_exists"`, "POST", "/streams", body, "s2-request-token", "token-2")
	p.want(409, `"resource_already_exists"`, "POST", "/streams", body)
}

func TestAPatchOfNullResetsAndAnAbsentFieldDoesNot(t *testing.T) {
	p := start(t)
	p.want(201, "", "POST", "/streams", `{"stream":"s","config":{"retention_policy":{"age":60},"timestamping":{"mode":"arrival"}}}`)
	p.want(200, `"age":60`, "PATCH", "/streams/s", `{}`)
	p.want(200, `"age":604800`, "PATCH", "/streams/s", `{"retention_policy":null}`)
	p.want(200, `"arrival"`, "GET", "/streams/s", "")
	p.want(422, `age must be greater than 0`, "PATCH", "/streams/s", `{"retention_policy":{"age":0}}`)
}

func TestATrimRemovesAndTimestampsNeverDecrease(t *testing.T) {
	p := start(t, s2test.TrimDelay(0))
	p.append("s", `{"timestamp":200,"body":"a"},{"timestamp":100,"body":"b"}`)
	b := p.want(200, "", "GET", "/streams/s/records?seq_num=0", "")
	if strings.Count(b, `"timestamp":200`) != 2 {
		t.Errorf("the second record's time went back: %s", b)
	}
	// The command is AAAAAAAAAAE=, the number 1 in eight bytes.
	p.want(200, "", "POST", "/streams/s/records", `{"records":[{"headers":[["","dHJpbQ=="]],"body":"AAAAAAAAAAE="}]}`, "s2-format", "base64")
	until(t, func() bool {
		_, b := p.call("GET", "/streams/s/records?seq_num=0", "")
		return !strings.Contains(b, `"seq_num":0`) && strings.Contains(b, `"seq_num":1`)
	})
	p.want(200, `"seq_num":3`, "GET", "/streams/s/records/tail", "")
}

// until waits for a condition that becomes true soon. If the condition stays false, the deadline of the test ends the test.
func until(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("it never came true")
		}
	}
}

func TestServerSentEventsCarryIDsAndEndWithDone(t *testing.T) {
	p := start(t)
	p.append("s", `{"body":"a"},{"body":"b"},{"body":"c"}`)
	events := func(headers ...string) string {
		r := p.request("GET", "/streams/s/records?seq_num=0&count=3", nil, append([]string{"accept", "text/event-stream"}, headers...)...)
		resp, err := p.h1.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var all strings.Builder
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			all.WriteString(lines.Text() + "\n")
		}
		return all.String()
	}
	all := events()
	for _, want := range []string{"event: batch", "id: 2,3,27", "data: [DONE]"} {
		if !strings.Contains(strings.ReplaceAll(all, ":", ": "), want) && !strings.Contains(all, want) {
			t.Errorf("no %q in:\n%s", want, all)
		}
	}
	// The read resumes behind the first record: two records are left, and the counts go on.
	if all = events("last-event-id", "0,1,9"); strings.Contains(all, `"seq_num":0`) || !strings.Contains(all, "2,3,27") {
		t.Errorf("resumed:\n%s", all)
	}
	p.want(400, `"bad_header"`, "GET", "/streams/s/records?seq_num=0", "", "accept", "text/event-stream", "last-event-id", "x")
}
