package server_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend/s2/s2test"
)

// A clock stands still until a test moves it.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.UnixMilli(1_700_000_000_000)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// names returns the names of a page, and whether there are more.
func (p *peer) names(path string) (names string, more bool) {
	p.t.Helper()
	type entry struct {
		Name string `json:"name"`
	}
	page := decode[struct {
		Basins  []entry `json:"basins"`
		Streams []entry `json:"streams"`
		HasMore bool    `json:"has_more"`
	}](p.t, p.want(200, `"has_more"`, "GET", path, ""))
	var all []string
	for _, e := range append(page.Basins, page.Streams...) {
		all = append(all, e.Name)
	}
	return strings.Join(all, " "), page.HasMore
}

func TestRecordsExpireByTheAgeOfTheirRetention(t *testing.T) {
	c := newClock()
	p := start(t, s2test.Clock(c.now))
	p.want(201, "", "POST", "/streams", `{"stream":"s","config":{"retention_policy":{"age":60}}}`)
	p.want(201, "", "POST", "/streams", `{"stream":"kept","config":{"retention_policy":{"infinite":{}}}}`)
	p.append("s", `{"body":"a"},{"body":"b"}`)
	p.append("kept", `{"body":"a"}`)
	c.move(30 * time.Second)
	p.append("s", `{"body":"c"}`)
	c.move(30*time.Second - time.Millisecond)
	p.want(200, `"seq_num":0`, "GET", "/streams/s/records?seq_num=0", "")
	c.move(time.Millisecond)
	b := p.want(200, `"seq_num":2`, "GET", "/streams/s/records?seq_num=0", "")
	if strings.Contains(b, `"seq_num":0`) || strings.Contains(b, `"seq_num":1`) {
		t.Errorf("expired records are read: %s", b)
	}
	c.move(30 * time.Second)
	p.want(416, `"tail":{"seq_num":3`, "GET", "/streams/s/records?seq_num=3", "")
	p.wantTail("s", 3) // numbers do not start again
	p.want(200, `"start":{"seq_num":3,`, "POST", "/streams/s/records", `{"records":[{"body":"d"}]}`)
	p.want(200, `"seq_num":3`, "GET", "/streams/s/records?seq_num=0&count=1", "")
	c.move(365 * 24 * time.Hour)
	p.want(200, `"seq_num":0`, "GET", "/streams/kept/records?seq_num=0", "")
}

func TestAnEmptyStreamIsDeletedInItsTime(t *testing.T) {
	c := newClock()
	p := start(t, s2test.Clock(c.now))
	p.want(201, "", "POST", "/streams", `{"stream":"s","config":{"retention_policy":{"age":60},"delete_on_empty":{"min_age_secs":30}}}`)
	p.append("s", `{"body":"a"}`)
	c.move((60 + 30 + 600) * time.Second)
	p.wantTail("s", 1)
	c.move(time.Second)
	p.want(409, `"stream_deletion_pending"`, "GET", "/streams/s/records/tail", "")
	c.move(2 * time.Second)
	p.want(404, `"stream_not_found"`, "GET", "/streams/s", "")
}

// A stream that is being deleted is listed with the time of its deletion, serves nothing, and cannot be created again.
func TestAStreamInDeletionServesNothing(t *testing.T) {
	c := newClock()
	p := start(t, s2test.Clock(c.now))
	p.append("s", `{"body":"a"}`)
	p.want(404, `"stream_not_found"`, "DELETE", "/streams/other", "")
	p.want(200, `"deleted_at":null`, "GET", "/streams", "")
	p.want(202, "", "DELETE", "/streams/s", "")
	p.want(200, `"deleted_at":"2023-11-14T22:13:20Z"`, "GET", "/streams", "")
	for _, call := range [][3]string{
		{"GET", "/streams/s", ""}, {"PATCH", "/streams/s", "{}"}, {"PUT", "/streams/s", "{}"},
		{"GET", "/streams/s/records/tail", ""}, {"GET", "/streams/s/records?seq_num=0", ""},
		{"POST", "/streams/s/records", `{"records":[{}]}`}, {"POST", "/streams", `{"stream":"s"}`},
	} {
		p.want(409, `"stream_deletion_pending"`, call[0], call[1], call[2])
	}
	p.want(409, `"stream_deletion_pending"`, "GET", "/streams/s/records?seq_num=0", "", "accept", "text/event-stream")
	c.move(2 * time.Second)
	p.want(200, `"streams":[]`, "GET", "/streams", "")
}

func TestABasinInDeletionTakesItsStreamsAlong(t *testing.T) {
	c := newClock()
	p := start(t, s2test.Clock(c.now))
	p.append("s", `{"body":"a"}`)
	p.want(404, `"basin_not_found"`, "DELETE", "/basins/other-basin", "")
	p.want(202, "", "DELETE", "/basins/"+testBasin, "")
	p.want(202, "", "DELETE", "/basins/"+testBasin, "")
	p.want(200, `"state":"deleting"`, "GET", "/basins", "")
	p.want(200, `"create_stream_on_append":true`, "GET", "/basins/"+testBasin, "")
	p.want(409, `"basin_deletion_pending"`, "PATCH", "/basins/"+testBasin, "{}")
	p.want(409, `"basin_deletion_pending"`, "PUT", "/basins/"+testBasin, "")
	p.want(409, `"basin_deletion_pending"`, "POST", "/streams", `{"stream":"t"}`)
	p.want(409, `"basin_deletion_pending"`, "POST", "/streams/s/records", `{"records":[{}]}`)
	c.move(2 * time.Second)
	p.want(404, `"basin_not_found"`, "GET", "/basins/"+testBasin, "")
	p.want(201, `"state":"active"`, "POST", "/basins", `{"basin":"`+testBasin+`"}`)
	p.want(404, `"stream_not_found"`, "GET", "/streams/s/records?seq_num=0", "")
}

func TestListsComeInPagesByName(t *testing.T) {
	p := start(t)
	for _, i := range []int{3, 1, 4, 0, 2} {
		p.want(201, "", "POST", "/basins", fmt.Sprintf(`{"basin":"basin-no-%d"}`, i))
		p.want(201, "", "POST", "/streams", fmt.Sprintf(`{"stream":"s/%d"}`, i))
	}
	p.want(201, "", "POST", "/streams", `{"stream":"é"}`) // bytewise behind all of ASCII
	for _, c := range []struct {
		path, names string
		more        bool
	}{
		{"/basins?prefix=basin-", "basin-no-0 basin-no-1 basin-no-2 basin-no-3 basin-no-4", false},
		{"/basins?limit=2", "basin-no-0 basin-no-1", true},
		{"/basins?limit=2&start_after=basin-no-1", "basin-no-2 basin-no-3", true},
		{"/basins?limit=2&start_after=basin-no-3", "basin-no-4 test-basin", false},
		{"/basins?prefix=basin-&start_after=a", "basin-no-0 basin-no-1 basin-no-2 basin-no-3 basin-no-4", false},
		{"/basins?start_after=test-basin", "", false},
		{"/streams?prefix=s/&limit=3", "s/0 s/1 s/2", true},
		{"/streams?prefix=s/&limit=3&start_after=s/2", "s/3 s/4", false},
		{"/streams?limit=0&start_after=s/4", "é", false},
		{"/streams?limit=1000000", "s/0 s/1 s/2 s/3 s/4 é", false},
	} {
		if names, more := p.names(c.path); names != c.names || more != c.more {
			t.Errorf("%s: %q, more: %v", c.path, names, more)
		}
	}
	p.want(400, `"bad_query"`, "GET", "/basins?limit=x", "")
}

func TestAClampedReadWaitsAtTheTail(t *testing.T) {
	p := start(t, s2test.Clock(func() time.Time { return time.UnixMilli(100) }))
	p.append("s", `{"body":"a"}`)
	p.want(416, `"tail":{"seq_num":1,"timestamp":100}`, "GET", "/streams/s/records?seq_num=9", "")
	p.want(416, `"tail"`, "GET", "/streams/s/records?timestamp=101&wait=1", "")
	p.want(400, `"bad_query"`, "GET", "/streams/s/records?seq_num=0&clamp=maybe", "")
	for _, from := range []string{"seq_num=999999&clamp=true", "timestamp=101&clamp=true", "tail_offset=0"} {
		got := make(chan string)
		go func() {
			_, b := p.call("GET", "/streams/s/records?wait=60&"+from, "")
			got <- b
		}()
		for waiting := true; waiting; {
			select {
			case b := <-got:
				if waiting = false; !strings.Contains(b, `"next"`) || strings.Contains(b, `"a"`) {
					t.Errorf("%s: %s", from, b)
				}
			default:
				p.append("s", `{"body":"next"}`) // behind the place where the read waits, as soon as it waits
			}
		}
	}
}

// A session without limits and with no time to wait ends at the tail, even if it begins there.
func TestASessionThatMayNotWaitEndsAtTheTail(t *testing.T) {
	p := start(t)
	p.append("s", `{"body":"a"}`)
	r := p.readSession("s", "seq_num=0&wait=0")
	if _, _, err := r.frame(); err != nil {
		t.Fatal(err)
	}
	r.wantEnd()
	p.readSession("s", "seq_num=1&wait=0").wantEnd()
	if all, err := p.events("seq_num=1&wait=0"); all != "data: [DONE]\n\n" || err != nil {
		t.Errorf("events: %q, %v", all, err)
	}
}

// Close breaks what a Shutdown waits for. Otherwise a program that loses its patience with a Shutdown could not end.
func TestCloseEndsAShutdownThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := quiet(t)
		c, err := p.dial(t.Context(), "tcp", "")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// The body never comes, and the server waits a minute for a body.
		fmt.Fprintf(c, "POST /v1/basins HTTP/1.1\r\nhost: s2\r\nauthorization: %s\r\ncontent-length: 9\r\n\r\n", p.auth)
		synctest.Wait()
		began := time.Now()
		shut := make(chan error, 1)
		go func() { shut <- p.srv.Shutdown(context.Background()) }()
		synctest.Wait()
		if err := p.srv.Close(); err != nil {
			t.Error(err)
		}
		if err := <-shut; err != nil {
			t.Error(err)
		}
		if waited := time.Since(began); waited >= time.Minute {
			t.Errorf("Close took %v", waited)
		}
	})
}
