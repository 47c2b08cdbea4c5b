package server_test

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend/s2/s2test"
)

func TestCallsBelowStreamsNameTheirBasin(t *testing.T) {
	p := start(t)
	p.want(400, "s2-basin", "GET", "/streams", "", "s2-basin", "")
	p.want(400, `"bad_header"`, "GET", "/streams", "", "s2-basin", "NO")
	p.want(404, `"basin_not_found"`, "GET", "/streams", "", "s2-basin", "no-such-basin")
}

// A name is one escaped segment of the path, and may contain any characters.
func TestNamesAreUnescapedSegmentBySegment(t *testing.T) {
	p := start(t)
	p.append("a%2Fb%20%C3%BC", `{"body":"x"}`)
	p.want(200, `"name":"a/b ü"`, "GET", "/streams?prefix=a/b", "")
	p.want(404, `"not_found"`, "GET", "/streams/a/b/records/tail/more", "")
}

// Old clients know the location of a basin as its scope, new clients as its location.
func TestABasinSaysWhereItIsToOldAndNew(t *testing.T) {
	p := start(t)
	p.want(201, `"location":"aws:us-west-2","scope":"aws:us-west-2"`, "POST", "/basins", `{"basin":"old-client","scope":"aws:us-west-2"}`)
	p.want(201, `"location":"aws:eu-north-1","scope":"aws:eu-north-1"`, "POST", "/basins", `{"basin":"new-client","location":"aws:eu-north-1"}`)
}

func TestRequestsMayBeCompressed(t *testing.T) {
	p := start(t)
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	if _, err := gz.Write([]byte(`{"records":[{"body":"` + strings.Repeat("x", 5000) + `"}]}`)); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	p.want(200, `"end"`, "POST", "/streams/s/records", b.String(), "content-encoding", "gzip")
	p.want(400, "", "POST", "/streams/s/records", "no gzip", "content-encoding", "gzip")
	p.want(415, "", "POST", "/streams/s/records", "x", "content-encoding", "br")
	p.wantTail("s", 1)
}

// The batches of a following reader name the tail. Batches before the reader has reached the tail do not. A record starts
// the wait again.
func TestAFollowerHearsOfTheTailAndWaitsAnewForEachRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const now = 1_700_000_000_000
		p := quiet(t, s2test.Clock(func() time.Time { return time.UnixMilli(now) }))
		p.append("s", `{"body":"a"}`)
		record := func(seq uint64, body string) pb {
			return pb{}.bytes(1, position(seq, now).bytes(4, []byte(body)))
		}
		r := p.readSession("s", "seq_num=0&wait=5")
		r.wantFrame(0, record(0, "a"))
		r.wantFrame(0, pb{}.bytes(2, position(1, now)))
		var last time.Time
		for i := range uint64(3) {
			<-time.After(4 * time.Second)
			last = time.Now()
			p.append("s", `{"body":"b"}`)
			r.wantFrame(0, append(record(1+i, "b"), pb{}.bytes(2, position(2+i, now))...))
		}
		r.wantEnd()
		if waited := time.Since(last); waited != 5*time.Second {
			t.Errorf("it ended %v after the last record, want 5 s", waited)
		}
	})
}
